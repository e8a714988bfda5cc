"""doctor: one line for each check, with what to do if something is wrong."""

from __future__ import annotations

import json
import os
from dataclasses import asdict

import click
from rich.console import Console
from rich.table import Table
from rich.text import Text

from onramp_analytics import consent, health
from onramp_analytics.cli.common import as_json, can_show, checkout, counted, echo
from onramp_analytics.consent import Consent
from onramp_analytics.errors import Misconfigured
from onramp_analytics.health import NOTE, OK, WRONG, Check
from onramp_analytics.posthog import destination
from onramp_analytics.posthog.outcome import ACCEPTED, REJECTED

_MARKS = {OK: "✓", NOTE: "·", WRONG: "✗"}
_ASCII_MARKS = {OK: "ok", NOTE: "--", WRONG: "!!"}
_STYLES = {OK: "green", NOTE: "yellow", WRONG: "bold red"}


@click.command()
@click.option("--online", is_flag=True, help="Also send a request without events to the server.")
@as_json
@click.pass_context
def doctor(context: click.Context, *, online: bool, as_json: bool) -> int:
    """Check the setup and suggest fixes.

    Exits with status 1 if there is a problem. Contacts no server without --online. While analytics are on, writes and
    deletes a file in the checkout to test whether events can be stored.
    """
    root = checkout(context)
    now = consent.ask(os.environb, root)
    found = health.checks(root, now, os.environ)
    if online:
        found.append(_online(root, now))
    if as_json:
        click.echo(json.dumps({"version": 1, "checks": [asdict(check) for check in found]}, indent=2))
    else:
        _show(found)
    wrong = health.problems(found)
    if not as_json:
        verdict = f"{counted(len(wrong), 'problem')} found." if wrong else "No problems found."
        click.echo(f"{verdict} ({', '.join(f'{mark} {means}' for mark, means in _legend())})")
    return 1 if wrong else 0


def _legend() -> list[tuple[str, str]]:
    marks = _marks()
    return [(marks[OK], "OK"), (marks[NOTE], "note"), (marks[WRONG], "problem")]


def _marks() -> dict[str, str]:
    return _MARKS if can_show("✓·✗") else _ASCII_MARKS


def _show(found: list[Check]) -> None:
    table = Table.grid(padding=(0, 2, 0, 0))
    table.add_column()
    table.add_column(no_wrap=True)
    table.add_column(overflow="fold")  # a long path is shown whole
    for check in found:
        table.add_row(Text(_marks()[check.state], _STYLES[check.state]), check.what, Text(echo(check.result)))
    Console(highlight=False).print(table)


def _online(root: bytes, now: Consent) -> Check:
    """Make one request like the flusher's, with no event in it, if consent covers it."""
    if not now.on:
        return Check("online", NOTE, "the server was not contacted, because analytics are off")
    from onramp_analytics.posthog import capture  # loads posthog
    from onramp_analytics.posthog.sender import Stop, require_consent

    try:
        where = destination.of(root, os.environ)
    except Misconfigured:
        return Check("online", NOTE, "the server was not contacted, because the destination is not valid")
    try:
        with capture.open_session(where, lambda: require_consent(root)) as session:
            outcome = capture.send(session, where, [])
    except Stop as stop:
        return Check("online", NOTE, f"the server was not contacted: {stop.outcome.reason}")
    if outcome.kind in (ACCEPTED, REJECTED):  # to a batch without events PostHog may say either
        return Check("online", OK, f"{where.host} responds like PostHog")
    return Check("online", WRONG, outcome.reason)
