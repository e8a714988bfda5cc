"""Mark the files that `install` writes with a first line that holds a checksum of the rest.

By that line we recognize our files, and whether they were edited. No other file is overwritten or deleted.
"""

from __future__ import annotations

import hashlib
import re

_WORDS = r"Written by `onramp-analytics install` \(checksum [0-9a-f]{16}\); do not edit\."
_MARK = re.compile(rf"(?:# {_WORDS}|<!-- {_WORDS} -->)\n")


def signed(content: str) -> str:
    """Return the content of a file with our first line."""
    return f"# {_words(content)}\n{content}"


def signed_page(content: str) -> str:
    """Return the content of a Markdown file with our first line, as a comment that readers do not see."""
    return f"<!-- {_words(content)} -->\n{content}"


def is_ours(content: str | None) -> bool:
    """Return whether a file has our first line, edited or not."""
    return content is not None and bool(_MARK.match(content))


def is_edited(content: str) -> bool:
    """Return whether our file was changed since it was written."""
    mark = _MARK.match(content)
    rest = content[mark.end() :] if mark else content
    return content not in (signed(rest), signed_page(rest))


def unsigned(content: str | None) -> str:
    """Return the content without our first line; empty if there is no file."""
    return _MARK.sub("", content or "", count=1)


def _words(content: str) -> str:
    checksum = hashlib.sha256(content.encode("utf-8", "surrogateescape")).hexdigest()[:16]
    return f"Written by `onramp-analytics install` (checksum {checksum}); do not edit."
