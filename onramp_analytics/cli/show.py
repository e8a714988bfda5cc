"""show-pending and show-sent: the events themselves."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterable
from typing import Any

import click
from rich.console import Console
from rich.table import Table

from onramp_analytics import events, userspool
from onramp_analytics.cli.common import ago, as_json, checkout, counted, seconds
from onramp_analytics.outbox import history, overview
from onramp_analytics.outbox.history import Counts


@click.command("show-pending")
@as_json
@click.pass_context
def show_pending(context: click.Context, *, as_json: bool) -> None:
    """Print every event that waits, exactly as it will be sent.

    A table on a terminal; one JSON object a line with --json or in a pipe.
    """
    root = checkout(context)
    counts = Counts()
    _show((found.event for found in overview.of(root, counts)), as_json=as_json, nothing="Nothing is waiting.")
    if counts.skipped:
        click.echo(f"{counted(counts.skipped, 'damaged line')} skipped.", err=True)
    if counts.expired:
        click.echo(f"{counted(counts.expired, 'event')} left out: too old to be sent.", err=True)
    if counts.from_the_future:
        click.echo(f"{counted(counts.from_the_future, 'event')} left out: dated after tomorrow.", err=True)


@click.command("show-sent")
@as_json
@click.pass_context
def show_sent(context: click.Context, *, as_json: bool) -> None:
    """Print the events that were sent, from the log on this machine (the newest 1,000).

    A table on a terminal; one JSON object a line with --json or in a pipe.
    """
    sent = (event for spool in userspool.spools_of(checkout(context)) for event in history.sent(spool))
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
            ago(seconds(event["timestamp"])),
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
