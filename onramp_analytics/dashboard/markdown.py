"""Convert the Markdown of `decisions.md` to HTML."""

from __future__ import annotations

import re
from html import escape

_INLINE = re.compile(r"\[([^\]]+)\]\((https://[^)\s]+)\)|\*\*([^*]+)\*\*|`([^`]+)`")


def markdown(text: str) -> str:
    """Return Markdown as HTML. It may use paragraphs, lists, https links, bold and code; anything else is plain text.

    A heading is one level lower than the headings of the page.
    """
    parts, items = [], []
    for block in re.split(r"\n\s*\n", text.strip()):
        lines = [line.strip() for line in block.splitlines()]
        if lines[0].startswith("#"):
            parts.append(f"<h3>{_inline(lines[0].lstrip('# '))}</h3>\n")
            lines = lines[1:]
        items = re.split(r"(?:^|\s)[-*] ", " ".join(lines)) if lines and lines[0].startswith(("- ", "* ")) else []
        if items:
            parts.append("<ul>\n" + "".join(f"<li>{_inline(item)}</li>\n" for item in items if item) + "</ul>\n")
        elif lines:
            parts.append(f"<p>{_inline(' '.join(lines))}</p>\n")
    return "".join(parts)


def _inline(text: str) -> str:
    done, at = "", 0
    for found in _INLINE.finditer(text):
        done += escape(text[at : found.start()])
        label, address, bold, code = found.groups()
        if address:
            done += f'<a href="{escape(address)}">{escape(label)}</a>'
        else:
            done += f"<b>{escape(bold)}</b>" if bold else f"<code>{escape(code)}</code>"
        at = found.end()
    return done + escape(text[at:])
