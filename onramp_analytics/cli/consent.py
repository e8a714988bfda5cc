"""The commands with which a person decides: enable, disable, show-id, reset-id; and the notice before it."""

from __future__ import annotations

import os
import sys
from contextlib import suppress

import click

from onramp_analytics import consent, optin
from onramp_analytics.cli.common import checkout
from onramp_analytics.errors import CouldNot, Misconfigured
from onramp_analytics.posthog import destination

NOTICE = """\
Analytics enabled. OnRamp collects anonymous usage statistics to improve the project.
No personal data or infrastructure details are collected.

To disable: make analytics-disable
To learn more: make analytics-events, make analytics-show-pending"""


@click.command()
@click.pass_context
def enable(context: click.Context) -> None:
    """Turn analytics on for this checkout, and say what that means."""
    root = checkout(context)
    if consent.do_not_track(os.environb):
        raise CouldNot("DO_NOT_TRACK is set, and nothing overrides it: unset it, then run this again")
    now = optin.enable(root)
    click.echo(NOTICE)
    click.echo(f"Events go to: {_destination()}")
    sys.stdout.flush()
    optin.notice_was_shown(root)
    if not now.on:
        click.echo(f"In this shell they stay off: {now.why}.", err=True)


@click.command(hidden=True)
@click.pass_context
def notice(context: click.Context) -> None:
    """Show the notice on standard error, once, where the environment alone has turned analytics on. make runs it."""
    root = checkout(context)
    now = consent.ask(os.environb, root)
    if not now.on or now.notice_shown or not os.access(root, os.W_OK):
        return
    click.echo(f"{NOTICE}\nEvents go to: {_destination()}", err=True)
    with suppress(CouldNot):  # then it is shown again, and nothing is sent before
        optin.notice_was_shown(root)


def _destination() -> str:
    try:
        host = destination.host(os.environ)
        destination.key(os.environ)
    except Misconfigured as error:
        return f"nowhere yet ({error})"
    return host


@click.command()
@click.pass_context
def disable(context: click.Context) -> None:
    """Turn analytics off, and delete everything that is pending."""
    root = checkout(context)
    optin.disable(root)
    now = consent.ask(os.environb, root)
    if now.on:
        raise CouldNot(f"what was pending is deleted, but analytics stay on in this shell: {now.why}: unset it")
    click.echo("Analytics disabled. What was pending is deleted, and nothing leaves any more.")


@click.command("show-id")
@click.pass_context
def show_id(context: click.Context) -> None:
    """Print the random identifier of this installation."""
    found = consent.ask(os.environb, checkout(context)).id
    if not found:
        raise CouldNot("there is no identifier yet: `onramp-analytics enable` makes one")
    click.echo(found)


@click.command("reset-id")
@click.pass_context
def reset_id(context: click.Context) -> None:
    """Replace the identifier by a new random one.

    Events that are pending keep the old one; the list of what was sent is emptied.
    """
    click.echo(optin.reset_id(checkout(context)))
