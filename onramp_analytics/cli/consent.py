"""The commands with which a person decides: enable, disable, show-id, reset-id; and the notice."""

from __future__ import annotations

import os
import sys
from contextlib import suppress

import click

from onramp_analytics import consent, events, optin
from onramp_analytics.cli.common import checkout, counted, echo, schedule
from onramp_analytics.errors import CouldNot, Misconfigured
from onramp_analytics.integration import launcher
from onramp_analytics.posthog import destination


@click.command()
@click.pass_context
def enable(context: click.Context) -> None:
    """Turn on analytics for this checkout.

    Shows what is recorded, where events are sent and when. Run it again to agree to new events or to another
    destination.
    """
    root = checkout(context)
    before = consent.ask(os.environb, root)
    if before.on and _covers(root, before):
        launcher.remember(root)  # the program may have moved
        click.echo("Analytics are already on for this checkout.")
        return
    deleted = optin.enable(root)
    click.echo(notice_text(root))
    if deleted:
        click.echo(f"\nDeleted {counted(deleted, 'queued event')} of another user or another folder.")
    sys.stdout.flush()
    optin.notice_was_shown(root)


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
@click.argument("catalog", type=int, default=lambda: events.VERSION)
@click.pass_context
def notice(context: click.Context, *, catalog: int) -> None:
    """Show the notice once, on standard error.

    make runs it after a command on a terminal. If the environment alone turns analytics on, it shows the complete
    notice and does what `enable` does. If CATALOG, the version of the checkout, is newer than the one that the user was
    shown, it prints one line. The program may be older than the checkout, and not know that version yet.
    """
    with suppress(CouldNot):  # then it is shown again, and nothing is recorded before
        root = checkout(context)
        now = consent.ask(os.environb, root)
        if now.asks:
            optin.enable(root)
            click.echo(notice_text(root), err=True)
            optin.notice_was_shown(root)
        elif now.on and now.shown_version < catalog:
            optin.catalog_was_shown(root, catalog)
            upgrade = "" if catalog <= events.VERSION else "`make analytics-upgrade` and then "
            see = f"{upgrade}`sh make.d/analytics.sh events --new`"
            click.echo(
                "OnRamp analytics can record new events or properties, but only if you agree. "
                f"To see them, run {see}; to agree, run `make analytics-enable`.",
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
        "Recorded: each make command, and each service and override that you enable or disable.\n"
        "A command is recorded with its duration, whether it succeeded and, if not, the type of error.\n"
        'Names that OnRamp does not publish are recorded as "custom" or "other".\n'
        "All enabled services and overrides are recorded now, and again twice a year.\n"
        "Each event contains a random identifier of this installation.\n"
        f"{_where(root)}\n" + (f"Contact: {contact}\n" if contact else "") + "\n"
        "To disable: make analytics-disable\n"
        f"To learn more: {more}"
    )


def _where(root: bytes) -> str:
    """Return where events are sent, and when."""
    try:
        where = destination.of(root, os.environ)
    except Misconfigured:
        return "No events are sent yet. To see why: make analytics-status"
    return f"Events are sent to {where.host}.\n{schedule(destination.send(root, os.environ))}"


@click.command()
@click.pass_context
def disable(context: click.Context) -> None:
    """Turn off analytics and delete queued events.

    Also deletes the logs and the identifier. Only your choice is kept, in onramp.lock.
    """
    root = checkout(context)
    was_on = consent.ask(os.environb, root).on
    gone = optin.disable(root)
    if not (was_on or gone.events or gone.id):
        click.echo("Analytics are already off.")
        return
    deleted = f"{counted(gone.events, 'queued event')} deleted. " if gone.events else ""
    click.echo(f"Analytics disabled. {deleted}Nothing more will be sent.")
    if gone.id:
        click.echo(f"If you want to ask for the deletion of sent events, keep your former identifier: {gone.id}")


@click.command("show-id")
@click.pass_context
def show_id(context: click.Context) -> None:
    """Print the random identifier.

    Every event from this checkout contains it.
    """
    found = consent.ask(os.environb, checkout(context)).id
    if not found:
        raise CouldNot("no identifier yet: run `make analytics-enable` to create one")
    click.echo(found)


@click.command("reset-id")
@click.pass_context
def reset_id(context: click.Context) -> None:
    """Replace the identifier with a new one.

    Also deletes the queued events and the logs. PostHog stores when events arrive. Somebody who sees both identifiers
    there can often tell from those times that they belong to one host.
    """
    new, gone = optin.reset_id(checkout(context))
    click.echo(new)
    if gone.events:
        click.echo(f"Deleted {counted(gone.events, 'queued event')} that had the old identifier.", err=True)
