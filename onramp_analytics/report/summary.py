"""What this installation has told over time: events in, figures out."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import date, timedelta
from typing import Any

MOST = 10  # services, commands and failures that are listed
LONGEST = 60  # days that are listed, the newest


@dataclass(frozen=True, slots=True)
class Command:
    """What was told of one command: how often it ran and failed, and its mean duration in milliseconds."""

    name: str
    runs: int
    failures: int
    mean_ms: int


@dataclass(frozen=True, slots=True)
class Summary:
    """The figures.

    Attributes:
        events: how many events there are.
        days: (day as YYYY-MM-DD, events, failures of commands) for each day from the first to the last, the newest 60.
        services: (service, how often it was enabled), most often first, ten at most.
        commands: most often first, ten at most.
        failures: (how a command failed, how often), most often first, ten at most.
    """

    events: int
    days: list[tuple[str, int, int]]
    services: list[tuple[str, int]]
    commands: list[Command]
    failures: list[tuple[str, int]]


@dataclass(frozen=True, slots=True)
class Bar:
    """One line of a chart: its name, its figures, and how long its bar is: what went well, and what failed."""

    name: str
    figures: list[str]
    well: int
    failed: int


@dataclass(frozen=True, slots=True)
class Chart:
    """One question and its answer: a title, what it is about, the heads of the columns, and a line for each bar."""

    title: str
    about: str
    heads: list[str]
    bars: list[Bar]


def summary(events: Iterable[dict[str, Any]]) -> Summary:
    """Return what the events say when they are counted.

    Args:
        events: as `gate.admit` lets them through; one uuid is counted once.
    """
    once = list({event["uuid"]: event for event in events}.values())
    ran = [event for event in once if event["event"] == "command_executed"]
    enabled = [event for event in once if event["event"] == "service_enabled"]
    failed = [event for event in once if event["event"] == "error_occurred"]
    return Summary(
        events=len(once),
        days=_days(once, ran),
        services=_most(enabled, "service_name"),
        commands=_commands(ran),
        failures=_most(failed, "error_type"),
    )


def charts(found: Summary) -> list[Chart]:
    """Return the figures as they are shown, in the terminal and on the page."""
    return [
        Chart(
            "Day by day",
            "everything that was recorded, and the commands that failed",
            ["day", "events", "failed"],
            [Bar(day, [f"{n:,}", f"{failed:,}"], n - failed, failed) for day, n, failed in found.days],
        ),
        Chart(
            "Services",
            'how often each was enabled; "custom" is any of your own',
            ["service", "times"],
            [Bar(name, [f"{n:,}"], n, 0) for name, n in found.services],
        ),
        Chart(
            "Commands",
            'how often each ran and failed, and how long it took; "other" is any of your own',
            ["command", "runs", "failed", "mean"],
            [
                Bar(c.name, [f"{c.runs:,}", f"{c.failures:,}", f"{c.mean_ms:,} ms"], c.runs - c.failures, c.failures)
                for c in found.commands
            ],
        ),
        Chart(
            "Failures",
            "how commands failed",
            ["failed with", "times"],
            [Bar(name, [f"{n:,}"], 0, n) for name, n in found.failures],
        ),
    ]


def _most(events: list[dict[str, Any]], name: str) -> list[tuple[str, int]]:
    counts = Counter(event["properties"][name] for event in events)
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
    """Return the day of an event in UTC; None for one that never was (30 February passes the catalogue's look)."""
    try:
        return date.fromisoformat(event["timestamp"][:10])
    except ValueError:
        return None
