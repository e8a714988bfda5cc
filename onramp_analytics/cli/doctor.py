"""doctor: everything that was looked at, a line each, with what to do where something is wrong."""

from __future__ import annotations

import json
import os
from dataclasses import asdict

import click
from rich.console import Console
from rich.table import Table
from rich.text import Text

from onramp_analytics import consent, health, userspool
from onramp_analytics.cli.common import as_json, checkout, counted
from onramp_analytics.consent import Consent
from onramp_analytics.errors import CouldNot, Misconfigured
from onramp_analytics.health import NOTE, OK, WRONG, Check
from onramp_analytics.posthog import destination
from onramp_analytics.posthog.outcome import ACCEPTED, REJECTED

_MARKS = {OK: ("✓", "green"), NOTE: ("·", "yellow"), WRONG: ("✗", "bold red")}


@click.command()
@click.option("--online", is_flag=True, help="Ask the host, too: one request without an event, as a flusher makes it.")
@as_json
@click.pass_context
def doctor(context: click.Context, *, online: bool, as_json: bool) -> int:
    """Look at everything that events need to be stored and sent, and say what to do where something is wrong.

    Nothing is changed, and nothing leaves this machine without --online. Exit status 1 when something is wrong.
    """
    root = checkout(context)
    now = consent.ask(os.environb, root)
    found = health.checks(root, now, userspool.spools_of(root), os.environ)
    if online:
        found.append(_online(root, now))
    if as_json:
        click.echo(json.dumps([asdict(check) for check in found], indent=2))
    else:
        _show(found)
    wrong = health.problems(found)
    if wrong and not as_json:
        raise CouldNot(f"{counted(len(wrong), 'thing')} wrong: see ✗ above")
    return 1 if wrong else 0


def _show(found: list[Check]) -> None:
    table = Table.grid(padding=(0, 2, 0, 0))
    for check in found:
        mark, style = _MARKS[check.state]
        table.add_row(Text(mark, style), check.what, Text(check.said))
    Console(highlight=False).print(table)


def _online(root: bytes, now: Consent) -> Check:
    """Make one request like the flusher's, with no event in it, if we may make any."""
    if not now.on:
        return Check("online", NOTE, "not asked, since analytics are off")
    from onramp_analytics.posthog import capture  # loads posthog
    from onramp_analytics.posthog.sender import Stop, require_consent

    try:
        where = destination.from_environ(os.environ)
    except Misconfigured as error:
        return Check("online", WRONG, f"not asked: {error}")
    try:
        with capture.open_session(where, lambda: require_consent(root)) as session:
            outcome = capture.send(session, where, [])
    except Stop as stop:
        return Check("online", NOTE, f"not asked: {stop.outcome.reason}")
    if outcome.kind in (ACCEPTED, REJECTED):  # to a batch without events PostHog may say either
        return Check("online", OK, f"{where.host} answers like PostHog")
    return Check("online", WRONG, f"{where.host}: {outcome.reason}")
