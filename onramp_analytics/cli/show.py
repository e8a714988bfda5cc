"""show-pending and show-sent: the events themselves."""

from __future__ import annotations

import json
import os
import sys
from collections import Counter
from collections.abc import Iterable
from typing import Any

import click
from rich.console import Console
from rich.table import Table

from onramp_analytics import consent, events
from onramp_analytics.cli.common import as_json, checkout, counted, day, schedule
from onramp_analytics.outbox import overview
from onramp_analytics.outbox.overview import Outbox
from onramp_analytics.posthog import destination


@click.command("show-pending")
@as_json
@click.pass_context
def show_pending(context: click.Context, *, as_json: bool) -> None:
    """Show every queued event, as it will be sent.

    A table on a terminal; one JSON object per line with --json or in a pipe.
    """
    root = checkout(context)
    counts: Counter[str] = Counter()
    found = [pending.event for pending in Outbox(root).pending(counts)]
    _show(found, as_json=as_json, nothing="Nothing is queued. Sent events: onramp-analytics show-sent")
    for what, label in ((overview.SKIPPED, "damaged line"), (overview.EXPIRED, "event that is too old")):
        if counts[what]:
            click.echo(f"{counted(counts[what], label)} left out.", err=True)
    if found and not as_json and sys.stdout.isatty() and consent.ask(os.environb, root).on:
        oldest = min(event["timestamp"] for event in found)
        click.echo(schedule(destination.send(root, os.environ), day(oldest, 2)))
        click.echo("To send them now: make analytics-flush. To delete them: make analytics-disable.")


@click.command("show-sent")
@as_json
@click.pass_context
def show_sent(context: click.Context, *, as_json: bool) -> None:
    """Show the events that were sent.

    They come from the log on this machine, which keeps the newest 1,000. A table on a terminal; one JSON object per
    line with --json or in a pipe.
    """
    found = Outbox(checkout(context)).sent()
    _show(found, as_json=as_json, nothing="Nothing was sent. Queued events: onramp-analytics show-pending")


def _show(found: Iterable[dict[str, Any]], *, as_json: bool, nothing: str) -> None:
    if as_json or not sys.stdout.isatty():
        for event in found:
            click.echo(json.dumps(event))
        return
    table = Table("day", "event", "properties", box=None, padding=(0, 2, 0, 0))
    for event in found:
        own = {k: v for k, v in event["properties"].items() if k not in events.FIXED}
        values = "  ".join(f"{k}={json.dumps(v)}" for k, v in own.items())
        table.add_row(event["timestamp"][:10], event["event"], values)
    if not table.row_count:
        click.echo(nothing)
        return
    console = Console(highlight=False)
    console.print(table, markup=False)
    fixed = ", ".join(f"{k}={json.dumps(v)}" for k, v in events.FIXED.items())
    console.print(f"Each also holds an identifier and {fixed}. To see them whole: --json", markup=False)
