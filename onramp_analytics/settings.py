"""`onramp.lock`: `KEY=value` lines, of which only those with our keys are ours.

Reading is on the hot path. Writing is rare: the writer holds the spool's lock, so that two writers do not undo each
other's change, and readers need no lock, since the file is replaced in one step.
"""

import posix

from onramp_analytics.checkout import KIND, LOCK_FILE, REGULAR, read

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping

ENABLED = b"ANALYTICS_ENABLED"
ID = b"ANALYTICS_ID"
NOTICE_SHOWN = b"ANALYTICS_NOTICE_SHOWN"
AGREED = b"ANALYTICS_AGREED"
AGREED_TO = b"ANALYTICS_AGREED_TO"
AGREED_SEND = b"ANALYTICS_AGREED_SEND"
TOLD = b"ANALYTICS_TOLD"
CHECKOUT = b"ANALYTICS_CHECKOUT"
KEYS = (ENABLED, ID, NOTICE_SHOWN, AGREED, AGREED_TO, AGREED_SEND, TOLD, CHECKOUT)


def load(root: bytes) -> "bytes | None":
    """Return the content of this user's own `onramp.lock`.

    Returns:
        None if there is no such file, or it is unreadable, a link, too large, or another user's.
    """
    try:
        return read(root + b"/" + LOCK_FILE, owner=posix.geteuid())
    except OSError:
        return None


def parse(content: "bytes | None") -> dict[bytes, bytes]:
    """Return our keys and their values. The last of repeated keys counts, as in make and in shells.

    Content with a NUL byte is damaged (a power cut leaves such files), and nothing in it counts.
    """
    if content is None or b"\0" in content:
        return {}
    found = {}
    for line in content.split(b"\n"):
        key, equals, value = line.partition(b"=")
        if key in KEYS and equals:
            found[key] = value
    return found


def updated(content: bytes, changes: "Mapping[bytes, bytes | None]") -> bytes:
    """Return `content` with our keys set as `changes` says (None removes a key), and every other line as it was.

    A key keeps its place; repeats of it, and lines with NUL bytes, are removed.
    """
    left = {key: value for key, value in changes.items() if value is not None}
    lines = []
    for line in content.split(b"\n"):
        key = line.partition(b"=")[0]
        if key in left:
            lines.append(key + b"=" + left.pop(key))
        elif key not in changes and b"\0" not in line:
            lines.append(line)
    if lines and not lines[-1]:
        lines.pop()  # the text after the last line break is no line
    lines += [key + b"=" + value for key, value in left.items()]
    return b"".join(line + b"\n" for line in lines)


def change(root: bytes, changes: "Mapping[bytes, bytes | None]") -> None:
    """Set keys of ours in `onramp.lock`, whole or not at all, also through a power cut. Hold the spool's lock.

    The new file belongs to this user, which is how consent belongs to one person. It keeps the mode of the old one; a
    first one gets 0644, since make and shells read it.

    Raises:
        OSError: it could not be written, or it is not a readable text file of a sane size. Nothing has changed.
    """
    from onramp_analytics import files

    folder = posix.open(root, posix.O_RDONLY | posix.O_DIRECTORY | posix.O_CLOEXEC)
    try:
        content, mode = _present(root, folder)
        new = updated(content or b"", changes)

        def unchanged() -> bool:  # otherwise this process was stopped, and `disable` went on without it: its word holds
            return _present(root, folder)[0] == content

        if new != content:
            files.replace(folder, LOCK_FILE, new, mode, sync=True, check=unchanged)
        else:
            files.remove(folder, LOCK_FILE + files.NEW)  # what a killed writer left, with an identifier in it
    finally:
        posix.close(folder)


def remove(root: bytes) -> None:
    """Remove our keys from `onramp.lock`, and the file if nothing else is in it. Hold the spool's lock.

    Raises:
        OSError: as `change`.
    """
    change(root, dict.fromkeys(KEYS))
    path = root + b"/" + LOCK_FILE
    try:
        if not posix.lstat(path).st_size:
            posix.unlink(path)
    except FileNotFoundError:
        pass


def _present(root: bytes, folder: int) -> "tuple[bytes | None, int]":
    """Return the content of `onramp.lock`, whoever owns it, and its mode; (None, 0o644) if there is none."""
    try:
        found = posix.stat(LOCK_FILE, dir_fd=folder, follow_symlinks=False)
    except FileNotFoundError:
        return None, 0o644
    if found.st_mode & KIND != REGULAR:
        raise FileExistsError(17, "it is not a regular file; move it away", root + b"/" + LOCK_FILE)
    return read(root + b"/" + LOCK_FILE), found.st_mode & 0o777
