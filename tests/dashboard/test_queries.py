"""The dashboard's queries on a real ClickHouse, over events that our flusher sent, against answers counted by hand."""

from __future__ import annotations

import importlib
import json
import subprocess
import sys
from collections.abc import Iterator
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from chdb.session import Session

from onramp_analytics import events
from onramp_analytics.dashboard import tiles
from onramp_analytics.receiver import Answer, Receiver
from tests.conftest import KEY, PUBLISHED, Checkout, make_checkout

Row = dict[str, Any]
MORE = [f"service-{number:02}" for number in range(12)]


Said = tuple[int, str, dict[str, Any]]  # how many days ago, and the event


def enabled(service: str, days_ago: int = 0) -> Said:
    return days_ago, "service_enabled", {"service_name": service, "has_scaffold": False}


def ran(command: str, milliseconds: int, *, success: bool = True, days_ago: int = 0) -> Said:
    return days_ago, "command_executed", {"command": command, "success": success, "duration_ms": milliseconds}


#: What four installations did.
ANNA = [
    *map(enabled, ("plex", "plex", "jellyfin", "my-private-service", *MORE)),
    ran("start", 1000),
    ran("start", 3000),
    ran("start", 500, success=False),
    ran("my-private-command", 50, success=False),
    ran("start", 1500, days_ago=10),
]
BERT = [
    enabled("plex"),
    ran("start", 4000),
    ran("enable-service", 100, success=False),
    (0, "error_occurred", {"command": "enable-service", "error_type": "exit_2"}),
]
CLEO = [enabled("jellyfin", 10), ran("enable-service", 300, days_ago=10)]
DORA = [enabled("jellyfin", 40), ran("start", 60_000, success=False, days_ago=40)]

TRACK = """
import json, sys
from onramp_analytics import track
for event, properties in json.load(sys.stdin):
    assert track(event, **properties)
"""


@pytest.fixture(scope="module")
def rows(tmp_path_factory: pytest.TempPathFactory) -> list[Row]:
    """What arrived from the four, Anna's batch twice, with the days that went by since."""
    return [
        row
        for number, did in enumerate((ANNA, BERT, CLEO, DORA))
        for row in _arrived(tmp_path_factory.mktemp("installation"), number, did, twice=did is ANNA)
    ]


def _arrived(folder: Path, number: int, did: list[Said], *, twice: bool) -> list[Row]:
    """Let an installation track what it did and flush it; return the events of all requests."""
    with Receiver() as receiver:
        environment = {"ONRAMP_ANALYTICS_API_KEY": KEY, "ONRAMP_ANALYTICS_HOST": receiver.url}
        checkout = make_checkout(folder / "onramp", environment)
        services = "".join(f"service {service}\n" for service in MORE)
        (checkout.path / "make.d" / "analytics.names").write_text(PUBLISHED + services)
        checkout.opt_in()
        checkout.lock.write_text(checkout.lock.read_text().replace("550e8400", f"{number:08}"))
        checkout.hold_back_flusher()
        _track(checkout, did)
        if twice:
            receiver.answer_next(Answer(503))  # PostHog took the batch, but its answer was lost
        checkout.run("flush")
    arrived = [event for request in receiver.requests for event in request.events]
    assert len(arrived) == len(did) * (1 + twice)
    for event, (days_ago, _event, _properties) in zip(arrived, did * 2, strict=False):
        event["timestamp"] = (_when(event) - timedelta(days=days_ago)).isoformat(sep=" ")
    return arrived


def _track(checkout: Checkout, did: list[Said]) -> None:
    subprocess.run(
        [sys.executable, "-c", TRACK],
        input=json.dumps([said[1:] for said in did]),
        env={**checkout.env, "ONRAMP_ROOT": str(checkout.path)},
        text=True,
        check=True,
    )


def _when(event: Row) -> datetime:
    return datetime.fromisoformat(event["timestamp"].removesuffix("Z"))


#: `properties.x` as HogQL prints it: a string as long as PostHog has not noticed the property's type, and afterwards a
#: boolean or a float (PropertySwapper in PostHog's posthog/hogql/transforms/property_types.py). A query must not mind.
NOTICED = {"success": "Bool", "has_scaffold": "Bool", "duration_ms": "Float64"}
PROPERTIES = {p.name for _why, properties in events.EVENTS.values() for p in properties} | set(events.FIXED)
#: The one function of the queries that is HogQL's own, as HogQL prints it
#: (posthog/hogql/functions/clickhouse/conversions.py).
TO_FLOAT = "create or replace function toFloat as (x) -> accurateCastOrNull(x, 'Float64')"


@pytest.fixture(scope="module", params=[{}, NOTICED], ids=["types not noticed", "types noticed"])
def clickhouse(request: pytest.FixtureRequest, rows: list[Row]) -> Iterator[Session]:
    """A ClickHouse with the table `events` as HogQL shows it."""
    columns = ", ".join(f"`{name}` Nullable({request.param.get(name, 'String')})" for name in sorted(PROPERTIES))
    with Session() as session:
        session.query(TO_FLOAT)
        session.query(
            "create table events (uuid UUID, event String, distinct_id String, timestamp DateTime64(6, 'UTC'), "
            f"properties Tuple({columns})) engine = Memory"
        )
        session.query("insert into events format JSONEachRow " + "\n".join(map(json.dumps, rows)))
        yield session


def answer(clickhouse: Session, name: str) -> list[list[Any]]:
    (tile,) = (tile for tile in tiles.tiles() if tile.name == name)
    said = str(clickhouse.query(tile.query, "JSONCompactEachRow"))
    return [[_number(value) for value in json.loads(line)] for line in said.splitlines()]


def _number(value: Any) -> Any:
    return int(value) if isinstance(value, str) and value.isdigit() else value


def test_the_events_arrived_and_one_batch_of_them_twice(clickhouse: Session, rows: list[Row]) -> None:
    said = str(clickhouse.query("select count(), uniqExact(uuid) from events", "CSV")).strip()

    assert said == f"{len(rows)},{len(rows) - len(ANNA)}"


def test_adoption_counts_installations_and_not_events(clickhouse: Session) -> None:
    assert answer(clickhouse, "Adoption") == [[2, 3, 4]]


def test_adoption_over_time_tells_the_new_from_the_known(clickhouse: Session, rows: list[Row]) -> None:
    now = max(map(_when, rows))

    def monday(days_ago: int) -> str:
        day = now.date() - timedelta(days=days_ago)
        return str(day - timedelta(days=day.weekday()))

    assert answer(clickhouse, "Adoption over time") == [[monday(40), 1, 1], [monday(10), 2, 2], [monday(0), 2, 1]]


def test_top_ten_services_are_ten_by_installations_without_the_private_ones(clickhouse: Session) -> None:
    found = answer(clickhouse, "Top ten services")

    assert found[:2] == [["jellyfin", 3, 3], ["plex", 2, 3]]
    assert found[2:] == [[service, 1, 1] for service in MORE[:8]]


def test_top_ten_commands_are_those_of_30_days_without_the_private_ones(clickhouse: Session) -> None:
    assert answer(clickhouse, "Top ten commands") == [["start", 5, 2], ["enable-service", 2, 2]]


def test_error_rate_counts_each_run_once(clickhouse: Session) -> None:
    assert answer(clickhouse, "Error rate by command") == [
        ["other", 1, 1, 100.0],
        ["enable-service", 2, 1, 50.0],
        ["start", 5, 1, 20.0],
    ]


def test_mean_duration_counts_each_run_once(clickhouse: Session) -> None:
    assert answer(clickhouse, "Mean duration by command") == [
        ["start", 5, 2.0, 1.5],
        ["enable-service", 2, 0.2, 0.2],
        ["other", 1, 0.05, 0.05],
    ]


#: What the queries call; each is in the lists of posthog/hogql/functions and posthog/hogql/functions/clickhouse.
IN_HOGQL = {"avg", "count", "countIf", "groupUniqArray", "median", "min", "uniqExact", "uniqExactIf"}
IN_HOGQL |= {"arrayJoin", "now", "round", "toBool", "toFloat", "toIntervalDay", "toIntervalWeek", "toStartOfWeek"}


@pytest.mark.skipif(sys.version_info < (3, 12), reason="PostHog publishes its parser for Python 3.12 and later")
@pytest.mark.parametrize("tile", tiles.tiles(), ids=lambda tile: tile.name)
def test_posthogs_own_parser_takes_the_query_and_knows_its_functions(tile: tiles.Tile) -> None:
    parser = importlib.import_module("hogql_parser_rs")
    found = json.loads(parser.parse_select_json(tile.query))

    assert found["node"] == "SelectQuery", found.get("message")
    assert set(_calls(found)) <= IN_HOGQL


def _calls(node: Any) -> Iterator[str]:
    """Yield the name of every function in a syntax tree."""
    if isinstance(node, dict) and node.get("node") == "Call":
        yield node["name"]
    for child in node.values() if isinstance(node, dict) else node if isinstance(node, list) else ():
        yield from _calls(child)


def test_every_tile_has_an_answer_that_is_tested() -> None:
    here = Path(__file__).read_text()

    for tile in tiles.tiles():
        assert f'answer(clickhouse, "{tile.name}")' in here
