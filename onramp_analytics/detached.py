"""Detach from the tracker, wait for more events, and become the flusher. `spawn.py` runs this file as a script.

    python -IS detached.py ROOT

The process closes its descriptors, starts a session, and forks; the child continues. It sets `not-before` ahead, which
keeps other flushers from starting. Then it lingers, so that several commands share a batch, and executes `flush.py`. It
imports nothing large before that, since on a single core the import would slow down the user's next command.
"""

import posix
import sys

if __name__ == "__main__":
    # `spawn.py` has opened /dev/null as 0, 1 and 2. Another descriptor may be a pipe of make's, whose reader would wait
    # for this process. They are listed and closed one by one, since closing a range takes minutes if the kernel has no
    # close_range and the limit is a billion.
    for _fd in posix.listdir("/proc/self/fd") if posix.access("/proc/self/fd", posix.F_OK) else map(str, range(1024)):
        if int(_fd) > 2:
            try:
                posix.close(int(_fd))
            except OSError:
                pass
    try:
        posix.setsid()
    except OSError:
        pass  # `posix_spawn` has already done it
    if posix.fork():
        posix._exit(0)  # noqa: SLF001  (the public name is in os, which is not imported)
    posix.chdir("/")
    posix.umask(0o077)
    sys.path.insert(0, __file__.removesuffix("/onramp_analytics/detached.py"))

import time

from onramp_analytics import consent
from onramp_analytics.spool import OPEN, Spool, is_ours

LONGEST_LIFE = 120  # seconds from start to end
BEGUN = b"begun"  # in the flusher's folder: one byte for each start of a flusher; deleted when one finishes
LINGER = (2.0, 4.0)  # seconds, so that the commands of a script share a batch; see docs/decisions/linger.md


def linger(spool: Spool) -> bool:
    """Wait for more events to share a batch.

    Returns:
        True if this process is to become the flusher; False if none is due or consent was withdrawn.
    """
    if not (consent.ask(posix.environ, spool.root).on and spool.flusher_is_due(time.time())):
        return False
    posix.close(spool.make_folder())
    spool.set_not_before(time.time() + LONGEST_LIFE)
    record_start(spool)
    shortest, longest = LINGER
    for pause in (0, shortest + (longest - shortest) * posix.urandom(1)[0] / 255):
        time.sleep(pause)
        if not consent.ask(posix.environ, spool.root).on:
            record_end(spool)
            spool.clear_not_before()  # `disable` may have deleted the folder just before this process created it
            return False
    return True


def record_start(spool: Spool) -> None:
    """Record that a flusher started, so that `doctor` notices if every flusher is killed."""
    try:
        folder = spool.open_folder()
        try:
            fd = posix.open(BEGUN, OPEN | posix.O_APPEND, 0o600, dir_fd=folder)
            info = posix.fstat(fd)
            if info.st_nlink == 1 and is_ours(info):
                posix.write(fd, b".")
            posix.close(fd)
        finally:
            posix.close(folder)
    except OSError:
        pass  # a full disk must not prevent sending


def record_end(spool: Spool) -> None:
    """Record that a flusher finished."""
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
    _lower_priority()
    if linger(Spool(root.encode("utf-8", "surrogateescape"))):
        # Not -I: the package may be in the user's site folder, which -I ignores. Without -I, -m searches the working
        # directory, but that is /, where only root can write.
        command = [sys.executable, "-E", "-m", "onramp_analytics.flush", root]
        posix.execve(sys.executable, command, posix.environ)


def _lower_priority() -> None:
    """Let other processes run first. Each session is its own scheduling group, so `nice` alone has no effect."""
    posix.nice(19)
    try:
        fd = posix.open("/proc/self/autogroup", posix.O_WRONLY | posix.O_CLOEXEC)
        posix.write(fd, b"19")
        posix.close(fd)
    except OSError:
        pass


if __name__ == "__main__":
    main()
