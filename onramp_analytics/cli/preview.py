"""preview: the request that the flusher would make, made for real to a receiver on this machine, and printed."""

from __future__ import annotations

import json
import os
import time
from collections.abc import Iterator

import click

from onramp_analytics import events
from onramp_analytics.cli.common import as_json, checkout, counted
from onramp_analytics.errors import CouldNot
from onramp_analytics.outbox import overview
from onramp_analytics.outbox.history import Counts
from onramp_analytics.outbox.segments import Pending
from onramp_analytics.posthog.destination import Destination
from onramp_analytics.posthog.outcome import ACCEPTED
from onramp_analytics.receiver import Receiver, Request

KEY = "phc_preview"  # stands for the project's key, which is never printed whole
PUBLISHED = b"\ncommand start\noverride plex-nfs\nservice plex\n"  # names for the examples
EXAMPLES = ("plex", "plex-nfs", "start", "exit_2", True, 412)  # one value for each kind of property


@click.command()
@as_json
@click.pass_context
def preview(context: click.Context, *, as_json: bool) -> None:
    """Show what would leave, as it would arrive: the whole HTTP request, headers and body.

    What is pending goes over real HTTP to a receiver on this machine. It stays pending, and nothing leaves. Where
    nothing is pending, one event of each kind is shown as an example.
    """
    from onramp_analytics import flush
    from onramp_analytics.posthog import capture  # loads posthog

    root = checkout(context)
    waiting = list(overview.of(root, Counts()))
    if not waiting and not as_json:
        click.echo("Nothing is waiting, so these are examples, one of each kind.\n")
    with Receiver() as receiver:
        where = Destination(KEY, receiver.url)
        with capture.open_session(where, lambda: None) as session:
            for batch in flush.batches(waiting or examples()):
                outcome = capture.send(session, where, [found.event for found in batch])
                if outcome.kind != ACCEPTED:
                    raise CouldNot(f"the receiver on this machine was not reached: {outcome.reason}")
                _show(receiver.requests.pop(), as_json=as_json)
    if not as_json:
        click.echo(f"Nothing has left this machine. {KEY} stands for the project's key.")


def examples() -> Iterator[Pending]:
    """Yield one event of each kind, as the catalogue has them, of an installation that there is not."""
    nobody = events.uuid4(os.urandom(16))
    for name, (_why, properties) in events.EVENTS.items():
        values = {p.name: _example(p) for p in properties}
        line = events.build(name, values, nobody, time.time_ns(), os.urandom(16))
        yield Pending(json.loads(line), line, 0)


def _example(of: events.Property) -> events.Value:
    """Return the first example that a property takes as it is."""
    for value in EXAMPLES:
        try:
            if of.clean(value, PUBLISHED) == value:
                return value
        except ValueError:
            continue
    raise AssertionError(f"add an example for {of.name}")


def _show(request: Request, *, as_json: bool) -> None:
    sizes = {"bytes": len(request.raw), "bytes_decompressed": len(request.body)}
    if as_json:
        click.echo(json.dumps({"line": request.line, "headers": dict(request.headers), "body": request.json, **sizes}))
        return
    click.echo(request.line)
    for name, value in request.headers:
        click.echo(f"{name}: {value}")
    click.echo(f"\n{json.dumps(request.json, indent=2)}\n")
    what = counted(len(request.events), "event")
    click.echo(f"{what}: {sizes['bytes']:,} bytes on the wire, {sizes['bytes_decompressed']:,} decompressed.\n")
