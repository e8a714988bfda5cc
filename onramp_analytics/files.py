"""Replace a file atomically, and create a private folder. The hot path loads this module only if it writes a file."""

import posix

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

NEW = b".new"  # ends the name of a temporary file; the name is fixed, so that the next writer removes it after a crash
_CREATE = posix.O_WRONLY | posix.O_CREAT | posix.O_EXCL | posix.O_CLOEXEC | posix.O_NOFOLLOW


def replace(
    folder: int,
    name: bytes,
    content: bytes,
    mode: int = 0o600,
    *,
    suffix: bytes = NEW,
    sync: bool = False,
    check: "Callable[[], bool] | None" = None,
) -> None:
    """Replace a file atomically: it has either the old content or the new content.

    Args:
        folder: a descriptor of the folder.
        name: the name of the file in that folder.
        content: the new content.
        mode: the mode of the new file.
        suffix: the end of the temporary name; a file of that name is deleted first.
        sync: whether the content and the name must survive a power cut.
        check: called just before the old file is replaced; if it returns False, the old file stays.

    Raises:
        OSError: it could not be written, or `check` returned False. The old file is unchanged.
    """
    new = name + suffix
    remove(folder, new)
    fd = posix.open(new, _CREATE, 0o600, dir_fd=folder)
    try:
        view = memoryview(content)
        while view:
            view = view[posix.write(fd, view) :]
        posix.fchmod(fd, mode)
        if sync:
            posix.fsync(fd)
        if check and not check():
            raise InterruptedError(4, "it was changed meanwhile", name)
        posix.replace(new, name, src_dir_fd=folder, dst_dir_fd=folder)
    except BaseException:
        remove(folder, new)
        raise
    finally:
        posix.close(fd)
    if sync:
        try:
            posix.fsync(folder)
        except OSError:
            pass  # some network file systems cannot sync a folder; the file itself is synced


def remove(folder: int, name: bytes) -> None:
    """Delete a file if it exists.

    Raises:
        OSError: it exists and cannot be deleted.
    """
    try:
        posix.unlink(name, dir_fd=folder)
    except FileNotFoundError:
        pass


def make_private_folder(path: bytes) -> int:
    """Create a folder and its missing parents with mode 0700, and return a descriptor of the folder.

    Args:
        path: the folder, an absolute path.

    Raises:
        OSError: a level cannot be created, or the folder belongs to another user.
    """
    missing = []
    present = path
    while True:
        try:
            posix.stat(present)
            break
        except FileNotFoundError:
            parent, _, leaf = present.rpartition(b"/")
            missing.append(leaf)
            present = parent or b"/"
    fd = posix.open(present, posix.O_RDONLY | posix.O_DIRECTORY | posix.O_CLOEXEC)
    try:
        for leaf in reversed(missing):
            try:
                posix.mkdir(leaf, 0o700, dir_fd=fd)
            except FileExistsError:
                pass  # another process was faster
            inner = posix.open(leaf, posix.O_RDONLY | posix.O_DIRECTORY | posix.O_NOFOLLOW | posix.O_CLOEXEC, dir_fd=fd)
            posix.close(fd)
            fd = inner
        if posix.fstat(fd).st_uid != posix.geteuid():
            raise PermissionError(1, "it belongs to another user", path)
    except BaseException:
        posix.close(fd)
        raise
    return fd
