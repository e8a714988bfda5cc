"""`onramp.program`: a file in the root that tells make, which must start no process to find out, what to run.

Two lines: the interpreter, by its real path, and the file that make runs with it. It is written where a person opts in,
removed where a person opts out, and written anew by the program itself where make found it outdated. It holds paths of
this machine, so git ignores it, and nothing of it is ever sent. Two users of one checkout overwrite each other's;
whoever may not execute what it names falls back to the program on the PATH.
"""

from __future__ import annotations

import os
import sys
from contextlib import suppress

FILE = b"onramp.program"
_NEW = b"onramp.program.new"


def remember(root: bytes) -> None:
    """Write where this program is. Where that cannot be done, make goes on without us."""
    entry = os.path.join(os.path.dirname(os.path.dirname(os.path.abspath(__file__))), "make_entry.py")
    content = f"{sys.executable}\n{entry}\n"
    if not sys.executable or content.count("\n") != 2:
        return
    with suppress(OSError):
        _replace(root, os.fsencode(content))


def remembered(root: bytes) -> tuple[str, ...]:
    """Return the interpreter and the file that make runs; nothing where the file is missing or not ours."""
    try:
        with open(os.path.join(root, FILE), "rb") as file:
            lines = os.fsdecode(file.read(1 << 13)).splitlines()
    except OSError:
        return ()
    return tuple(lines) if len(lines) == 2 else ()


def forget(root: bytes) -> None:
    """Remove the file, and what a killed `remember` left half made.

    Raises:
        OSError: it is there and cannot be removed.
    """
    for name in (FILE, _NEW):
        with suppress(FileNotFoundError):
            os.unlink(os.path.join(root, name))


def _replace(root: bytes, content: bytes) -> None:
    path, new = os.path.join(root, FILE), os.path.join(root, _NEW)
    with suppress(OSError), open(path, "rb") as file:
        if file.read() == content:
            return
    with suppress(FileNotFoundError):
        os.unlink(new)
    fd = os.open(new, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o644)
    with open(fd, "wb") as file:
        file.write(content)
        if os.geteuid() == 0:  # `sudo make`: its owner must be able to replace it
            owner = os.stat(root)
            os.fchown(fd, owner.st_uid, owner.st_gid)
    os.replace(new, path)
