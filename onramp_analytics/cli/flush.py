"""flush: send now, in the foreground."""

from __future__ import annotations

import os
import time

import click
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn

from onramp_analytics import consent, userspool
from onramp_analytics import spool as spools
from onramp_analytics.cli.common import checkout, counted
from onramp_analytics.errors import CouldNot
from onramp_analytics.outbox import segments
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
    help="Seconds after which no further request is made.",
)
@click.pass_context
def flush(context: click.Context, timeout: float) -> None:
    """Send what is pending now, and wait for it.

    Exit status 0 when nothing is left, 1 with the reason when something is.
    """
    root = checkout(context)
    until = time.monotonic() + timeout
    now = consent.ask(os.environb, root)
    waiting = [spool for spool in userspool.spools_of(root) if segments.count(spool) or segments.waiting(spool)]
    if waiting and not now.on:
        raise CouldNot(f"nothing was sent: analytics are off: {now.why}")
    for spool in waiting:
        _report(_send(spool, root, until))
        if segments.waiting(spool):
            raise CouldNot("something is left that cannot be read: `onramp-analytics doctor` names it")
    if not waiting:
        click.echo("Nothing is waiting.")


def _send(spool: Spool, root: bytes, until: float) -> State:
    """Wait for the flusher that may be at work, and send what it left."""
    from onramp_analytics import flush as sender

    try:
        spools.make_folder(spool)
        with segments.flusher_lock(spool, max(until - time.monotonic(), 0.0)) as held:
            if not held:
                raise CouldNot("another flusher is still sending: try again in a moment")
            console = Console(stderr=True)
            columns = TextColumn("sending"), BarColumn(), MofNCompleteColumn()
            with Progress(*columns, console=console, transient=True, disable=not console.is_terminal) as bar:
                task = bar.add_task("sending", total=segments.count(spool))
                mode = {"everything": True, "at_once": sender.sends_at_once(root)}
                return sender.run(spool, root, until - time.monotonic(), lambda done: bar.advance(task, done), **mode)
    except OSError as error:
        what = os.fsdecode(error.filename or "the spool")
        raise CouldNot(f"{what} cannot be used ({error.strerror}): see `status`") from None


def _report(state: State) -> None:
    parts = [f"sent {counted(state.sent, 'event')}"]
    parts += [f"{n} refused by the server" for n in [state.refused] if n]
    parts += [f"{n} too old" for n in [state.expired] if n]
    parts += [f"{n} dated after tomorrow" for n in [state.from_the_future] if n]
    parts += [f"{n} of a former identifier deleted" for n in [state.former_id] if n]
    parts += [f"{counted(n, 'damaged line')} skipped" for n in [state.skipped] if n]
    if state.outcome == ACCEPTED or state.sent or len(parts) > 1:
        click.echo(", ".join(parts).capitalize() + ".")
    if state.outcome != ACCEPTED:
        raise CouldNot(f"the rest is kept: {state.reason}")
