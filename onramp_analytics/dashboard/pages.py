"""Convert the editions of the public page and their history to JSON and back, and compare them. Pure functions."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date, timedelta
from typing import Any

from onramp_analytics.dashboard.rounding import Counts, Row, percent

VERSION = 1  # of results.json and history.json
DAYS = 90  # that an edition covers
LATE = timedelta(days=14)  # after its last day: events arrive late
PAUSE = timedelta(weeks=4)  # between two editions
A_YEAR = timedelta(days=364)  # 13 times four weeks


@dataclass(frozen=True, slots=True)
class Page:
    """One edition of the public page.

    Attributes:
        first: the first day that it covers.
        last: the last one.
        made: the day on which it was created.
        at_least: the fewest installations that it shows.
    """

    first: date
    last: date
    made: date
    at_least: int
    counts: Counts


def days(made: date) -> tuple[date, date]:
    """Return the first and the last day of an edition that is created on a day."""
    last = made - LATE
    return last - timedelta(days=DAYS - 1), last


def as_json(page: Page) -> dict[str, Any]:
    """Return an edition as it is published."""
    counts = page.counts
    return {
        "version": VERSION,
        "made": str(page.made),
        "first": str(page.first),
        "last": str(page.last),
        "at_least": page.at_least,
        "installations": {"active": counts.active, "with_services": counts.with_services},
        "services": [_row(row, counts.with_services) for row in counts.services],
        "overrides": [_row(row, counts.with_services) for row in counts.overrides],
        "commands": [_command(row, counts.active) for row in counts.commands],
        "given_up": [{"name": row.name, "installations": row.installations} for row in counts.given_up],
    }


def _row(row: Row, whole: int) -> dict[str, Any]:
    return {"name": row.name, "installations": row.installations, "percent": percent(row.installations, whole)}


def _command(row: Row, whole: int) -> dict[str, Any]:
    return {**_row(row, whole), "failed_on": row.failed_on or None, "seconds": row.seconds}


def from_json(found: Any) -> Page:
    """Return an edition from its JSON.

    Raises:
        ValueError: it has another version, or is not an edition.
    """
    try:
        if found["version"] != VERSION:
            raise ValueError(f"it has version {found['version']}, but this program supports {VERSION}")
        first, last, made = (date.fromisoformat(found[name]) for name in ("first", "last", "made"))
        lists = {
            name: [_read(row) for row in found[name]] for name in ("services", "overrides", "commands", "given_up")
        }
        total = found["installations"]
        counts = Counts(int(total["active"]), int(total["with_services"]), **lists)
        return Page(first, last, made, int(found["at_least"]), counts)
    except (KeyError, TypeError) as error:
        raise ValueError(f"it is not a page of results ({error!r})") from None


def _read(row: dict[str, Any]) -> Row:
    return Row(str(row["name"]), int(row["installations"]), row.get("failed_on") or 0, row.get("seconds"))


def history_as_json(pages: list[Page]) -> dict[str, Any]:
    """Return all editions as `history.json` holds them, the oldest first."""
    return {"version": VERSION, "pages": [as_json(page) for page in pages]}


def history_from_json(found: Any) -> list[Page]:
    """Return all editions that were published.

    Raises:
        ValueError: one of them cannot be read.
    """
    if not isinstance(found, dict) or found.get("version") != VERSION or not isinstance(found.get("pages"), list):
        raise ValueError(f"it is not a history of version {VERSION}")
    return [from_json(page) for page in found["pages"]]


def next_day(history: list[Page]) -> date | None:
    """Return the first day on which another edition can be created; None before the first one."""
    return history[-1].made + PAUSE if history else None


def a_year_before(page: Page, history: list[Page]) -> Page | None:
    """Return the newest edition that is at least a year older."""
    older = [other for other in history if page.last - other.last >= A_YEAR]
    return older[-1] if older else None


@dataclass(frozen=True, slots=True)
class Changes:
    """The changes since another edition: (name, rounded difference) pairs, and the new and removed names."""

    rising: list[tuple[str, int]]
    falling: list[tuple[str, int]]
    new: list[str]
    gone: list[str]


def changes(now: list[Row], before: list[Row]) -> Changes:
    """Return the changes between two lists, the largest first."""
    ours, theirs = of(now), of(before)
    moved = [(name, ours[name] - theirs[name]) for name in ours.keys() & theirs.keys()]
    moved.sort(key=lambda change: (-abs(change[1]), change[0]))
    return Changes(
        rising=[change for change in moved if change[1] > 0],
        falling=[change for change in moved if change[1] < 0],
        new=sorted(ours.keys() - theirs.keys()),
        gone=sorted(theirs.keys() - ours.keys()),
    )


def of(rows: list[Row]) -> dict[str, int]:
    """Return name -> installations."""
    return {row.name: row.installations for row in rows}
