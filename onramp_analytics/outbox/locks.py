"""Take the two locks: trackers hold the spool's for microseconds, and a flusher holds its own for a whole run."""

from __future__ import annotations

import os
import signal
import stat
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress

from filelock import FileLock, Timeout

from onramp_analytics.spool import Spool, is_ours

FLUSHER = b"flusher.lock"
POLL = 0.01  # seconds between two tries for the flusher's lock
LONGEST_END = 30.0  # seconds that a flusher may take to end after a signal


@contextmanager
def locked(spool: Spool, timeout: float = 2.0) -> Iterator[bool]:
    """Hold the spool's lock during the block.

    Args:
        spool: the spool.
        timeout: seconds to wait for it.

    Yields:
        True if it is held; False if it stayed busy (its holder may be stopped).

    Raises:
        OSError: the lock file cannot be opened.
    """
    lock = spool.take_lock(timeout)
    try:
        yield lock >= 0
    finally:
        if lock >= 0:
            os.close(lock)


@contextmanager
def flusher_lock(spool: Spool, timeout: float = 2.0) -> Iterator[bool]:
    """Hold the flusher's lock during the block, as `locked` holds the spool's. The folder must exist.

    Raises:
        OSError: the folder is missing or not ours, or the lock is not a regular file.
    """
    folder = spool.open_folder()
    try:
        with suppress(FileNotFoundError):
            info = os.stat(FLUSHER, dir_fd=folder, follow_symlinks=False)
            if not stat.S_ISREG(info.st_mode) or not is_ours(info):
                raise FileExistsError(17, "not a file of ours", flusher_path(spool))
        # The path goes through the descriptor, so that filelock opens the lock in the folder that was checked.
        lock = FileLock(
            f"/proc/self/fd/{folder}/{os.fsdecode(FLUSHER)}", timeout=timeout, poll_interval=POLL, mode=0o600
        )
        try:
            lock.acquire()
        except Timeout:
            yield False
            return
        try:
            yield True
        finally:
            lock.release()
    finally:
        os.close(folder)


def flusher_path(spool: Spool) -> bytes:
    """Return the path of the flusher's lock."""
    return spool.folder + b"/" + FLUSHER


def flusher_is_alive(spool: Spool) -> bool:
    """Return whether a process holds the flusher's lock. A flusher that lingers does not hold it yet."""
    try:
        os.lstat(flusher_path(spool))  # if there is no lock file, do not create one
        with flusher_lock(spool, timeout=0) as held:
            return not held
    except OSError:
        return False


def end_flushers(spool: Spool, *, patience: float = LONGEST_END) -> bool:
    """End this user's flushers of a checkout. A flusher that is killed loses no event.

    They are found by their command line, since the lock would not lead to them: another process may have inherited its
    descriptor, and the folder with the lock file may have been deleted.

    Returns:
        False if one is still running after `patience` seconds.
    """
    deadline = time.monotonic() + patience
    while pids := list(flushers(spool)):
        for pid in pids:
            with suppress(OSError):
                os.kill(pid, signal.SIGKILL)
        if time.monotonic() > deadline:
            return False
        time.sleep(0.01)
    return True


def flushers(spool: Spool) -> Iterator[int]:
    """Yield the process ids of this user's flushers of a checkout, including those that still linger."""
    for pid in filter(str.isdigit, os.listdir("/proc")):
        with suppress(OSError):
            if int(pid) != os.getpid() and os.stat(f"/proc/{pid}").st_uid == os.geteuid():
                with open(f"/proc/{pid}/cmdline", "rb") as file:
                    words = file.read().split(b"\0")
                if is_flusher(words, spool.root):
                    yield int(pid)


def is_flusher(words: list[bytes], root: bytes) -> bool:
    """Return whether a command line is one that `spawn.py` or `detached.py` starts for a checkout."""
    ours = words[1:3] == [b"-IS", words[2] if words[2:3] and words[2].endswith(b"/detached.py") else b""]
    if not (ours or words[1:4] == [b"-E", b"-m", b"onramp_analytics.flush"]):
        return False
    return any(word == root or _is_same_folder(word, root) for word in words[3:])


def _is_same_folder(path: bytes, root: bytes) -> bool:
    """Return whether two paths lead to the same folder. Make passes the real path; a shell keeps links."""
    try:
        return os.path.samefile(path, root)
    except OSError:
        return False
