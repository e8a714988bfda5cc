"""`onramp.program`: a file in the root that tells make, which must start no process to find out, what to run.

Two lines: the interpreter, by its real path, and the file that make runs with it. It is written when a person opts in,
removed when a person opts out, and rewritten by the program itself when make found it outdated. It holds paths of this
machine: git ignores it, and nothing of it is ever sent. It counts only if it is this user's own.
"""

from __future__ import annotations

import os
import sys
from contextlib import suppress

from onramp_analytics import checkout, files

FILE = b"onramp.program"


def remember(root: bytes) -> None:
    """Write where this program is. If that cannot be done, make goes on without us."""
    entry = os.path.join(os.path.dirname(os.path.dirname(os.path.abspath(__file__))), "make_entry.py")
    content = f"{sys.executable}\n{entry}\n"
    if not sys.executable or content.count("\n") != 2 or remembered(root) == (sys.executable, entry):
        return
    with suppress(OSError):
        folder = os.open(root, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            files.replace(folder, FILE, os.fsencode(content))
        finally:
            os.close(folder)


def remembered(root: bytes) -> tuple[str, ...]:
    """Return the interpreter and the file that make runs; nothing if the file is missing or not ours."""
    try:
        lines = os.fsdecode(checkout.read(os.path.join(root, FILE), owner=os.geteuid())).splitlines()
    except OSError:
        return ()
    return tuple(lines) if len(lines) == 2 else ()


def forget(root: bytes) -> None:
    """Remove the file, and what a killed `remember` left half written.

    Raises:
        OSError: it is there and cannot be removed.
    """
    for name in (FILE, FILE + files.NEW):
        with suppress(FileNotFoundError):
            os.unlink(os.path.join(root, name))
