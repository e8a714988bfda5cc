"""Write, read and remove `onramp.program`, from which make learns what to run without starting a process.

It has two lines: the real path of the interpreter, and the script that make runs with it. `enable` writes it, `disable`
removes it, and the program rewrites it if make found it outdated. It holds paths of this machine, so git ignores it and
it is never sent. It counts only if it belongs to this user.
"""

from __future__ import annotations

import os
import sys
from contextlib import suppress

from onramp_analytics import checkout, files

FILE = b"onramp.program"


def remember(root: bytes) -> None:
    """Write the paths of this program. If they cannot be written, make runs without analytics."""
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
    """Return the interpreter and the script; nothing if the file is missing or not ours."""
    try:
        lines = os.fsdecode(checkout.read(os.path.join(root, FILE), owner=os.geteuid())).splitlines()
    except OSError:
        return ()
    return tuple(lines) if len(lines) == 2 else ()


def forget(root: bytes) -> None:
    """Remove the file, and the incomplete file of a killed `remember`.

    Raises:
        OSError: it exists and cannot be removed.
    """
    for name in (FILE, FILE + files.NEW):
        with suppress(FileNotFoundError):
            os.unlink(os.path.join(root, name))
