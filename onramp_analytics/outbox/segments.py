"""Claim, read and acknowledge events: the flusher's half of the on-disk protocol.

A segment is a file `<ns>-<pid>.<offset>` in the flusher's folder. It is a spool that was claimed by renaming it, or the
events of one call that a tracker spilled. The offset in its name is the number of bytes that are done. Renaming the
file to a higher offset is the acknowledgement, which is atomic. See `spool.py` for the files and the races.
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

LONGEST_LINE = 1 << 16  # bytes; events are below 1 KiB, and a longer line is skipped without reading it into memory
LONGEST_OFFSET = 18  # digits; no file is that large
ABANDONED = 60  # seconds; an older file that is still incomplete was abandoned
_READ = os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW | os.O_NONBLOCK


@dataclass(frozen=True, slots=True)
class Segment:
    """Claimed events: the name without its offset, and the offset in bytes at which the remaining events begin."""

    stem: bytes
    offset: int

    @property
    def name(self) -> bytes:
        """The name of the file in the flusher's folder."""
        return b"%s.%d" % (self.stem, self.offset)


class Pending(NamedTuple):
    """One event as it will be sent, its line, and the offsets in bytes of its end and its start in its file."""

    event: dict[str, Any]
    line: bytes
    end: int
    start: int = 0


class Newer(NamedTuple):
    """A line of a newer version of this program: its timestamp, and the offset of its start in bytes."""

    timestamp: str
    start: int


Entry = Pending | Newer | None  # what `read` yields: None is a line that is not a valid event


@contextmanager
def opened(spool: Spool) -> Iterator[int | None]:
    """Yield a descriptor of the flusher's folder; None if it is missing or not ours."""
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
    named = []
    for name in _names(spool):
        stem, _, offset = name.partition(b".")
        if offset.isdigit() and len(offset) <= LONGEST_OFFSET and stem.replace(b"-", b"").isdigit():
            named.append(Segment(stem, int(offset)))
    return sorted(named, key=lambda segment: segment.stem)


def _names(spool: Spool) -> list[bytes]:
    with opened(spool) as folder:
        return [os.fsencode(name) for name in os.listdir(folder)] if folder is not None else []


def count(spool: Spool) -> int:
    """Return the number of queued lines, without validating them."""
    lines = 0
    for file in pending_files(spool):
        last = b"\n"
        while chunk := file.read(1 << 20):
            lines += chunk.count(b"\n")
            last = chunk[-1:]
        lines += last != b"\n"
    return lines


def claim(spool: Spool) -> Segment | None:
    """Rename the spool, so that trackers start a new one. The caller must hold the flusher's lock.

    Returns:
        The new segment; None if nothing is queued, or the spool is not a regular file of this user.

    Raises:
        CouldNot: a process holds the spool's lock and does not release it.
        OSError: a file cannot be used.
    """
    lock = spool.take_lock(2.0)
    if lock < 0:
        raise CouldNot("a stuck process holds onramp.spool.lock: run `make analytics-doctor` for details")
    try:
        info = os.lstat(spool.file)
        if not stat.S_ISREG(info.st_mode) or info.st_nlink != 1 or not is_ours(info):
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


def read(file: BinaryIO, published: bytes) -> Iterator[Entry]:
    """Yield the entries of a segment from the file's position.

    No content of the file raises an error, and at most `LONGEST_LINE` bytes are in memory at a time.
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
    """Open a file in the flusher's folder at an offset.

    An offset that is not the end of a line is ignored, since a repeat is better than a loss.

    Raises:
        OSError: it is missing, or not a regular file of this user.
    """
    folder = spool.open_folder()
    try:
        return _open(name, offset, folder)
    finally:
        os.close(folder)


def _open(path: bytes, offset: int, folder: int | None = None) -> BinaryIO:
    fd = os.open(path, _READ, dir_fd=folder)
    info = os.fstat(fd)
    if not stat.S_ISREG(info.st_mode) or not is_ours(info):
        os.close(fd)
        raise OSError("not a regular file of ours")
    file = open(fd, "rb")  # noqa: SIM115  (the caller closes it)
    if offset and os.pread(fd, 1, offset - 1) == b"\n":
        file.seek(offset)
    return file


def open_spool(spool: Spool) -> BinaryIO:
    """Open the spool itself, as `open_file` opens a segment.

    Raises:
        OSError: it is missing, or not a regular file of this user.
    """
    return _open(spool.file, 0)


def acknowledge(spool: Spool, segment: Segment, end: int) -> Segment:
    """Record on disk that the events before the offset `end` are done. Returns the segment with its new name.

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
    """Delete a segment whose events are all done.

    Raises:
        OSError: the folder or the segment is gone.
    """
    folder = spool.open_folder()
    try:
        os.unlink(segment.name, dir_fd=folder)
    finally:
        os.close(folder)


def pending_files(spool: Spool) -> Iterator[BinaryIO]:
    """Yield every file with queued events, the oldest file first, positioned at its first event. Needs no lock.

    The spool is opened first. If it is claimed meanwhile, it also appears as a segment, and is recognized by its inode.
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
    """Open a segment, even if the flusher acknowledges events meanwhile and so renames it."""
    for _ in range(100):
        try:
            return open_file(spool, segment.name, segment.offset)
        except FileNotFoundError:
            segment = next((s for s in waiting(spool) if s.stem == segment.stem), None) or segment
    raise FileNotFoundError(segment.name)


def remove_abandoned(spool: Spool, now: float) -> None:
    """Delete incomplete files of killed processes or a full disk. Their events were never reported as stored."""
    with opened(spool) as folder, suppress(OSError):
        for name in _names(spool) if folder is not None else ():
            if name.endswith(files.NEW):
                with suppress(OSError):
                    if now - os.stat(name, dir_fd=folder, follow_symlinks=False).st_mtime > ABANDONED:
                        os.unlink(name, dir_fd=folder)


def leave(spool: Spool) -> None:
    """Remove the folder if it holds only locks and times. The caller must hold the flusher's lock."""
    names = set(_names(spool))
    if names <= {FLUSHER, STAMP, BEGUN}:
        _remove(spool, names)


def purge(spool: Spool, *, keep: tuple[bytes, ...] = ()) -> None:
    """Delete the queued events, and everything in the folder except `keep`.

    The caller should hold the spool's lock; `disable` continues without it if a stopped process holds it.

    Raises:
        OSError: a file could not be deleted.
    """
    with suppress(FileNotFoundError):
        os.unlink(spool.file)
    if os.path.lexists(spool.folder) and not stat.S_ISDIR(os.lstat(spool.folder).st_mode):
        os.unlink(spool.folder)
    deadline = time.monotonic() + 2
    while set(_names(spool)) - set(keep) and time.monotonic() < deadline:  # a tracker may rename its spilled events
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
