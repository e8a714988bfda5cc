"""Append events to the spool, and decide whether a flusher is due. This half of the protocol is on the hot path.

    <root>/onramp.spool        pending events, one per line, append only
    <root>/onramp.spool.lock   empty; its flock guards the spool
    <root>/onramp.spool.d/     the flusher's folder; created when first needed
        <ns>-<pid>.<offset>    a segment: claimed or spilled events; those before the offset are done
        <ns>-<pid>.new         events that are being spilled
        not-before             its modification time is when the next flusher may start
        flusher.lock           its flock is held by the running flusher
        begun                  one byte for each start of a flusher; deleted when one finishes
        enabled                what was enabled at the last comparison (make_events.py)
        state.json, sent, refused      how the last run ended, what was sent, what the server refused

A file that belongs to another user is never read or written, and neither is a link. (Only the time of `not-before` is
read without a check; at worst, that delays sending by a day.) The other half of the protocol (claim, read and
acknowledge) is in `outbox/segments.py`, and the files of the last line are those of `outbox/history.py`.

These are the races, and how the code handles them:

 1. Trackers and a claim at the same time: each holds the flock of `onramp.spool.lock`, and opens the spool under it.
 2. `disable` deletes the lock file while a tracker waits for its lock: the tracker sees that the file has no link any
    more, and opens the new one.
 3. `disable` or `reset-id` runs after a tracker has checked consent and before it has the lock: the tracker checks
    consent again when it has the lock. A tracker may also be suspended while it holds the lock. `disable` then
    continues without the lock and deletes the lock file. When the tracker resumes, it sees that its lock file has no
    link any more, and deletes what it wrote. Spilling takes no lock, so the tracker checks consent again after it.
 4. A tracker is killed while it writes, and leaves half a line: the next one starts with a line break, and the reader
    skips incomplete lines.
 5. The flusher ends while a tracker appends: the flusher sets `not-before` to 0 before it looks at the spool a last
    time, and the tracker reads `not-before` after its append. So the flusher sees the event, or the tracker starts
    another flusher, or the event came later and waits for the next flusher.
 6. `reset-id` runs while a flusher logs sent events: `reset-id` ends the flushers first. If it does not find one, the
    lock helps: `reset-id` holds it while it changes the identifier and deletes the log, and the flusher while it
    compares the identifier and writes the log. So nothing about the old identifier is left.
 7. The lock file is deleted by hand while a tracker or a claim holds it, and another process locks a new one: if the
    lock file of a tracker has no link after the write, the spool may have been claimed and read meanwhile. So the
    tracker appends the same events again, since a repeat is better than a loss. If the lock file of a claim has no link
    after the rename, the claim waits for the new lock once. After that, no process writes to the segment any more.
"""

import fcntl
import posix
import time

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Literal

    from onramp_analytics.consent import Change

    Outcome = Literal["stored", "off", "full", "foreign", "disk full"]

CAP = 5 << 20  # bytes; about 14,000 events
LOCK_WAIT = 0.05  # seconds; see docs/decisions/lock.md
FIRST_PAUSE, LONGEST_PAUSE = 0.002, 0.005  # seconds between two tries; see docs/decisions/lock.md
MOST_SPILLED = 1000  # files
LONGEST_WAIT = 86_400  # seconds; `not-before` is never further ahead, unless the clock jumped, and then it is ignored

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

    def append(self, lines: bytes, changed: "Callable[[], Change]") -> "Outcome":
        """Add whole lines to the spool.

        Args:
            lines: one event per line, each with a line break.
            changed: returns what happened to the consent since it was checked.

        Returns:
            "stored"; "off" (consent was withdrawn meanwhile, or the identifier replaced); "full" (the spool is at its
            cap, or 1,000 files are spilled); "foreign" (the spool is not a regular file of this user); "disk full".

        Raises:
            OSError: a file cannot be used. Nothing was stored.
        """
        lock = self.take_lock()
        if lock < 0:
            return self._spill(lines, changed)
        try:
            change = changed()
            if change == "withdrawn":
                posix.unlink(self.lock)  # race 3: `disable` deleted it, and we created it again
            if change:
                return "off"
            outcome = self.write(lines)
            if posix.fstat(lock).st_nlink:
                return outcome
            change = changed()
            if change == "withdrawn":
                posix.unlink(self.file)  # race 3: `disable` did not wait for a stopped process
            if change:  # if the identifier was replaced, the file stays: it may hold new events; the flusher drops ours
                return "off"
        finally:
            posix.close(lock)
        return self.append(lines, changed)  # race 7

    def take_lock(self, wait: float = LOCK_WAIT) -> int:
        """Return a descriptor that holds the spool's lock until it is closed; -1 if it is busy for `wait` seconds.

        Raises:
            OSError: the lock file cannot be opened, or belongs to another user.
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
                        now = time.monotonic()  # measured, since a sleep takes longer on a busy machine
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
        """Add whole lines to the spool, as `append` does. The caller must hold the lock."""
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

    def _spill(self, lines: bytes, changed: "Callable[[], Change]") -> "Outcome":
        """Write the events into a segment of their own, since the lock is busy; its holder may be stopped."""
        if changed():
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
            posix.rename(name + b".new", name + b".0", src_dir_fd=folder, dst_dir_fd=folder)  # atomic
            if not changed():
                return "stored"
            posix.unlink(name + b".0", dir_fd=folder)  # race 3
        finally:
            posix.close(folder)
        self.remove_folder()
        return "off"

    def make_folder(self) -> int:
        """Create the flusher's folder if it is missing, and return a descriptor of it.

        Raises:
            OSError: it cannot be created, or is not a folder of this user.
        """
        try:
            posix.mkdir(self.folder, 0o700)
        except FileExistsError:
            pass
        return self.open_folder()

    def open_folder(self) -> int:
        """Return a descriptor of the flusher's folder.

        Raises:
            OSError: it is missing, or is not a folder of this user.
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

    def set_not_before(self, when: float) -> None:
        """Set when the next flusher may start, in seconds since 1970; 0 means now. The folder must exist.

        Raises:
            OSError: the file cannot be written, or is not a regular file of this user.
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

    def clear_not_before(self) -> None:
        """Delete `not-before`, and the folder if it is then empty."""
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
        """Return when the next flusher may start, in seconds since 1970; 0 if no time is set."""
        try:
            return posix.stat(self.stamp, follow_symlinks=False).st_mtime
        except OSError:
            return 0.0

    def flusher_is_due(self, now: float) -> bool:
        """Return whether to start a flusher. Call it after the append (race 5)."""
        return not 0 < self.not_before() - now <= LONGEST_WAIT


def is_ours(found: "posix.stat_result") -> bool:
    """Return whether a file belongs to this user."""
    return found.st_uid == posix.geteuid()


def segment_name() -> bytes:
    """Return a new name for a segment, without the offset. Names sort by time."""
    return b"%020d-%d" % (time.time_ns(), posix.getpid())
