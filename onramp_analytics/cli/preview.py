"""preview: the request that would be made, made for real to a receiver on this machine, and shown."""

from __future__ import annotations

import json
import os
import time
import urllib.parse
from collections.abc import Iterator

import click

from onramp_analytics import checkout as checkouts
from onramp_analytics import consent, events, make_events
from onramp_analytics.cli.common import as_json, checkout, counted, echo
from onramp_analytics.errors import CouldNot, Misconfigured
from onramp_analytics.outbox.history import Counts
from onramp_analytics.outbox.overview import Outbox, batches
from onramp_analytics.outbox.segments import Pending
from onramp_analytics.posthog import destination
from onramp_analytics.posthog.destination import Destination
from onramp_analytics.posthog.outcome import ACCEPTED
from onramp_analytics.receiver import Receiver, Request

NOBODY = "00000000-0000-0000-0000-000000000000"  # the identifier before there is one
PUBLISHED = b"\ncommand start\noverride plex-nfs\nservice plex\n"  # names for the examples
EXAMPLES = ("plex", "plex-nfs", "start", "exit_2", True, 410)  # one value for each kind of property


@click.command()
@as_json
@click.pass_context
def preview(context: click.Context, *, as_json: bool) -> None:
    """Show the complete request without sending it.

    Makes the request to a temporary server on this machine, and prints what arrived there. Nothing goes to PostHog.

    Shows the queued events, which stay queued. If the queue is empty and analytics are off, shows what `enable` would
    queue. If that is nothing, or analytics are on, shows one example of each event.
    """
    root = checkout(context)
    what, found = _found(root)
    shown, wrong = _shown(root)
    if not as_json:
        click.echo(f"{what}\n")
        if wrong:
            click.echo(echo(f"No events can be sent yet, because {wrong}."))
            click.echo("The address and the api_key below are examples.\n")
    for batch in batches(found):
        _show(_request(shown, batch), shown, as_json=as_json)
    if not as_json:
        click.echo("Nothing was sent to PostHog: the request went only to a temporary server on this machine.")
        if not wrong:
            zeros = ", and distinct_id is all zeros" if found[0].event["distinct_id"] == NOBODY else ""
            click.echo(f"The request is complete, except that api_key is shortened here{zeros}.")


def _found(root: bytes) -> tuple[str, list[Pending]]:
    """Return what is shown, in a sentence and as events."""
    now = consent.ask(os.environb, root)
    if now.is_here:
        found = list(Outbox(root).pending(Counts()))
        if found and now.on:
            return "These events are queued. This is how they will be sent:", found
        if found:
            return f"Analytics are off: {now.why}. This is how the queued events would be sent if they were on:", found
    if not now.on:
        found = list(inventory(root))
        if found:
            return "Analytics are off. These are the events that `enable` would queue now:", found
    return "No events are queued. These are examples, one of each event:", list(examples())


def inventory(root: bytes) -> Iterator[Pending]:
    """Yield the events that `enable` would queue now: what is enabled in the checkout."""
    published = checkouts.published(root)
    after = make_events.enabled(root, set())
    for name, given in make_events.changes(set(), after, lambda name: events.has_scaffold(name, published)):
        values = events.clean(name, given, published, events.VERSION)
        if values is not None:
            yield _event(name, values)


def examples() -> Iterator[Pending]:
    """Yield one event of each kind, of an installation that does not exist."""
    for name, event in events.EVENTS.items():
        yield _event(name, {p.name: _example(p) for p in event.properties})


def _event(name: str, values: dict[str, events.Value]) -> Pending:
    line = events.build(name, values, NOBODY, time.time(), os.urandom(16))
    return Pending(json.loads(line), line, 0)


def _example(of: events.Property) -> events.Value:
    """Return the first example that a property takes as it is."""
    for value in EXAMPLES:
        try:
            if of.clean(value, PUBLISHED) == value:
                return value
        except ValueError:
            continue
    raise AssertionError(f"add a valid value of {of.name} to EXAMPLES")


def _shown(root: bytes) -> tuple[Destination, str]:
    """Return where the request would be sent, with the key made unreadable; or an example, and what is wrong."""
    try:
        where = destination.of(root, os.environ)
    except Misconfigured as error:
        return Destination("phc_none", destination.US_CLOUD), str(error)
    return Destination(destination.masked(where.key).replace("…", "..."), where.host), ""


def _request(shown: Destination, batch: list[Pending]) -> Request:
    """Make the request to a receiver on this machine, addressed as it would be."""
    from onramp_analytics.posthog import capture  # loads posthog

    with Receiver() as receiver:
        here = Destination(shown.key, receiver.url)
        with capture.open_session(here, lambda: None) as session:
            session.headers["Host"] = urllib.parse.urlsplit(shown.host).netloc
            outcome = capture.send(session, here, [found.event for found in batch])
        if outcome.kind != ACCEPTED:
            raise CouldNot(f"the temporary server on this machine could not be reached: {outcome.reason}")
        return receiver.requests.pop()


def _show(request: Request, shown: Destination, *, as_json: bool) -> None:
    sizes = {"bytes": len(request.raw), "bytes_decompressed": len(request.body)}
    method, path, protocol = request.line.split()
    if as_json:
        whole = {"version": 1, "line": request.line, "url": f"{shown.host}{path}", "headers": dict(request.headers)}
        click.echo(json.dumps({**whole, "body": request.json, **sizes}))
        return
    click.echo(f"{method} {shown.host}{path} {protocol}")
    for name, value in request.headers:
        click.echo(f"{name}: {value}")
    click.echo(f"\n{json.dumps(request.json, indent=2)}\n")
    what = counted(len(request.events), "event")
    click.echo(f"{what}: {sizes['bytes']:,} bytes, {sizes['bytes_decompressed']:,} before compression.\n")
