"""The flusher's first life: run as a file by `spawn.py`, with nothing imported until the tracker is free of it.

    python -IS detached.py ROOT HOME

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

from onramp_analytics import consent, spool
from onramp_analytics.spool import Spool

LONGEST_LIFE = 120  # seconds from start to end: the contract's
BEGUN = b"begun"  # a file in the spool's folder with one byte for each of us since one last came to its end
LINGER = (2.0, 4.0)  # seconds: the commands of a script share a batch; why no longer: docs/scale.md


def linger(root: bytes, home: bytes) -> bool:
    """Wait a moment for more events.

    Returns:
        True when this process is to send what is there. False when another flusher is alive, or when consent went.
    """
    target = Spool(home)
    if not (consent.ask(posix.environ, root).on and spool.flusher_is_due(target, time.time())):
        return False
    spool.make_folder(target)
    spool.set_not_before(target, time.time() + LONGEST_LIFE)
    _note_begin(target)
    shortest, longest = LINGER
    for pause in (0, shortest + (longest - shortest) * posix.urandom(1)[0] / 255):
        time.sleep(pause)
        if not consent.ask(posix.environ, root).on:
            _forget_begin(target)
            spool.take_back_not_before(target)  # `disable` may have taken everything away just before we made it anew
            return False
    return True


def _note_begin(target: Spool) -> None:
    """Count this process among those that have begun: whoever is killed at this point each time is seen by that."""
    flags = posix.O_WRONLY | posix.O_CREAT | posix.O_APPEND | posix.O_CLOEXEC | posix.O_NOFOLLOW | posix.O_NONBLOCK
    try:
        fd = posix.open(target.folder + b"/" + BEGUN, flags, 0o600)
        if posix.fstat(fd).st_nlink == 1:
            posix.write(fd, b".")
        posix.close(fd)
    except OSError:
        pass  # the disk is full, which keeps nothing from being sent


def _forget_begin(target: Spool) -> None:
    try:
        posix.unlink(target.folder + b"/" + BEGUN)
    except OSError:
        pass


def main() -> None:
    """Linger, then become the flusher."""
    root, home = (argument.encode("utf-8", "surrogateescape") for argument in sys.argv[1:3])
    _give_way()
    if linger(root, home):
        # Not -I, which leaves out what a user installed for himself; the working directory is /, which is root's.
        command = [sys.executable, "-E", "-m", "onramp_analytics.flush", root, home]
        posix.execve(sys.executable, command, posix.environ)  # type: ignore[arg-type]


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
