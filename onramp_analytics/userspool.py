"""The spool of a user who may not write in the checkout: a folder of the user's own, one for each checkout."""

from __future__ import annotations

import errno
import hashlib
import os
import sys
from pathlib import Path

if "site" not in sys.modules:  # the make integration starts the interpreter without it; we need the installed packages
    import site

    site.main()

import platformdirs

from onramp_analytics.spool import Spool


def home(root: bytes) -> Path:
    """Return the folder that holds this user's spool for the checkout at `root`. Creates nothing.

    Raises:
        OSError: this user has no home.
    """
    name = hashlib.sha256(os.path.realpath(root)).hexdigest()[:16]
    try:
        states = Path(platformdirs.user_state_dir("onramp-analytics", appauthor=False))
    except RuntimeError:
        states = Path()
    if not states.is_absolute():
        raise FileNotFoundError(errno.ENOENT, "this user has no home")
    return states / name


def spools_of(root: bytes) -> list[Spool]:
    """Return this user's spools for a checkout: the one in it and, where there is one, the user's own."""
    try:
        own = os.fsencode(home(root))
    except OSError:
        return [Spool(root)]
    return [Spool(root)] + ([Spool(own)] if os.path.isdir(own) else [])


def make_home(root: bytes) -> bytes:
    """Create that folder where it is missing, for this user alone, and return its path.

    Raises:
        OSError: it cannot be made.
    """
    folder = home(root)
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    return os.fsencode(folder)
