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

LONGEST = 86_400  # seconds


def _seconds(_context: click.Context, _parameter: click.Parameter, value: float) -> float:
    if not 0 < value <= LONGEST:
        raise click.BadParameter(f"use more than 0 and at most {LONGEST:,} seconds")
    return value


@click.command()
@click.option(
    "--timeout",
    metavar="S",
    type=float,
    callback=_seconds,
    default=60.0,
    help="Start no new request after S seconds (default: 60).",
)
@click.pass_context
def flush(context: click.Context, timeout: float) -> None:
    """Send the queued events now.

    Waits until they are delivered. If events are still queued at the end, prints why and exits with status 1.
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
    _report(state, segments.count(spool))
    if state.newer:
        raise CouldNot("some queued events need a newer version of this program: run `make analytics-upgrade`")
    if segments.waiting(spool):
        raise CouldNot("some queued events cannot be read: run `make analytics-doctor` for details")


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
        raise CouldNot(f"{what} cannot be used ({error.strerror}): run `make analytics-doctor` for details") from None


def _report(state: State, left: int) -> None:
    is_done = state.outcome == ACCEPTED
    queued = "" if is_done else f" {counted(left, 'event')} still queued."
    not_sent = ", ".join(left_out(asdict(state)))
    click.echo(f"Sent {counted(state.sent, 'event')}.{f' Not sent: {not_sent}.' if not_sent else ''}{queued}")
    if not is_done:
        raise CouldNot(state.reason)
