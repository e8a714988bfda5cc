"""Read small files, each only as often as it changes.

`read(path)` returns what opening and reading the file now would return. A file that was read before, and of which
`stat` shows the same device, inode, mode, owner, size and times, is not opened again: one system call in place of four.

The kernel stores a file's change time (ctime) at each write, rename, link, chmod and utime, and no program can set it.
So the same ctime means the same content, apart from four cases. In each of them the file is read every time:

 1. Two writes within one tick of the kernel's clock have the same ctime. A content is kept only if it was read at
    least `SETTLED` after the last change.
 2. File systems with times in whole seconds (FAT, ext3, some servers) leave the fraction at zero, and FAT does not even
    have a ctime. A time without a fraction of a millisecond is not believed.
 3. Network and FUSE file systems answer `stat` from a cache that may be seconds old, and only `open` contacts the
    server. They have no block device, so their major device number is 0. Neither has btrfs, overlay or tmpfs: slower,
    never wrong.
 4. The clock was set back, and the file seems to have changed in the future.
"""

import posix
import time

TYPE_CHECKING = False
if TYPE_CHECKING:
    Seen = tuple[int, ...]

LIMIT = 1 << 16  # bytes
SETTLED = 2_000_000_000  # nanoseconds; a tick is 10 ms at most, and a margin costs two seconds of slower calls
MOST = 16  # files; a caller reads five, and who walks through many checkouts must not keep them all

_REGULAR, _KIND = 0o100000, 0o170000
_READ = posix.O_RDONLY | posix.O_CLOEXEC | posix.O_NONBLOCK  # a FIFO must not block us
_kept: "dict[tuple[bytes, bool], tuple[Seen, bytes]]" = {}


def read(path: bytes, *, owner: "int | None" = None, follow: bool = False, limit: int = LIMIT) -> bytes:
    """Return the content of a small regular file.

    Args:
        path: the file, absolute.
        owner: the user id that must own the file; None accepts any owner.
        follow: whether a symbolic link is followed.
        limit: the largest size in bytes.

    Raises:
        OSError: the file is missing, not a regular file, too large, another user's, or cannot be read.
    """
    kept = _kept.get((path, follow))
    if kept:
        found = posix.stat(path, follow_symlinks=follow)
        if kept[0] == _seen(found):
            _check(found, path, owner, limit)
            return kept[1]
    fd = posix.open(path, _READ if follow else _READ | posix.O_NOFOLLOW)
    try:
        found = posix.fstat(fd)
        _check(found, path, owner, limit)
        now = time.time_ns()
        content = posix.read(fd, limit)
    finally:
        posix.close(fd)
    if is_settled(found, now):
        if len(_kept) >= MOST:
            _kept.clear()
        _kept[path, follow] = _seen(found), content  # one step, so threads need no lock
    return content


def is_settled(found: "posix.stat_result", now: int) -> bool:
    """Return whether every later change of a file will show in its `stat` (the four cases above).

    Args:
        found: what `fstat` returned before the file was read.
        now: the time between that and the reading, in nanoseconds since 1970.
    """
    is_local = bool(posix.major(found.st_dev))
    is_fine = bool(found.st_ctime_ns % 1_000_000 and found.st_mtime_ns % 1_000_000)
    return is_local and is_fine and found.st_ctime_ns + SETTLED <= now


def _seen(found: "posix.stat_result") -> "Seen":
    return (*found[:6], found.st_size, found.st_mtime_ns, found.st_ctime_ns)  # mode, inode, device, links, uid, gid


def _check(found: "posix.stat_result", path: bytes, owner: "int | None", limit: int) -> None:
    if found.st_mode & _KIND != _REGULAR or found.st_size > limit:
        raise OSError(22, "not a small regular file", path)
    if owner is not None and found.st_uid != owner:
        raise PermissionError(1, "it belongs to another user", path)
