"""Load the queries in `queries/`, and fill in their placeholders.

Each query answers one question, both for the maintainers' tiles and for the public page. Only the period and the
installations that count differ, which `Period` sets.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date, timedelta
from importlib import resources

_FILES = resources.files(__package__) / "queries"
APART = 7  # days: the public page counts installations whose events arrived on two days at least a week apart


@dataclass(frozen=True, slots=True)
class Period:
    """The period of a query, as HogQL: the first day, the last day, and the last day of arrival.

    Attributes:
        apart: an installation counts if its events arrived on two days that are this number of days apart.
    """

    first: str
    last: str
    made: str
    apart: int = 0


@dataclass(frozen=True, slots=True)
class Query:
    """A query: its name, its question, PostHog's name of its chart, and the days of its usual period."""

    name: str
    question: str
    display: str
    days: int
    text: str

    @property
    def is_for_alerts(self) -> bool:
        """Whether the answer is a single number of its usual period only."""
        return self.display == "BoldNumber"


def tiles() -> list[Query]:
    """Return the queries of the dashboard, in the order of their file names."""
    names = sorted(file.name for file in _FILES.iterdir() if file.name[0].isdigit())
    return [_query(_read(name)) for name in names]


def named(name: str) -> Query:
    """Return the query of that name."""
    return next(query for query in tiles() if query.name == name)


def latest(days: int) -> Period:
    """Return the last `days` days before the query runs, including today."""
    return Period(f"today() - interval {days - 1} day", "today()", "today()")


def between(first: date, last: date, made: date, apart: int = APART) -> Period:
    """Return a fixed period, for which the answer does not change while PostHog keeps the events."""
    return Period(f"toDate('{first}')", f"toDate('{last}')", f"toDate('{made}')", apart)


def fill(text: str, period: Period, known: Period | None = None) -> str:
    """Return the text of a query with its placeholders filled in.

    Args:
        text: the query.
        period: the days, and the installations that count.
        known: the installations that counted before; only `NEW_INSTALLATIONS` uses them.
    """
    if known:
        text = text.replace("{known}", _part("installations.sql", known))
    for name in ("installations", "full_counts"):
        text = text.replace(f"{{{name}}}", _part(f"{name.replace('_', '-')}.sql", period))
    return _days(text, period)


def new_installations() -> str:
    """Return the query that counts the installations that the previous edition did not count."""
    return _read("new-installations.sql")


def _part(name: str, period: Period) -> str:
    """Return a query that is a part of other queries, in parentheses and without its comment."""
    lines = [line for line in _read(name).splitlines() if not line.startswith("--")]
    return "(\n" + "\n".join(f"    {line}" for line in _days("\n".join(lines), period).splitlines()) + "\n)"


def _days(text: str, period: Period) -> str:
    for name, value in (("first", period.first), ("last", period.last), ("made", period.made)):
        text = text.replace(f"{{{name}}}", value)
    return text.replace("{apart}", str(period.apart))


def nothing_before(day: date) -> Period:
    """Return a period in which no installation counts, for the first edition."""
    return between(day, day - timedelta(days=1), date(1970, 1, 1))


def _read(name: str) -> str:
    return (_FILES / name).read_text(encoding="utf-8")


def _query(text: str) -> Query:
    name, question, shown = (line.removeprefix("-- ") for line in text.splitlines()[:3])
    display, _over, days, _unit = shown.split()
    return Query(name, question, display, int(days), text)
