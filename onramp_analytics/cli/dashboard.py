"""dashboard: create the dashboard in PostHog, print its answers, and publish them."""

from __future__ import annotations

import json
import os
from datetime import datetime, timezone
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
from rich.console import Console
from rich.table import Table
from rich.text import Text

from onramp_analytics.checkout import find
from onramp_analytics.cli.common import as_json, bar, can_show, counted
from onramp_analytics.dashboard import publish as publishing
from onramp_analytics.dashboard import queries, rounding, tiles
from onramp_analytics.dashboard.site import ONRAMP, Link
from onramp_analytics.errors import CouldNot
from onramp_analytics.posthog import destination

if TYPE_CHECKING:
    from onramp_analytics.dashboard.application import Answer, Application

PERIODS = (30, 90, 365)
_SHOWN = 20  # rows of a table in the terminal; --json has all
_FOLDERS = {"service": ("services-available", "services-available/games"), "override": ("overrides-available",)}


def _installations(_context: click.Context, _parameter: click.Parameter, value: int | None) -> int | None:
    if value is not None and (value < rounding.AT_LEAST or rounding.r(value) != value):
        raise click.BadParameter("use a multiple of five from 5 to 95, or two significant digits from 100 on")
    return value


@click.command()
@click.option("--create", is_flag=True, help="Create or update the dashboard in PostHog.")
@click.option("--results", is_flag=True, help="Print the exact results for 30, 90 and 365 days.")
@click.option("--check", is_flag=True, help="Let PostHog check every query without running it.")
@click.option(
    "--publish",
    metavar="DIR",
    type=click.Path(path_type=Path),
    help="Write the public page with rounded numbers to DIR.",
)
@click.option(
    "--at-least",
    type=int,
    callback=_installations,
    metavar="N",
    help=f"With --publish: hide what fewer than N installations use (default and minimum: {rounding.AT_LEAST}).",
)
@as_json
@click.pass_context
def dashboard(
    context: click.Context,
    *,
    create: bool,
    results: bool,
    check: bool,
    publish: Path | None,
    at_least: int | None,
    as_json: bool,
) -> None:
    """Query PostHog and publish the results.

    For maintainers. Without an option, prints the queries and sends nothing. All options except --json and --at-least
    require POSTHOG_PERSONAL_API_KEY and POSTHOG_PROJECT_ID.
    """
    if sum((create, results, check, publish is not None)) > 1:
        raise click.UsageError("--create, --results, --check and --publish cannot be combined")
    if as_json and not results:
        raise click.UsageError("--json requires --results")
    if at_least is not None and publish is None:
        raise click.UsageError("--at-least requires --publish")
    if create:
        _create()
    elif results:
        _results(as_json=as_json)
    elif check:
        _check()
    elif publish is not None:
        _publish(publish, at_least or rounding.AT_LEAST, _root(context))
    else:
        _print()


def _print() -> None:
    shown = queries.tiles()
    for tile in shown:
        click.echo(tiles.text(tile))
    host = destination.application(os.environ)
    click.echo(f'Would create the dashboard "{tiles.NAME}" with these {counted(len(shown), "tile")} at {host}.')
    click.echo("Nothing was sent. The options --create, --results, --check and --publish contact PostHog.")


def _application(*, to_write: bool = False) -> Application:
    from onramp_analytics.dashboard import application as applications  # loads posthog

    scopes = applications.TO_READ
    if to_write:
        scopes = f"{applications.TO_WRITE} and {applications.TO_READ}"
    return applications.from_environ(os.environ, scopes)


def _create() -> None:
    project = _application(to_write=True)
    _refuse(_wrong(project))
    number = tiles.create(project, click.echo)
    click.echo(f"Open {project.host}/project/{project.project}/dashboard/{number}")


def _check() -> None:
    found = _wrong(_application())
    for name, wrong in found.items():
        click.echo(f"{'wrong' if wrong else 'right'}  {name}" + (f": {wrong}" if wrong else ""))
    _refuse(found)


def _wrong(project: Application) -> dict[str, str]:
    """Return the name of each query -> what PostHog says is wrong with it, or ""."""
    texts = {tile.name: tiles.text(tile) for tile in queries.tiles()}
    texts["New installations"] = publishing.asked(_today(), [])["New installations"]
    return {name: project.check(text) for name, text in texts.items()}


def _refuse(found: dict[str, str]) -> None:
    wrong = [f"{name} ({why})" for name, why in found.items() if why]
    if wrong:
        raise CouldNot(f"PostHog rejects {'; '.join(wrong)}: nothing was changed; please report this")


def _publish(folder: Path, at_least: int, root: Path | None) -> None:
    click.echo(publishing.publish(_application(), folder, _today(), at_least, links(root)))


def _today() -> Any:
    return datetime.now(timezone.utc).date()


def _root(context: click.Context) -> Path | None:
    found = find(os.fsencode(context.obj) if context.obj else None, os.environb)
    return Path(os.fsdecode(found)) if found else None


def links(root: Path | None) -> Link:
    """Return what gives the address of a service's or an override's file in OnRamp's repository.

    Args:
        root: a checkout to find the file in; without one the usual folder is taken.
    """

    def link(kind: str, name: str) -> str:
        folders = _FOLDERS[kind]
        found = next((folder for folder in folders if root and (root / folder / f"{name}.yml").exists()), folders[0])
        return f"{ONRAMP}/blob/main/{found}/{name}.yml"

    return link


def _results(*, as_json: bool) -> None:
    project = _application()
    shown = queries.tiles()
    found = {
        str(days): {
            tile.name: project.query(queries.fill(tile.text, queries.latest(days)), tile.name)
            for tile in shown
            if not tile.is_for_alerts
        }
        for days in PERIODS
    }
    found["alerts"] = {tile.name: project.query(tiles.text(tile), tile.name) for tile in shown if tile.is_for_alerts}
    if as_json:
        plain = {part: {name: _plain(answer) for name, answer in of.items()} for part, of in found.items()}
        click.echo(json.dumps(plain, indent=2))
        return
    console = Console(highlight=False)
    for part, answers in found.items():
        title = "For alerts" if part == "alerts" else f"The last {part} days"
        console.print()
        console.rule(Text(title, "bold"), align="left", characters="─" if can_show("─") else "-")
        for tile in shown:
            if tile.name in answers:
                _show(console, tile, answers[tile.name])


def _plain(answer: Answer) -> dict[str, Any]:
    return {"columns": answer.columns, "rows": answer.rows}


def _show(console: Console, tile: queries.Query, answer: Answer) -> None:
    console.print()
    console.print(Text(tile.name, "bold"), Text(f"({tile.question})", "dim"))
    if not answer.rows:
        console.print("  Nothing yet.")
        return
    measure = _first_number(answer)
    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0))
    for column, head in enumerate(answer.columns):
        side = "right" if column >= measure else "left"
        table.add_column(head.replace("_", " "), justify=side, header_style="dim", overflow="fold")  # type: ignore[arg-type]
    table.add_column(no_wrap=True, overflow="crop")
    shown = answer.rows[:_SHOWN] if tile.display == "ActionsTable" else answer.rows[-_SHOWN:]
    longest = max(float(row[measure] or 0) for row in answer.rows) or 1
    for row in shown:
        picture = bar(float(row[measure] or 0) / longest) if len(answer.rows) > 1 else ""
        table.add_row(*(Text(_cell(value)) for value in row), Text(picture, "blue"))
    console.print(table)
    if len(answer.rows) > len(shown):
        console.print(f"  and {len(answer.rows) - len(shown):,} more: use --json to see all", style="dim")


def _first_number(answer: Answer) -> int:
    row = answer.rows[0]
    return next(i for i, value in enumerate(row) if isinstance(value, (int, float)) and not isinstance(value, bool))


def _cell(value: Any) -> str:
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        return str(value)
    return f"{value:,}"
