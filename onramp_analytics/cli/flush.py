"""flush: send now, in the foreground."""

from __future__ import annotations

import os
import time
from dataclasses import asdict

import click
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn

from onramp_analytics import consent
from onramp_analytics.cli.common import checkout, counted, left_out
from onramp_analytics.errors import CouldNot
from onramp_analytics.outbox import locks, segments
from onramp_analytics.outbox.history import State
from onramp_analytics.posthog.outcome import ACCEPTED
from onramp_analytics.spool import Spool


@click.command()
@click.option(
    "--timeout",
    metavar="S",
    type=click.FloatRange(min=0, max=86_400, min_open=True),
    default=60.0,
    show_default=True,
    help="Stop starting new requests after S seconds.",
)
@click.pass_context
def flush(context: click.Context, timeout: float) -> None:
    """Send the queued events now.

    Waits until the events are delivered. Exits with status 1 and the reason if events are still queued at the end.
    """
    root = checkout(context)
    until = time.monotonic() + timeout
    now, spool = consent.ask(os.environb, root), Spool(root)
    if not (segments.count(spool) or segments.waiting(spool)):
        click.echo("No events are queued.")
        return
    if not now.on:
        raise CouldNot(f"nothing was sent because analytics are off: {now.why}")
    state = _send(spool, root, until)
    _report(state)
    if state.newer:
        raise CouldNot("events of a newer version of this program are kept: run `make analytics-upgrade` to send them")
    if segments.waiting(spool):
        raise CouldNot("some queued events cannot be read: run `onramp-analytics doctor` for details")


def _send(spool: Spool, root: bytes, until: float) -> State:
    """Wait for the flusher that may be at work, and send what it left."""
    from onramp_analytics import flush as sender

    try:
        os.close(spool.make_folder())
        with locks.flusher_lock(spool, max(until - time.monotonic(), 0.0)) as held:
            if not held:
                raise CouldNot("events are still being sent in the background: try again in a moment")
            console = Console(stderr=True)
            columns = TextColumn("sending"), BarColumn(), MofNCompleteColumn()
            with Progress(*columns, console=console, transient=True, disable=not console.is_terminal) as bar:
                task = bar.add_task("sending", total=segments.count(spool))
                at_once = sender.sends_at_once(root)
                return sender.run(
                    *(spool, root, until - time.monotonic()),
                    lambda done: bar.advance(task, done),
                    everything=True,
                    at_once=at_once,
                )
    except OSError as error:
        what = os.fsdecode(error.filename or "the spool")
        raise CouldNot(f"{what} cannot be used ({error.strerror}): run `onramp-analytics doctor` for details") from None


def _report(state: State) -> None:
    parts = [f"sent {counted(state.sent, 'event')}"]
    parts += left_out(asdict(state))
    if state.outcome == ACCEPTED or state.sent or len(parts) > 1:
        click.echo(", ".join(parts).capitalize() + ".")
    if state.outcome != ACCEPTED:
        raise CouldNot(f"the remaining events stay queued: {state.reason}")
