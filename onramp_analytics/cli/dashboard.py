"""dashboard: the answers that the analytics are for, put into PostHog for OnRamp's maintainers."""

from __future__ import annotations

import os

import click

from onramp_analytics import dashboard, destination
from onramp_analytics.cli import counted


def register(group: click.Group) -> None:
    """Add the command to the command line."""
    group.add_command(command)


@click.command("dashboard")
@click.option("--create", is_flag=True, help="Make it, or bring it up to date, in the PostHog project.")
def command(*, create: bool) -> None:
    """Print the queries of the maintainers' dashboard, or make it in PostHog.

    Without --create nothing is sent. With it, POSTHOG_PERSONAL_API_KEY and POSTHOG_PROJECT_ID say as whom and where.
    """
    host, tiles = destination.application(os.environ), dashboard.tiles()
    if not create:
        for tile in tiles:
            click.echo(tile.query)
        click.echo(f'Would make the dashboard "{dashboard.NAME}" with these {counted(len(tiles), "tile")} at {host}')
        click.echo("Nothing was sent. To make it: onramp-analytics dashboard --create")
        return
    from onramp_analytics import posthog_admin  # loads posthog

    application = posthog_admin.from_environ(os.environ)
    number = dashboard.create(application, click.echo)
    click.echo(f"It is at {host}/project/{application.project}/dashboard/{number}")
