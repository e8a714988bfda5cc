"""Opt in, opt out and change the identifier. Each of them deletes the files that must not stay after the change."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass

from onramp_analytics import checkout, consent, events, files, make_events, settings
from onramp_analytics.consent import Consent
from onramp_analytics.errors import CouldNot, Misconfigured
from onramp_analytics.integration import launcher
from onramp_analytics.integration.tree import user_name
from onramp_analytics.outbox import history, locks, segments
from onramp_analytics.outbox.locks import FLUSHER
from onramp_analytics.posthog import destination
from onramp_analytics.spool import STAMP, Spool

#: Every key but the choice itself.
REMOVED = dict.fromkeys(key for key in settings.KEYS if key != settings.ENABLED)


@dataclass(frozen=True, slots=True)
class Deleted:
    """What was deleted: the number of queued events, and the identifier (empty if there was none)."""

    events: int
    id: str


def enable(root: bytes) -> int:
    """Write the user's consent, which counts only after `notice_was_shown`.

    If `onramp.lock` holds no consent of this user for this folder, the queued events, the logs and `onramp.program` are
    deleted first.

    Returns:
        The number of queued events that were deleted.

    Raises:
        CouldNot: a setting turns analytics off, or a file cannot be written or deleted. Analytics are unchanged, or
            off.
    """
    before = _permitted(root)
    reason = consent.off_by_settings(os.environb, root)
    if reason:
        raise CouldNot(f"analytics stay off because {reason}: correct that, then run this again")
    deleted = 0
    with _changing(root) as spool:
        agreed = {settings.ENABLED: b"1", **_agreement(root), settings.ID: _id(before)}
        if not before.is_here:
            deleted = segments.count(spool)
            with suppress(OSError):
                launcher.forget(root)
            segments.purge(spool)
            bits = os.urandom(16).hex().encode()
            _write_state(root, bits)
            agreed = {**REMOVED, settings.CHECKOUT: bits, **agreed}
        settings.change(root, agreed)
    return deleted


def notice_was_shown(root: bytes) -> Consent:
    """Make the consent count from now on, and record what is enabled.

    If it counted before, only changes are recorded, as after a make command.

    Returns:
        The consent; DO_NOT_TRACK or ONRAMP_ANALYTICS_ENABLED may still turn analytics off.

    Raises:
        CouldNot: `onramp.lock` cannot be written.
    """
    with _changing(root):
        settings.change(root, {settings.NOTICE_SHOWN: b"1"})
    launcher.remember(root)
    current = consent.ask(os.environb, root)
    if current.on:
        spool = Spool(root)
        with suppress(OSError):
            make_events.compare(root, os.environb)
            if spool.not_before() and history.load_state(spool).failures:
                spool.set_not_before(0)  # the settings may have been corrected, so the back-off no longer applies
    return current


def catalog_was_shown(root: bytes, version: int) -> None:
    """Record that this version of the catalog was shown to the user.

    Raises:
        CouldNot: `onramp.lock` cannot be written.
    """
    with _changing(root):
        settings.change(root, {settings.TOLD: b"%d" % version})


def reset_id(root: bytes) -> tuple[str, Deleted]:
    """Give the installation a new identifier, and delete what is queued and logged under the old one.

    Returns:
        The new identifier, and what was deleted.

    Raises:
        CouldNot: DO_NOT_TRACK is set, there is no identifier, or a file cannot be written or deleted.
    """
    before = _permitted(root)
    if not before.id:
        raise CouldNot("no identifier to replace: run `make analytics-enable` to create one")
    bits, new = os.urandom(16).hex().encode(), _new_id()
    with ExitStack() as held:
        _end_flusher(Spool(root), held)
        spool = held.enter_context(_changing(root))
        old = settings.parse(settings.load(root)).get(settings.CHECKOUT, b"")
        deleted = segments.count(spool)
        _write_state(root, bits)
        make_events.never_again(spool)  # before the new identifier is written, so that it never gets a full count
        settings.change(root, {settings.ID: new, settings.CHECKOUT: bits})
        segments.purge(spool, keep=(make_events.LIST, FLUSHER, STAMP))
        _delete_states(root, old, keep=bits)
    return new.decode(), Deleted(deleted, before.id)


def disable(root: bytes) -> Deleted:
    """Turn analytics off, and delete everything except the choice. When this returns, no further event can be sent.

    Raises:
        CouldNot: the choice cannot be written; or analytics are off, but a flusher does not end or a file cannot be
            deleted.
    """
    refuse_root(root)
    before, spool = consent.ask(os.environb, root), Spool(root)
    deleted = segments.count(spool)
    with suppress(OSError):
        launcher.forget(root)  # if it stays, it has no effect, since make checks the consent first
    _withdraw(root)
    _delete(spool)
    return Deleted(deleted, before.id)


def _withdraw(root: bytes) -> None:
    """Withdraw the consent: delete its file in the state folder, and write the choice into `onramp.lock`."""
    if not (os.path.lexists(os.path.join(root, b"onramp.lock")) or os.access(root, os.W_OK)):
        return  # there is no consent here, and this user can give none
    _delete_states(root, settings.parse(settings.load(root)).get(settings.CHECKOUT, b""))
    try:
        with _changing(root, insist=True):
            settings.change(root, {settings.ENABLED: b"0", **REMOVED})
    except CouldNot as error:
        raise CouldNot(f"{error}, or set DO_NOT_TRACK=1 to turn analytics off for yourself") from None


def _delete(spool: Spool) -> None:
    try:
        with ExitStack() as held:
            _end_flusher(spool, held)
            with suppress(OSError):
                held.enter_context(locks.locked(spool))
            segments.purge(spool)
            with suppress(FileNotFoundError):
                os.unlink(spool.lock)
    except CouldNot as error:
        raise CouldNot(f"analytics are off, but {error}") from None
    except OSError as error:
        what = os.fsdecode(error.filename or spool.root)
        raise CouldNot(
            f"analytics are off, but {what} could not be deleted ({error.strerror}): delete it manually"
        ) from None


def _end_flusher(spool: Spool, held: ExitStack) -> None:
    """End the flushers of this checkout, and take their lock, so that no other one can start."""
    deadline = time.monotonic() + locks.LONGEST_END
    while True:
        ended = locks.end_flushers(spool, patience=max(deadline - time.monotonic(), 0.0))
        try:
            if ended and held.enter_context(locks.flusher_lock(spool, timeout=0.2)):
                return
        except OSError:
            return  # the folder does not exist, so no process holds its lock
        if time.monotonic() > deadline:
            raise CouldNot(
                f"a process holds {os.fsdecode(locks.flusher_path(spool))} and does not exit: "
                "stop it (find it with `fuser`), then run this again"
            )


def _permitted(root: bytes) -> Consent:
    """Return the present consent.

    Raises:
        CouldNot: the consent cannot be changed: DO_NOT_TRACK is set, or this is root in another user's checkout.
    """
    refuse_root(root)
    if consent.do_not_track(os.environb):
        raise CouldNot("DO_NOT_TRACK is set and cannot be overridden: unset it, then run this again")
    return consent.ask(os.environb, root)


def refuse_root(root: bytes) -> None:
    """Refuse to run as root in the checkout of another user.

    Raises:
        CouldNot: this is root, and the checkout belongs to another user. The error names that user and what to run.
    """
    if not consent.is_another_users(root):
        return
    owner = user_name(os.stat(root).st_uid)
    user = f"'{owner}'" if owner.startswith("#") else owner  # without quotes, `#` begins a comment in a shell
    raise CouldNot(
        f"this checkout belongs to {owner}, so root does not change it: run `sudo -u {user} make ...` instead"
    )


def _agreement(root: bytes) -> dict[bytes, bytes | None]:
    """Return the settings that the user agrees to: the catalog's version, the destination, and how often to send."""
    try:
        where = destination.of(root, os.environ).agreement.encode()
    except Misconfigured:
        where = None
    return {
        settings.AGREED: b"%d" % events.VERSION,
        settings.AGREED_TO: where,
        settings.AGREED_SEND: destination.send(root, os.environ).encode(),
    }


def _id(current: Consent) -> bytes:
    return current.id.encode() or _new_id()


def _new_id() -> bytes:
    return events.uuid4(os.urandom(16)).encode()


def _write_state(root: bytes, bits: bytes) -> None:
    """Write the file in the user's state folder that names this checkout."""
    path = consent.state_file(os.environb, bits)
    if path is None:
        raise CouldNot("no home directory to store the consent in: set HOME, then run this again")
    try:
        folder = files.make_private_folder(os.path.dirname(path))
        try:
            files.replace(folder, bits, os.path.realpath(root) + b"\n", sync=True)
        finally:
            os.close(folder)
    except OSError as error:
        where = os.fsdecode(os.path.dirname(path))
        raise CouldNot(f"{where} could not be written ({error.strerror}): correct that, then run this again") from None


def _delete_states(root: bytes, bits: bytes, keep: bytes = b"") -> None:
    """Delete the state files that lead to this checkout, except `keep`, so that no older `onramp.lock` counts again.

    The file named `bits` is deleted even if it leads nowhere. If it leads to another checkout, it stays: this checkout
    is a copy of that one.
    """
    folder = os.path.dirname(consent.state_file(os.environb, b"0" * 32) or b"")
    with suppress(OSError):
        for name in os.listdir(folder):
            path = consent.state_file(os.environb, name)
            if path and name != keep and _leads_to(root, path, otherwise=name == bits):
                os.unlink(path)


def _leads_to(root: bytes, path: bytes, *, otherwise: bool) -> bool:
    """Return whether a state file leads to this checkout; `otherwise` if the folder that it names does not exist."""
    with suppress(OSError, ValueError):
        there = checkout.read(path, owner=os.geteuid()).removesuffix(b"\n")
        return os.path.samefile(there, root) if os.path.exists(there) else otherwise
    return False


@contextmanager
def _changing(root: bytes, *, insist: bool = False) -> Iterator[Spool]:
    """Hold the spool's lock while `onramp.lock` changes. With `insist`, continue without it if it is busy.

    Only `disable` insists, since a stopped process must not prevent a user from opting out.
    """
    spool = Spool(root)
    try:
        with ExitStack() as held:
            try:
                is_held = held.enter_context(locks.locked(spool))
            except OSError:
                if not insist:
                    raise
                is_held = False
            if not (is_held or insist):
                raise CouldNot("a stuck process holds onramp.spool.lock: run `make analytics-doctor` for details")
            yield spool
    except OSError as error:
        what = os.fsdecode(error.filename) if isinstance(error.filename, str | bytes) else "onramp.lock"
        what = os.path.join(os.fsdecode(root), what).removesuffix(os.fsdecode(files.NEW))
        raise CouldNot(
            f"{what} could not be changed ({error.strerror or error}): correct that, then run this again"
        ) from None
