"""The commands with which a person decides: enable, disable, show-id, reset-id; and the notice."""

from __future__ import annotations

import os
import sys
from contextlib import suppress

import click

from onramp_analytics import consent, events, optin
from onramp_analytics.cli.common import checkout, counted, echo, schedule
from onramp_analytics.errors import CouldNot, Misconfigured
from onramp_analytics.posthog import destination


@click.command()
@click.pass_context
def enable(context: click.Context) -> None:
    """Turn analytics on for this checkout.

    Shows what is recorded, where events are sent, and when. Run it again to agree to something new.
    """
    root = checkout(context)
    before = consent.ask(os.environb, root)
    if before.on and _covers(root, before):
        click.echo("Analytics are already on for this checkout.")
        return
    deleted = optin.enable(root)
    click.echo(notice_text(root))
    if deleted:
        click.echo(f"\nDeleted first: {counted(deleted, 'event')}, queued by another user or in another folder.")
    sys.stdout.flush()
    now = optin.notice_was_shown(root)
    if not now.on:
        click.echo(f"Analytics stay off for now: {now.why}.", err=True)


def _covers(root: bytes, now: consent.Consent) -> bool:
    """Return whether there is nothing new to agree to."""
    if now.version < events.VERSION:
        return False
    try:
        where = destination.of(root, os.environ)
    except Misconfigured:
        return True
    return not destination.objection(now, where, destination.send(root, os.environ))


@click.command(hidden=True)
@click.pass_context
def notice(context: click.Context) -> None:
    """Show on standard error, once, what is to be known; make runs it after a command on a terminal.

    Where the environment alone turns analytics on this is the whole notice, and does what `enable` does. Where the
    catalog has something newer than the person agreed to it is one line.
    """
    with suppress(CouldNot):  # then it is shown again, and nothing is recorded before
        root = checkout(context)
        now = consent.ask(os.environb, root)
        if now.asks:
            optin.enable(root)
            click.echo(notice_text(root), err=True)
            optin.notice_was_shown(root)
        elif now.on and now.told < events.VERSION:
            optin.was_told(root)
            click.echo(
                "OnRamp's analytics can record something new, and do not unless you agree: "
                "see it with `onramp-analytics events --new`, agree with `make analytics-enable`.",
                err=True,
            )


def notice_text(root: bytes) -> str:
    """Return the notice: what is recorded, where events are sent, when, and how to stop."""
    found = destination.conf(root)
    page = os.path.join(os.fsdecode(root), "docs", "analytics.md")
    more = found.get(destination.CONF_DOCS) or (page if os.path.exists(page) else "make analytics-events")
    contact = found.get(destination.CONF_CONTACT)
    return echo(
        "Analytics enabled. OnRamp collects anonymous usage statistics to improve the project.\n"
        "No personal data or infrastructure details are collected.\n\n"
        "Recorded: names that OnRamp publishes of services, overrides and commands; success, duration, kind of error.\n"
        "What is enabled here is counted now, and again twice a year.\n"
        f"Events go to {where_text(root)}{f', run by {contact}' if contact else ''}.\n"
        f"{schedule(destination.send(root, os.environ))}\n\n"
        "To disable: make analytics-disable\n"
        f"To learn more: {more}"
    )


def where_text(root: bytes) -> str:
    """Return where events are sent, or why they are not."""
    try:
        return destination.of(root, os.environ).host
    except Misconfigured as error:
        return f"nowhere yet ({error})"


@click.command()
@click.pass_context
def disable(context: click.Context) -> None:
    """Turn analytics off, and delete all that is queued.

    The identifier is deleted, too. What stays is the choice, in onramp.lock.
    """
    root = checkout(context)
    was_on = consent.ask(os.environb, root).on
    gone = optin.disable(root)
    if not (was_on or gone.events or gone.id):
        click.echo("Analytics are off, and were before. Nothing is sent.")
        return
    click.echo(f"Analytics disabled. {counted(gone.events, 'queued event')} deleted. Nothing is sent any more.")
    if gone.id:
        click.echo(f"The identifier {gone.id} is deleted, too; you need it only to ask for deletion.")


@click.command("show-id")
@click.pass_context
def show_id(context: click.Context) -> None:
    """Print the random identifier."""
    found = consent.ask(os.environb, checkout(context)).id
    if not found:
        raise CouldNot("there is no identifier yet: `onramp-analytics enable` makes one")
    click.echo(found)


@click.command("reset-id")
@click.pass_context
def reset_id(context: click.Context) -> None:
    """Replace the identifier with a new random one.

    Queued events and the logs of what was sent are deleted, so that nothing ties the new identifier to the old one.
    """
    new, gone = optin.reset_id(checkout(context))
    click.echo(new)
    if gone.events:
        click.echo(f"{counted(gone.events, 'queued event')} deleted with the old identifier.", err=True)
