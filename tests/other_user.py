"""Run code as another user, with a copy of the package that this user can read.

The clone or the interpreter may be in a folder that only its owner can enter (root's home, `mktemp -d`).
"""

from __future__ import annotations

import atexit
import re
import shutil
import sys
import sysconfig
import tempfile
from dataclasses import dataclass
from functools import cache
from importlib import metadata
from pathlib import Path

REPOSITORY = Path(__file__).parent.parent
NAME = re.compile(r"[\w.-]+")  # of a distribution, at the beginning of a requirement
NOT_NEEDED = ("site-packages", "dist-packages", "test", "tests", "idlelib", "tkinter", "ensurepip", "config-*")


@dataclass(frozen=True)
class Copy:
    """A Python that every user can start, and the folder from which it imports the package, its needs and the tests."""

    python: str
    packages: str
    libraries: str

    def command(self, code: str, *arguments: str) -> list[str]:
        """Return the command that runs some code there."""
        return [self.python, "-I", "-c", f"import sys; sys.path.insert(0, {self.packages!r}); {code}", *arguments]

    def environment(self) -> dict[str, str]:
        """Return the variables that the command needs."""
        return {"LD_LIBRARY_PATH": self.libraries} if self.libraries else {}


@cache
def copy() -> Copy:
    """Make the copy, once for this process; it is deleted when the process ends."""
    folder = Path(tempfile.mkdtemp(prefix="onramp-copy-"))
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    folder.chmod(0o755)
    packages = folder / "packages"
    for distribution in _needed("onramp-analytics", {}).values():
        _copy_distribution(distribution, packages)
    for name in ("onramp_analytics", "tests"):
        shutil.copytree(REPOSITORY / name, packages / name)
    _open_to_all(folder)
    python, standard = Path(getattr(sys, "_base_executable", sys.executable)).resolve(), sysconfig.get_path("stdlib")
    if all(map(_is_open_to_all, (python, Path(standard)))):
        return Copy(str(python), str(packages), "")
    return Copy(str(_copy_python(python, Path(standard), folder)), str(packages), str(folder / "lib"))


def _needed(name: str, found: dict[str, metadata.Distribution]) -> dict[str, metadata.Distribution]:
    """Add to what was found all distributions that one needs, without the one itself, which is editable."""
    for requirement in metadata.requires(name) or ():
        wanted = NAME.match(requirement)
        if not wanted or wanted[0] in found or "extra ==" in requirement:
            continue
        try:
            found[wanted[0]] = metadata.distribution(wanted[0])
        except metadata.PackageNotFoundError:
            continue  # it is needed on other systems or other Pythons
        _needed(wanted[0], found)
    return found


def _copy_distribution(distribution: metadata.Distribution, packages: Path) -> None:
    for file in distribution.files or ():
        if ".." not in file.parts and (source := Path(str(distribution.locate_file(file)))).is_file():
            target = packages / file
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(source, target)  # with its time, by which byte-code is found valid


def _copy_python(python: Path, standard: Path, folder: Path) -> Path:
    """Copy the interpreter and the standard library to where one finds the other."""
    (folder / "bin").mkdir()
    shutil.copytree(standard, folder / "lib" / standard.name, ignore=shutil.ignore_patterns(*NOT_NEEDED))
    library = standard.parent / str(sysconfig.get_config_var("INSTSONAME"))
    if library.is_file():
        shutil.copy(library, folder / "lib")
    _open_to_all(folder / "lib")
    return Path(shutil.copy(python, folder / "bin"))


def _open_to_all(folder: Path) -> None:
    """Make it readable for all users, regardless of the umask."""
    for path in (folder, *folder.rglob("*")):
        path.chmod(path.stat().st_mode | (0o055 if path.is_dir() else 0o044))


def _is_open_to_all(path: Path) -> bool:
    return all(parent.stat().st_mode & 0o001 for parent in (path, *path.parents))
