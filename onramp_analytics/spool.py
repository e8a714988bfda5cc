"""The spool on the hot path: append a line, and tell whether a flusher is due.

    <root>/onramp.spool        pending events, one per line, append only
    <root>/onramp.spool.lock   empty; its flock guards the spool
    <root>/onramp.spool.d/     the flusher's; created by whoever needs it first
        <ns>-<pid>.<offset>    a segment: claimed or spilled events; what is before the offset is done
        <ns>-<pid>.new         an event that is being spilled
        not-before             its modification time says when the next flusher may start
        flusher.lock           its flock is held by the one flusher
        enabled                what was enabled when last compared (make_events.py)
        state.json, sent, refused      how the last run ended, what was sent, what the server refused

A file that belongs to another user is not ours, and neither is a link in its place. The other half of the protocol,
claim, read and acknowledge, is in `outbox/segments.py`; `outbox/history.py` has the last line.

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
 6. `reset-id` while the flusher logs what was sent: both hold the lock, the one while it changes the identifier and
    deletes the log, the other while it looks at the identifier and writes. Either nothing of the old one is written
    any more, or it is deleted.
 7. The lock file is deleted by hand while a tracker or a claim holds it, so that another process takes the lock of a
    new one: a tracker whose lock has no link after its write appends again, and a claim whose lock has none waits for
    the new lock before it reads.
"""

import fcntl
import posix
import time

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Literal

    Outcome = Literal["stored", "off", "full", "foreign", "disk full", "busy"]

CAP = 5 << 20  # bytes; some 12,000 events
LOCK_WAIT = 0.05  # seconds; with 16 writers at once the slowest waited 7 ms
FIRST_PAUSE, LONGEST_PAUSE = 0.002, 0.005  # seconds between two tries; see docs/decisions/lock.md
MOST_SPILLED = 1000  # files
LONGEST_WAIT = 86_400  # seconds; no pause is longer, so a time further ahead is a clock that jumped

OPEN = posix.O_RDWR | posix.O_CREAT | posix.O_CLOEXEC | posix.O_NOFOLLOW | posix.O_NONBLOCK
_FOLDER = posix.O_RDONLY | posix.O_DIRECTORY | posix.O_CLOEXEC | posix.O_NOFOLLOW
STAMP = b"not-before"


class Spool:
    """The spool of a checkout. Creating the object touches no file."""

    __slots__ = ("file", "folder", "lock", "root", "stamp")

    def __init__(self, root: bytes) -> None:
        self.root = root
        self.file = root + b"/onramp.spool"
        self.lock = root + b"/onramp.spool.lock"
        self.folder = root + b"/onramp.spool.d"
        self.stamp = self.folder + b"/" + STAMP

    def append(self, lines: bytes, still_on: "Callable[[], bool]") -> "Outcome":
        """Add whole lines to the spool.

        Args:
            lines: one event per line, each with its line break.
            still_on: checks consent; called under the lock.

        Returns:
            "stored"; "off" (consent was withdrawn meanwhile); "full" (the spool is at its cap, or 1,000 events are
            spilled); "foreign" (something else, or another user's file, is in the place of the spool); "disk full".

        Raises:
            OSError: the machine is in the way. Nothing was stored then.
        """
        lock = self.take_lock()
        if lock < 0:
            return self._spill(lines, still_on)
        try:
            if not still_on():
                posix.unlink(self.lock)  # race 3: `disable` has deleted everything, and we created this one again
                return "off"
            outcome = self.write(lines)
            if posix.fstat(lock).st_nlink:
                return outcome
            if not still_on():
                posix.unlink(self.file)  # race 3: we were stopped under the lock, and `disable` went on without it
                return "off"
        finally:
            posix.close(lock)
        return self.append(lines, still_on)  # race 7

    def take_lock(self, wait: float = LOCK_WAIT) -> int:
        """Return a descriptor that holds the spool's lock until it is closed; -1 if it stays busy for `wait` seconds.

        Raises:
            OSError: the lock file cannot be opened, or is another user's.
        """
        pause, deadline = FIRST_PAUSE, 0.0
        while True:
            fd = posix.open(self.lock, OPEN, 0o600)
            try:
                while True:
                    try:
                        fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
                        break
                    except BlockingIOError:
                        now = time.monotonic()  # measured, not added up: on a busy machine a sleep takes longer
                        deadline = deadline or now + wait
                        if now >= deadline:
                            posix.close(fd)
                            return -1
                        time.sleep(min(pause, deadline - now))
                        pause = min(2 * pause, LONGEST_PAUSE)
                found = posix.fstat(fd)
                if not is_ours(found):
                    raise PermissionError(1, "it belongs to another user", self.lock)
            except BaseException:
                posix.close(fd)
                raise
            if found.st_nlink:
                return fd
            posix.close(fd)  # race 2

    def write(self, lines: bytes) -> "Outcome":
        """Add whole lines to the spool, as `append` does. Hold the lock."""
        fd = posix.open(self.file, OPEN | posix.O_APPEND, 0o600)
        try:
            found = posix.fstat(fd)
            if found.st_mode & 0o170000 != 0o100000 or found.st_nlink != 1 or not is_ours(found):
                return "foreign"
            size = found.st_size
            if size + len(lines) > CAP:
                return "full"
            if size and posix.pread(fd, 1, size - 1) != b"\n":
                lines = b"\n" + lines  # race 4
            if posix.write(fd, lines) != len(lines):
                posix.ftruncate(fd, size)
                return "disk full"
            return "stored"
        finally:
            posix.close(fd)

    def _spill(self, lines: bytes, still_on: "Callable[[], bool]") -> "Outcome":
        """The lock is busy (its holder may be stopped): put the event into a segment of its own."""
        if not still_on():
            return "off"
        folder = self.make_folder()
        try:
            if len(posix.listdir(folder)) > MOST_SPILLED:
                return "full"
            name = segment_name()
            fd = posix.open(name + b".new", OPEN | posix.O_EXCL, 0o600, dir_fd=folder)
            try:
                if posix.write(fd, lines) != len(lines):
                    return "disk full"
            finally:
                posix.close(fd)
            posix.rename(name + b".new", name + b".0", src_dir_fd=folder, dst_dir_fd=folder)  # never half of it
            if still_on():
                return "stored"
            posix.unlink(name + b".0", dir_fd=folder)  # race 3
        finally:
            posix.close(folder)
        self.remove_folder()
        return "off"

    def make_folder(self) -> int:
        """Create the flusher's folder if it is missing, and return a descriptor of it.

        Raises:
            OSError: it cannot be created, or a link, a file or a folder of another user's is in its place.
        """
        try:
            posix.mkdir(self.folder, 0o700)
        except FileExistsError:
            pass
        return self.open_folder()

    def open_folder(self) -> int:
        """Return a descriptor of the flusher's folder.

        Raises:
            OSError: it is missing, or a link, a file or a folder of another user's is in its place.
        """
        fd = posix.open(self.folder, _FOLDER)
        if is_ours(posix.fstat(fd)):
            return fd
        posix.close(fd)
        raise PermissionError(1, "it belongs to another user", self.folder)

    def remove_folder(self) -> None:
        """Remove the flusher's folder if it is empty."""
        try:
            posix.rmdir(self.folder)
        except OSError:
            pass

    def hold_back(self, when: float) -> None:
        """Set when the next flusher may start, in seconds since 1970; 0 is at once. The folder must exist.

        Raises:
            OSError: it cannot be written, or something else is in its place.
        """
        folder = self.open_folder()
        try:
            fd = posix.open(STAMP, OPEN, 0o600, dir_fd=folder)
            try:
                found = posix.fstat(fd)
                if found.st_nlink != 1 or not is_ours(found):
                    raise FileExistsError(17, "not a file of ours", self.stamp)
                posix.utime(fd, (when, when))
            finally:
                posix.close(fd)
        finally:
            posix.close(folder)

    def release(self) -> None:
        """Undo `hold_back`: the next flusher may start at once. Leaves no empty folder behind."""
        try:
            folder = self.open_folder()
        except OSError:
            return
        try:
            posix.unlink(STAMP, dir_fd=folder)
        except FileNotFoundError:
            pass
        finally:
            posix.close(folder)
        self.remove_folder()

    def not_before(self) -> float:
        """Return when the next flusher may start, in seconds since 1970; 0 if nothing says so."""
        try:
            return posix.stat(self.stamp, follow_symlinks=False).st_mtime
        except OSError:
            return 0.0

    def flusher_is_due(self, now: float) -> bool:
        """Return whether to start a flusher. Ask after the append (race 5)."""
        return not 0 < self.not_before() - now <= LONGEST_WAIT


def is_ours(found: "posix.stat_result") -> bool:
    """Return whether a file is this user's own."""
    return found.st_uid == posix.geteuid()


def segment_name() -> bytes:
    """Return a new name for a segment, without its offset; the names sort by time."""
    return b"%020d-%d" % (time.time_ns(), posix.getpid())
