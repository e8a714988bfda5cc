"""2. Disk and permissions: no room, no permission, another owner, and something else in the place of a file of ours."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from pathlib import Path

from onramp_analytics.outbox import segments
from tests.faults.children import start, track_without_room
from tests.faults.rig import NOBODY, Fault, Rig
from tests.onramp_checkout import OnRamp, build

PLACES = (
    "onramp.spool",
    "onramp.spool.lock",
    "onramp.spool.d",
    "onramp.lock",
    "make.d/analytics.names",
    "onramp.spool.d/not-before",
    "onramp.spool.d/flusher.lock",
    "onramp.spool.d/state.json",
    "onramp.spool.d/sent",
)
#: make opens `onramp.lock` to read it, and has no means to ask first what it is; docs/reliability.md says so.
MAKE_CANNOT_TELL = (("onramp.lock", "FIFO"), ("onramp.lock", "device"))
NEEDED = PLACES[:3]  # nothing can be stored while something else has their place, and `status` says so


def no_file_may_grow(rig: Rig) -> None:
    """No file may grow (RLIMIT_FSIZE), at each length at which that may hit: the event is dropped, the others stay."""
    checkout = rig.checkout()
    rig.track(checkout, 3)
    for room in rig.sample(range(400)):
        rig.tally.faults += 1
        before, size = rig.pending(checkout), (checkout.path / "onramp.spool").stat().st_size
        if size > 1 << 16:
            rig.settle(checkout)
            continue
        rig.expect_undisturbed(start(rig.place(checkout), track_without_room, size + room))
        after = rig.pending(checkout)
        rig.tally.expect(after[: len(before)] == before, "a full disk damaged what was pending")
        whole = (checkout.path / "onramp.spool").read_bytes().endswith(b"\n")
        rig.tally.expect(whole, f"{room} bytes of room left half a line")
    rig.settle(checkout)


def a_full_disk(rig: Rig) -> None:
    """The checkout is on a file system of its own, which is full."""
    disk = rig.folder / "disk"
    disk.mkdir()
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=256k", "tmpfs", disk], stderr=subprocess.DEVNULL, check=False
    )
    if mounted.returncode:
        rig.tally.left_out = "no file system can be mounted here"
        return
    try:
        checkout = rig.checkout("disk/onramp")
        rig.track(checkout, 3)
        filler = disk / "filler"
        with filler.open("wb", buffering=0) as file:
            while os.statvfs(disk).f_bavail:
                file.write(bytes(1024))
        rig.tally.faults += 1
        while rig.track_undisturbed(checkout):
            pass  # the last page of the spool has room for a few
        rig.expect_told(checkout, "the disk is full")
        rig.flush(checkout)  # a rename and an unlink need no room
        rig.tally.expect(not rig.pending(checkout), "a full disk kept events from being sent")
        filler.unlink()
        rig.tally.expect(rig.track_undisturbed(checkout), "there is room again, and nothing is kept")
        rig.settle(checkout)
    finally:
        subprocess.run(["umount", disk], check=True)


def what_may_not_be_written(rig: Rig) -> None:
    """The root, the spool, its lock or its folder may not be written: `sudo` left it so, or somebody else owns it."""
    if os.geteuid():
        rig.tally.left_out = "only root can give files to others"
        return
    for name in (".", *NEEDED):
        checkout = rig.checkout(f"onramp-{len(rig.checkouts)}")
        for path in (checkout.path, *checkout.path.rglob("*")):
            os.chown(path, NOBODY, NOBODY)
            path.chmod(0o755 if path.is_dir() else 0o644)
        rig.tally.expect(rig.track_undisturbed(checkout, NOBODY), "an ordinary user cannot track")
        before = rig.pending(checkout)
        rig.tally.faults += 1
        with _kept_from(NOBODY, checkout.path / name):
            for _ in range(2):
                rig.track_undisturbed(checkout, NOBODY)
            rig.expect_told(checkout, f"{name if name != '.' else checkout.path.name} cannot be written", NOBODY)
            after = rig.pending(checkout)
            rig.tally.expect(after[: len(before)] == before, f"{name} may not be written: what was pending changed")
        rig.ask(checkout, "flush", user=NOBODY)
        rig.tally.expect(not rig.pending(checkout), f"{name} may be written again, and events still wait")
    rig.count()


@contextmanager
def _kept_from(user: int, path: Path) -> Iterator[None]:
    mode = path.stat().st_mode
    os.chown(path, 0, 0)
    path.chmod(0o755 if path.is_dir() else 0o644)
    yield
    os.chown(path, user, user)
    path.chmod(mode)


def what_sudo_leaves_behind(rig: Rig) -> None:
    """Root tracks first in a user's checkout: the user can track afterwards."""
    if os.geteuid():
        rig.tally.left_out = "only root can be root"
        return
    checkout = rig.checkout()
    for path in (checkout.path / "onramp.spool.d").iterdir():
        path.unlink()
    (checkout.path / "onramp.spool.d").rmdir()
    for path in (checkout.path, *checkout.path.rglob("*")):
        os.chown(path, NOBODY, NOBODY)
    for by_spilling in (False, True):
        rig.tally.faults += 1
        with segments.locked(checkout.spool) if by_spilling else nullcontext():
            for user in (0, NOBODY, 0, NOBODY):
                rig.tally.expect(rig.track_undisturbed(checkout, user), f"user {user} cannot track after the other one")
        owners = {path.stat().st_uid for path in checkout.path.rglob("*")}
        rig.tally.expect(owners == {NOBODY}, f"`sudo` left files of {owners}")
    rig.flush(checkout)
    rig.ask(checkout, "flush", user=NOBODY)
    rig.settle(checkout)


def something_else_in_the_place_of_a_file(rig: Rig) -> None:
    """A link, FIFO, folder or device in the place of each of our files: nothing outside is touched, nothing waits."""
    onramp = build(rig.folder / "made", rig.env, installed=True)
    plain = _said(onramp)
    kinds = _kinds(rig.folder / "outside")
    pairs = [(place, kind) for place in PLACES for kind in kinds if (place, kind) != ("onramp.spool.d", "folder")]
    for place, kind in rig.sample(pairs):
        rig.tally.faults += 1
        checkout = rig.checkout(f"onramp-{len(rig.checkouts)}")
        rig.track(checkout)
        with segments.flusher_lock(checkout.spool):
            segments.claim(checkout.spool)
        before = _fingerprint(rig.folder / "outside")
        with _instead_of(checkout.path / place, kinds[kind]):
            rig.track_undisturbed(checkout)
            if place in NEEDED:
                rig.expect_told(checkout, "is not what we made")
            for words in (("show-pending",), ("show-sent",), ("flush", "--timeout", "5"), ("reset-id",)):
                rig.ask(checkout, *words)
        after = _fingerprint(rig.folder / "outside")
        rig.tally.expect(after == before, f"a {kind} in the place of {place}: what is outside has changed")
        rig.flush(checkout)
        rig.tally.expect(not rig.pending(checkout), f"a {kind} was in the place of {place}, and events still wait")
        if (place, kind) not in MAKE_CANNOT_TELL:
            onramp.opt_in()
            with _instead_of(onramp.path / place, kinds[kind]):
                said = _said(onramp)
            rig.tally.disturbed += said != plain
            rig.tally.expect(said == plain, f"make was disturbed by a {kind} in the place of {place}: {said!r}")
    rig.count()


@contextmanager
def _instead_of(place: Path, put: Callable[[Path], None]) -> Iterator[None]:
    """Move a file away, put something else into its place, and put it back."""
    aside = place.rename(place.with_name("aside")) if place.exists() else None
    put(place)
    yield
    if place.is_dir() and not place.is_symlink():
        shutil.rmtree(place)
    elif os.path.lexists(place):
        place.unlink()
    if aside:
        aside.rename(place)


def _kinds(outside: Path) -> dict[str, Callable[[Path], None]]:
    """What may stand there instead, and how it gets there."""
    outside.mkdir()
    precious = outside / "precious"
    precious.write_text("ANALYTICS_ENABLED=1\n")
    kinds: dict[str, Callable[[Path], None]] = {
        "link to a file": lambda path: path.symlink_to(precious),
        "link to a folder": lambda path: path.symlink_to(outside),
        "link to nothing": lambda path: path.symlink_to(outside / "nothing"),
        "link to a device": lambda path: path.symlink_to("/dev/full"),
        "hard link": lambda path: os.link(precious, path),
        "FIFO": os.mkfifo,
        "folder": os.mkdir,
    }
    if os.geteuid() == 0:
        kinds["device"] = lambda path: os.mknod(path, 0o020666, os.makedev(1, 7))
    return kinds


def _fingerprint(outside: Path) -> list[tuple[str, int, int, str]]:
    """Everything outside that could have been touched."""
    told = [(path, path.stat()) for path in sorted(outside.rglob("*"))]
    return [(path.name, found.st_mode, found.st_mtime_ns, path.read_text()) for path, found in told]


def _said(onramp: OnRamp) -> str:
    done = onramp.make("list")
    return f"{done.returncode} {done.stdout} {done.stderr}"


FAULTS: list[Fault] = [
    no_file_may_grow,
    a_full_disk,
    what_may_not_be_written,
    what_sudo_leaves_behind,
    something_else_in_the_place_of_a_file,
]
