"""The spool on the hot path: append a line, and tell whether a flusher is due.

    <home>/onramp.spool        pending events, one a line, append only
    <home>/onramp.spool.lock   empty; its flock guards the spool
    <home>/onramp.spool.d/     the flusher's; created by whoever needs it first
        <ns>-<pid>.<offset>    a segment: claimed or spilled events; what is before the offset is done
        <ns>-<pid>.new         an event that is being spilled
        not-before             its modification time says when the next flusher may start
        flusher.lock           its flock is held by the one flusher
        state.json, sent, refused      how the last run ended, what was sent, what the server refused

`home` is the checkout, or a folder of the user's own where the user may not write in the checkout (`userspool.py`).
The other half of the protocol, claim, read and acknowledge, is in `segments.py`; `journal.py` has the last line.

The races, and what closes them:

 1. Trackers and a claim at once: all hold the flock of `onramp.spool.lock`; the spool is opened under it, by name.
 2. `disable` removes the lock file: a tracker that waited on it holds the lock of nothing, sees that the file has no
    link any more, and opens the new one.
 3. `disable` between our first look at the consent and the lock: we ask again under the lock. A spilled event is
    written without it, so there we ask once more afterwards, and take the event back.
 4. A tracker killed while it writes leaves half a line: the next one begins with a line break, and the reader skips
    what is not whole.
 5. The flusher ends while we append: it clears `not-before` before its last look at the spool, and we look at
    `not-before` after our append. Either it sees our event, or we see that a flusher is due.
 6. `reset-id` while the flusher writes down what was sent: both hold the lock, the one while it changes the identifier
    and before it empties the log, the other while it looks at the identifier and writes. Either nothing of the old one
    is written any more, or it is emptied.
"""

import fcntl
import posix
import time

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

CAP = 5 << 20  # bytes: the contract's; some 12,000 events
LOCK_WAIT = 0.05  # seconds; with 16 writers at once the slowest waited 7 ms
FIRST_PAUSE, LONGEST_PAUSE = 0.002, 0.005  # seconds between two tries; see docs/decisions/lock.md
MOST_SPILLED = 1000  # files
LONGEST_WAIT = 86_400  # seconds; no back-off is longer, so a time further ahead is a clock that jumped

_OPEN = posix.O_RDWR | posix.O_CREAT | posix.O_CLOEXEC | posix.O_NOFOLLOW | posix.O_NONBLOCK


class Spool:
    """The paths of one spool. Creates nothing."""

    __slots__ = ("file", "folder", "home", "lock", "not_before")

    def __init__(self, home: bytes) -> None:
        self.home = home
        self.file = home + b"/onramp.spool"
        self.lock = home + b"/onramp.spool.lock"
        self.folder = home + b"/onramp.spool.d"
        self.not_before = self.folder + b"/not-before"


def append(spool: Spool, lines: bytes, still_on: "Callable[[], bool]") -> str:
    """Add whole lines to the spool.

    Args:
        spool: where.
        lines: one event a line, each with its line break.
        still_on: asks for consent; called under the lock.

    Returns:
        "stored"; "off" (consent went meanwhile); "full" (the spool is at its cap, or 1,000 events are spilled);
        "foreign" (there is something else in the spool's place); "disk full".

    Raises:
        OSError: the machine is in the way. Nothing was stored then.
    """
    lock = take_lock(spool)
    if lock < 0:
        return _spill(spool, lines, still_on)
    try:
        if not still_on():
            posix.unlink(spool.lock)  # race 3: `disable` has taken everything away, and we made this one anew
            return "off"
        outcome = _write(spool, lines)
        if not posix.fstat(lock).st_nlink and not still_on():
            posix.unlink(spool.file)  # race 3: we were stopped under the lock, and `disable` went on without it
            return "off"
        return outcome
    finally:
        posix.close(lock)


def take_lock(spool: Spool, wait: float = LOCK_WAIT) -> int:
    """Return a descriptor that holds the spool's lock until it is closed, or -1 where it stays busy for `wait` seconds.

    Raises:
        OSError: the lock file cannot be opened.
    """
    pause, deadline = FIRST_PAUSE, 0.0
    while True:
        fd = posix.open(spool.lock, _OPEN, 0o600)
        try:
            while True:
                try:
                    fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
                    break
                except BlockingIOError:
                    now = time.monotonic()  # measured, not added up: on a busy machine a sleep takes longer than asked
                    deadline = deadline or now + wait
                    if now >= deadline:
                        posix.close(fd)
                        return -1
                    time.sleep(min(pause, deadline - now))
                    pause = min(2 * pause, LONGEST_PAUSE)
            found = posix.fstat(fd)
            give_to_owner(spool.home, fd, found)
        except BaseException:
            posix.close(fd)
            raise
        if found.st_nlink:
            return fd
        posix.close(fd)  # race 2


def give_to_owner(home: bytes, fd: int, found: "posix.stat_result") -> None:
    """Let the owner of the folder own a file that root has just created there (`sudo make …`).

    Otherwise the user's own trackers could not append to it. Only an empty file with one name is given away: nobody can
    put a file of root's there to have it given to them.
    """
    if found.st_uid == 0 and found.st_size == 0 and found.st_nlink == 1 and posix.geteuid() == 0:
        owner = posix.stat(home)
        if owner.st_uid:
            posix.fchown(fd, owner.st_uid, owner.st_gid)


def _write(spool: Spool, lines: bytes) -> str:
    fd = posix.open(spool.file, _OPEN | posix.O_APPEND, 0o600)
    try:
        found = posix.fstat(fd)
        if found.st_mode & 0o170000 != 0o100000 or found.st_nlink != 1:
            return "foreign"
        size = found.st_size
        if size + len(lines) > CAP:
            return "full"
        if not size:
            give_to_owner(spool.home, fd, found)
        elif posix.pread(fd, 1, size - 1) != b"\n":
            lines = b"\n" + lines  # race 4
        if posix.write(fd, lines) != len(lines):
            posix.ftruncate(fd, size)
            return "disk full"
        return "stored"
    finally:
        posix.close(fd)


def _spill(spool: Spool, lines: bytes, still_on: "Callable[[], bool]") -> str:
    """The lock is busy (its holder may be stopped): put the event into a segment of its own."""
    if not still_on():
        return "off"
    make_folder(spool)
    if len(posix.listdir(spool.folder)) > MOST_SPILLED:
        return "full"
    name = segment_name(spool)
    fd = posix.open(name + b".new", _OPEN | posix.O_EXCL, 0o600)
    try:
        give_to_owner(spool.home, fd, posix.fstat(fd))
        if posix.write(fd, lines) != len(lines):
            return "disk full"
    finally:
        posix.close(fd)
    posix.rename(name + b".new", name + b".0")  # the flusher never sees half of it
    if still_on():
        return "stored"
    posix.unlink(name + b".0")  # race 3
    remove_folder(spool)
    return "off"


def segment_name(spool: Spool) -> bytes:
    """Return a new path for a segment, without its offset; the names sort by time."""
    return spool.folder + b"/%020d-%d" % (time.time_ns(), posix.getpid())


def make_folder(spool: Spool) -> None:
    """Create the flusher's folder where it is missing; in root's hands it belongs to the owner of the home.

    Raises:
        OSError: it cannot be made, or something else has its name (a symbolic link would lead us out of the home).
    """
    try:
        posix.mkdir(spool.folder, 0o700)
    except FileExistsError:
        if not has_folder(spool):
            raise NotADirectoryError(20, "not a folder", spool.folder) from None
        return
    if posix.geteuid() == 0:
        owner = posix.stat(spool.home)
        posix.chown(spool.folder, owner.st_uid, owner.st_gid, follow_symlinks=False)


def has_folder(spool: Spool) -> bool:
    """Tell whether the flusher's folder is there, and no link that leads elsewhere."""
    try:
        return posix.lstat(spool.folder).st_mode & 0o170000 == 0o040000
    except OSError:
        return False


def remove_folder(spool: Spool) -> None:
    """Remove the flusher's folder if it is empty."""
    try:
        posix.rmdir(spool.folder)
    except OSError:
        pass


def set_not_before(spool: Spool, when: float) -> None:
    """Say when the next flusher may start, in seconds since 1970; 0 is at once. The folder must be there."""
    fd = posix.open(spool.not_before, _OPEN, 0o600)
    try:
        found = posix.fstat(fd)
        if found.st_nlink != 1:
            raise FileExistsError(17, "not a file of ours", spool.not_before)
        give_to_owner(spool.home, fd, found)
        posix.utime(fd, (when, when))
    finally:
        posix.close(fd)


def take_back_not_before(spool: Spool) -> None:
    """Undo `set_not_before`: the next flusher may start at once. Leaves no empty folder behind."""
    if not has_folder(spool):
        return
    try:
        posix.unlink(spool.not_before)
    except FileNotFoundError:
        pass
    remove_folder(spool)


def not_before(spool: Spool) -> float:
    """Return when the next flusher may start, in seconds since 1970; 0 where nothing says so."""
    try:
        return posix.stat(spool.not_before, follow_symlinks=False).st_mtime
    except OSError:
        return 0.0


def flusher_is_due(spool: Spool, now: float) -> bool:
    """Tell whether to start a flusher. Ask after the append (race 5)."""
    return not 0 < not_before(spool) - now <= LONGEST_WAIT
