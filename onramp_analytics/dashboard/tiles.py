"""The dashboard for OnRamp's maintainers: what it asks, and how it gets into a PostHog project.

Its queries are the files of `queries/`: one per tile, HogQL, in the order of their names. The comment at the head of
each says the tile's name, the question that it answers, and how PostHog shows the answer.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from importlib import resources
from typing import TYPE_CHECKING, Any

from onramp_analytics.errors import CouldNot

if TYPE_CHECKING:
    from onramp_analytics.dashboard.application import Application

NAME = "OnRamp usage"
DESCRIPTION = "The success metrics of OnRamp's analytics. Made by `onramp-analytics dashboard --create`."

_QUERIES = resources.files(__package__) / "queries"


@dataclass(frozen=True, slots=True)
class Tile:
    """One tile: its name, the question that it answers, PostHog's word for how it is shown, and the query."""

    name: str
    question: str
    display: str
    query: str


def tiles() -> list[Tile]:
    """Return the tiles in their order."""
    files = sorted(_QUERIES.iterdir(), key=lambda file: file.name)
    return [_tile(file.read_text(encoding="utf-8")) for file in files]


def _tile(query: str) -> Tile:
    name, question, display = (line.removeprefix("-- ") for line in query.splitlines()[:3])
    return Tile(name, question, display, query)


def insight(tile: Tile) -> dict[str, Any]:
    """Return a tile as PostHog stores it."""
    source = {"kind": "HogQLQuery", "query": tile.query}
    query = {"kind": "DataVisualizationNode", "source": source, "display": tile.display}
    return {"name": tile.name, "description": tile.question, "query": query}


def create(application: Application, tell: Callable[[str], None]) -> int:
    """Make the dashboard, or bring the one that is there up to date. Run again, it goes on where it stopped.

    The dashboard is found by its name, and a tile by its name on it.

    Args:
        application: the PostHog project.
        tell: is called with a line for everything that was done.

    Returns:
        The number of the dashboard.

    Raises:
        CouldNot: PostHog did not do one of the steps. The sentence says what stays of those before.
    """
    number = _dashboard(application, tell)
    wanted, done = tiles(), 0
    try:
        there = {found["name"]: found["id"] for found in application.list("insights", on=number)}
        for tile in wanted:
            _put(tile, there.get(tile.name), number, application, tell)
            done += 1
    except CouldNot as error:
        left = f"the dashboard and {done} of its {len(wanted)} tiles are done; running it again goes on from there"
        raise CouldNot(f"{error}; {left}") from error
    return number


def _dashboard(application: Application, tell: Callable[[str], None]) -> int:
    for found in application.list("dashboards"):
        if found["name"] == NAME:
            tell(f'found  the dashboard "{NAME}"')
            return int(found["id"])
    number = application.create("dashboards", {"name": NAME, "description": DESCRIPTION})
    tell(f'made   the dashboard "{NAME}"')
    return number


def _put(tile: Tile, there: int | None, dashboard: int, application: Application, tell: Callable[[str], None]) -> None:
    if there is None:
        application.create("insights", {**insight(tile), "dashboards": [dashboard]})
        tell(f'made   the tile "{tile.name}"')
    else:
        application.change("insights", there, insight(tile))
        tell(f'wrote  the tile "{tile.name}" again')
