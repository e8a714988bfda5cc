"""Build the parts of HTML pages, each of which is one file without scripts that needs no network.

The public page of results and the local report share these parts. Charts are inline SVG, which works in print and with
forced colors, beside the numbers that they show. Their labels are HTML, so that they stay readable at any width.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from html import escape

#: Even if foreign markup got into a page, it could not load or run anything.
_POLICY = "default-src 'none'; style-src 'unsafe-inline'; base-uri 'none'; form-action 'none'"
_STYLE = """
:root { color-scheme: light dark; --ink: #17212b; --dim: #55626f; --bar: #2563a8; --bad: #a83a27; --link: #1d5596 }
:root { --line: #d5dce3; --paper: #fff; --card: #f4f7fa }
@media (prefers-color-scheme: dark) {
  :root { --ink: #e6ebf0; --dim: #a3b0bd; --bar: #6aa9ee; --bad: #ef8f7d; --link: #8fc0f5 }
  :root { --line: #33404d; --paper: #10161c; --card: #18212a }
}
* { box-sizing: border-box }
html { -webkit-text-size-adjust: 100% }
body { margin: 0; font: 16px/1.55 system-ui, sans-serif; color: var(--ink); background: var(--paper) }
main { max-width: 62rem; margin: 0 auto; padding: 2.5rem 1.25rem 4rem }
h1 { font-size: clamp(1.6rem, 5vw, 2.2rem); line-height: 1.2; letter-spacing: -.02em; margin: 0 0 .4rem }
h1, h2 { text-wrap: balance }
h2 { font-size: 1.25rem; line-height: 1.3; margin: 3rem 0 .25rem }
h3 { font-size: 1rem; margin: 1.5rem 0 .25rem }
p { margin: .4rem 0; max-width: 46rem }
.lede { font-size: 1.1rem }
.dim, caption, figcaption { color: var(--dim) }
a { color: var(--link); text-underline-offset: .15em; overflow-wrap: anywhere }
a:focus-visible, summary:focus-visible, [tabindex]:focus-visible { outline: 3px solid var(--bar); outline-offset: 2px }
code { font-family: ui-monospace, monospace; font-size: .92em }
.tiles { display: grid; grid-template-columns: repeat(auto-fit, minmax(11rem, 1fr)); gap: .75rem; margin: 1.75rem 0 0 }
.tiles div { background: var(--card); border: 1px solid var(--line); border-radius: .6rem; padding: .9rem 1rem }
.tiles dt { color: var(--dim); font-size: .9rem }
.tiles dd { margin: 0; overflow-wrap: anywhere }
.tiles dd.v { font-size: 1.6rem; line-height: 1.3; font-weight: 650; font-variant-numeric: tabular-nums }
.tiles dd.s { color: var(--dim); font-size: .9rem }
table { border-collapse: collapse; width: 100%; margin-top: .6rem }
caption { text-align: left; padding-bottom: .5rem; max-width: 46rem }
th, td { padding: .3rem 1rem .3rem 0; text-align: left; font-weight: normal; vertical-align: middle }
thead th { color: var(--dim); font-size: .88rem; white-space: nowrap }
thead tr { border-bottom: 1px solid var(--line) }
tbody tr { border-bottom: 1px solid var(--line) }
tbody th { overflow-wrap: anywhere }
.n { text-align: right; font-variant-numeric: tabular-nums; white-space: nowrap }
.w { width: 38%; padding-right: 0 }
.k { width: 7rem }
:target { background: var(--card); outline: 2px solid var(--bar) }
svg { display: block; overflow: visible }
.bar { width: 100%; height: .75rem; color: var(--bar) }
.bar .bad { fill: none; stroke: var(--bad); stroke-width: 1.5px; vector-effect: non-scaling-stroke }
rect { fill: currentColor }
.spark { width: 6rem; height: 1.2rem; color: var(--bar) }
path { fill: none; stroke: currentColor; stroke-width: 2px; stroke-linejoin: round; vector-effect: non-scaling-stroke }
path.dots { stroke-width: 7px; stroke-linecap: round }
line { stroke: var(--line); stroke-width: 1px; vector-effect: non-scaling-stroke }
figure { margin: 1rem 0 0; display: grid; grid-template-columns: auto 1fr; column-gap: .6rem }
figure .y { display: flex; flex-direction: column; justify-content: space-between; text-align: right; line-height: 1 }
figure .y, figure .x { font-size: .85rem; color: var(--dim); font-variant-numeric: tabular-nums }
figure .x { grid-column: 2; display: flex; justify-content: space-between; padding-top: .35rem }
figure svg { width: 100%; height: 11rem; color: var(--bar); margin: .35rem 0 }
figure .bad { color: var(--bad); fill: var(--paper); stroke: currentColor; stroke-width: 1.5px }
figure .bad { vector-effect: non-scaling-stroke }
figcaption { grid-column: 1 / -1; padding-top: .35rem; font-size: .9rem }
details { margin-top: 1rem }
summary { cursor: pointer; color: var(--link); width: fit-content }
.scroll { overflow-x: auto }
.note { background: var(--card); border: 1px solid var(--line); border-radius: .6rem; padding: .25rem 1.25rem .75rem }
.note { margin-top: 2rem }
.note h2 { margin-top: .75rem }
ul { padding-left: 1.25rem; max-width: 46rem }
footer { margin-top: 3.5rem; padding-top: 1rem; border-top: 1px solid var(--line); color: var(--dim) }
@media (max-width: 40rem) {
  main { padding: 1.5rem 1rem 3rem }
  .w, .k { display: none }
  thead th { white-space: normal }
  .n { white-space: normal }
  th, td { padding-right: .75rem }
  .tiles { grid-template-columns: 1fr 1fr }
  .tiles dd.v { font-size: 1.3rem }
}
@media (forced-colors: active) {
  :root { --bar: CanvasText; --bad: CanvasText; --line: CanvasText; --ink: CanvasText; --dim: CanvasText }
  :root { --link: LinkText; --paper: Canvas; --card: Canvas }
  svg { forced-color-adjust: none }
}
@media print {
  :root { --ink: #000; --dim: #333; --bar: #2563a8; --bad: #a83a27; --line: #999; --paper: #fff; --card: #fff }
  :root { --link: #000; color-scheme: light }
  body { font-size: 11px }
  main { max-width: none; padding: 0 }
  svg { print-color-adjust: exact; -webkit-print-color-adjust: exact }
  tr, figure, .tiles div { break-inside: avoid }
  h2 { break-after: avoid; margin-top: 1.5rem }
  .screen { display: none }
}
"""


@dataclass(frozen=True, slots=True)
class Line:
    """One row of a table.

    Attributes:
        name: the first cell, plain text.
        cells: the other cells, plain text.
        length: the length of its bar.
        failed: the length of the hollow part of the bar.
        link: the target of a link on the name; empty for none.
        anchor: an id for links to this row; empty for none.
        line: the numbers of a small chart over time; empty for none.
    """

    name: str
    cells: Sequence[str]
    length: float = 0
    failed: float = 0
    link: str = ""
    anchor: str = ""
    line: Sequence[float] = ()


def document(title: str, body: str) -> str:
    """Return a complete page.

    Args:
        title: plain text.
        body: the HTML of its main part.
    """
    return (
        '<!DOCTYPE html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        f'<meta http-equiv="Content-Security-Policy" content="{_POLICY}">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        f"<title>{escape(title)}</title>\n<style>{_STYLE}</style>\n</head>\n<body>\n<main>\n"
        f"<h1>{escape(title)}</h1>\n{body}</main>\n</body>\n</html>\n"
    )


def tiles(shown: Iterable[tuple[str, str, str]]) -> str:
    """Return summary tiles from (label, number, note) triples."""
    parts = (
        f'<div><dt>{escape(label)}</dt><dd class="v">{escape(value)}</dd><dd class="s">{escape(note)}</dd></div>\n'
        for label, value, note in shown
    )
    return f'<dl class="tiles">\n{"".join(parts)}</dl>\n'


def table(caption: str, heads: Sequence[str], lines: Sequence[Line]) -> str:
    """Return a table with a bar at the end of each row.

    Args:
        caption: plain text.
        heads: the headings of the columns.
        lines: the rows, at least one.
    """
    trend = any(line.line for line in lines)
    columns = "".join(f'<th scope="col"{" class=n" if i else ""}>{escape(head)}</th>' for i, head in enumerate(heads))
    longest = max(line.length for line in lines) or 1
    body = "".join(_line(line, longest, trend=trend) for line in lines)
    more = f'{"<td class=k></td>" if trend else ""}<td class="w"></td>'
    return (
        f"<table>\n<caption>{escape(caption)}</caption>\n<thead><tr>{columns}{more}</tr></thead>\n"
        f"<tbody>\n{body}</tbody>\n</table>\n"
    )


def _line(line: Line, longest: float, *, trend: bool) -> str:
    """Return a row. Screen readers skip its charts, which repeat the numbers."""
    name = escape(line.name)
    name = f'<a href="{escape(line.link)}">{name}</a>' if line.link else name
    anchor = f' id="{escape(line.anchor)}"' if line.anchor else ""
    cells = "".join(f'<td class="n">{escape(cell)}</td>' for cell in line.cells)
    spark = f'<td class="k" aria-hidden="true">{_spark(line.line)}</td>' if trend else ""
    bar = _bar(line.length / longest, line.failed / longest)
    return f'<tr{anchor}><th scope="row">{name}</th>{cells}{spark}<td class="w" aria-hidden="true">{bar}</td></tr>\n'


def _bar(length: float, failed: float) -> str:
    well = 100 * (length - failed)
    rects = f'<rect width="{well:.1f}" height="10"/>' if well else ""
    rects += f'<rect class="bad" x="{well:.1f}" width="{100 * failed:.1f}" height="10"/>' if failed else ""
    return f'<svg class="bar" viewBox="0 0 100 10" preserveAspectRatio="none">{rects}</svg>'


def _spark(values: Sequence[float]) -> str:
    if len(values) < 2:
        return ""
    top = max(values) or 1
    return (
        '<svg class="spark" viewBox="0 0 100 100" preserveAspectRatio="none">'
        f'<path d="{_path([value / top for value in values])}"/></svg>'
    )


def columns(what: str, days: Sequence[tuple[str, int, int]]) -> str:
    """Return a chart with one column per day.

    Args:
        what: the caption, which a screen reader reads.
        days: (day, number, failed number) triples, at least one.
    """
    top = nice(max(number for _day, number, _failed in days))
    width = 100 / len(days)
    rects = []
    for place, (_day, number, failed) in enumerate(days):
        x, well, bad = place * width + width / 10, 100 * (number - failed) / top, 100 * failed / top
        if well:
            rects.append(_column(x, 100 - well, width * 0.8, well))
        if bad:
            rects.append(_column(x, 100 - well - bad, width * 0.8, bad, " class=bad"))
    return _figure(what, top, _ends([day for day, _number, _failed in days]), "".join(rects))


def _column(x: float, y: float, width: float, height: float, kind: str = "") -> str:
    return f'<rect{kind} x="{x:.2f}" y="{y:.2f}" width="{width:.2f}" height="{height:.2f}"/>'


def over_time(what: str, points: Sequence[tuple[str, int]]) -> str:
    """Return a line chart over time, with axes.

    Args:
        what: the caption, which a screen reader reads.
        points: (day, number) pairs at even distances, at least one.
    """
    top = nice(max(number for _day, number in points))
    heights = [number / top for _day, number in points]
    dots = "".join(f"M{x:.2f} {y:.2f}h0" for x, y in _places(heights))
    drawn = f'<path d="{_path(heights)}"/><path class="dots" d="{dots}"/>'
    return _figure(what, top, _ends([day for day, _number in points]), drawn)


def nice(number: float) -> int:
    """Return the end of an axis: an even number slightly above the largest one."""
    step = 1
    while True:
        for factor in (2, 4, 6, 8, 10):
            if number <= factor * step:
                return factor * step
        step *= 10


def _path(heights: Sequence[float]) -> str:
    return "".join(f"{'L' if i else 'M'}{x:.2f} {y:.2f}" for i, (x, y) in enumerate(_places(heights)))


def _places(heights: Sequence[float]) -> list[tuple[float, float]]:
    """Return the coordinates of the points in a square of 100, from its left edge to its right one."""
    apart = 100 / max(len(heights) - 1, 1)
    return [(i * apart if len(heights) > 1 else 50, 100 - 100 * height) for i, height in enumerate(heights)]


def _ends(days: Sequence[str]) -> list[str]:
    """Return the days that label an axis: the first, the middle one and the last."""
    return [days[0], days[len(days) // 2], days[-1]] if len(days) > 2 else list(days)


def _figure(what: str, top: int, labels: Sequence[str], drawn: str) -> str:
    grid = "".join(f'<line x1="0" x2="100" y1="{y}" y2="{y}"/>' for y in (0, 50, 100))
    y = "".join(f"<span>{number:,}</span>" for number in (top, top // 2, 0))
    x = "".join(f"<span>{escape(label)}</span>" for label in labels)
    return (
        f'<figure>\n<div class="y" aria-hidden="true">{y}</div>\n'
        f'<svg role="img" aria-label="{escape(what)}" viewBox="0 0 100 100" preserveAspectRatio="none">'
        f'{grid}{drawn}</svg>\n<div class="x" aria-hidden="true">{x}</div>\n'
        f"<figcaption>{escape(what)}</figcaption>\n</figure>\n"
    )
