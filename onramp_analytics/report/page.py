"""The report as one page of HTML that needs nothing else: no network, no script, no file beside it."""

from __future__ import annotations

import json
from collections.abc import Iterable
from html import escape
from typing import Any

from onramp_analytics.report.summary import Bar, Chart, Summary, charts

#: Even a page with something of somebody's in it could fetch and run nothing.
_POLICY = "default-src 'none'; style-src 'unsafe-inline'; base-uri 'none'; form-action 'none'"
_STYLE = """
:root { color-scheme: light dark }
:root { --ink: #1c2733; --dim: #5b6773; --bar: #2f6db5; --bad: #b3402e; --line: #d9dfe5; --paper: #fff }
@media (prefers-color-scheme: dark) {
  :root { --ink: #e4e9ee; --dim: #9aa7b4; --bar: #5b9be6; --bad: #e57f6c; --line: #37424d; --paper: #14191f }
}
body { font: 16px/1.5 system-ui, sans-serif; color: var(--ink); background: var(--paper) }
body { max-width: 46rem; margin: 2rem auto; padding: 0 1rem }
h1 { font-size: 1.6rem; margin-bottom: .2rem }
h2 { font-size: 1.15rem; margin: 2.2rem 0 0 }
p, caption { color: var(--dim); text-align: left }
caption { padding-bottom: .4rem }
table { border-collapse: collapse; width: 100% }
th, td { padding: .15rem .8rem .15rem 0; text-align: left; font-weight: normal; white-space: nowrap }
thead th { color: var(--dim); font-size: .85rem }
thead tr { border-bottom: 1px solid var(--line) }
.n { text-align: right; font-variant-numeric: tabular-nums }
.w { width: 60%; padding-right: 0 }
.w div { display: flex; height: .8rem }
.w i { background: var(--bar) }
.w b { background: var(--bad) }
details { margin-top: 2.2rem }
summary { cursor: pointer }
pre { font-size: .8rem; white-space: pre-wrap; overflow-wrap: anywhere }
@media (max-width: 30rem) { .w { width: 25% } th, td { padding-right: .5rem; white-space: normal } }
"""


def page(found: Summary, sent: list[dict[str, Any]], waiting: list[dict[str, Any]]) -> str:
    """Return the page.

    Args:
        found: the figures.
        sent: the events that were sent, which are listed whole underneath.
        waiting: the events that wait, likewise.
    """
    told = f"{found.events:,} events: {len(sent):,} sent (the newest that are remembered), {len(waiting):,} waiting."
    parts = [*map(_table, charts(found)), _raw("Sent", sent), _raw("Waiting to be sent", waiting)]
    return (
        '<!DOCTYPE html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        f'<meta http-equiv="Content-Security-Policy" content="{_POLICY}">\n'
        '<meta name="viewport" content="width=device-width">\n'
        f"<title>What OnRamp's analytics told</title>\n<style>{_STYLE}</style>\n</head>\n<body>\n<main>\n"
        f"<h1>What OnRamp's analytics told</h1>\n<p>{told}</p>\n{''.join(parts)}</main>\n</body>\n</html>\n"
    )


def _table(chart: Chart) -> str:
    title = f"<h2>{escape(chart.title)}</h2>\n"
    if not chart.bars:
        return f"{title}<p>Nothing yet.</p>\n"
    heads = "".join(f'<th scope="col"{_number(i)}>{escape(head)}</th>' for i, head in enumerate(chart.heads))
    longest = max(bar.well + bar.failed for bar in chart.bars) or 1
    lines = "".join(_line(bar, longest) for bar in chart.bars)
    return (
        f"{title}<table>\n<caption>{escape(chart.about.capitalize())}</caption>\n"
        f'<thead><tr>{heads}<td class="w"></td></tr></thead>\n<tbody>\n{lines}</tbody>\n</table>\n'
    )


def _line(bar: Bar, longest: int) -> str:
    """Return a row; its bar is a picture of the figures beside it, and not read out a second time."""
    figures = "".join(f'<td class="n">{escape(figure)}</td>' for figure in bar.figures)
    picture = _picture("i", bar.well / longest) + _picture("b", bar.failed / longest)
    return (
        f'<tr><th scope="row">{escape(bar.name)}</th>{figures}'
        f'<td class="w" aria-hidden="true"><div>{picture}</div></td></tr>\n'
    )


def _number(column: int) -> str:
    return ' class="n"' if column else ""


def _picture(tag: str, share: float) -> str:
    return f'<{tag} style="width:{share * 100:.1f}%"></{tag}>' if share else ""


def _raw(title: str, events: Iterable[dict[str, Any]]) -> str:
    lines = [escape(json.dumps(event)) for event in events]
    text = "\n".join(lines) or "Nothing."
    head = f"<summary>{escape(title)}: every event, whole ({len(lines):,})</summary>"
    return f"<details>\n{head}\n<pre>{text}</pre>\n</details>\n"
