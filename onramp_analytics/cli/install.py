"""install and uninstall: the make integration, for those who maintain an OnRamp checkout."""

from __future__ import annotations

import os
from pathlib import Path

import click

from onramp_analytics import optin
from onramp_analytics.cli.common import counted
from onramp_analytics.integration import install as integration
from onramp_analytics.integration.install import Change

_FOLDER = click.Path(path_type=Path)
_MOST_LINES = 20  # of the catalogue's difference; the file itself is there to be read


@click.command()
@click.argument("folder", metavar="DIR", type=_FOLDER)
@click.option("--api-key", metavar="phc_…", help="The key of OnRamp's PostHog project; public by design.")
@click.option("--host", metavar="URL", help="Where the events go, where that is not PostHog's US cloud.")
def install(folder: Path, api_key: str | None, host: str | None) -> None:
    """Put the make integration into an OnRamp checkout.

    Safe to run again: it brings everything up to date, and the second time it changes nothing.
    """
    changes, difference = integration.install(folder.resolve(), api_key, host)
    _tell(changes, folder.resolve(), "Everything is up to date.")
    if difference:
        _tell_names(difference)
    if changes:
        click.echo("Now review it and commit it. For users nothing changes before `make analytics-enable`.")


def _tell_names(difference: list[str]) -> None:
    added = sum(line.startswith("+") for line in difference)
    click.echo(f"The catalogue: {counted(added, 'name')} more, {counted(len(difference) - added, 'name')} less.")
    for line in difference[:_MOST_LINES]:
        click.echo(f"  {line}")
    if len(difference) > _MOST_LINES:
        click.echo(f"  … and {len(difference) - _MOST_LINES} more")


@click.command()
@click.argument("folder", metavar="DIR", type=_FOLDER)
@click.option("--purge", is_flag=True, help="Delete pending events and the consent, too.")
def uninstall(folder: Path, *, purge: bool) -> None:
    """Take the make integration out of an OnRamp checkout, without a trace."""
    root = folder.resolve()
    if purge:
        optin.disable(os.fsencode(root))
    changes = integration.uninstall(root, purge=purge)
    _tell(changes, root, "There was nothing to take out.")
    left = integration.kept(root)
    if left:
        click.echo(f"Kept: {', '.join(left)}. With --purge they go, too.")


def _tell(changes: list[Change], root: Path, nothing: str) -> None:
    for change in changes:
        verb = "wrote" if change.before is None else "deleted" if change.after is None else "changed"
        click.echo(f"{verb} {change.path.relative_to(root)}")
    if not changes:
        click.echo(nothing)
