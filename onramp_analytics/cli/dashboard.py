"""dashboard: the answers that the analytics are for, put into PostHog for OnRamp's maintainers."""

from __future__ import annotations

import os

import click

from onramp_analytics.cli.common import counted
from onramp_analytics.dashboard import tiles
from onramp_analytics.posthog import destination


@click.command()
@click.option("--create", is_flag=True, help="Make it, or bring it up to date, in the PostHog project.")
def dashboard(*, create: bool) -> None:
    """Print the queries of the maintainers' dashboard, or make it in PostHog.

    Without --create nothing is sent. With it, POSTHOG_PERSONAL_API_KEY and POSTHOG_PROJECT_ID say as whom and where.
    """
    host, shown = destination.application(os.environ), tiles.tiles()
    if not create:
        for tile in shown:
            click.echo(tile.query)
        click.echo(f'Would make the dashboard "{tiles.NAME}" with these {counted(len(shown), "tile")} at {host}')
        click.echo("Nothing was sent. To make it: onramp-analytics dashboard --create")
        return
    from onramp_analytics.dashboard import application  # loads posthog

    project = application.from_environ(os.environ)
    number = tiles.create(project, click.echo)
    click.echo(f"It is at {host}/project/{project.project}/dashboard/{number}")
