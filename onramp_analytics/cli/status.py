"""status: whether anything is recorded, what is queued, where it goes, and what is wrong."""

from __future__ import annotations

import json
import os
import textwrap
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import asdict
from typing import Any

import click
from rich.console import Console

from onramp_analytics import consent, health, optin, userspool
from onramp_analytics import spool as spools
from onramp_analytics.cli.common import ago, as_json, checkout, counted, seconds
from onramp_analytics.errors import Misconfigured
from onramp_analytics.outbox import history, overview, segments
from onramp_analytics.outbox.history import Counts
from onramp_analytics.posthog import destination


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
    last = max((history.load_state(spool) for spool in here), key=lambda state: state.at)
    not_before = max(map(spools.not_before, here))
    first = next(overview.of(root, Counts()), None)
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
    oldest = f", the oldest from {ago(seconds(found['oldest']))}" if found["oldest"] else ""
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
    return f"{ago(run['at'])}: {', '.join(parts)}"


_LEFT_OUT = (
    ("refused", "event refused by the server"),
    ("expired", "event too old"),
    ("from_the_future", "event dated after tomorrow"),
    ("former_id", "event of a former identifier"),
    ("skipped", "damaged line"),
)


def _next_try(found: dict[str, Any]) -> str:
    if found["flusher_alive"]:
        return "a flusher is at work"
    if not found["on"]:
        return "none while analytics are off"
    if not found["next_try"]:
        return "with the next event"
    when, run = ago(found["next_try"]), found["last_run"]
    if run and run["failures"]:
        return f"with the next event, {when} at the earliest"
    return f"in a few seconds, or else with the next event {when}"
