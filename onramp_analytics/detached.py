"""Detach from the tracker, wait for more events, and become the flusher. `spawn.py` runs this file as a script.

    python -IS detached.py ROOT

It closes every descriptor, leaves the session, forks, marks the spool as having a flusher, and lingers so that several
commands share a batch. Then it executes `flush.py`. Nothing large is imported before that, since on a single core the
import would delay the command that is still running.
"""

import posix
import sys

if __name__ == "__main__":
    # With a descriptor of make open, `make | cat` would wait for us. They are listed, since closing a range takes
    # minutes if the kernel has no close_range and the limit is a billion.
    for _fd in posix.listdir("/proc/self/fd") if posix.access("/proc/self/fd", posix.F_OK) else map(str, range(1024)):
        if int(_fd) > 2:
            try:
                posix.close(int(_fd))
            except OSError:
                pass
    try:
        posix.setsid()
    except OSError:
        pass  # the spawn has already done it
    if posix.fork():
        posix._exit(0)  # noqa: SLF001  (its public name is in os, which is not imported yet)
    posix.chdir("/")
    posix.umask(0o077)
    sys.path.insert(0, __file__.removesuffix("/onramp_analytics/detached.py"))

import time

from onramp_analytics import consent
from onramp_analytics.spool import OPEN, Spool, is_ours

LONGEST_LIFE = 120  # seconds from start to end, see docs/protocol.md
BEGUN = b"begun"  # a file in the flusher's folder with one byte per flusher since one last finished
LINGER = (2.0, 4.0)  # seconds; the commands of a script share a batch. docs/scale.md explains the numbers


def linger(spool: Spool) -> bool:
    """Wait for more events to share a batch.

    Returns:
        True if this process is to send the events; False if another flusher is running or consent was withdrawn.
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
            spool.release()  # `disable` may have deleted the folder just before we created it again
            return False
    return True


def note_begin(spool: Spool) -> None:
    """Record that a flusher began, so that `doctor` notices flushers that are always killed."""
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
        pass  # a full disk must not prevent sending


def forget_begin(spool: Spool) -> None:
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
    _give_way()
    if linger(Spool(root.encode("utf-8", "surrogateescape"))):
        # Not -I, which ignores the user's site folder; the working directory is /, where only root can write.
        command = [sys.executable, "-E", "-m", "onramp_analytics.flush", root]
        posix.execve(sys.executable, command, posix.environ)


def _give_way() -> None:
    """Lower the priority. Each session is a scheduling group on its own, so `nice` alone has no effect."""
    posix.nice(19)
    try:
        fd = posix.open("/proc/self/autogroup", posix.O_WRONLY | posix.O_CLOEXEC)
        posix.write(fd, b"19")
        posix.close(fd)
    except OSError:
        pass


if __name__ == "__main__":
    main()
