"""`onramp.lock`: `KEY=value` lines, of which only those with our keys are ours.

Reading is on the hot path. Writing is rare: whoever writes holds the spool's lock, so that two writers do not undo each
other, and nobody else needs a lock, since the file is replaced in one step.
"""

import posix

from onramp_analytics.checkout import LOCK_FILE

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping

ENABLED = b"ANALYTICS_ENABLED"
ID = b"ANALYTICS_ID"
NOTICE_SHOWN = b"ANALYTICS_NOTICE_SHOWN"
KEYS = (ENABLED, ID, NOTICE_SHOWN)

LIMIT = 1 << 16  # bytes; a lock file has a few lines, and a larger one is damaged
_NEW = b"/onramp.lock.new"  # one fixed name, so that a crash leaves one file at most and the next writer takes it away
_READ = posix.O_RDONLY | posix.O_CLOEXEC | posix.O_NOFOLLOW | posix.O_NONBLOCK  # a FIFO must not hold us


def read(root: bytes) -> "bytes | None":
    """Return the content of `onramp.lock`, or None where it is missing, unreadable, a link, or too large."""
    try:
        fd = posix.open(root + b"/" + LOCK_FILE, _READ)
    except OSError:
        return None
    try:
        content = posix.read(fd, LIMIT + 1)
    except OSError:
        return None
    finally:
        posix.close(fd)
    return content if len(content) <= LIMIT else None


def parse(content: "bytes | None") -> dict[bytes, bytes]:
    """Return our keys and their values. Of a key that is there twice the last one counts, as in make and shells.

    A content with a NUL byte is damaged (a power cut leaves such files), and nothing in it counts.
    """
    if content is None or b"\0" in content:
        return {}
    found = {}
    for line in content.split(b"\n"):
        key, equals, value = line.partition(b"=")
        if key in KEYS and equals:
            found[key] = value
    return found


def updated(content: bytes, changes: "Mapping[bytes, bytes | None]") -> bytes:
    """Return `content` with our keys set as `changes` says (None removes a key), and every line of others as it was.

    A key that is there keeps its place; repeats of it, and lines with NUL bytes, go.
    """
    left = {key: value for key, value in changes.items() if value is not None}
    lines = []
    for line in content.split(b"\n"):
        key = line.partition(b"=")[0]
        if key in left:
            lines.append(key + b"=" + left.pop(key))
        elif key not in changes and b"\0" not in line:
            lines.append(line)
    if lines and not lines[-1]:
        lines.pop()  # what stands behind the last line break is no line
    lines += [key + b"=" + value for key, value in left.items()]
    return b"".join(line + b"\n" for line in lines)


def change(root: bytes, changes: "Mapping[bytes, bytes | None]") -> None:
    """Set keys of ours in `onramp.lock`, whole or not at all, also through a power cut. Hold the spool's lock.

    The file keeps its mode and, where we are root, its owner; a new one gets 0644, since make and shells read it, and
    the owner of its folder.

    Raises:
        OSError: it could not be written, or what is there is no readable text file of a sane size. Nothing has changed.
    """
    path, mode, like = root + b"/" + LOCK_FILE, 0o644, posix.stat(root)
    content = read(root)
    try:
        old = posix.lstat(path)
    except FileNotFoundError:
        content = b""
    else:
        mode, like = old.st_mode & 0o7777, old
        if content is None or old.st_mode & 0o170000 != 0o100000:
            raise FileExistsError("onramp.lock is not a readable text file; move it away")
    new = updated(content or b"", changes)
    if new != content:
        _replace(root, content, new, mode, like)


def forget(root: bytes) -> bool:
    """Remove our lines from `onramp.lock`, and the file if it has no others. Analytics are off before.

    Returns:
        Whether there were any.

    Raises:
        OSError: it could not be written. Nothing has changed then.
    """
    before = read(root)
    if before is None:
        return False
    change(root, dict.fromkeys(KEYS))
    after = read(root)
    if after == b"":
        posix.unlink(root + b"/" + LOCK_FILE)
    return after != before


def sweep(root: bytes) -> None:
    """Delete what a writer that was killed left half made. Hold the spool's lock."""
    try:
        posix.unlink(root + _NEW)
    except FileNotFoundError:
        pass


def _replace(root: bytes, old: "bytes | None", content: bytes, mode: int, like: "posix.stat_result") -> None:
    path, new = root + b"/" + LOCK_FILE, root + _NEW
    sweep(root)
    fd = posix.open(new, posix.O_WRONLY | posix.O_CREAT | posix.O_EXCL | posix.O_CLOEXEC | posix.O_NOFOLLOW, 0o600)
    try:
        if posix.geteuid() == 0:
            posix.fchown(fd, like.st_uid, like.st_gid)
        posix.fchmod(fd, mode)
        if posix.write(fd, content) != len(content):
            raise OSError("the disk is full")
        posix.fsync(fd)
        if (read(root) or b"") != old:  # we were stopped, and `disable` went on without us: its word holds
            raise InterruptedError(4, "it was changed meanwhile", path)
        posix.replace(new, path)
    except BaseException:
        sweep(root)
        raise
    finally:
        posix.close(fd)
    _sync_folder(root)


def _sync_folder(folder: bytes) -> None:
    fd = posix.open(folder, posix.O_RDONLY | posix.O_CLOEXEC)
    try:
        posix.fsync(fd)
    except OSError:
        pass  # some network file systems cannot; the file itself is synced
    finally:
        posix.close(fd)
