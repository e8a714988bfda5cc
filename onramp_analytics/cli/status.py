"""status: whether anything is recorded, what is queued, where it is sent and when, and what is wrong."""

from __future__ import annotations

import json
import os
import textwrap
import time
from collections.abc import Callable, Iterator
from dataclasses import asdict
from typing import Any

import click
from rich.console import Console

from onramp_analytics import consent, health
from onramp_analytics.cli.common import ago, as_json, checkout, counted, day, echo, left_out, schedule
from onramp_analytics.errors import Misconfigured
from onramp_analytics.outbox.history import Counts
from onramp_analytics.outbox.overview import Outbox
from onramp_analytics.posthog import destination
from onramp_analytics.posthog.outcome import ACCEPTED


@click.command()
@as_json
@click.pass_context
def status(context: click.Context, *, as_json: bool) -> None:
    """Show whether analytics are on.

    Also shows the queued events, the destination, the schedule and any problems.
    """
    found = look(checkout(context))
    if as_json:
        click.echo(json.dumps(found, indent=2))
        return
    click.echo(echo(f"Analytics are {'on' if found['on'] else 'off'}: {found['why']}."))
    for label, text in _rows(found):
        click.echo(echo(_filled(f"  {label:<13}", text)))
    if found["turn"]:
        click.echo(f"To turn them {'off' if found['on'] else 'on'}: {found['turn']}")


def look(root: bytes) -> dict[str, Any]:
    """Return everything that `status` shows, as it is; times are in seconds since 1970."""
    now, outbox = consent.ask(os.environb, root), Outbox(root)
    last, not_before = outbox.last_run(), outbox.spool.not_before()
    first = next(outbox.pending(Counts()), None)
    checks = health.checks(root, now, os.environ)
    return {
        "version": 1,
        "on": now.on,
        "why": now.why,
        "is_here": now.is_here,
        "id": now.id or None,
        "root": os.fsdecode(root),
        "destination": _or_none(lambda: destination.of(root, os.environ).host),
        "key": _or_none(lambda: destination.masked(destination.of(root, os.environ).key)),
        "send": destination.send(root, os.environ),
        "pending": outbox.count(),
        "oldest": first and first.event["timestamp"],
        "flusher_alive": outbox.flusher_is_alive(),
        "last_run": asdict(last) if last.at else None,
        "next_try": not_before if not_before > time.time() else None,
        "problems": health.problems(checks),
        "notes": [check.result for check in checks if check.state == health.NOTE and now.on],
        "turn": _turn(root, now),
    }


def _turn(root: bytes, now: consent.Consent) -> str | None:
    """Return the command that turns analytics on or off; None if it would refuse."""
    if now.on:
        return "make analytics-disable"
    if consent.do_not_track(os.environb):
        return None
    return None if consent.off_by_settings(os.environb, root) else "make analytics-enable"


def _or_none(setting: Callable[[], str]) -> str | None:
    try:
        return setting()
    except Misconfigured:
        return None


def _rows(found: dict[str, Any]) -> Iterator[tuple[str, str]]:
    yield "checkout", found["root"]
    if found["id"]:
        yield "identifier", found["id"]
    if found["destination"] or found["on"]:
        yield "destination", found["destination"] or "none, see below"
        yield "key", found["key"] or "none, see below"
    queued = counted(found["pending"], "event")
    yield "queued", queued + (f", the oldest from {day(found['oldest'])}" if found["oldest"] else "")
    if found["on"]:
        yield "schedule", schedule(found["send"], day(found["oldest"], 2) if found["oldest"] else "")
        yield "last send", _last_run(found["last_run"])
        if next_try := _next_try(found):
            yield "next try", next_try
    elif found["pending"]:
        yield "note", _left(queued, is_here=found["is_here"])
    for problem in found["problems"]:
        yield "problem", problem
    for note in found["notes"]:
        yield "note", note


def _left(queued: str, *, is_here: bool) -> str:
    """Say what becomes of events that are queued while analytics are off."""
    if is_here:
        return f"{queued} will stay queued until analytics are on again; `make analytics-disable` deletes them"
    return f"`make analytics-enable` and `make analytics-disable` will delete {queued}"


def _filled(label: str, text: str) -> str:
    after = " " * len(label)
    width = Console().width
    return textwrap.fill(text, width, initial_indent=label, subsequent_indent=after, break_on_hyphens=False)


def _last_run(run: dict[str, Any] | None) -> str:
    if not run:
        return "never"
    if run["outcome"] == ACCEPTED and not run["sent"] and not left_out(run):  # there was nothing to send
        return ago(run["last_sent_at"]) if run["last_sent_at"] else "never"
    not_sent = ", ".join(left_out(run))
    result = f"{run['outcome']}, {counted(run['sent'], 'event')} sent{f'; not sent: {not_sent}' if not_sent else ''}"
    return f"{ago(run['at'])}: {result}"


def _next_try(found: dict[str, Any]) -> str:
    if found["flusher_alive"]:
        return "events are being sent in the background"
    run = found["last_run"]
    if found["next_try"] and run and run["failures"]:
        return f"with the next command, {ago(found['next_try'])} at the earliest, since the last attempt failed"
    return ""
