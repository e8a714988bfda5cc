"""What is wrong, for a person: the causes that the hot path keeps silent about, found by looking. Changes nothing."""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator, Mapping

from onramp_analytics import destination, journal
from onramp_analytics.consent import Consent
from onramp_analytics.errors import Misconfigured
from onramp_analytics.outcome import ACCEPTED
from onramp_analytics.spool import CAP, Spool

ROOM = 1 << 16  # bytes that must be free on the disk


def problems(now: Consent, spools: list[Spool], environ: Mapping[str, str]) -> list[str]:
    """Return one sentence for each thing that keeps events from being stored or sent, with its remedy.

    Args:
        now: the consent.
        spools: the checkout's spool first, then, where there is one, the user's own.
        environ: where the destination is configured.
    """
    found = list(_settings(now, environ)) if now.on else []
    for spool in spools:
        found += _files(spool, is_only_one=len(spools) == 1)
        state = journal.load_state(spool)
        if state.outcome not in ("", ACCEPTED) and state.reason not in found:
            found.append(f"the last send did not work: {state.reason}")
    return found


def _settings(now: Consent, environ: Mapping[str, str]) -> Iterator[str]:
    if not now.notice_shown:
        yield "nothing is sent before you have seen the notice: run `onramp-analytics enable`"
    for check in (destination.key, destination.host):
        try:
            check(environ)
        except Misconfigured as error:
            yield str(error)


def _files(spool: Spool, *, is_only_one: bool) -> Iterator[str]:
    for path, wanted in ((spool.lock, stat.S_ISREG), (spool.file, stat.S_ISREG), (spool.folder, stat.S_ISDIR)):
        try:
            found = os.lstat(path)
        except FileNotFoundError:
            continue
        except OSError as error:
            yield f"{os.fsdecode(path)} cannot be looked at ({error.strerror}): mend its folder's permissions"
            continue
        if not wanted(found.st_mode) or (stat.S_ISREG(found.st_mode) and found.st_nlink != 1):
            yield f"{os.fsdecode(path)} is not what we made: move it away"
        elif not os.access(path, os.W_OK) and is_only_one:
            yield f"{os.fsdecode(path)} cannot be written: give it to yourself with chown"
        elif path == spool.file and found.st_size > CAP - 1024:
            yield "the spool is full, and new events are dropped: send it with `onramp-analytics flush`"
    if not os.access(spool.home, os.W_OK) and is_only_one:
        yield f"{os.fsdecode(spool.home)} cannot be written by you: events go to a folder of your own"
    elif _free(spool.home) < ROOM:
        yield "the disk is full, and new events are dropped: make room"


def _free(folder: bytes) -> int:
    try:
        found = os.statvfs(folder)
    except OSError:
        return ROOM
    return found.f_bavail * found.f_frsize
