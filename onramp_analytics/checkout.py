"""Find the OnRamp checkout and read its small files, never blocked by a FIFO, and through a link only if asked to.

A file is read again only if `stat` shows a change in its device, inode, mode, size or times. The kernel updates a
file's change time (ctime) at each write, rename, link, chown, chmod and utime, and no program can set it. So the same
ctime means the same content, except in four cases. In each of them the file is read every time:

 1. Two writes within one tick of the kernel's clock have the same ctime. The content is kept only if it was read at
    least `SETTLED` after the last change.
 2. File systems with times in whole seconds (FAT, ext3, some servers) leave the fraction at zero, and FAT has no ctime
    at all. A time without a fraction of a millisecond is not trusted.
 3. Network and FUSE file systems answer `stat` from a cache that may be seconds old, and only `open` contacts the
    server. They have no block device, so their major device number is 0. The same is true of btrfs, overlay and tmpfs,
    where reading each time is slower but correct.
 4. The clock was set back, so the file seems to have changed in the future.
"""

import posix
import time

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping

    Seen = tuple[int, ...]

VARIABLE = b"ONRAMP_ROOT"
LOCK_FILE = b"onramp.lock"
#: The names that OnRamp publishes: `service NAME`, `service NAME scaffold`, `override NAME` or `command NAME` per line.
NAMES = b"make.d/analytics.names"
NAMES_LIMIT = 1 << 16  # bytes; the 500 names of OnRamp take 12 KiB
LIMIT = 1 << 16  # bytes of any other small file; a larger one is damaged

SETTLED = 2_000_000_000  # nanoseconds; a tick is 10 ms at most, and the margin only makes calls slower for two seconds
MOST = 16  # files; `record` reads five, and a process that visits many checkouts must not keep them all in memory

_READ = posix.O_RDONLY | posix.O_CLOEXEC | posix.O_NONBLOCK
REGULAR, KIND = 0o100000, 0o170000
_kept: "dict[tuple[bytes, bool], tuple[Seen, bytes]]" = {}


def find(named: "bytes | None", environ: "Mapping[bytes, bytes]") -> "bytes | None":
    """Return the absolute path of the OnRamp checkout, or None if there is none.

    Args:
        named: the value of `--root`, or None.
        environ: the environment; `ONRAMP_ROOT` takes precedence over the working directory.

    Returns:
        The named folder, even if it does not exist. Otherwise the first folder, from the working directory upward, that
        holds an `onramp.lock`, or both a `Makefile` and `services-available/`.
    """
    named = named or environ.get(VARIABLE)
    if named and named.startswith(b"/"):
        return named
    try:
        folder = posix.getcwdb()
    except OSError:  # the working directory was deleted
        return None
    if named:
        return folder + b"/" + named
    while not is_checkout(folder):
        if folder in (b"/", b""):
            return None
        folder = folder[: folder.rindex(b"/")] or b"/"
    return folder


def is_checkout(folder: bytes) -> bool:
    """Return whether a folder is the root of an OnRamp checkout."""
    base = folder.rstrip(b"/") + b"/"
    return _exists(base + LOCK_FILE) or (_exists(base + b"Makefile") and _exists(base + b"services-available"))


def _exists(path: bytes) -> bool:
    try:
        posix.stat(path)
    except OSError:
        return False
    return True


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
        if kept[0] == _seen(found) and (owner is None or owner == found.st_uid) and found.st_size <= limit:
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
    """Return whether `stat` will show every later change of a file: none of the four cases above applies.

    Args:
        found: what `fstat` returned before the file was read.
        now: the time after `fstat` and before the file was read, in nanoseconds since 1970.
    """
    is_local = bool(posix.major(found.st_dev))
    is_fine = bool(found.st_ctime_ns % 1_000_000 and found.st_mtime_ns % 1_000_000)
    return is_local and is_fine and found.st_ctime_ns + SETTLED <= now


def _seen(found: "posix.stat_result") -> "Seen":
    return found.st_dev, found.st_ino, found.st_mode, found.st_size, found.st_mtime_ns, found.st_ctime_ns


def _check(found: "posix.stat_result", path: bytes, owner: "int | None", limit: int) -> None:
    if found.st_mode & KIND != REGULAR or found.st_size > limit:
        raise OSError(22, "not a small regular file", path)
    if owner is not None and found.st_uid != owner:
        raise PermissionError(1, "it belongs to another user", path)


def published(root: bytes) -> bytes:
    """Return the names that OnRamp publishes, in the form that `Property.clean` searches.

    Args:
        root: the folder of the checkout.

    Returns:
        The lines of the file, with a line break before the first; empty if there is no readable file, and then every
        name is replaced.
    """
    try:
        names = read(root + b"/" + NAMES, limit=NAMES_LIMIT)
    except OSError:
        return b""
    return b"\n" + names[: names.rfind(b"\n") + 1]  # a last line without a line break may be a part of a longer name
