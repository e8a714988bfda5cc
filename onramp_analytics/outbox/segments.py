"""The flusher's half of the on-disk protocol: claim, read, acknowledge.

A segment is a file `<ns>-<pid>.<offset>` in the flusher's folder. It is a spool that was claimed by renaming it, or one
event that a tracker spilled. The offset in its name says how many bytes are done; renaming it to a higher offset is
the acknowledgement, one atomic step with nothing to keep in step with it. See `spool.py` for the files and the races.
"""

from __future__ import annotations

import os
import stat
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from typing import Any, BinaryIO, NamedTuple

from onramp_analytics import files
from onramp_analytics.detached import BEGUN
from onramp_analytics.errors import CouldNot
from onramp_analytics.outbox import gate
from onramp_analytics.outbox.locks import FLUSHER, locked
from onramp_analytics.spool import STAMP, Spool, is_ours, segment_name

LONGEST_LINE = 1 << 16  # bytes; ours are below 1 KiB, and a longer one is skipped without being read into memory
LONGEST_OFFSET = 18  # digits; a longer one belongs to no file
ABANDONED = 60  # seconds after which a half-spilled event has no tracker any more
_READ = os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW | os.O_NONBLOCK


@dataclass(frozen=True, slots=True)
class Segment:
    """Claimed events: the name without its offset, and the offset in bytes from which on they are not done."""

    stem: bytes
    offset: int

    @property
    def name(self) -> bytes:
        """The present name of the file in the flusher's folder."""
        return b"%s.%d" % (self.stem, self.offset)


class Pending(NamedTuple):
    """One event as it will be sent, the same as a line, and where in its file it ends and begins, in bytes."""

    event: dict[str, Any]
    line: bytes
    end: int
    start: int = 0


class Newer(NamedTuple):
    """A line that a newer version of this program wrote: its timestamp, and where it begins, in bytes."""

    timestamp: str
    start: int


@contextmanager
def opened(spool: Spool) -> Iterator[int | None]:
    """Hold a descriptor of the flusher's folder; None if there is none of ours."""
    try:
        folder = spool.open_folder()
    except OSError:
        yield None
        return
    try:
        yield folder
    finally:
        os.close(folder)


def waiting(spool: Spool) -> list[Segment]:
    """Return the segments, oldest first."""
    found = []
    for name in _names(spool):
        stem, _, offset = name.partition(b".")
        if offset.isdigit() and len(offset) <= LONGEST_OFFSET and stem.replace(b"-", b"").isdigit():
            found.append(Segment(stem, int(offset)))
    return sorted(found, key=lambda segment: segment.stem)


def _names(spool: Spool) -> list[bytes]:
    with opened(spool) as folder:
        return [os.fsencode(name) for name in os.listdir(folder)] if folder is not None else []


def count(spool: Spool) -> int:
    """Return how many lines are pending, without looking into them."""
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
        The new segment; None when nothing is pending or what is there is not a spool of ours.

    Raises:
        CouldNot: a process holds the spool's lock and does not let go.
        OSError: the machine is in the way.
    """
    lock = spool.take_lock(2.0)
    if lock < 0:
        raise CouldNot("a stuck process holds onramp.spool.lock: run `onramp-analytics doctor` for details")
    try:
        found = os.lstat(spool.file)
        if not stat.S_ISREG(found.st_mode) or found.st_nlink != 1 or not is_ours(found):
            return None
        segment = Segment(segment_name(), 0)
        folder = spool.open_folder()
        try:
            os.rename(spool.file, segment.name, dst_dir_fd=folder)
        finally:
            os.close(folder)
        if not os.fstat(lock).st_nlink:  # race 7
            with locked(spool):
                pass
    except FileNotFoundError:
        return None
    finally:
        os.close(lock)
    return segment


def read(file: BinaryIO, published: bytes) -> Iterator[Pending | Newer | None]:
    """Yield what a segment holds from the file's position on: an event, or None for a line that is none of ours.

    Nothing that can be in the file raises, and no line is read into memory beyond `LONGEST_LINE`.
    """
    end = file.tell()
    while line := file.readline(LONGEST_LINE):
        start = end
        end += len(line)
        if len(line) == LONGEST_LINE and not line.endswith(b"\n"):
            while (rest := file.readline(LONGEST_LINE)) and not rest.endswith(b"\n"):
                end += len(rest)
            end += len(rest)
            yield None
        elif line.strip():
            admitted = gate.admit(line, published)
            if admitted:
                yield Pending(*admitted, end, start)
            else:
                timestamp = gate.newer(line)
                yield Newer(timestamp, start) if timestamp else None


def open_file(spool: Spool, name: bytes, offset: int = 0) -> BinaryIO:
    """Open a file of ours in the flusher's folder at an offset.

    The offset counts only where a line ends there: a repeat is better than a loss.

    Raises:
        OSError: it is missing, or not a regular file of this user's.
    """
    folder = spool.open_folder()
    try:
        return _open(name, offset, folder)
    finally:
        os.close(folder)


def _open(path: bytes, offset: int, folder: int | None = None) -> BinaryIO:
    fd = os.open(path, _READ, dir_fd=folder)
    found = os.fstat(fd)
    if not stat.S_ISREG(found.st_mode) or not is_ours(found):
        os.close(fd)
        raise OSError("not a regular file of ours")
    file = open(fd, "rb")  # noqa: SIM115  (the caller closes it)
    if offset and os.pread(fd, 1, offset - 1) == b"\n":
        file.seek(offset)
    return file


def open_spool(spool: Spool) -> BinaryIO:
    """Open the spool itself, as `open_file` opens a segment.

    Raises:
        OSError: it is missing, or not a regular file of this user's.
    """
    return _open(spool.file, 0)


def acknowledge(spool: Spool, segment: Segment, end: int) -> Segment:
    """Say that everything before the offset `end` is done, for good. Returns the segment under its new name.

    Raises:
        OSError: the folder or the segment is gone.
    """
    done = replace(segment, offset=end)
    folder = spool.open_folder()
    try:
        os.rename(segment.name, done.name, src_dir_fd=folder, dst_dir_fd=folder)
    finally:
        os.close(folder)
    return done


def discard(spool: Spool, segment: Segment) -> None:
    """Delete a segment of which everything is done.

    Raises:
        OSError: the folder or the segment is gone.
    """
    folder = spool.open_folder()
    try:
        os.unlink(segment.name, dir_fd=folder)
    finally:
        os.close(folder)


def pending_files(spool: Spool) -> Iterator[BinaryIO]:
    """Yield every file with pending events, opened where its events begin, oldest first. Needs no lock.

    The spool is opened first: if it is claimed meanwhile it shows up among the segments too, and is known by its inode.
    """
    try:
        newest = _open(spool.file, 0)
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
            return open_file(spool, segment.name, segment.offset)
        except FileNotFoundError:
            segment = next((s for s in waiting(spool) if s.stem == segment.stem), None) or segment
    raise FileNotFoundError(segment.name)


def remove_abandoned(spool: Spool, now: float) -> None:
    """Delete what a killed process left half written; its event was never acknowledged to anybody."""
    with opened(spool) as folder, suppress(OSError):
        for name in _names(spool) if folder is not None else ():
            if name.endswith(files.NEW):
                with suppress(OSError):
                    if now - os.stat(name, dir_fd=folder, follow_symlinks=False).st_mtime > ABANDONED:
                        os.unlink(name, dir_fd=folder)


def leave(spool: Spool) -> None:
    """Remove the folder if there is nothing of worth in it: `disable` has emptied it, or nothing was ever there.

    Hold the flusher's lock.
    """
    names = set(_names(spool))
    if names <= {FLUSHER, STAMP, BEGUN}:
        _remove(spool, names)


def purge(spool: Spool, *, keep: tuple[bytes, ...] = ()) -> None:
    """Delete pending events, claimed ones, and everything else in the folder but `keep`. Hold both locks.

    Raises:
        OSError: something could not be deleted.
    """
    with suppress(FileNotFoundError):
        os.unlink(spool.file)
    if os.path.lexists(spool.folder) and not stat.S_ISDIR(os.lstat(spool.folder).st_mode):
        os.unlink(spool.folder)
    deadline = time.monotonic() + 2
    while set(_names(spool)) - set(keep) and time.monotonic() < deadline:  # a tracker may take back a spilled event
        _remove(spool, set(_names(spool)) - set(keep))
    spool.remove_folder()
    if os.path.lexists(spool.folder) and not keep:
        raise OSError(1, "it is another user's, or holds something that is not ours", spool.folder)


def _remove(spool: Spool, names: set[bytes]) -> None:
    with opened(spool) as folder:
        if folder is not None:
            for name in names:
                files.remove(folder, name)
    spool.remove_folder()
