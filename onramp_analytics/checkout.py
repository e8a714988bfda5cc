"""Where the OnRamp checkout is, and how its small files are read: never through a link, never blocked by a FIFO."""

import posix

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping

VARIABLE = b"ONRAMP_ROOT"
LOCK_FILE = b"onramp.lock"
#: The names that OnRamp publishes: `service NAME`, `service NAME scaffold`, `override NAME` or `command NAME` per line.
NAMES = b"make.d/analytics.names"
NAMES_LIMIT = 1 << 16  # bytes; the 500 names of OnRamp take 12 KiB
LIMIT = 1 << 16  # bytes of every other small file; a larger one is damaged

_READ = posix.O_RDONLY | posix.O_CLOEXEC | posix.O_NONBLOCK
REGULAR, KIND = 0o100000, 0o170000


def find(named: "bytes | None", environ: "Mapping[bytes, bytes]") -> "bytes | None":
    """Return the absolute path of the OnRamp checkout, or None if there is none.

    Args:
        named: the value of `--root`, or None.
        environ: the environment; `ONRAMP_ROOT` takes precedence over the working directory.

    Returns:
        A named folder as it is, whether it exists or not. Otherwise the first folder, from the working directory up,
        that holds an `onramp.lock`, or both a `Makefile` and `services-available/`.
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
        path: the file.
        owner: the user id that must own the file; None accepts any owner.
        follow: whether a symbolic link is followed.
        limit: the largest size in bytes.

    Raises:
        OSError: the file is missing, not a regular file, too large, another user's, or cannot be read.
    """
    fd = posix.open(path, _READ if follow else _READ | posix.O_NOFOLLOW)
    try:
        found = posix.fstat(fd)
        if found.st_mode & KIND != REGULAR or found.st_size > limit:
            raise OSError(22, "not a small regular file", path)
        if owner is not None and found.st_uid != owner:
            raise PermissionError(1, "it belongs to another user", path)
        return posix.read(fd, limit)
    finally:
        posix.close(fd)


def published(root: bytes) -> bytes:
    """Return the names that OnRamp publishes, as one block that `Property.clean` searches.

    Args:
        root: the folder of the checkout.

    Returns:
        The lines of the file between line breaks; empty if there is no readable file, and then every name is replaced.
    """
    try:
        names = read(root + b"/" + NAMES, limit=NAMES_LIMIT)
    except OSError:
        return b""
    return b"\n" + names[: names.rfind(b"\n") + 1]  # a last line without an end may be cut into a user-defined name
