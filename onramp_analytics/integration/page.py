"""Build the page for users in OnRamp's `docs/`, and the lines that its maintainers add to other pages."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from importlib import resources

from onramp_analytics.consent import AT_ONCE
from onramp_analytics.integration import conf
from onramp_analytics.posthog import destination

FILE = "docs/analytics.md"
WHERE, WHEN = "## Where it goes\n", "## When it is sent\n"
_COMMENT = re.compile(r"<!--.*?-->\n?", re.DOTALL)
_RELATIVE_LINK = re.compile(r"\[([^\]]+)\]\((?!https?://|#)[^)]*\)")
_TARGET = re.compile(r"^(analytics-[a-z-]+):.*?## (.+)$", re.MULTILINE)

_AT_ONCE = """\
In this checkout, an event is sent a few seconds after the command, by a process in the background that no command waits for.
`make.d/analytics.conf` says so: `ANALYTICS_SEND=at-once`.
Before you opt in, `make analytics-preview` shows what would be sent; afterwards, `make analytics-show-sent` shows every event that was sent.
"""  # noqa: E501  (one sentence per line)
_README = """\
- [Usage Analytics](docs/analytics.md) - Opt-in; what is collected, how to see it, turn it off and delete it
"""
_VARIABLES = """\
## Analytics (opt-in)

Set these in your shell. In a `.env` file they can only turn [analytics](analytics.md) off.

| Variable | Purpose |
|----------|---------|
| `DO_NOT_TRACK=1` | Turns analytics off, and nothing overrides it |
| `ONRAMP_ANALYTICS_ENABLED=0` | Turns analytics off; `1` turns them on after the notice was shown |
"""


def part(name: str) -> str:
    """Return the content of a file of this package that is installed into OnRamp."""
    return resources.files(__package__).joinpath(name).read_text("utf-8")


def text(settings: Mapping[str, str]) -> str:
    """Return the package's page with OnRamp's project and contact, and without links that OnRamp does not have.

    Args:
        settings: the settings of `make.d/analytics.conf`, by key.
    """
    page = _RELATIVE_LINK.sub(r"\1", _COMMENT.sub("", part("analytics.md")))
    before, heading, after = page.partition(WHERE)
    page = f"{before}{heading}\n{_where(settings)}\n{after.lstrip()}"
    if settings[conf.SEND] == AT_ONCE:
        before, heading, after = page.partition(WHEN)
        rest = after.partition("\n## ")[2]
        page = f"{before}{heading}\n{_AT_ONCE}\n## {rest}"
    return page


def additions(read: Callable[[str], str | None]) -> dict[str, str]:
    """Return the lines that are missing in OnRamp's pages, by the path of the page.

    Args:
        read: returns the content of a file of the checkout, or None.
    """
    pages = {
        "README.md": ("docs/analytics.md", _README),
        "docs/commands.md": ("analytics-enable", _commands()),
        "docs/env-vars.md": ("ONRAMP_ANALYTICS_ENABLED", _VARIABLES),
    }
    return {page: lines for page, (sign, lines) in pages.items() if sign not in (read(page) or "")}


def _where(settings: Mapping[str, str]) -> str:
    if conf.KEY not in settings:
        where = "No PostHog project is set for this checkout, so nothing is sent.\n"
    else:
        key = destination.masked(settings[conf.KEY])
        how_often = "a few seconds after a command" if settings[conf.SEND] == AT_ONCE else "once a day"
        where = f"OnRamp's events are sent to {settings[conf.HOST]} (project `{key}`), {how_often}.\n"
    contact = settings.get(conf.CONTACT)
    return where + (f"Contact: {contact}\n" if contact else "")


def _commands() -> str:
    rows = "".join(f"| `make {name}` | {purpose} |\n" for name, purpose in _TARGET.findall(part("analytics.mk")))
    return f"## Analytics (opt-in)\n\n| Command | Description |\n|---------|-------------|\n{rows}"
