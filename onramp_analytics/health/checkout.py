"""Check a checkout: the choice, the files, the destination and the last run."""

from __future__ import annotations

import os
import stat
import time
from collections.abc import Iterator, Mapping
from dataclasses import replace

from onramp_analytics import checkout, events, files, make_events, settings
from onramp_analytics.checkout import LOCK_FILE
from onramp_analytics.consent import Consent
from onramp_analytics.errors import Misconfigured
from onramp_analytics.health import machine
from onramp_analytics.health.check import NOTE, OK, WRONG, Check
from onramp_analytics.integration import launcher
from onramp_analytics.outbox import history, locks, segments
from onramp_analytics.outbox.overview import Outbox
from onramp_analytics.posthog import destination
from onramp_analytics.posthog.outcome import ACCEPTED
from onramp_analytics.spool import CAP, MOST_SPILLED, Spool, is_ours

SPACE = 1 << 16  # bytes that must be free on the disk
AHEAD = 120  # seconds; a file that is dated further in the future shows that the clock is wrong
MOST_UNFINISHED = 3  # senders; one or two may be due to a machine that was switched off
STUCK = 0.3  # seconds for the spool's lock; a running process holds it for milliseconds
_CHOICE = "onramp.lock"


def checks(root: bytes, current: Consent, environ: Mapping[str, str]) -> list[Check]:
    """Make all checks that need no server.

    Args:
        root: the checkout.
        current: the present consent.
        environ: the environment.
    """
    found = list(_checks(root, current, environ))
    # While analytics are off, only the choice itself can be wrong.
    return [c if current.on or c.what == _CHOICE or c.state != WRONG else replace(c, state=NOTE) for c in found]


def _checks(root: bytes, current: Consent, environ: Mapping[str, str]) -> list[Check]:
    outbox = Outbox(root)
    where = _destination(root, environ)
    return [
        Check("checkout", OK, os.fsdecode(root)),
        _lock_file(root),
        Check("consent", OK, f"analytics are {'on' if current.on else 'off'}: {current.why}"),
        *_agreement(root, current, environ),
        _names(root, current),
        *_enabled(root, current),
        *_files(outbox.spool),
        *_spool(outbox.spool),
        *(_write(outbox.spool) if current.on else ()),
        _disk(root),
        *where,
        machine.proxy(environ),
        machine.certificates(environ),
        *_sending(outbox, where),
        _unfinished(outbox),
        _clock(outbox.spool, time.time()),
        machine.versions(),
        _program(root),
        machine.byte_code(),
    ]


def problems(found: list[Check]) -> list[str]:
    """Return what is wrong, without repeats."""
    return list(dict.fromkeys(check.result for check in found if check.state == WRONG))


def _lock_file(root: bytes) -> Check:
    path = os.path.join(root, LOCK_FILE)
    content = settings.load(root)
    if content is not None:
        if b"\0" in content:
            remedy = "`make analytics-enable` or `make analytics-disable` repairs it"
            return Check(_CHOICE, WRONG, f"{os.fsdecode(path)} is damaged: {remedy}")
        return Check(_CHOICE, OK, "valid")
    try:
        found = os.lstat(path)
    except OSError:
        return Check(_CHOICE, OK, "does not exist, so analytics are off")
    if stat.S_ISREG(found.st_mode) and not is_ours(found):
        return Check(_CHOICE, NOTE, "belongs to another user and applies only to that user")
    return Check(_CHOICE, WRONG, f"{os.fsdecode(path)} is not a readable file: move it away")


def _agreement(root: bytes, current: Consent, environ: Mapping[str, str]) -> Iterator[Check]:
    if not current.on:
        return
    if current.version < events.VERSION:
        how = "run `sh make.d/analytics.sh events --new` to see them, and `make analytics-enable` to agree"
        yield Check("agreement", NOTE, f"new events are not recorded until you agree: {how}")
    else:
        yield Check("agreement", OK, "you have agreed to everything that can be recorded")
    try:
        objection = destination.objection(current, destination.of(root, environ), destination.send(root, environ))
    except Misconfigured:
        return
    if objection:
        yield Check("agreement", WRONG, f"nothing is sent: {objection}; to agree, run `make analytics-enable`")


def _names(root: bytes, current: Consent) -> Check:
    names = [line for line in checkout.published(root).splitlines() if line and not line.startswith(b"#")]
    if names:
        return Check("published names", OK, f"{len(names):,} names")
    result = f"{os.fsdecode(checkout.NAMES)} cannot be read, so every name is recorded as `custom` or `other`"
    return Check(
        "published names", NOTE if current.on else OK, f"{result}: OnRamp's maintainers create it with `install`"
    )


def _enabled(root: bytes, current: Consent) -> Iterator[Check]:
    for kind, folder in make_events.FOLDERS.items():
        if current.on and make_events.links(root, kind) is None:
            why = "it is missing, unreadable, too large or without a .keep file"
            yield Check("enabled", NOTE, f"{os.fsdecode(folder[1:])}/ is not counted: {why}")


def _files(spool: Spool) -> Iterator[Check]:
    found = list(_faults(spool))
    yield from (Check("files", WRONG, result) for result in found)
    if not found:
        yield Check("files", OK, "belong to you")


def _faults(spool: Spool) -> Iterator[str]:
    if not os.access(spool.root, os.W_OK):
        what = f"you cannot write in {os.fsdecode(spool.root)}, so the spool cannot be created or sent"
        yield f"{what}: use a checkout of your own"
    inside = [spool.stamp, locks.flusher_path(spool), *history.paths(spool)]
    inside += [os.path.join(spool.folder, segment.name) for segment in segments.waiting(spool)]
    for path in (spool.lock, spool.file, spool.folder, *inside):
        try:
            found = os.lstat(path)
        except OSError:
            continue  # it does not exist, or its folder was already reported
        is_kind = stat.S_ISDIR if path == spool.folder else stat.S_ISREG
        if not is_kind(found.st_mode) or (stat.S_ISREG(found.st_mode) and found.st_nlink != 1):
            yield f"{os.fsdecode(path)} has an unexpected type or is a hard link: move it away"
        elif not is_ours(found):
            yield f"{os.fsdecode(path)} belongs to another user: move it away"
        elif not os.access(path, os.R_OK | os.W_OK):
            yield f"{os.fsdecode(path)} cannot be written: change its mode with chmod"


def _spool(spool: Spool) -> Iterator[Check]:
    try:
        size = os.lstat(spool.file).st_size
    except OSError:
        size = 0
    if size > CAP - 1024:
        yield Check("spool", WRONG, "the spool is full, and new events are dropped: run `make analytics-flush`")
    if len(segments.waiting(spool)) >= MOST_SPILLED:
        result = f"{MOST_SPILLED:,} events are in separate files, and no more can be added: run `make analytics-flush`"
        yield Check("spool", WRONG, result)
    yield from _lock(spool)


def _lock(spool: Spool) -> Iterator[Check]:
    """Check the spool's lock, if it exists, by taking it."""
    path = os.fsdecode(spool.lock)
    try:
        if not stat.S_ISREG(os.lstat(spool.lock).st_mode):
            return
        with locks.locked(spool, STUCK) as held:
            if not held:
                result = f"{path} is held by a stuck process: stop it (find it with `fuser`)"
                yield Check("lock", WRONG, result)
    except FileNotFoundError:
        return
    except OSError as error:
        yield Check("lock", WRONG, f"{path} cannot be locked ({error.strerror}), so nothing is recorded: {_REMEDY}")


_REMEDY = "use a checkout on a local disk"


def _write(spool: Spool) -> Iterator[Check]:
    """Check that files can be written, by writing one as a tracker does."""
    try:
        folder = spool.make_folder()
    except OSError as error:
        yield Check("write", WRONG, f"{os.fsdecode(spool.folder)} cannot be used ({error.strerror}): move it away")
        return
    try:
        files.replace(folder, b"doctor", b"written by doctor\n")
        files.remove(folder, b"doctor")
    except OSError as error:
        result = f"no file can be written in {os.fsdecode(spool.folder)} ({error.strerror}), so nothing is recorded"
        yield Check("write", WRONG, f"{result}: free space and inodes, or {_REMEDY}")
    finally:
        os.close(folder)


def _disk(root: bytes) -> Check:
    try:
        found = os.statvfs(root)
    except OSError:
        return Check("disk", OK, "cannot be measured")
    free = found.f_bavail * found.f_frsize
    if free < SPACE:
        return Check("disk", WRONG, "the disk is full, and new events are dropped: free some space")
    return Check("disk", OK, f"{free >> 20:,} MiB free")


def _destination(root: bytes, environ: Mapping[str, str]) -> list[Check]:
    try:
        where = destination.of(root, environ)
    except Misconfigured as error:
        return [Check("destination", WRONG, str(error))]
    return [Check("destination", OK, where.host), Check("key", OK, destination.masked(where.key))]


def _sending(outbox: Outbox, where: list[Check]) -> list[Check]:
    if outbox.flusher_is_alive():
        return [Check("last send", OK, "events are being sent in the background")]
    last = outbox.last_run()
    if any(last.reason == check.result for check in where):  # a problem is shown once
        return []
    if last.outcome not in ("", ACCEPTED):
        return [Check("last send", WRONG, last.reason)]
    return [Check("last send", OK, "succeeded" if last.last_sent_at else "never")]


def _unfinished(outbox: Outbox) -> Check:
    """Check that flushers finish: systemd or a container may kill them with the command that started them."""
    number = history.unfinished(outbox.spool)
    if number < MOST_UNFINISHED or outbox.flusher_is_alive():
        return Check("uploads", OK, "are not interrupted")
    result = f"the last {number} background uploads were interrupted, perhaps by systemd or a container"
    return Check("uploads", WRONG, f"{result}: run `make analytics-flush` at the end of the job")


def _clock(spool: Spool, now: float) -> Check:
    for path in (spool.file, *history.paths(spool)):
        if _modified(path) > now + AHEAD:
            return Check(
                "clock", WRONG, f"{os.fsdecode(path)} has a modification time in the future: check the system clock"
            )
    return Check("clock", OK, time.strftime("%Y-%m-%d %H:%M:%S UTC", time.gmtime(now)))


def _modified(path: bytes) -> float:
    try:
        return os.lstat(path).st_mtime
    except OSError:
        return 0.0


def _program(root: bytes) -> Check:
    known = launcher.remembered(root)
    if not known:
        return Check("program", OK, "make looks for onramp-analytics each time")
    gone = next((path for path in known if not os.access(path, os.R_OK)), None)
    if gone:
        result = f"onramp.program names {gone}, which does not exist: run `make analytics-enable`"
        return Check("program", WRONG, result)
    return Check("program", OK, f"make runs {known[-1]}")
