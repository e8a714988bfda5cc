"""Opting in and out: changes of consent and identifier, and what has to go with them."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, ExitStack, suppress

from onramp_analytics import consent, events, settings, userspool
from onramp_analytics import spool as spools
from onramp_analytics.consent import Consent
from onramp_analytics.errors import CouldNot
from onramp_analytics.integration import launcher
from onramp_analytics.outbox import history, segments
from onramp_analytics.spool import Spool

LONGEST_GOODBYE = 30.0  # seconds; one request of a flusher that we may not end takes 20 at most


def enable(root: bytes) -> Consent:
    """Turn analytics on in `onramp.lock`. The notice counts as shown only after `notice_was_shown`.

    Returns:
        The consent as it is then; DO_NOT_TRACK and ONRAMP_ANALYTICS_ENABLED may still say no.

    Raises:
        CouldNot: `onramp.lock` cannot be written. Nothing has changed then.
    """
    _change(root, lambda now: {settings.ENABLED: b"1", settings.ID: (now.id or _new_id()).encode()})
    launcher.remember(root)
    for spool in userspool.spools_of(root):
        with suppress(OSError):
            if spools.not_before(spool):
                spools.set_not_before(spool, 0)  # settings were perhaps mended: no need to wait out a back-off
    return consent.ask(os.environb, root)


def notice_was_shown(root: bytes) -> None:
    """Remember that a person has seen the notice, and give the installation an identifier if it has none.

    Raises:
        CouldNot: `onramp.lock` cannot be written.
    """
    _change(root, lambda now: {settings.NOTICE_SHOWN: b"1", settings.ID: (now.id or _new_id()).encode()})
    launcher.remember(root)


def reset_id(root: bytes) -> str:
    """Give the installation a new identifier. Pending events keep the one they were tracked with.

    Returns:
        The new identifier.

    Raises:
        CouldNot: `onramp.lock` cannot be written.
    """
    new = _new_id()
    _change(root, lambda _now: {settings.ID: new.encode()})
    for spool in userspool.spools_of(root):
        history.forget(spool)
    return new


def disable(root: bytes) -> None:
    """Turn analytics off and delete what is pending. When this returns, no further event can leave.

    Raises:
        CouldNot: `onramp.lock` cannot be written; or a flusher of another user does not end; or something cannot be
            deleted. Consent is off in the last two.
    """
    failed = _withdraw(root)
    with suppress(OSError):
        launcher.forget(root)  # make looks at the consent first; left behind, it does nothing
    for spool in userspool.spools_of(root):
        if not (failed and spool.home == root):  # what a user's own spool holds is theirs to delete in any case
            _delete(spool)
    if failed:
        raise failed


def _withdraw(root: bytes) -> CouldNot | None:
    """Write the choice; where it cannot be written, return why."""
    if os.path.lexists(os.path.join(root, b"onramp.lock")):
        try:
            _change(root, lambda _now: {settings.ENABLED: b"0"}, insist=True)
        except CouldNot as error:
            return CouldNot(f"{error}, or set DO_NOT_TRACK=1 to turn analytics off for yourself")
    return None


def _delete(spool: Spool) -> None:
    try:
        with ExitStack() as held:
            _end_flusher(spool, held)
            _hold_if_possible(segments.locked(spool), held)
            segments.purge(spool)
    except OSError as error:
        what = os.fsdecode(error.filename or spool.home)
        raise CouldNot(
            f"analytics are off, but {what} could not be deleted ({error.strerror}): delete it by hand"
        ) from None


def _end_flusher(spool: Spool, held: ExitStack) -> None:
    """End the flusher and keep its lock, so that no other one starts. Killed at any moment it loses nothing."""
    deadline = time.monotonic() + LONGEST_GOODBYE
    path = segments.flusher_lock_path(spool)
    while spools.has_folder(spool) and not os.path.islink(path) and not os.path.isdir(path):
        # A moment first, since another `disable` holds the lock for no longer.
        if _hold_if_possible(segments.flusher_lock(spool, timeout=0.2), held):
            return
        for pid in _holders(path):
            with suppress(OSError):
                os.kill(pid, signal.SIGKILL)
        if time.monotonic() > deadline:
            raise CouldNot("analytics are off, but another user's flusher does not end: run this again as that user")


def _hold_if_possible(lock: AbstractContextManager[bool], held: ExitStack) -> bool:
    """Take a lock; False where it stays busy, or where its file cannot be opened."""
    try:
        return held.enter_context(lock)
    except OSError:
        return False


def _holders(path: bytes) -> Iterator[int]:
    """Yield the other processes that hold a file's lock. A pid that was noted down might be somebody else's by now."""
    with suppress(OSError):
        wanted = os.stat(path, follow_symlinks=False)
        for pid in filter(str.isdigit, os.listdir("/proc")):
            if int(pid) != os.getpid() and _holds(pid, os.path.basename(path), wanted):
                yield int(pid)


def _holds(pid: str, name: bytes, wanted: os.stat_result) -> bool:
    with suppress(OSError):
        for fd in os.listdir(f"/proc/{pid}/fd"):
            with suppress(OSError):
                link = f"/proc/{pid}/fd/{fd}".encode()
                if os.path.basename(os.readlink(link)) == name and os.path.samestat(os.stat(link), wanted):
                    with open(f"/proc/{pid}/fdinfo/{fd}") as told:
                        return "FLOCK" in told.read()
    return False


def flusher_is_alive(spool: Spool) -> bool:
    """Tell whether a flusher holds its lock."""
    return any(True for _ in _holders(segments.flusher_lock_path(spool)))


def _new_id() -> str:
    return events.uuid4(os.urandom(16))


def _change(root: bytes, changes: Callable[[Consent], dict[bytes, bytes]], *, insist: bool = False) -> None:
    """Change `onramp.lock` under the spool's lock. Who insists does it without where the lock is not to be had.

    Only `disable` insists: a stopped process must keep nobody from opting out.
    """
    try:
        with ExitStack() as held:
            if not _hold_if_possible(segments.locked(Spool(root)), held) and not insist:
                raise CouldNot("onramp.spool.lock is not to be had: see `onramp-analytics status`, then try again")
            settings.sweep(root)
            settings.change(root, changes(consent.ask(os.environb, root)))
    except OSError as error:
        raise CouldNot(
            f"onramp.lock in {os.fsdecode(root)} could not be written ({error.strerror or error}): "
            "mend that, then run the command again"
        ) from None
