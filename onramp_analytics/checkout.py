"""Where the checkout is."""

import posix

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping

VARIABLE = b"ONRAMP_ROOT"
LOCK_FILE = b"onramp.lock"


def find(named: "bytes | None", environ: "Mapping[bytes, bytes]") -> "bytes | None":
    """Return the absolute path of the OnRamp checkout, or None where there is none.

    Args:
        named: what `--root` said, or None.
        environ: the environment; `ONRAMP_ROOT` goes before the working directory.

    Returns:
        A named folder as it is, whether it is there or not. Otherwise the first folder, from the working directory
        up, that holds an `onramp.lock`, or both a `Makefile` and `services-available/`.
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
    """Tell whether a folder is the root of an OnRamp checkout."""
    base = folder.rstrip(b"/") + b"/"
    return _exists(base + LOCK_FILE) or (_exists(base + b"Makefile") and _exists(base + b"services-available"))


def _exists(path: bytes) -> bool:
    try:
        posix.stat(path)
    except OSError:
        return False
    return True
