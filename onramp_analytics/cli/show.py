"""show-pending and show-sent: the events themselves."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Iterable
from dataclasses import asdict
from typing import Any

import click
from rich.console import Console
from rich.table import Table

from onramp_analytics import consent, events
from onramp_analytics.cli.common import as_json, checkout, day, left_out, schedule
from onramp_analytics.outbox.history import Counts
from onramp_analytics.outbox.overview import Outbox
from onramp_analytics.outbox.schedule import DAYS_TO_LOOK
from onramp_analytics.posthog import destination


@click.command("show-pending")
@as_json
@click.pass_context
def show_pending(context: click.Context, *, as_json: bool) -> None:
    """Show the queued events.

    Prints a table on a terminal. With --json or in a pipe, prints one JSON object per line, exactly as it will be sent.
    """
    root = checkout(context)
    counts = Counts()
    found = (pending.event for pending in Outbox(root).pending(counts))
    oldest = _show(
        found, as_json=as_json, nothing="No events are queued. To see sent events, run `make analytics-show-sent`."
    )
    for what in left_out(asdict(counts)):
        click.echo(f"{what} skipped.", err=True)
    if oldest and consent.ask(os.environb, root).on:
        click.echo(schedule(destination.send(root, os.environ), day(oldest, DAYS_TO_LOOK)))
        click.echo("To send them now: make analytics-flush.\nTo delete them and opt out: make analytics-disable.")


@click.command("show-sent")
@as_json
@click.pass_context
def show_sent(context: click.Context, *, as_json: bool) -> None:
    """Show the events that were sent.

    Shows the newest 1,000 events of the log on this machine. Prints a table on a terminal. With --json or in a pipe,
    prints one JSON object per line, exactly as it was sent.
    """
    found = Outbox(checkout(context)).sent()
    _show(
        found,
        as_json=as_json,
        nothing="No events have been sent. To see queued events, run `make analytics-show-pending`.",
    )


def _show(found: Iterable[dict[str, Any]], *, as_json: bool, nothing: str) -> str:
    """Print events; return the timestamp of the oldest that was shown in a table, or nothing."""
    if as_json or not sys.stdout.isatty():
        for event in found:
            click.echo(json.dumps(event))
        return ""
    oldest = ""
    table = Table("day", "event", "properties", box=None, padding=(0, 2, 0, 0))
    for event in found:
        own = {k: v for k, v in event["properties"].items() if k not in events.FIXED}
        values = "  ".join(f"{k}={json.dumps(v)}" for k, v in own.items())
        oldest = min(oldest or event["timestamp"], event["timestamp"])
        table.add_row(event["timestamp"][:10], event["event"], values)
    if not table.row_count:
        click.echo(nothing)
        return ""
    console = Console(highlight=False)
    console.print(table, markup=False)
    fixed = ", ".join(f"{k}={json.dumps(v)}" for k, v in events.FIXED.items())
    console.print(
        f"Every event also contains a UUID, an identifier and {fixed}. Use --json to see complete events.", markup=False
    )
    return oldest
