"""2. Disk and permissions: a full disk, no permission, another owner, and other kinds of files in place of ours."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from onramp_analytics.outbox import locks, segments
from tests.conftest import Checkout
from tests.faults.children import start, track_on_a_full_disk
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
#: make cannot check the type of `onramp.lock` before it opens the file; docs/reliability.md says so.
MAKE_CANNOT_TELL = (("onramp.lock", "FIFO"), ("onramp.lock", "device"))
NEEDED = PLACES[:3]  # no event can be stored while something else is in their place, and `status` says so


def no_file_may_grow(rig: Rig) -> None:
    """The spool can grow by 0 to 399 bytes only (RLIMIT_FSIZE): a line that does not fit is dropped whole."""
    checkout = rig.checkout()
    rig.track(checkout, 3)
    for free in rig.sample(range(400)):
        rig.tally.faults += 1
        before, size = rig.pending(checkout), (checkout.path / "onramp.spool").stat().st_size
        rig.expect_undisturbed(start(rig.place(checkout), track_on_a_full_disk, size + free))
        after = rig.pending(checkout)
        rig.tally.expect(after[: len(before)] == before, "a full disk damaged what was pending")
        whole = (checkout.path / "onramp.spool").read_bytes().endswith(b"\n")
        rig.tally.expect(whole, f"{free} free bytes left half a line")
    rig.settle(checkout)


def a_full_disk(rig: Rig) -> None:
    """The checkout is on a file system that is full."""
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
            pass  # a few still fit into the last page of the spool
        rig.expect_told(checkout, "the disk is full")
        rig.flush(checkout)  # a rename and an unlink need no space
        rig.tally.expect(not rig.pending(checkout), "a full disk kept events from being sent")
        filler.unlink()
        rig.tally.expect(rig.track_undisturbed(checkout), "there is space again, and no event is stored")
        rig.settle(checkout)
    finally:
        subprocess.run(["umount", disk], check=True)


def what_may_not_be_written(rig: Rig) -> None:
    """The checkout, the spool, its lock or its folder belongs to another user: what is recorded is sent afterwards.

    Without the right to write the spool or its lock, nothing is recorded. The other two prevent only the upload.
    """
    if os.geteuid():
        rig.tally.left_out = "only root can give files to others"
        return
    for name in (".", *NEEDED):
        checkout = _given_to_nobody(rig)
        rig.tally.expect(rig.track_undisturbed(checkout, NOBODY), "an ordinary user cannot track")
        before, can_record = _lines(checkout), name not in ("onramp.spool", "onramp.spool.lock")
        rig.tally.faults += 1
        with _kept_from(NOBODY, checkout.path / name):
            for _ in range(2):
                kept = rig.track_undisturbed(checkout, NOBODY)
                rig.tally.expect(kept == can_record, f"`track` was {kept}, and {name} belongs to another user")
            rig.expect_told(checkout, f"{name} belongs to another user" if name != "." else "cannot write in", NOBODY)
            rig.ask(checkout, "flush", user=NOBODY)
            rig.tally.expect(_lines(checkout)[: len(before)] == before, "what was queued changed")
            rig.tally.expect(len(_lines(checkout)) == 1 + 2 * can_record, f"{len(_lines(checkout))} events are queued")
        rig.ask(checkout, "flush", user=NOBODY)
        rig.tally.expect(not _lines(checkout), f"{name} can be written again, and events are still queued")
    rig.count()


def _lines(checkout: Checkout) -> list[str]:
    """Return the queued lines; unlike `pending`, also those of another user."""
    files = [*checkout.path.glob("onramp.spool.d/*-*.0"), *checkout.path.glob("onramp.spool")]
    return [line for file in sorted(files) for line in file.read_text().splitlines()]


def _given_to_nobody(rig: Rig) -> Checkout:
    """Return a checkout with consent that belongs to another user, as does the state folder."""
    checkout = rig.checkout(f"onramp-{len(rig.checkouts)}")
    home = rig.folder / f"home-{len(rig.checkouts)}"
    home.mkdir()
    checkout.env["HOME"] = str(home)
    checkout.opt_in()
    for path in (checkout.path, home):
        for each in (path, *path.rglob("*")):
            os.chown(each, NOBODY, NOBODY)
            each.chmod(0o755 if each.is_dir() else 0o644)
    return checkout


@contextmanager
def _kept_from(user: int, path: Path) -> Iterator[None]:
    mode = path.stat().st_mode
    os.chown(path, 0, 0)
    path.chmod(0o755 if path.is_dir() else 0o644)
    yield
    os.chown(path, user, user)
    path.chmod(mode)


def root_in_the_checkout_of_another_user(rig: Rig) -> None:
    """Root records nothing there and touches nothing, neither as a tracker nor with any command."""
    if os.geteuid():
        rig.tally.left_out = "only root can be root"
        return
    checkout = _given_to_nobody(rig)
    before = _fingerprint(checkout.path)
    rig.tally.faults += 1
    rig.tally.expect(not rig.track_undisturbed(checkout), "root recorded an event in the checkout of another user")
    for words in (("status",), ("flush",), ("enable",), ("disable",), ("reset-id",), ("doctor",), ("show-pending",)):
        said = rig.ask(checkout, *words)
        rig.tally.expect("sudo -u" in said, f"`{words[0]}` does not say whose checkout it is: {said}")
    rig.flush(checkout)
    rig.tally.expect(_fingerprint(checkout.path) == before, "root touched something in the checkout of another user")


def something_else_in_the_place_of_a_file(rig: Rig) -> None:
    """A link, FIFO, folder or device in place of each of our files: nothing outside is touched, and nothing hangs."""
    onramp = build(rig.folder / "made", rig.env, installed=True)
    plain = _said(onramp)
    kinds = _kinds(rig.folder / "outside")
    pairs = [(place, kind) for place in PLACES for kind in kinds if (place, kind) != ("onramp.spool.d", "folder")]
    for place, kind in rig.sample(pairs):
        rig.tally.faults += 1
        checkout = rig.checkout(f"onramp-{len(rig.checkouts)}")
        rig.track(checkout)
        with locks.flusher_lock(checkout.spool):
            segments.claim(checkout.spool)
        before = _fingerprint(rig.folder / "outside")
        with _instead_of(checkout.path / place, kinds[kind], rig.folder):
            rig.track_undisturbed(checkout)
            if place in NEEDED:
                rig.expect_told(checkout, "has an unexpected type")
            for words in (("show-pending",), ("show-sent",), ("flush", "--timeout", "5"), ("doctor",)):
                rig.ask(checkout, *words)
        after = _fingerprint(rig.folder / "outside")
        rig.tally.expect(after == before, f"a {kind} in the place of {place}: what is outside has changed")
        rig.flush(checkout)
        rig.tally.expect(not rig.pending(checkout), f"a {kind} was in the place of {place}, and events still wait")
        with _instead_of(checkout.path / place, kinds[kind], rig.folder):
            rig.ask(checkout, "reset-id")
            rig.tally.expect(_fingerprint(rig.folder / "outside") == before, f"`reset-id` went through a {kind}")
        if (place, kind) not in MAKE_CANNOT_TELL:
            onramp.opt_in()
            with _instead_of(onramp.path / place, kinds[kind], rig.folder):
                said = _said(onramp)
            rig.tally.disturbed += said != plain
            rig.tally.expect(said == plain, f"make was disturbed by a {kind} in the place of {place}: {said!r}")
    rig.count()


@contextmanager
def _instead_of(place: Path, put: Callable[[Path], None], outside: Path) -> Iterator[None]:
    """Move a file away, put something else into its place, and put it back."""
    aside = place.rename(outside / place.name) if place.exists() else None
    put(place)
    yield
    if place.is_dir() and not place.is_symlink():
        shutil.rmtree(place)
    elif os.path.lexists(place):
        place.unlink()
    if aside:
        aside.rename(place)


def _kinds(outside: Path) -> dict[str, Callable[[Path], None]]:
    """The kinds of replacements, and how each is created."""
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
    files = [(path, path.stat()) for path in sorted(outside.rglob("*"))]
    return [
        (path.name, found.st_mode, found.st_mtime_ns, path.read_text() if path.is_file() else "")
        for path, found in files
    ]


def _said(onramp: OnRamp) -> str:
    done = onramp.make("list")
    return f"{done.returncode} {done.stdout} {done.stderr}"


FAULTS: list[Fault] = [
    no_file_may_grow,
    a_full_disk,
    what_may_not_be_written,
    root_in_the_checkout_of_another_user,
    something_else_in_the_place_of_a_file,
]
