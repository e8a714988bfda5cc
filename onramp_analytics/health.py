"""What is well and what is wrong, for a person: found by looking, since the hot path keeps silent. Changes nothing."""

from __future__ import annotations

import os
import stat
import sys
import time
import urllib.parse
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from importlib import metadata
from importlib.util import cache_from_source

from onramp_analytics import __version__, events, optin, settings
from onramp_analytics import spool as spools
from onramp_analytics.checkout import LOCK_FILE
from onramp_analytics.consent import Consent
from onramp_analytics.errors import Misconfigured
from onramp_analytics.integration import launcher
from onramp_analytics.outbox import history, segments
from onramp_analytics.posthog import destination
from onramp_analytics.posthog.outcome import ACCEPTED
from onramp_analytics.spool import Spool

ROOM = 1 << 16  # bytes that must be free on the disk
AHEAD = 120  # seconds: a file that is newer than now by more was written before the clock was put back
MOST_UNFINISHED = 3  # senders; one or two are a machine that was switched off
STUCK = 0.3  # seconds for the spool's lock; nobody who moves holds it for more than milliseconds
OK, NOTE, WRONG = "ok", "note", "wrong"
_CERTIFICATES = ("REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE")  # those that requests reads
_PROXIES = ("HTTPS_PROXY", "https_proxy", "HTTP_PROXY", "http_proxy", "ALL_PROXY", "all_proxy")
#: The modules of the hot path that each start would compile anew if their byte-code could not be kept.
HOT = ("checkout", "consent", "events", "make_events", "settings", "spawn", "spool", "tracker")


@dataclass(frozen=True, slots=True)
class Check:
    """One thing that was looked at.

    Attributes:
        what: its name, in a word or two.
        state: OK, NOTE (it works, and is worth knowing) or WRONG (events are not stored, not sent, or not as meant).
        said: what was found; where it is wrong, with what to do.
    """

    what: str
    state: str
    said: str


def checks(root: bytes, now: Consent, here: list[Spool], environ: Mapping[str, str]) -> list[Check]:
    """Look at everything that can be looked at without asking anybody else.

    Args:
        root: the checkout.
        now: the consent.
        here: the checkout's spool first, then, where there is one, the user's own.
        environ: where the destination is configured.
    """
    return [
        Check("checkout", OK, os.fsdecode(root)),
        _lock_file(root),
        Check("consent", OK, f"analytics are {'on' if now.on else 'off'}: {now.why}"),
        _notice(now),
        _catalogue(root, now),
        *_files(root, here),
        *(check for spool in here for check in _spool(spool)),
        _disk(here),
        _setting("key", now, environ, lambda environ: destination.masked(destination.key(environ))),
        _setting("host", now, environ, destination.host),
        _proxy(environ),
        _certificates(environ),
        _sending(here),
        _unfinished(here),
        _clock(here, time.time()),
        _versions(),
        _program(root, now),
        _byte_code(),
    ]


def problems(found: list[Check]) -> list[str]:
    """Return what is wrong, each thing once."""
    return list(dict.fromkeys(check.said for check in found if check.state == WRONG))


def _lock_file(root: bytes) -> Check:
    path = os.path.join(root, LOCK_FILE)
    content = settings.read(root)
    if content is not None:
        if b"\0" in content:
            return Check("onramp.lock", WRONG, f"{os.fsdecode(path)} is damaged: `enable` or `disable` mends it")
        return Check("onramp.lock", OK, "is whole")
    if not os.path.lexists(path):
        return Check("onramp.lock", OK, "there is none, which means off")
    return Check("onramp.lock", WRONG, f"{os.fsdecode(path)} is not a file that can be read: move it away, or chown it")


def _notice(now: Consent) -> Check:
    if now.notice_shown:
        return Check("notice", OK, "was shown")
    if not now.on:
        return Check("notice", OK, "not shown yet; `enable` shows it")
    return Check("notice", WRONG, "nothing is sent before you have seen the notice: run `onramp-analytics enable`")


def _catalogue(root: bytes, now: Consent) -> Check:
    names = [line for line in events.published(root).splitlines() if line and not line.startswith(b"#")]
    if names:
        return Check("catalogue", OK, f"{len(names):,} published names")
    if not now.on:
        return Check("catalogue", OK, "there is none; `onramp-analytics install` makes it")
    said = f"no readable {os.fsdecode(events.CATALOGUE)}, so every name is sent as `custom` or `other`"
    return Check("catalogue", NOTE, f"{said}: `onramp-analytics install` makes it")


def _files(root: bytes, here: list[Spool]) -> Iterator[Check]:
    own = next((spool for spool in here if spool.home != root), None)
    found = [fault for spool in here for fault in _faults(spool)]
    for said, is_in_the_way in found:
        if own and not is_in_the_way:
            yield Check("files", NOTE, f"{said}; until then events go to {os.fsdecode(own.home)}")
        else:
            yield Check("files", WRONG, said)
    if not found:
        yield Check("files", OK, "all are yours, and what they should be")


def _faults(spool: Spool) -> Iterator[tuple[str, bool]]:
    """Yield what is wrong with a file of ours, and whether it is so for every user, or only for this one."""
    if not os.access(spool.home, os.W_OK):
        yield f"{os.fsdecode(spool.home)} cannot be written by you: use a checkout of your own, or chown it", False
    inside = [spool.not_before, segments.flusher_lock_path(spool), *history.paths(spool)]
    inside += [segment.path for segment in segments.waiting(spool)]
    for path in (spool.lock, spool.file, spool.folder, *inside):
        try:
            found = os.lstat(path)
        except OSError:
            continue  # it is not there, or below something that was told already
        is_kind = stat.S_ISDIR if path == spool.folder else stat.S_ISREG
        if not is_kind(found.st_mode) or (stat.S_ISREG(found.st_mode) and found.st_nlink != 1):
            yield f"{os.fsdecode(path)} is not what we made: move it away", True
        elif not os.access(path, os.R_OK | os.W_OK):
            yield f"{os.fsdecode(path)} cannot be written: give it to yourself with chown", False


def _spool(spool: Spool) -> Iterator[Check]:
    try:
        size = os.lstat(spool.file).st_size
    except OSError:
        size = 0
    if size > spools.CAP - 1024:
        said = "the spool is full, and new events are dropped: send it with `onramp-analytics flush`"
        yield Check("spool", WRONG, said)
    if len(segments.waiting(spool)) >= spools.MOST_SPILLED:
        said = f"{spools.MOST_SPILLED:,} events are spilled, and no more can be: run `onramp-analytics flush`"
        yield Check("spool", WRONG, said)
    if _is_stuck(spool):
        said = f"{os.fsdecode(spool.lock)} is held by a process that does not move: end it (`fuser` names it)"
        yield Check("spool", WRONG, said)


def _is_stuck(spool: Spool) -> bool:
    try:
        if not stat.S_ISREG(os.lstat(spool.lock).st_mode):
            return False
        with segments.locked(spool, STUCK) as held:
            return not held
    except OSError:
        return False


def _disk(here: list[Spool]) -> Check:
    free = min(map(_free, (spool.home for spool in here)))
    if free < ROOM:
        return Check("disk", WRONG, "the disk is full, and new events are dropped: make room")
    return Check("disk", OK, f"{free >> 20:,} MiB are free")


def _free(folder: bytes) -> int:
    try:
        found = os.statvfs(folder)
    except OSError:
        return ROOM
    return found.f_bavail * found.f_frsize


def _setting(what: str, now: Consent, environ: Mapping[str, str], read: Callable[[Mapping[str, str]], str]) -> Check:
    try:
        return Check(what, OK, read(environ))
    except Misconfigured as error:
        return Check(what, WRONG if now.on else NOTE, str(error))


def _proxy(environ: Mapping[str, str]) -> Check:
    found = [f"{name} is {_without_password(environ[name])}" for name in _PROXIES if environ.get(name)]
    return Check("proxy", OK, "; ".join(found) or "none")


def _without_password(url: str) -> str:
    """Return a proxy's address without the user's name and password, which are nobody's business."""
    try:
        parts = urllib.parse.urlsplit(url)
        address = f"{parts.scheme}://{parts.hostname}" + (f":{parts.port}" if parts.port else "")
    except ValueError:
        return "not an address"
    return f"{address} with a password" if "@" in parts.netloc else address


def _certificates(environ: Mapping[str, str]) -> Check:
    for name in _CERTIFICATES:
        if environ.get(name) and not os.path.exists(environ[name]):
            return Check("certificates", WRONG, f"{name} names a file that is not there: unset it, or set it right")
    named = [name for name in _CERTIFICATES if environ.get(name)]
    return Check("certificates", OK, f"those that {named[0]} names" if named else "the usual ones")


def _sending(here: list[Spool]) -> Check:
    if any(map(optin.flusher_is_alive, here)):
        return Check("last send", OK, "a flusher is at work")
    last = max((history.load_state(spool) for spool in here), key=lambda state: state.at)
    if last.outcome not in ("", ACCEPTED):
        return Check("last send", WRONG, f"the last send did not work: {last.reason}")
    return Check("last send", OK, "worked" if last.outcome else "never")


def _unfinished(here: list[Spool]) -> Check:
    """Senders that systemd or a container kills with the command that started them come to their end never."""
    most = max(map(history.unfinished, here))
    if most < MOST_UNFINISHED or any(map(optin.flusher_is_alive, here)):
        return Check("senders", OK, "come to their end")
    said = f"the last {most} background senders never finished, as if killed with the job (systemd, a container)"
    return Check("senders", WRONG, f"{said}: run `onramp-analytics flush` at the end of the job")


def _clock(here: list[Spool], now: float) -> Check:
    for spool in here:
        for path in (spool.file, *history.paths(spool)):
            if _modified(path) > now + AHEAD:
                return Check("clock", WRONG, f"{os.fsdecode(path)} is newer than now: put the clock right")
    return Check("clock", OK, time.strftime("%Y-%m-%d %H:%M:%S UTC", time.gmtime(now)))


def _modified(path: bytes) -> float:
    try:
        return os.lstat(path).st_mtime
    except OSError:
        return 0.0


def _versions() -> Check:
    python, posthog = ".".join(map(str, sys.version_info[:3])), metadata.version("posthog")
    return Check("versions", OK, f"onramp-analytics {__version__}, Python {python}, posthog {posthog}")


def _program(root: bytes, now: Consent) -> Check:
    known = launcher.remembered(root)
    if not known:
        return Check("program", OK, "make finds onramp-analytics on the PATH")
    gone = next((path for path in known if not os.access(path, os.R_OK)), None)
    if gone and now.on:
        said = f"onramp.program names {gone}, which is not there: run `onramp-analytics enable`"
        return Check("program", WRONG, said)
    return Check("program", OK, f"make runs {known[-1]}")


def _byte_code() -> Check:
    here = os.path.dirname(os.path.abspath(__file__))
    missing = [name for name in HOT if not os.path.exists(cache_from_source(os.path.join(here, f"{name}.py")))]
    if missing and not os.access(here, os.W_OK):
        said = f"is missing, so that each command compiles anew: its owner should run `python3 -m compileall {here}`"
        return Check("byte-code", WRONG, said)
    return Check("byte-code", OK, "is there" if not missing else "is kept from the next command on")
