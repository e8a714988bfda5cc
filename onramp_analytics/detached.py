"""The flusher's first life: run as a file by `spawn.py`, with nothing imported until the tracker is free of it.

    python -IS detached.py ROOT

It closes every descriptor, leaves the session, forks once more, says that a flusher is alive, lingers so that several
commands share a batch, and becomes `flush.py`. Nothing heavy is imported before that: on one core the import would
delay the command that is still running.
"""

import posix
import sys

if __name__ == "__main__":
    # A descriptor of make's that stayed open would let `make | cat` wait for us. Listed, not closed by range: where
    # the kernel has no close_range and the limit is a thousand million, the range takes minutes.
    for _fd in posix.listdir("/proc/self/fd") if posix.access("/proc/self/fd", posix.F_OK) else map(str, range(1024)):
        if int(_fd) > 2:
            try:
                posix.close(int(_fd))
            except OSError:
                pass
    try:
        posix.setsid()
    except OSError:
        pass  # the spawn has done it
    if posix.fork():
        posix._exit(0)  # noqa: SLF001  (its public name is in os, which is not imported yet)
    posix.chdir("/")
    posix.umask(0o077)
    sys.path.insert(0, __file__.removesuffix("/onramp_analytics/detached.py"))

import time

from onramp_analytics import consent
from onramp_analytics.spool import OPEN, Spool, is_ours

LONGEST_LIFE = 120  # seconds from start to end: the contract's
BEGUN = b"begun"  # a file in the flusher's folder with one byte for each flusher since one last came to its end
LINGER = (2.0, 4.0)  # seconds: the commands of a script share a batch; why no longer: docs/scale.md


def linger(spool: Spool) -> bool:
    """Wait a moment for more events.

    Returns:
        True when this process is to send what is there. False when another flusher is alive, or consent was withdrawn.
    """
    if not (consent.ask(posix.environ, spool.root).on and spool.flusher_is_due(time.time())):
        return False
    posix.close(spool.make_folder())
    spool.hold_back(time.time() + LONGEST_LIFE)
    note_begin(spool)
    shortest, longest = LINGER
    for pause in (0, shortest + (longest - shortest) * posix.urandom(1)[0] / 255):
        time.sleep(pause)
        if not consent.ask(posix.environ, spool.root).on:
            forget_begin(spool)
            spool.release()  # `disable` may have deleted everything just before we created it again
            return False
    return True


def note_begin(spool: Spool) -> None:
    """Count this process among those that have begun, so that ones that are killed each time are noticed."""
    try:
        folder = spool.open_folder()
        try:
            fd = posix.open(BEGUN, OPEN | posix.O_APPEND, 0o600, dir_fd=folder)
            found = posix.fstat(fd)
            if found.st_nlink == 1 and is_ours(found):
                posix.write(fd, b".")
            posix.close(fd)
        finally:
            posix.close(folder)
    except OSError:
        pass  # a full disk keeps nothing from being sent


def forget_begin(spool: Spool) -> None:
    """Note that a flusher came to its end."""
    try:
        folder = spool.open_folder()
        try:
            posix.unlink(BEGUN, dir_fd=folder)
        finally:
            posix.close(folder)
    except OSError:
        pass


def main() -> None:
    """Linger, then become the flusher."""
    root = sys.argv[1]
    _give_way()
    if linger(Spool(root.encode("utf-8", "surrogateescape"))):
        # Not -I, which leaves out what a user installed for himself; the working directory is /, which is root's.
        command = [sys.executable, "-E", "-m", "onramp_analytics.flush", root]
        posix.execve(sys.executable, command, posix.environ)


def _give_way() -> None:
    """Let every other process go first. A session is a scheduling group of its own, so `nice` alone does nothing."""
    posix.nice(19)
    try:
        fd = posix.open("/proc/self/autogroup", posix.O_WRONLY | posix.O_CLOEXEC)
        posix.write(fd, b"19")
        posix.close(fd)
    except OSError:
        pass


if __name__ == "__main__":
    main()
