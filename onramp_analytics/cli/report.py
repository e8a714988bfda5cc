"""report: what this installation has told over time, as bars in the terminal or as a page."""

from __future__ import annotations

import json
import os
import tempfile
from contextlib import suppress
from dataclasses import asdict
from pathlib import Path

import click
from rich.console import Console
from rich.table import Table
from rich.text import Text

from onramp_analytics.cli.common import as_json, checkout, counted
from onramp_analytics.errors import CouldNot
from onramp_analytics.outbox.history import Counts
from onramp_analytics.outbox.overview import Outbox
from onramp_analytics.report import page
from onramp_analytics.report import summary as reports
from onramp_analytics.report.summary import Chart

_LONGEST = 30  # columns of the longest bar


@click.command()
@click.option(
    "--html", metavar="FILE", type=click.Path(path_type=Path), help="Write a page with charts and every event."
)
@as_json
@click.pass_context
def report(context: click.Context, html: Path | None, *, as_json: bool) -> None:
    """Show what this installation has told over time: services, commands, failures, durations, day by day.

    It is made of what waits and of the log of what was sent (the newest 1,000 events), which both are on this machine.
    """
    root = checkout(context)
    outbox = Outbox(root)
    sent = outbox.sent()
    waiting = [found.event for found in outbox.pending(Counts())]
    found = reports.summary([*sent, *waiting])
    if html:
        _write(html, page.page(found, sent, waiting))
        click.echo(f"Wrote {html}. It needs no network: open it in a browser.")
    elif as_json:
        click.echo(json.dumps(asdict(found), indent=2))
    elif not found.events:
        click.echo("Nothing was recorded yet.")
    else:
        click.echo(f"{counted(found.events, 'event')}: {len(sent):,} sent, {len(waiting):,} waiting.")
        for chart in reports.charts(found):
            if chart.bars:
                _show(chart)


def _show(chart: Chart) -> None:
    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0))
    for column, head in enumerate(chart.heads):
        table.add_column(head, justify="right" if column else "left", header_style="dim", no_wrap=True)
    table.add_column()
    longest = max(bar.well + bar.failed for bar in chart.bars) or 1
    for bar in chart.bars:
        well, failed = (round(length / longest * _LONGEST) for length in (bar.well, bar.failed))
        table.add_row(Text(bar.name), *bar.figures, Text("█" * well, "blue") + Text("▒" * failed, "red"))
    console = Console(highlight=False)
    console.print()
    console.print(Text(chart.title, "bold"), Text(f"({chart.about})", "dim"))
    console.print(table)


def _write(path: Path, page: str) -> None:
    """Write the page whole or not at all, and never through a link."""
    if path.is_dir():
        raise CouldNot(f"{path} is a folder: name a file")
    new = None
    try:
        with tempfile.NamedTemporaryFile("w", encoding="utf-8", dir=path.parent, delete=False) as file:
            new = file.name
            file.write(page)
        os.replace(new, path)
    except OSError as error:
        if new:
            with suppress(OSError):
                os.unlink(new)
        raise CouldNot(f"{path} could not be written ({error.strerror}): name another file") from None
