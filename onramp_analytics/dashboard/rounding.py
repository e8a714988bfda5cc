"""Round the counts of installations for the public page, which never shows an exact number.

Every count becomes r(n) here. Of the rest of an answer, only names and durations of one significant digit are passed
on. So the order, shares, bars, changes and files follow from rounded values alone. Pure functions.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

AT_LEAST = 5  # installations; fewer are never shown
ENOUGH_FOR_A_DURATION = 10  # installations


class Answer(Protocol):
    """The answer to a query."""

    @property
    def columns(self) -> Sequence[str]:
        """The names of the columns."""

    @property
    def rows(self) -> Sequence[Sequence[Any]]:
        """The rows, exact."""


@dataclass(frozen=True, slots=True)
class Row:
    """A name and its number of installations, rounded; for a command also the number on which it failed.

    Attributes:
        failed_on: installations, rounded; 0 means fewer than five.
        seconds: the typical duration, to one significant digit; None if too few installations report it.
    """

    name: str
    installations: int
    failed_on: int = 0
    seconds: float | None = None


@dataclass(frozen=True, slots=True)
class Counts:
    """The content of an edition: rounded numbers of installations, and typical durations."""

    active: int = 0
    with_services: int = 0
    services: list[Row] = field(default_factory=list)
    overrides: list[Row] = field(default_factory=list)
    commands: list[Row] = field(default_factory=list)
    given_up: list[Row] = field(default_factory=list)


def r(n: int, at_least: int = AT_LEAST) -> int:
    """Round a number of installations down: to a multiple of five below 100, to two significant digits from there.

    Args:
        n: the exact number.
        at_least: smaller results become 0; never below five.
    """
    step = 5 if n < 100 else 10 ** (len(str(n)) - 2)
    rounded = n // step * step
    return rounded if rounded >= max(at_least, AT_LEAST) else 0


def percent(part: int, whole: int) -> int:
    """Return the share of a rounded count in another one, in percent."""
    return round(100 * part / whole) if whole else 0


def one_digit(seconds: float) -> float:
    """Return a duration to one significant digit: 0.3, 4, 60."""
    if seconds <= 0 or not math.isfinite(seconds):
        return 0.0
    return float(round(seconds, -math.floor(math.log10(seconds))))


def enough_new(answer: Answer) -> bool:
    """Return whether enough installations are new since the last edition for another one."""
    return r(_cells(answer)[0]["installations"]) > 0


def counts(answers: Mapping[str, Answer], at_least: int = AT_LEAST) -> Counts:
    """Return the rounded counts that an edition may show.

    Args:
        answers: name of a query -> its exact answer.
        at_least: the fewest installations that are shown; never below five.
    """
    (total,) = _cells(answers["Installations"])
    return Counts(
        active=r(total["active"], at_least),
        with_services=r(total["with_services"], at_least),
        services=_rows(answers["Enabled services"], "service", at_least),
        overrides=_rows(answers["Enabled overrides"], "override", at_least),
        commands=_commands(answers, at_least),
        given_up=_rows(answers["Given up within 30 days"], "name", at_least),
    )


def _cells(answer: Answer) -> list[dict[str, Any]]:
    return [dict(zip(answer.columns, row, strict=True)) for row in answer.rows]


def _rows(answer: Answer, name: str, at_least: int) -> list[Row]:
    return _shown(Row(str(cells[name]), r(cells["installations"], at_least)) for cells in _cells(answer))


def _commands(answers: Mapping[str, Answer], at_least: int) -> list[Row]:
    failed = {cells["command"]: r(cells["failed_on"], at_least) for cells in _cells(answers["Error rate by command"])}
    took = {cells["command"]: _seconds(cells, at_least) for cells in _cells(answers["Duration by command"])}
    return _shown(
        Row(row.name, row.installations, failed.get(row.name, 0), took.get(row.name))
        for row in _rows(answers["Commands"], "command", at_least)
    )


def _seconds(cells: Mapping[str, Any], at_least: int) -> float | None:
    enough = r(cells["installations"], at_least) >= ENOUGH_FOR_A_DURATION
    return one_digit(cells["typical_seconds"]) if enough else None


def _shown(rows: Any) -> list[Row]:
    """Return the rows of enough installations, ordered by the rounded numbers."""
    return sorted((row for row in rows if row.installations), key=lambda row: (-row.installations, row.name))
