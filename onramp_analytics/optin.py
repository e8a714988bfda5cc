"""Opting in and out: changes of consent and identifier, and what has to go with them."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from onramp_analytics import checkout, consent, events, files, make_events, settings
from onramp_analytics.consent import Consent
from onramp_analytics.errors import CouldNot, Misconfigured
from onramp_analytics.integration import launcher
from onramp_analytics.outbox import history, locks, segments
from onramp_analytics.outbox.locks import FLUSHER
from onramp_analytics.posthog import destination
from onramp_analytics.spool import STAMP, Spool

#: Everything but the choice itself.
REMOVED = dict.fromkeys(key for key in settings.KEYS if key != settings.ENABLED)


@dataclass(frozen=True, slots=True)
class Gone:
    """What opting out or a new identifier has deleted: the number of queued events, and the identifier or nothing."""

    events: int
    id: str


def enable(root: bytes) -> int:
    """Write the person's consent, which counts only after `notice_was_shown`.

    Where `onramp.lock` was not written for this folder by this user, everything of ours in the folder is deleted first.

    Returns:
        How many queued events that deleted.

    Raises:
        CouldNot: something cannot be written or deleted. Analytics are as they were then, or off.
    """
    before = _permitted(root)
    deleted = 0
    with _changing(root) as spool:
        if before.is_here:
            settings.change(root, {settings.ENABLED: b"1", **_agreement(root), settings.ID: _id(before)})
        else:
            deleted = segments.count(spool)
            with suppress(OSError):
                launcher.forget(root)
            segments.purge(spool)
            bits = os.urandom(16).hex().encode()
            _write_state(root, bits)
            settings.change(
                root,
                {
                    **REMOVED,
                    settings.CHECKOUT: bits,
                    settings.ENABLED: b"1",
                    **_agreement(root),
                    settings.ID: _id(before),
                },
            )
    return deleted


def notice_was_shown(root: bytes) -> Consent:
    """Let the consent count from now on, and queue what is enabled now.

    Returns:
        The consent as it is then; DO_NOT_TRACK and ONRAMP_ANALYTICS_ENABLED may still say no.

    Raises:
        CouldNot: `onramp.lock` cannot be written.
    """
    with _changing(root):
        settings.change(root, {settings.NOTICE_SHOWN: b"1"})
    launcher.remember(root)
    now = consent.ask(os.environb, root)
    if now.on:
        spool = Spool(root)
        with suppress(OSError):
            make_events.compare(root, os.environb)
            if spool.not_before() and history.load_state(spool).failures:
                spool.hold_back(0)  # settings were perhaps corrected: no need to wait out a back-off
    return now


def was_told(root: bytes) -> None:
    """Remember that the person was told of the newest version of the catalog.

    Raises:
        CouldNot: `onramp.lock` cannot be written.
    """
    with _changing(root):
        settings.change(root, {settings.TOLD: b"%d" % events.VERSION})


def reset_id(root: bytes) -> tuple[str, Gone]:
    """Give the installation a new identifier, and delete what is queued and logged under the old one.

    Returns:
        The new identifier, and what is gone.

    Raises:
        CouldNot: analytics are off, or something cannot be written or deleted.
    """
    before = _permitted(root)
    if not before.id:
        raise CouldNot("no identifier to replace: run `onramp-analytics enable` to create one")
    bits, new = os.urandom(16).hex().encode(), _new_id()
    with ExitStack() as held:
        _end_flusher(Spool(root), held)
        spool = held.enter_context(_changing(root))
        old = settings.parse(settings.load(root)).get(settings.CHECKOUT, b"")
        deleted = segments.count(spool)
        _write_state(root, bits)
        settings.change(root, {settings.ID: new, settings.CHECKOUT: bits})
        segments.purge(spool, keep=(make_events.LIST, FLUSHER, STAMP))
        make_events.never_again(spool)
        _delete_state(root, old)
    return new.decode(), Gone(deleted, before.id)


def disable(root: bytes) -> Gone:
    """Turn analytics off and delete everything but the choice. When this returns, no further event can be sent.

    Raises:
        CouldNot: the choice cannot be written; or a flusher does not end; or something cannot be deleted. Analytics are
            off in the last two.
    """
    refuse_root(root)
    before, spool = consent.ask(os.environb, root), Spool(root)
    deleted = segments.count(spool)
    with suppress(OSError):
        launcher.forget(root)  # make looks at the consent first; left behind, it does nothing
    _withdraw(root)
    _delete(spool)
    return Gone(deleted, before.id)


def _withdraw(root: bytes) -> None:
    """Delete the file of the bits, without which the consent does not count, and write the choice."""
    if not os.path.lexists(os.path.join(root, b"onramp.lock")) and consent.ENABLED_VARIABLE not in os.environb:
        return  # otherwise the variable would turn analytics on with the next command
    _delete_state(root, settings.parse(settings.load(root)).get(settings.CHECKOUT, b""))
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
    except OSError as error:
        what = os.fsdecode(error.filename or spool.root)
        raise CouldNot(
            f"analytics are off, but {what} could not be deleted ({error.strerror}): delete it manually"
        ) from None


def _end_flusher(spool: Spool, held: ExitStack) -> None:
    """End the flushers of this checkout, and keep their lock, so that no other one starts."""
    deadline = time.monotonic() + locks.LONGEST_GOODBYE
    while True:
        ended = locks.end_flushers(spool, patience=max(deadline - time.monotonic(), 0.0))
        try:
            if ended and held.enter_context(locks.flusher_lock(spool, timeout=0.2)):
                return
        except OSError:
            return  # there is no folder of ours, so nobody holds its lock
        if time.monotonic() > deadline:
            raise CouldNot(
                f"analytics are off, but a process holds {os.fsdecode(locks.flusher_path(spool))} and does not exit: "
                "stop it (find it with `fuser`), then run this again"
            )


def _permitted(root: bytes) -> Consent:
    """Return the consent as it is.

    Raises:
        CouldNot: it may not be changed here: DO_NOT_TRACK is set, or the checkout is another user's.
    """
    refuse_root(root)
    if consent.do_not_track(os.environb):
        raise CouldNot("DO_NOT_TRACK is set and cannot be overridden: unset it, then run this again")
    return consent.ask(os.environb, root)


def refuse_root(root: bytes) -> None:
    """Keep root out of the checkout of another user.

    Raises:
        CouldNot: this is root, and the checkout is another user's. Says whose, and what to run instead.
    """
    if not consent.is_another_users(root):
        return
    try:
        owner = user = Path(os.fsdecode(root)).owner()
    except KeyError:
        owner = f"#{os.stat(root).st_uid}"
        user = f"'{owner}'"  # a shell would take the rest for a comment
    raise CouldNot(
        f"this checkout belongs to {owner}, so root does not change it: run `sudo -u {user} make ...` instead"
    )


def _agreement(root: bytes) -> dict[bytes, bytes | None]:
    """Return what the notice says: the version of the catalog, where events are sent, and how often."""
    try:
        where = destination.of(root, os.environ).agreement.encode()
    except Misconfigured:
        where = None
    return {
        settings.AGREED: b"%d" % events.VERSION,
        settings.AGREED_TO: where,
        settings.AGREED_SEND: destination.send(root, os.environ).encode(),
    }


def _id(now: Consent) -> bytes:
    return now.id.encode() or _new_id()


def _new_id() -> bytes:
    return events.uuid4(os.urandom(16)).encode()


def _write_state(root: bytes, bits: bytes) -> None:
    """Write the file in the person's state folder that leads back to this checkout."""
    path = consent.state_file(os.environb, bits)
    if path is None:
        raise CouldNot("no home directory to store the consent in: set HOME, then run this again")
    folder = files.make_private_folder(os.path.dirname(path))
    try:
        files.replace(folder, bits, os.path.realpath(root) + b"\n", sync=True)
    finally:
        os.close(folder)


def _delete_state(root: bytes, bits: bytes) -> None:
    """Delete the file of those bits, unless it leads to another checkout that is still there: this one was copied."""
    path = consent.state_file(os.environb, bits)
    if path is None:
        return
    with suppress(OSError, ValueError):
        there = checkout.read(path, owner=os.geteuid()).removesuffix(b"\n")
        if not os.path.exists(there) or os.path.samefile(there, root):
            os.unlink(path)


@contextmanager
def _changing(root: bytes, *, insist: bool = False) -> Iterator[Spool]:
    """Hold the spool's lock while `onramp.lock` changes. Who insists goes on without it if it is not to be had.

    Only `disable` insists: a stopped process must keep nobody from opting out.
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
                raise CouldNot("a stuck process holds onramp.spool.lock: run `onramp-analytics doctor` for details")
            yield spool
    except OSError as error:
        what = os.fsdecode(error.filename) if isinstance(error.filename, str | bytes) else "onramp.lock"
        raise CouldNot(
            f"{what} in {os.fsdecode(root)} could not be written ({error.strerror or error}): "
            "correct that, then run this again"
        ) from None
