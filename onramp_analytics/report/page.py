"""Build the local report as one page of HTML, styled like the public page of results."""

from __future__ import annotations

import json
from collections.abc import Iterable
from html import escape
from typing import Any

from onramp_analytics.report import look
from onramp_analytics.report.summary import LONGEST, Chart, Summary, charts

TITLE = "What this installation recorded"
_FIXED = "$"  # the first character of the properties that every event has


def page(found: Summary, sent: list[dict[str, Any]], queued: list[dict[str, Any]], destination: str) -> str:
    """Return the page.

    Args:
        found: the summary.
        sent: the sent events.
        queued: the queued events.
        destination: where events are sent, for the user.
    """
    parts = [
        _lede(found, destination),
        _tiles(found, len(sent), len(queued)),
        _days(found),
        *map(_table, charts(found)),
        _raw([("sent", sent), ("queued", queued)]),
    ]
    return look.document(TITLE, "".join(parts))


def _lede(found: Summary, destination: str) -> str:
    when = f"From {found.first} to {found.last}, by UTC days. " if found.first else ""
    return (
        f'<p class="lede">Everything that OnRamp analytics recorded here. {when}</p>\n'
        f'<p class="dim">Destination: {escape(destination)}. This page was generated here and works offline. '
        "The log of sent events keeps the newest 1,000.</p>\n"
    )


def _tiles(found: Summary, sent: int, queued: int) -> str:
    failed = sum(command.failures for command in found.commands)
    shown = [
        ("Events", f"{found.events:,}", f"on {sum(1 for _day, n, _failed in found.days if n):,} days"),
        ("Sent", f"{sent:,}", "newest 1,000 at most"),
        ("Queued", f"{queued:,}", "not sent yet"),
        ("Commands", f"{sum(command.runs for command in found.commands):,}", f"{failed:,} failed"),
    ]
    return look.tiles(shown)


def _days(found: Summary) -> str:
    if not found.days:
        return ""
    what = f"Events on each of the last {len(found.days)} days; the hollow part shows commands that failed."
    if len(found.days) < LONGEST:
        what = "Events on each day; the hollow part shows commands that failed."
    rows = [look.Line(day, [f"{n:,}", f"{failed:,}"], n, failed) for day, n, failed in found.days if n]
    as_table = look.table("Days with events.", ["day", "events", "failed"], rows) if rows else ""
    return (
        f"<h2>Day by day</h2>\n{look.columns(what, found.days)}"
        f'<details class="screen">\n<summary>Show as a table</summary>\n{as_table}</details>\n'
    )


def _table(chart: Chart) -> str:
    title = f"<h2>{escape(chart.title)}</h2>\n"
    if not chart.bars:
        return f"{title}<p>Nothing yet.</p>\n"
    lines = [look.Line(bar.name, bar.figures, bar.well + bar.failed, bar.failed) for bar in chart.bars]
    about = f"{chart.about[:1].upper()}{chart.about[1:]}."
    return title + look.table(about, chart.heads, lines)


def _raw(events: Iterable[tuple[str, list[dict[str, Any]]]]) -> str:
    lines = [_event(state, event) for state, found in events for event in reversed(found)]
    if not lines:
        return ""
    return (
        f"<h2>Every event</h2>\n<details>\n<summary>All {len(lines):,} events, newest first</summary>\n"
        '<div class="scroll" tabindex="0" role="region" aria-label="Every event">\n<table>\n'
        "<caption>Every event also contains fixed properties; run make analytics-events to list them."
        '</caption>\n<thead><tr><th scope="col">day</th><th scope="col">event</th><th scope="col">properties</th>'
        '<th scope="col">state</th><th scope="col">uuid</th></tr></thead>\n'
        f"<tbody>\n{''.join(lines)}</tbody>\n</table>\n</div>\n</details>\n"
    )


def _event(state: str, event: dict[str, Any]) -> str:
    own = {name: value for name, value in event["properties"].items() if not name.startswith(_FIXED)}
    shown = ", ".join(f"{name} {value if isinstance(value, str) else json.dumps(value)}" for name, value in own.items())
    cells = (event["timestamp"][:10], event["event"], shown, state, event["uuid"])
    return f"<tr>{''.join(f'<td>{escape(str(cell))}</td>' for cell in cells)}</tr>\n"
