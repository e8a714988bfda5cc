"""Build the public page of results from rounded counts alone."""

from __future__ import annotations

from collections.abc import Callable
from datetime import date
from html import escape

from onramp_analytics.dashboard import pages
from onramp_analytics.dashboard.markdown import markdown
from onramp_analytics.dashboard.pages import Changes, Page
from onramp_analytics.dashboard.rounding import AT_LEAST, Row, percent
from onramp_analytics.report import look
from onramp_analytics.report.look import Line

TITLE = "OnRamp, as its users run it"
ONRAMP = "https://github.com/traefikturkey/onramp"
LISTED = 10  # changes in each direction
MINUS, NOTHING = "\N{MINUS SIGN}", "\N{EN DASH}"

#: The names of the catalog that stand for user-defined names, and their labels.
OWN = {"custom": "custom (not part of OnRamp)", "other": "other (not part of OnRamp)"}

Link = Callable[[str, str], str]  # (kind, name) -> the address of its file


def site(page: Page, history: list[Page], decisions: str, link: Link) -> dict[str, str]:
    """Return the files of the site except the JSON: the page, and a badge for each service.

    Args:
        page: the new edition.
        history: the editions that were published before, the oldest first.
        decisions: the maintainers' `decisions.md`; empty if there is none.
        link: returns the address of the file of a service or an override.
    """
    badges = {f"badges/{row.name}.svg": badge(row) for row in page.counts.services if row.name not in OWN}
    return {"index.html": _index(page, history, decisions, link), **badges}


def _index(page: Page, history: list[Page], decisions: str, link: Link) -> str:
    parts = [
        _lede(page),
        _tiles(page, history),
        _decisions(decisions),
        _adoption([*history, page]),
        _services(page, history, link),
        _changed(page, history),
        _overrides(page, link),
        _commands(page),
        _given_up(page),
        _how_to_read(page),
        _footer(),
    ]
    return look.document(TITLE, "".join(parts))


def _lede(page: Page) -> str:
    return (
        f'<p class="lede">What ran from {_day(page.first)} to {_day(page.last)} on the installations that opted in to '
        f'anonymous analytics.</p>\n<p class="dim">Generated on {_day(page.made)}. The numbers count installations '
        "and are rounded down. They describe those who opted in, not everybody who uses OnRamp. "
        '<a href="#how-to-read">How to read this page</a></p>\n'
    )


def _tiles(page: Page, history: list[Page]) -> str:
    counts = page.counts
    change = "the first edition"
    if history:
        change = f"{_signed(counts.active - history[-1].counts.active)} since the last edition"
    shown = [
        ("Installations", f"{counts.active:,}" if counts.active else f"fewer than {_fewest(page)}", change),
        ("Services listed", f"{len(counts.services):,}", f"each on {page.at_least} or more"),
    ]
    for label, rows, whole in (
        ("Most enabled", counts.services, counts.with_services),
        ("Most used command", counts.commands, counts.active),
    ):
        shown += [(label, row.name, f"on {percent(row.installations, whole)}%") for row in rows[:1]]
    return look.tiles(shown)


def _decisions(text: str) -> str:
    if not text.strip():
        return ""
    return f'<section class="note">\n<h2>What came of it</h2>\n{markdown(text)}</section>\n'


def _adoption(pages_: list[Page]) -> str:
    points = [(str(page.last), page.counts.active) for page in pages_]
    what = f"Active installations, rounded down, at the end of the {pages.DAYS} days of each edition."
    return f"<h2>Adoption over time</h2>\n{look.over_time(what, points)}"


def _services(page: Page, history: list[Page], link: Link) -> str:
    rows = page.counts.services
    title = "<h2>Services</h2>\n"
    if not rows:
        return f"{title}<p>None is enabled on {_fewest(page)} or more installations.</p>\n"
    before = pages.of(history[-1].counts.services) if history else {}
    earlier = [pages.of(other.counts.services) for other in history]
    lines = [
        Line(
            OWN.get(row.name, row.name),
            [*_share(row, page), _change(row, before)],
            row.installations,
            link="" if row.name in OWN else link("service", row.name),
            anchor=row.name,
            line=[*(names.get(row.name, 0) for names in earlier), row.installations],
        )
        for row in rows
    ]
    about = (
        f"Enabled at the end of the period, of the {page.counts.with_services:,} installations that reported any "
        "service. The small line shows each service in all editions so far."
    )
    return title + look.table(about, ["service", "installations", "share", "change"], lines) + _others(page)


def _share(row: Row, page: Page) -> list[str]:
    return [f"{row.installations:,}", f"{percent(row.installations, page.counts.with_services)}%"]


def _overrides(page: Page, link: Link) -> str:
    rows = page.counts.overrides
    if not rows:
        return ""
    lines = [
        Line(
            OWN.get(row.name, row.name),
            _share(row, page),
            row.installations,
            link="" if row.name in OWN else link("override", row.name),
        )
        for row in rows
    ]
    heads = ["override", "installations", "share"]
    return "<h2>Overrides</h2>\n" + look.table("Enabled at the end of the period.", heads, lines) + _others(page)


def _commands(page: Page) -> str:
    rows = page.counts.commands
    if not rows:
        return ""
    lines = [
        Line(
            OWN.get(row.name, row.name),
            [f"{row.installations:,}", _failed(row), _duration(row.seconds)],
            row.installations,
            row.failed_on,
        )
        for row in rows
    ]
    about = (
        "Installations that used a command. The hollow end of the bar shows those on which it failed at least once. "
        "Stopping a command with Ctrl-C does not count as a failure."
    )
    heads = ["command", "installations", "failed on", "typical time"]
    return "<h2>Commands</h2>\n" + look.table(about, heads, lines) + _others(page)


def _given_up(page: Page) -> str:
    rows = page.counts.given_up
    title = "<h2>Given up within 30 days</h2>\n"
    if not rows:
        return f"{title}<p>Nothing was given up by {_fewest(page)} or more installations.</p>\n"
    lines = [Line(row.name, [f"{row.installations:,}"], row.installations) for row in rows]
    about = "Enabled in the period, and disabled again within 30 days."
    return title + look.table(about, ["name", "installations"], lines) + _others(page)


def _others(page: Page) -> str:
    return f'<p class="dim">Others: fewer than {_fewest(page)} installations, or none.</p>\n'


def _fewest(page: Page) -> str:
    return "five" if page.at_least == AT_LEAST else str(page.at_least)


def _changed(page: Page, history: list[Page]) -> str:
    if not history:
        return ""
    year = pages.a_year_before(page, history)
    parts = [_changes("Since the last edition", page, history[-1])]
    parts += [_changes("In a year", page, year)] if year else []
    return f"<h2>What changed</h2>\n{''.join(parts)}"


def _changes(title: str, page: Page, before: Page) -> str:
    found = pages.changes(page.counts.services, before.counts.services)
    lines = _changed_lines(found)
    body = f"<ul>\n{lines}</ul>\n" if lines else "<p>No rounded number changed.</p>\n"
    return f"<h3>{title} ({_day(before.last)})</h3>\n{body}"


def _changed_lines(found: Changes) -> str:
    lists = [
        ("Rising", [f"{name} {_signed(change)}" for name, change in found.rising]),
        ("Falling", [f"{name} {_signed(change)}" for name, change in found.falling]),
        ("New on the page", found.new),
        ("No longer on the page", found.gone),
    ]
    return "".join(f"<li>{title}: {escape(', '.join(names[:LISTED]))}</li>\n" for title, names in lists if names)


_HOW_TO_READ = """<h2 id="how-to-read">How to read this page</h2>
<ul>
<li><b>Who is counted.</b> Installations that opted in and whose events arrived on two days at least a week apart.
An installation is active if it sent any event in the {days} days that the edition covers.
This is not everybody who uses OnRamp.</li>
<li><b>How numbers are rounded.</b> Counts below 100 are rounded down to a multiple of five, and larger ones to two
significant digits. Small numbers lose the most: 9 becomes 5. Counts below {at_least} are not shown. Shares, order and
changes are computed from the rounded numbers, so that it is hard to find out what one installation runs.</li>
<li><b>What is not here.</b> Apart from the typical time of a command, the page contains only numbers of installations:
no runs, no means and no sums. A new edition appears every four weeks at most, and only if at least five installations
are new.</li>
<li><b>What is inaccurate.</b> An installation that got a new identifier counts twice for up to 90 days. One that was
removed counts for up to 90 days. The key that sends events is public, so somebody can invent installations.</li>
<li><b>Durations</b> are the median of the installations' own medians, rounded to one significant digit. They are shown
for commands that at least ten installations use.</li>
<li><b>How to take part.</b> <code>make analytics-enable</code> opts in, <code>make analytics-disable</code> opts out,
and <code>make analytics-events</code> lists what is collected. OnRamp is at <a href="{onramp}">{onramp}</a>.</li>
</ul>
"""


def _how_to_read(page: Page) -> str:
    return _HOW_TO_READ.format(days=pages.DAYS, at_least=page.at_least, onramp=ONRAMP)


def _footer() -> str:
    return (
        '<footer class="screen"><p>The same as data: <a href="results.json">results.json</a>, and all editions: '
        '<a href="history.json">history.json</a>. A badge for each service: <code>badges/NAME.svg</code>.</p>'
        "</footer>\n"
    )


def _day(day: date) -> str:
    return f"{day:%B} {day.day}, {day.year}"


def _signed(change: int) -> str:
    sign = "+" if change > 0 else MINUS if change < 0 else "±"
    return f"{sign}{abs(change):,}"


def _change(row: Row, before: dict[str, int]) -> str:
    if not before:
        return NOTHING
    return _signed(row.installations - before[row.name]) if row.name in before else "new"


def _failed(row: Row) -> str:
    return f"{row.failed_on:,} ({percent(row.failed_on, row.installations)}%)" if row.failed_on else NOTHING


def _duration(seconds: float | None) -> str:
    if seconds is None:
        return NOTHING
    return f"{seconds:g} s" if seconds < 100 else f"{round(seconds / 60):g} min"


def badge(row: Row) -> str:
    """Return a badge for a README: the number of installations on which a service is enabled."""
    left, right = f"{row.name} on OnRamp", f"{row.installations:,}+"
    widths = [round(6.6 * len(text)) + 14 for text in (left, right)]
    whole = sum(widths)
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{whole}" height="20" role="img" '
        f'aria-label="{escape(left)}: {right} installations">\n<title>{escape(left)}: {right} installations</title>\n'
        f'<rect width="{whole}" height="20" rx="3" fill="#3b4754"/>\n'
        f'<rect x="{widths[0]}" width="{widths[1]}" height="20" rx="3" fill="#2563a8"/>\n'
        '<g fill="#fff" font-family="Verdana,DejaVu Sans,sans-serif" font-size="11" text-anchor="middle">\n'
        f'<text x="{widths[0] / 2:g}" y="14">{escape(left)}</text>\n'
        f'<text x="{widths[0] + widths[1] / 2:g}" y="14">{right}</text>\n</g>\n</svg>\n'
    )
