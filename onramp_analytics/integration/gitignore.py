"""Add the block to `.gitignore` that keeps identifiers and events out of git, and remove it.

Removing it restores the file to the byte. If that takes more or less than removing the block, words in brackets in its
first line say so.
"""

from __future__ import annotations

from onramp_analytics.errors import CouldNot

FILE = ".gitignore"
IGNORED = (
    "onramp.lock",
    "onramp.lock.new",
    "onramp.program",
    "onramp.program.new",
    "onramp.spool",
    "onramp.spool.lock",
    "onramp.spool.d/",
)
_BEGIN, _END = "# onramp-analytics: begin", "# onramp-analytics: end\n"
_NEW_FILE, _NO_LINE_END = " (the file was made for this)", " (there was no line break before this)"


def has_block(content: str | None) -> bool:
    """Return whether the content has the block; None means no file."""
    return content is not None and _BEGIN in content


def with_block(content: str | None) -> str:
    """Return the content with the block, in its place or at the end; None means no file.

    Raises:
        CouldNot: the block is incomplete.
    """
    if content is not None and has_block(content):
        head, note, tail = _split(content)
    else:
        head, tail = content or "", ""
        note = _NEW_FILE if content is None else "" if not head or head.endswith("\n") else _NO_LINE_END
    gap = "\n" if note == _NO_LINE_END and not head.endswith("\n") else ""
    return f"{head}{gap}{_BEGIN}{note}\n" + "".join(f"/{name}\n" for name in IGNORED) + _END + tail


def without_block(content: str | None) -> str | None:
    """Return the content as it was before the block was added; None means no file.

    Raises:
        CouldNot: the block is incomplete.
    """
    if content is None or not has_block(content):
        return content
    head, note, tail = _split(content)
    return None if note == _NEW_FILE and not head + tail else head + tail


def _split(content: str) -> tuple[str, str, str]:
    """Return the text before the block, the note in its first line, and the text after it."""
    head, _, rest = content.partition(_BEGIN)
    note, _, rest = rest.partition("\n")
    _, end, tail = rest.partition(_END)
    if not end:
        raise CouldNot(
            f"the block in .gitignore that begins with `{_BEGIN}` has no end: correct it, then run this again"
        )
    added = note == _NO_LINE_END and not tail  # the line break is ours, unless the user added lines below the block
    return (head.removesuffix("\n") if added else head), note, tail
