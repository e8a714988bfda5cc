"""Summarize the events that this installation has recorded."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import date, timedelta
from typing import Any

MOST = 10  # services, overrides, commands and failures that are listed
LONGEST = 60  # days that are listed; the newest


@dataclass(frozen=True, slots=True)
class Switched:
    """How many times a service or an override was recorded as enabled and as disabled, full counts included."""

    name: str
    enabled: int
    disabled: int


@dataclass(frozen=True, slots=True)
class Command:
    """How often a command ran and failed, and its mean duration in milliseconds."""

    name: str
    runs: int
    failures: int
    mean_ms: int


@dataclass(frozen=True, slots=True)
class Summary:
    """The figures.

    Attributes:
        events: the number of events.
        first: the day of the oldest one as YYYY-MM-DD; empty without events.
        last: the day of the newest one.
        days: (day, events, failures of commands) for each day from the first to the last, the newest 60.
        services: most often recorded as enabled first, ten at most.
        overrides: most often recorded as enabled first, ten at most.
        commands: most often run first, ten at most.
        failures: (how a command failed, how often), most often first, ten at most.
    """

    events: int
    first: str
    last: str
    days: list[tuple[str, int, int]]
    services: list[Switched]
    overrides: list[Switched]
    commands: list[Command]
    failures: list[tuple[str, int]]


@dataclass(frozen=True, slots=True)
class Bar:
    """One row of a chart: its name, its numbers, and the two parts of its bar: successful and failed."""

    name: str
    figures: list[str]
    well: int
    failed: int = 0


@dataclass(frozen=True, slots=True)
class Chart:
    """A chart: its title, a description, the headings of the columns, and its rows."""

    title: str
    about: str
    heads: list[str]
    bars: list[Bar]


def summary(events: Iterable[dict[str, Any]]) -> Summary:
    """Return the summary of events.

    Args:
        events: events that passed the gate; each uuid is counted once.
    """
    once = list({event["uuid"]: event for event in events}.values())
    ran = [event for event in once if event["event"] == "command_executed"]
    failed = [event for event in once if event["event"] == "error_occurred"]
    days = _days(once, ran)
    known = sorted(day.isoformat() for day in map(_day, once) if day)
    return Summary(
        events=len(once),
        first=known[0] if known else "",
        last=known[-1] if known else "",
        days=days,
        services=_switched(once, "service"),
        overrides=_switched(once, "override"),
        commands=_commands(ran),
        failures=_most(Counter(event["properties"]["error_type"] for event in failed)),
    )


def charts(found: Summary) -> list[Chart]:
    """Return the charts of a summary, for the terminal and the page."""
    return [
        _switches("Services", "service", "custom", found.services),
        _switches("Overrides", "override", "custom", found.overrides),
        Chart(
            "Commands",
            'how many times each ran and failed, and the mean duration; "other": targets that you added',
            ["command", "runs", "failed", "mean"],
            [
                Bar(c.name, [f"{c.runs:,}", f"{c.failures:,}", f"{c.mean_ms:,} ms"], c.runs - c.failures, c.failures)
                for c in found.commands
            ],
        ),
        Chart(
            "Failures",
            "errors of commands that failed",
            ["error", "times"],
            [Bar(name, [f"{n:,}"], 0, n) for name, n in found.failures],
        ),
    ]


def days_chart(found: Summary) -> Chart:
    """Return the chart of the days for the terminal; the page has a column chart instead."""
    return Chart(
        "Day by day",
        "all recorded events, and the commands that failed",
        ["day", "events", "failed"],
        [Bar(day, [f"{n:,}", f"{failed:,}"], n - failed, failed) for day, n, failed in found.days],
    )


def _switches(title: str, what: str, own: str, found: list[Switched]) -> Chart:
    about = f'how often each was recorded as enabled and disabled; "{own}": {what}s that you added'
    bars = [Bar(one.name, [f"{one.enabled:,}", f"{one.disabled:,}"], one.enabled) for one in found]
    return Chart(title, about, [what, "enabled", "disabled"], bars)


def _switched(events: list[dict[str, Any]], kind: str) -> list[Switched]:
    enabled, disabled = (
        Counter(event["properties"][f"{kind}_name"] for event in events if event["event"] == f"{kind}_{what}")
        for what in ("enabled", "disabled")
    )
    found = [Switched(name, enabled[name], disabled[name]) for name in enabled | disabled]
    return sorted(found, key=lambda one: (-one.enabled, -one.disabled, one.name))[:MOST]


def _most(counts: Counter[str]) -> list[tuple[str, int]]:
    return sorted(counts.items(), key=lambda found: (-found[1], found[0]))[:MOST]


def _commands(ran: list[dict[str, Any]]) -> list[Command]:
    of: dict[str, list[dict[str, Any]]] = {}
    for event in ran:
        of.setdefault(event["properties"]["command"], []).append(event["properties"])
    commands = [
        Command(name, len(runs), sum(not run["success"] for run in runs), _mean([run["duration_ms"] for run in runs]))
        for name, runs in of.items()
    ]
    return sorted(commands, key=lambda command: (-command.runs, command.name))[:MOST]


def _mean(numbers: list[int]) -> int:
    return round(sum(numbers) / len(numbers))


def _days(events: list[dict[str, Any]], ran: list[dict[str, Any]]) -> list[tuple[str, int, int]]:
    counts = Counter(map(_day, events))
    failures = Counter(_day(event) for event in ran if not event["properties"]["success"])
    known = sorted(day for day in counts if day)
    if not known:
        return []
    last = known[-1]
    first = max(known[0], last - timedelta(days=LONGEST - 1))
    days = [first + timedelta(days=number) for number in range((last - first).days + 1)]
    return [(day.isoformat(), counts[day], failures[day]) for day in days]


def _day(event: dict[str, Any]) -> date | None:
    """Return the UTC day of an event; None for an impossible date (the gate admits February 30)."""
    try:
        return date.fromisoformat(event["timestamp"][:10])
    except ValueError:
        return None
