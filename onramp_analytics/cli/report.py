"""report: what this installation has recorded over time, as bars in the terminal or as a page."""

from __future__ import annotations

import json
import os
from dataclasses import asdict
from pathlib import Path

import click
from rich.console import Console
from rich.table import Table
from rich.text import Text

from onramp_analytics.cli.common import as_json, bar, checkout, counted
from onramp_analytics.errors import Misconfigured
from onramp_analytics.outbox.history import Counts
from onramp_analytics.outbox.overview import Outbox
from onramp_analytics.posthog import destination
from onramp_analytics.report import page
from onramp_analytics.report import summary as reports
from onramp_analytics.report.files import write_all
from onramp_analytics.report.summary import Chart


@click.command()
@click.option(
    "--html", metavar="FILE", type=click.Path(path_type=Path), help="Write an HTML page with charts and all events."
)
@as_json
@click.pass_context
def report(context: click.Context, html: Path | None, *, as_json: bool) -> None:
    """Summarize the events of this checkout.

    Counts the services, overrides, commands and failures in the queued events and the newest 1,000 sent events. Both
    are read from this machine, and nothing is sent.
    """
    root = checkout(context)
    outbox = Outbox(root)
    sent = outbox.sent()
    queued = [found.event for found in outbox.pending(Counts())]
    found = reports.summary([*sent, *queued])
    where = _destination(root)
    if html:
        write_all(html.parent, {html.name: page.page(found, sent, queued, where)})
        click.echo(f"Wrote {html}. Open it in a browser; it works offline.", err=as_json)
    if as_json:
        click.echo(json.dumps({**asdict(found), "destination": where}, indent=2))
    elif not html:
        _print(found, len(sent), len(queued), where)


def _print(found: reports.Summary, sent: int, queued: int, where: str) -> None:
    if not found.events:
        click.echo("No events have been recorded yet.")
        return
    click.echo(f"{counted(found.events, 'event')}: {sent:,} sent, {queued:,} queued. {found.first} to {found.last}.")
    click.echo(f"Destination: {where}.")
    for chart in (reports.days_chart(found), *reports.charts(found)):
        if chart.bars:
            _show(chart)


def _destination(root: bytes) -> str:
    """Where the events of the checkout are sent, for the user."""
    try:
        return destination.of(root, os.environ).host
    except Misconfigured as error:
        return f"none, because {error}"


def _show(chart: Chart) -> None:
    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0))
    for column, head in enumerate(chart.heads):
        table.add_column(head, justify="right" if column else "left", header_style="dim", no_wrap=True)
    table.add_column()
    longest = max(one.well + one.failed for one in chart.bars) or 1
    for one in chart.bars:
        well, failed = bar(one.well / longest), bar(one.failed / longest, hollow=True)
        table.add_row(Text(one.name), *one.figures, Text(well, "blue") + Text(failed, "red"))
    console = Console(highlight=False)
    console.print()
    console.print(Text(chart.title, "bold"), Text(f"({chart.about})", "dim"))
    console.print(table)
