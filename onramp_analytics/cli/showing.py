"""The commands that show: status, show-pending, show-sent, events."""

from __future__ import annotations

import calendar
import json
import os
import sys
import textwrap
import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import asdict
from typing import Any

import click
from rich.console import Console
from rich.table import Table

from onramp_analytics import consent, destination, events, health, journal, optin, pending, segments, userspool
from onramp_analytics import spool as spools
from onramp_analytics.cli import as_json, checkout, counted
from onramp_analytics.errors import Misconfigured


def register(group: click.Group) -> None:
    """Add the commands to the command line."""
    for command in (status, show_pending, show_sent, events_command):
        group.add_command(command)


@click.command()
@as_json
@click.pass_context
def status(context: click.Context, *, as_json: bool) -> None:
    """Say whether anything is collected, what waits, where it goes, and what is wrong."""
    found = _status(checkout(context))
    if as_json:
        click.echo(json.dumps(found, indent=2))
        return
    click.echo(f"Analytics are {'on' if found['on'] else 'off'}: {found['why']}.")
    for label, text in _status_rows(found):
        click.echo(_filled(f"  {label:<13}", text))
    turn = "off: make analytics-disable" if found["on"] else "on: make analytics-enable"
    click.echo(f"To turn them {turn} (or `onramp-analytics {'disable' if found['on'] else 'enable'}`)")


def _filled(label: str, text: str) -> str:
    after = " " * len(label)
    width = Console().width
    return textwrap.fill(text, width, initial_indent=label, subsequent_indent=after, break_on_hyphens=False)


def _status(root: bytes) -> dict[str, Any]:
    """Everything that `status` tells, as it is; times are in seconds since 1970."""
    now, here = consent.ask(os.environb, root), userspool.spools_of(root)
    last = max((journal.load_state(spool) for spool in here), key=lambda state: state.at)
    not_before = max(map(spools.not_before, here))
    first = next(pending.of(root, Counter()), None)
    checks = health.checks(root, now, here, os.environ)
    return {
        "on": now.on,
        "why": now.why,
        "notice_shown": now.notice_shown,
        "id": now.id or None,
        "root": os.fsdecode(root),
        "destination": _or_none(destination.host),
        "key": _or_none(lambda environ: destination.masked(destination.key(environ))),
        "pending": sum(map(segments.count, here)),
        "oldest": first and first.event["timestamp"],
        "flusher_alive": any(map(optin.flusher_is_alive, here)),
        "last_run": asdict(last) if last.at else None,
        "next_try": not_before if not_before > time.time() else None,
        "problems": health.problems(checks),
        "notes": [check.said for check in checks if check.state == health.NOTE and now.on],
    }


def _or_none(setting: Callable[[Mapping[str, str]], str]) -> str | None:
    try:
        return setting(os.environ)
    except Misconfigured:
        return None


def _status_rows(found: dict[str, Any]) -> Iterator[tuple[str, str]]:
    yield "checkout", found["root"]
    yield "id", found["id"] or "none yet"
    yield "destination", found["destination"] or "not usable, see below"
    yield "key", found["key"] or "not usable, see below"
    oldest = f", the oldest from {_ago(_seconds(found['oldest']))}" if found["oldest"] else ""
    yield "pending", counted(found["pending"], "event") + oldest
    yield "last send", _last_run(found["last_run"])
    yield "next try", _next_try(found)
    for problem in found["problems"]:
        yield "problem", problem
    for note in found["notes"]:
        yield "note", note


def _last_run(run: dict[str, Any] | None) -> str:
    if not run:
        return "never"
    parts = [run["outcome"], f"{counted(run['sent'], 'event')} sent"]
    parts += [f"{counted(run[what], label)}" for what, label in _LEFT_OUT if run[what]]
    return f"{_ago(run['at'])}: {', '.join(parts)}"


_LEFT_OUT = (("refused", "event refused by the server"), ("expired", "event too old"), ("skipped", "damaged line"))


def _next_try(found: dict[str, Any]) -> str:
    if found["flusher_alive"]:
        return "a flusher is at work"
    if not found["on"]:
        return "none while analytics are off"
    if not found["next_try"]:
        return "with the next event"
    when, run = _ago(found["next_try"]), found["last_run"]
    if run and run["failures"]:
        return f"with the next event, {when} at the earliest"
    return f"in a few seconds, or else with the next event {when}"


def _ago(when: float) -> str:
    """A time in seconds since 1970 as "3 minutes ago" or "in 3 minutes"."""
    seconds = time.time() - when
    if abs(seconds) < 1:
        return "just now"
    size, unit = next(((n, u) for n, u in _UNITS if abs(seconds) >= n), (1, "second"))
    amount = counted(int(abs(seconds) // size), unit)
    return f"{amount} ago" if seconds >= 0 else f"in {amount}"


_UNITS = ((86_400, "day"), (3_600, "hour"), (60, "minute"))


def _seconds(timestamp: str) -> float:
    """An event's timestamp in seconds since 1970."""
    numbers = map(int, timestamp[:19].replace("T", "-").replace(":", "-").split("-"))
    return calendar.timegm((*numbers, 0, 0, 0))


@click.command("show-pending")
@as_json
@click.pass_context
def show_pending(context: click.Context, *, as_json: bool) -> None:
    """Print every event that waits, exactly as it will be sent.

    A table on a terminal; one JSON object a line with --json or in a pipe.
    """
    root = checkout(context)
    counts: Counter[str] = Counter()
    _show((found.event for found in pending.of(root, counts)), as_json=as_json, nothing="Nothing is waiting.")
    if counts[pending.SKIPPED]:
        click.echo(f"{counted(counts[pending.SKIPPED], 'damaged line')} skipped.", err=True)
    if counts[pending.EXPIRED]:
        click.echo(f"{counted(counts[pending.EXPIRED], 'event')} left out: too old to be sent.", err=True)


@click.command("show-sent")
@as_json
@click.pass_context
def show_sent(context: click.Context, *, as_json: bool) -> None:
    """Print the events that were sent, from the log on this machine (the newest 1,000).

    A table on a terminal; one JSON object a line with --json or in a pipe.
    """
    sent = (event for spool in userspool.spools_of(checkout(context)) for event in journal.sent(spool))
    _show(sent, as_json=as_json, nothing="Nothing was sent yet.")


def _show(found: Iterable[dict[str, Any]], *, as_json: bool, nothing: str) -> None:
    if as_json or not sys.stdout.isatty():
        for event in found:
            click.echo(json.dumps(event))
        return
    table = Table("when", "event", "properties", box=None, padding=(0, 2, 0, 0))
    for event in found:
        own = {k: v for k, v in event["properties"].items() if k not in events.FIXED}
        table.add_row(
            _ago(_seconds(event["timestamp"])),
            event["event"],
            "  ".join(f"{k}={json.dumps(v)}" for k, v in own.items()),
        )
    if not table.row_count:
        click.echo(nothing)
        return
    console = Console(highlight=False)
    console.print(table, markup=False)
    fixed = ", ".join(f"{k}={json.dumps(v)}" for k, v in events.FIXED.items())
    console.print(f"With each of them, and with an identifier: {fixed}\nWhole, as they are sent: --json", markup=False)


@click.command("events")
def events_command() -> None:
    """Print the catalogue: every event, its properties, and what they may hold."""
    click.echo(catalogue())


def catalogue() -> str:
    """Return the catalogue as Markdown, as `docs/analytics.md` has it."""
    lines = ["| event | why | properties |", "|---|---|---|"]
    for name, (why, properties) in events.EVENTS.items():
        lines.append(f"| `{name}` | {why} | {', '.join(f'`{p.name}`' for p in properties)} |")
    lines += ["", "| property | what it holds |", "|---|---|"]
    rules = {p.name: p.rule for _why, properties in events.EVENTS.values() for p in properties}
    lines += [f"| `{name}` | {rule} |" for name, rule in rules.items()]
    lines += ["", "| with every event | |", "|---|---|"]
    lines += [f"| `{name}` | {what} |" for name, what in _WITH_EVERY_EVENT]
    return "\n".join(lines)


_WITH_EVERY_EVENT = (
    ("uuid", "random, so that a repeated delivery is counted once"),
    ("distinct_id", "the random identifier of this installation; `show-id`, `reset-id`"),
    ("timestamp", "when it happened, in UTC"),
    *((name, f"always `{json.dumps(value)}`") for name, value in events.FIXED.items() if name != "$lib_version"),
    ("$lib_version", "the version of this program"),
)
