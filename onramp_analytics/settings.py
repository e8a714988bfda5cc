"""Read and change `onramp.lock`: `KEY=value` lines. Lines with other keys belong to others and stay as they are.

Reading is on the hot path. A writer holds the spool's lock, so that two writers do not undo each other's changes.
Readers need no lock, since the file is replaced atomically.
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


#: The keys of the last content that was parsed. `read` returns the same object while the file is unchanged.
_parsed: "dict[bytes, dict[bytes, bytes]]" = {}


def parse(content: "bytes | None") -> "Mapping[bytes, bytes]":
    """Return our keys and their values. The last of repeated keys counts, as in make and in shells.

    A file with a NUL byte is damaged, as after a power cut, and counts as empty.
    """
    if content is None or b"\0" in content:
        return {}
    known = _parsed.get(content)
    if known is not None:
        return known
    found = {}
    for line in content.split(b"\n"):
        key, equals, value = line.partition(b"=")
        if key in KEYS and equals:
            found[key] = value
    _parsed.clear()
    _parsed[content] = found
    return found


def updated(content: bytes, changes: "Mapping[bytes, bytes | None]") -> bytes:
    """Return `content` with keys changed (None removes a key), and the lines of other programs as they were.

    A key keeps its place. Its repeats are removed, and so are damaged lines, with NUL bytes.
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
        lines.pop()  # the text after the last line break is not a line
    lines += [key + b"=" + value for key, value in left.items()]
    return b"".join(line + b"\n" for line in lines)


def change(root: bytes, changes: "Mapping[bytes, bytes | None]") -> None:
    """Change our keys in `onramp.lock` atomically, even in a power cut. The caller must hold the spool's lock.

    The file is replaced by one that belongs to this user, which ties the consent to one person. The mode stays. If
    there was no file, the mode is 0644, since make and shells read it.

    Raises:
        OSError: it cannot be written, or the present file is unreadable, too large, or not a regular file. Nothing has
            changed.
    """
    from onramp_analytics import files

    folder = posix.open(root, posix.O_RDONLY | posix.O_DIRECTORY | posix.O_CLOEXEC)
    try:
        content, mode = _present(root, folder)
        new = updated(content or b"", changes)

        def unchanged() -> bool:  # False if `disable` wrote while we were stopped
            return _present(root, folder)[0] == content

        if new != content:
            files.replace(folder, LOCK_FILE, new, mode, sync=True, check=unchanged)
        else:
            files.remove(folder, LOCK_FILE + files.NEW)  # from a killed writer; it holds an identifier
    finally:
        posix.close(folder)


def remove(root: bytes) -> None:
    """Remove our keys from `onramp.lock`, and the file if it holds nothing else. The caller must hold the spool's lock.

    Raises:
        OSError: see `change`.
    """
    change(root, dict.fromkeys(KEYS))
    path = root + b"/" + LOCK_FILE
    try:
        if not posix.lstat(path).st_size:
            posix.unlink(path)
    except FileNotFoundError:
        pass


def _present(root: bytes, folder: int) -> "tuple[bytes | None, int]":
    """Return the content of `onramp.lock`, of any owner, and its mode; (None, 0o644) if it does not exist."""
    try:
        found = posix.stat(LOCK_FILE, dir_fd=folder, follow_symlinks=False)
    except FileNotFoundError:
        return None, 0o644
    if found.st_mode & KIND != REGULAR:
        raise FileExistsError(17, "it is not a regular file; move it away", root + b"/" + LOCK_FILE)
    return read(root + b"/" + LOCK_FILE), found.st_mode & 0o777
