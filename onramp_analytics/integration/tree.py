"""Read and replace the files of a checkout by descriptor. Each folder is opened once.

So a link in the place of a folder or a file is refused and never followed, even if it is created meanwhile.
"""

from __future__ import annotations

import errno
import os
import pwd
import shlex
import stat
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from onramp_analytics import files
from onramp_analytics.errors import CouldNot

LIMIT = 1 << 23  # bytes; the wheel is our largest file and has about 190 kB
NEW = b".onramp-new"  # the suffix of a file's temporary name, which no other program uses
_FOLDER = os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC
_FILE = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC


@dataclass(frozen=True, slots=True)
class Change:
    """The content of one file before and after, by its path in the checkout; None if there is no such file."""

    name: str
    before: bytes | None
    after: bytes | None


class Tree:
    """An opened checkout. Names are paths in it with at most one folder, like `make.d/analytics.mk`."""

    def __init__(self, path: Path, root: int) -> None:
        self.path = path
        self._folders = {"": root}

    def read(self, name: str) -> bytes | None:
        """Return the content of a file, or None if it does not exist.

        Raises:
            CouldNot: it is a link, not a regular file, too large, or cannot be read.
        """
        try:
            folder, leaf = self._locate(name)
            fd = os.open(leaf, _FILE, dir_fd=folder)
        except FileNotFoundError:
            return None
        except OSError as error:
            raise CouldNot(self._reason(name, error)) from None
        found = os.fstat(fd)
        if not stat.S_ISREG(found.st_mode) or found.st_size > LIMIT:
            os.close(fd)
            raise CouldNot(f"{self.path / name} is not a small regular file: move it away, then run this again")
        with open(fd, "rb") as file:
            return file.read(LIMIT)

    def text(self, name: str) -> str | None:
        """Return the content of a file as text that `encode` restores to the byte; see `read`."""
        content = self.read(name)
        return None if content is None else content.decode("utf-8", "surrogateescape")

    def exists(self, name: str) -> bool:
        """Return whether the name exists, even as a broken link."""
        try:
            folder, leaf = self._locate(name)
            os.lstat(leaf, dir_fd=folder)
        except OSError:
            return False
        return True

    def is_folder(self, name: str) -> bool:
        """Return whether the name is a folder in the root, or a link to one."""
        with suppress(OSError):
            return stat.S_ISDIR(os.stat(name, dir_fd=self._folders[""]).st_mode)
        return False

    def changes(self, wanted: Mapping[str, bytes | None]) -> list[Change]:
        """Return the changes that lead to the wanted files; None means no file."""
        found = [Change(name, self.read(name), after) for name, after in wanted.items()]
        return [change for change in found if change.before != change.after]

    def apply(self, changes: list[Change]) -> None:
        """Make all changes or none.

        Raises:
            CouldNot: a file cannot be written. The others are unchanged.
        """
        done: list[Change] = []
        try:
            for change in changes:
                done.append(change)
                self._put(change.name, change.after)
        except OSError as error:
            reason = self._reason(done[-1].name, error)
            for change in done:
                with suppress(OSError):
                    self._put(change.name, change.before)
            raise CouldNot(f"{reason}; nothing was changed") from None

    def _put(self, name: str, content: bytes | None) -> None:
        if content is None:
            self._remove(name)
            return
        folder, leaf = self._locate(name, create=True)
        mode = 0o644
        with suppress(FileNotFoundError):
            mode = os.lstat(leaf, dir_fd=folder).st_mode & 0o777
        files.replace(folder, os.fsencode(leaf), content, mode, suffix=NEW)

    def _remove(self, name: str) -> None:
        """Delete a file, and its folder if it becomes empty, since git does not track empty folders."""
        try:
            folder, leaf = self._locate(name)
        except FileNotFoundError:
            return
        files.remove(folder, os.fsencode(leaf))
        with suppress(OSError):
            files.remove(folder, os.fsencode(leaf) + NEW)  # from a killed `install`
        parent = os.path.dirname(name)
        if parent:
            with suppress(OSError):
                os.rmdir(parent, dir_fd=self._folders[""])
                os.close(self._folders.pop(parent))

    def _locate(self, name: str, *, create: bool = False) -> tuple[int, str]:
        """Return the descriptor of a file's folder, and the file's name in it."""
        parent, leaf = os.path.split(name)
        if parent not in self._folders:
            root = self._folders[""]
            if create:
                with suppress(FileExistsError):
                    os.mkdir(parent, 0o755, dir_fd=root)
            self._folders[parent] = os.open(parent, _FOLDER | os.O_NOFOLLOW, dir_fd=root)
        return self._folders[parent], leaf

    def close(self) -> None:
        """Close the folders."""
        for fd in self._folders.values():
            os.close(fd)

    def _reason(self, name: str, error: OSError) -> str:
        path = self.path / name
        parent = os.path.dirname(name)
        if parent and self._is_link(parent):
            return f"{path.parent} is a symbolic link: replace it with a folder, then run this again"
        if error.errno == errno.ELOOP:
            return f"{path} is a symbolic link: move it away, then run this again"
        return f"{path} cannot be read or written ({error.strerror}): correct that, then run this again"

    def _is_link(self, name: str) -> bool:
        with suppress(OSError):
            return stat.S_ISLNK(os.lstat(name, dir_fd=self._folders[""]).st_mode)
        return False


@contextmanager
def opened(path: Path) -> Iterator[Tree]:
    """Open a checkout.

    Raises:
        CouldNot: the folder does not exist; or we are root and it belongs to another user, who should do this.
    """
    try:
        root = os.open(path, _FOLDER)
    except OSError as error:
        raise CouldNot(f"{path} cannot be opened ({error.strerror}): use the folder of an OnRamp checkout") from None
    tree = Tree(path, root)
    try:
        owner = os.fstat(root).st_uid
        if os.geteuid() == 0 and owner != 0:
            name = user_name(owner)
            user = shlex.quote(name)  # without quotes, `#` begins a comment in a shell
            raise CouldNot(f"this checkout belongs to {name}: run sudo -u {user} onramp-analytics … instead")
        yield tree
    finally:
        tree.close()


def user_name(uid: int) -> str:
    """Return the name of a user, in the form that `sudo -u` takes."""
    try:
        return pwd.getpwuid(uid).pw_name
    except KeyError:
        return f"#{uid}"
