"""The flusher's half of the on-disk protocol: claim, read, acknowledge.

A segment is a file `<ns>-<pid>.<offset>` in the spool's folder. It is a spool that was claimed by renaming it, or one
event that a tracker spilled. The offset in its name says how many bytes are done; renaming it to a higher offset is
the acknowledgement, one atomic step with nothing to keep in step with it. See `spool.py` for the files and the races.
"""

from __future__ import annotations

import errno
import os
import stat
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from typing import Any, BinaryIO, NamedTuple

from filelock import FileLock, Timeout

from onramp_analytics import spool as spools
from onramp_analytics.errors import CouldNot
from onramp_analytics.outbox import gate
from onramp_analytics.spool import Spool

LONGEST_LINE = 1 << 16  # bytes; ours are below 1 KiB, and a longer one is skipped without being read into memory
LONGEST_OFFSET = 18  # digits; a longer one is no file's
POLL = 0.01  # seconds between two tries for a lock
ABANDONED = 60  # seconds after which a half-spilled event has no tracker any more
_READ = os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW | os.O_NONBLOCK


@dataclass(frozen=True, slots=True)
class Segment:
    """Claimed events: the path without its offset, and the offset in bytes from which on they are not done."""

    stem: bytes
    offset: int

    @property
    def path(self) -> bytes:
        """The file's present name."""
        return b"%s.%d" % (self.stem, self.offset)


class Pending(NamedTuple):
    """One event as it will leave, the same as a line, and where in its file it ends, in bytes."""

    event: dict[str, Any]
    line: bytes
    end: int


@contextmanager
def locked(spool: Spool, timeout: float = 2.0) -> Iterator[bool]:
    """Hold the spool's lock, as the trackers do.

    Args:
        spool: whose lock.
        timeout: seconds to wait for it.

    Yields:
        True when it is held; False when it stayed busy (somebody who holds it was stopped).

    Raises:
        OSError: the lock file cannot be opened.
    """
    lock = spools.take_lock(spool, timeout)
    try:
        yield lock >= 0
    finally:
        if lock >= 0:
            os.close(lock)


@contextmanager
def flusher_lock(spool: Spool, timeout: float = 2.0) -> Iterator[bool]:
    """Hold the lock of the one flusher, as `locked` does. The folder must be there, or it is an `OSError`.

    Looked at before each try: filelock 4.1 makes a folder that is missing, and `disable` may just have removed it.
    """
    path = flusher_lock_path(spool)
    lock = FileLock(os.fsdecode(path), timeout=0, mode=0o600)
    deadline = time.monotonic() + timeout
    while True:
        if not spools.has_folder(spool):
            raise NotADirectoryError(errno.ENOTDIR, "not a folder", spool.folder)
        try:
            lock.acquire()
            break
        except Timeout:
            if time.monotonic() >= deadline:
                yield False
                return
        time.sleep(POLL)
    try:
        _give_to_owner(spool, path)
        yield True
    finally:
        lock.release()


def _give_to_owner(spool: Spool, path: bytes) -> None:
    fd = os.open(path, _READ)
    try:
        spools.give_to_owner(spool.home, fd, os.fstat(fd))
    finally:
        os.close(fd)


def flusher_lock_path(spool: Spool) -> bytes:
    """Return the path of the lock that the one flusher holds."""
    return spool.folder + b"/flusher.lock"


def waiting(spool: Spool) -> list[Segment]:
    """Return the segments, oldest first."""
    found = []
    for name in _names(spool):
        stem, _, offset = name.partition(b".")
        if offset.isdigit() and len(offset) <= LONGEST_OFFSET and stem.replace(b"-", b"").isdigit():
            found.append(Segment(spool.folder + b"/" + stem, int(offset)))
    return sorted(found, key=lambda segment: segment.stem)


def _names(spool: Spool) -> list[bytes]:
    try:
        return os.listdir(spool.folder) if spools.has_folder(spool) else []
    except OSError:  # another user's
        return []


def count(spool: Spool) -> int:
    """Return how many lines wait, without looking into them."""
    lines = 0
    for file in pending_files(spool):
        last = b"\n"
        while chunk := file.read(1 << 20):
            lines += chunk.count(b"\n")
            last = chunk[-1:]
        lines += last != b"\n"
    return lines


def claim(spool: Spool) -> Segment | None:
    """Take the spool as it is, so that trackers start a new one. Hold the flusher's lock.

    Returns:
        The new segment; None when nothing is pending or what is there is not a spool.

    Raises:
        CouldNot: somebody holds the spool's lock and does not let go.
        OSError: the machine is in the way.
    """
    with locked(spool) as held:
        if not held:
            raise CouldNot("the spool is locked by a process that does not move; end it, then try again")
        try:
            found = os.lstat(spool.file)
        except FileNotFoundError:
            return None
        if not stat.S_ISREG(found.st_mode) or found.st_nlink != 1:
            return None
        segment = Segment(spools.segment_name(spool), 0)
        os.rename(spool.file, segment.path)
        return segment


def read(file: BinaryIO, published: bytes) -> Iterator[Pending | None]:
    """Yield what a segment holds from the file's position on: an event, or None for a line that is none of ours.

    Nothing that can be in the file raises, and no line is read into memory beyond `LONGEST_LINE`.
    """
    end = file.tell()
    while line := file.readline(LONGEST_LINE):
        end += len(line)
        if len(line) == LONGEST_LINE and not line.endswith(b"\n"):
            while (rest := file.readline(LONGEST_LINE)) and not rest.endswith(b"\n"):
                end += len(rest)
            end += len(rest)
            yield None
        elif line.strip():
            admitted = gate.admit(line, published)
            yield Pending(*admitted, end) if admitted else None


def open_segment(path: bytes, offset: int) -> BinaryIO:
    """Open a file of ours at an offset; at its start where no line ends there, since a repeat is better than a loss.

    Raises:
        OSError: it is gone, or not a regular file.
    """
    fd = os.open(path, _READ)
    if not stat.S_ISREG(os.fstat(fd).st_mode):
        os.close(fd)
        raise OSError("not a regular file")
    file = open(fd, "rb")  # noqa: SIM115  (the caller closes it)
    if offset and os.pread(fd, 1, offset - 1) == b"\n":
        file.seek(offset)
    return file


def acknowledge(segment: Segment, end: int) -> Segment:
    """Say that everything before the offset `end` is done, for good. Returns the segment under its new name."""
    done = replace(segment, offset=end)
    os.rename(segment.path, done.path)
    return done


def discard(segment: Segment) -> None:
    """Delete a segment of which everything is done."""
    os.unlink(segment.path)


def pending_files(spool: Spool) -> Iterator[BinaryIO]:
    """Yield every file with pending events, opened where its events begin, oldest first. Needs no lock.

    The spool is opened first: if it is claimed meanwhile it shows up among the segments too, and is known by its inode.
    """
    try:
        newest = open_segment(spool.file, 0)
    except OSError:
        yield from _segment_files(spool)
        return
    with newest:
        inode = os.fstat(newest.fileno()).st_ino
        for file in _segment_files(spool):
            if os.fstat(file.fileno()).st_ino != inode:
                yield file
        yield newest


def _segment_files(spool: Spool) -> Iterator[BinaryIO]:
    for segment in waiting(spool):
        with suppress(OSError), _open_wherever(spool, segment) as file:
            yield file


def _open_wherever(spool: Spool, segment: Segment) -> BinaryIO:
    """Open a segment that the flusher may be acknowledging right now, which changes its name."""
    for _ in range(100):
        try:
            return open_segment(segment.path, segment.offset)
        except FileNotFoundError:
            segment = next((s for s in waiting(spool) if s.stem == segment.stem), None) or segment
    raise FileNotFoundError(segment.path)


def remove_abandoned(spool: Spool, now: float) -> None:
    """Delete what a killed process left half made; its event was never acknowledged to anybody."""
    for name in _names(spool):
        if name.endswith((b".new", b".part")):
            path = spool.folder + b"/" + name
            with suppress(OSError):
                if now - os.lstat(path).st_mtime > ABANDONED:
                    os.unlink(path)


def leave(spool: Spool) -> None:
    """Go without a trace if there is nothing else in the folder: `disable` has emptied it, or nothing was ever there.

    Hold the flusher's lock.
    """
    if set(_names(spool)) <= {b"flusher.lock", b"not-before", b"begun"}:
        for name in _names(spool):
            with suppress(FileNotFoundError):
                os.unlink(spool.folder + b"/" + name)
        spools.remove_folder(spool)


def purge(spool: Spool) -> None:
    """Delete everything: pending, claimed, the logs, the folder, and last the lock's file. Hold both locks.

    Raises:
        OSError: something could not be deleted.
    """
    with suppress(FileNotFoundError):
        os.unlink(spool.file)
    if os.path.lexists(spool.folder) and not spools.has_folder(spool):
        os.unlink(spool.folder)
    deadline = time.monotonic() + 2
    while os.path.lexists(spool.folder) and time.monotonic() < deadline:  # a tracker may be taking back a spilled event
        for name in _names(spool):
            with suppress(FileNotFoundError):
                os.unlink(spool.folder + b"/" + name)
        spools.remove_folder(spool)
    with suppress(FileNotFoundError):
        os.unlink(spool.lock)
