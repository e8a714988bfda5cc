"""Create the maintainers' dashboard in a PostHog project."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from onramp_analytics.dashboard import queries
from onramp_analytics.dashboard.queries import Query
from onramp_analytics.errors import CouldNot

if TYPE_CHECKING:
    from onramp_analytics.dashboard.application import Application

NAME = "OnRamp usage"
DESCRIPTION = "The questions that OnRamp's analytics answer. Created by `onramp-analytics dashboard --create`."


def insight(tile: Query) -> dict[str, Any]:
    """Return a tile as PostHog stores it."""
    source = {"kind": "HogQLQuery", "query": text(tile)}
    query = {"kind": "DataVisualizationNode", "source": source, "display": tile.display}
    return {"name": tile.name, "description": tile.question, "query": query}


def text(tile: Query) -> str:
    """Return the query of a tile, for its usual period before it runs."""
    return queries.fill(tile.text, queries.latest(tile.days))


def create(application: Application, report: Callable[[str], None]) -> int:
    """Create the dashboard, or update it. A second run continues where the first one stopped.

    The dashboard is found by its name, and each tile by its name on the dashboard.

    Args:
        application: the PostHog project.
        report: called with one line per step.

    Returns:
        The number of the dashboard.

    Raises:
        CouldNot: a step failed. The sentence says which steps are done.
    """
    number = _dashboard(application, report)
    wanted, done = queries.tiles(), 0
    try:
        there = {found["name"]: found["id"] for found in application.list("insights", on=number)}
        for tile in wanted:
            _put(tile, there.get(tile.name), number, application, report)
            done += 1
    except CouldNot as error:
        left = f"the dashboard and {done} of its {len(wanted)} tiles are done; running it again continues from there"
        raise CouldNot(f"{error}; {left}") from error
    return number


def _dashboard(application: Application, report: Callable[[str], None]) -> int:
    for found in application.list("dashboards"):
        if found["name"] == NAME:
            report(f'found    the dashboard "{NAME}"')
            return int(found["id"])
    number = application.create("dashboards", {"name": NAME, "description": DESCRIPTION})
    report(f'created  the dashboard "{NAME}"')
    return number


def _put(
    tile: Query, there: int | None, dashboard: int, application: Application, report: Callable[[str], None]
) -> None:
    if there is None:
        application.create("insights", {**insight(tile), "dashboards": [dashboard]})
        report(f'created  the tile "{tile.name}"')
    else:
        application.change("insights", there, insight(tile))
        report(f'updated  the tile "{tile.name}"')
