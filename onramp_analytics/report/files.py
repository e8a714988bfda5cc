"""Write the files of a page, each atomically."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path

from onramp_analytics.errors import CouldNot
from onramp_analytics.files import replace


def write_all(folder: Path, files: Mapping[str, str], mode: int = 0o600) -> None:
    """Write files into a folder in the given order, never through a link.

    Args:
        folder: an existing folder.
        files: path below the folder -> content. Its parent folder exists.
        mode: the permissions of the files.

    Raises:
        CouldNot: a file cannot be written. Those before it are written.
    """
    for name, content in files.items():
        path = folder / name
        if path.is_dir():
            raise CouldNot(f"{path} is a folder: choose a file")
        try:
            _write(path, content.encode(), mode)
        except OSError as error:
            raise CouldNot(f"{path} cannot be written ({error.strerror}): choose another file") from None


def _write(path: Path, content: bytes, mode: int) -> None:
    folder = os.open(path.parent, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        replace(folder, os.fsencode(path.name), content, mode)
    finally:
        os.close(folder)
