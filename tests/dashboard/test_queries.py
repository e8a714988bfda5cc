"""The dashboard's queries on a real ClickHouse, on events that our flusher sent, against answers counted by hand."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from datetime import date
from pathlib import Path
from typing import Any

import pytest

from onramp_analytics import __version__, events
from onramp_analytics.dashboard import queries
from onramp_analytics.receiver import Answer, Receiver
from tests.conftest import KEY, Checkout, make_checkout
from tests.dashboard import hogql
from tools.results.clickhouse import NOTICED, ClickHouse

Row = dict[str, Any]
Did = tuple[str, str, dict[str, Any]]  # the day in 2026, the event, and its properties

PUBLISHED = """\
command enable-service
command logs
command start
override plex-nfs
service jellyfin
service plex
service radarr
service sonarr
"""
TILES = queries.tiles()


def enabled(day: str, service: str) -> Did:
    return day, "service_enabled", {"service_name": service, "has_scaffold": service == "plex"}


def disabled(day: str, service: str) -> Did:
    return day, "service_disabled", {"service_name": service}


def override(day: str, what: str, name: str = "plex-nfs") -> Did:
    return day, f"override_{what}", {"override_name": name}


def ran(day: str, command: str, milliseconds: int) -> Did:
    return day, "command_executed", {"command": command, "success": True, "duration_ms": milliseconds}


def failed(day: str, command: str, error_type: str) -> list[Did]:
    run = {"command": command, "success": False, "duration_ms": 10}
    return [
        (day, "command_executed", run),
        (day, "error_occurred", {"command": command, "error_type": error_type}),
    ]


#: What seven installations did.
ANNA = [
    *(enabled("06-10", service) for service in ("plex", "plex", "jellyfin", "my-diary", "my-blog")),
    override("06-10", "enabled"),
    ran("06-10", "start", 1000),
    ran("06-10", "start", 3000),
    *failed("06-10", "start", "exit_2"),
    ran("06-10", "my-own-command", 50),
    # counted again: a new half-year
    *(enabled("07-01", service) for service in ("plex", "jellyfin", "my-diary", "my-blog")),
    ran("07-01", "start", 2000),
    disabled("07-10", "jellyfin"),  # enabled before the first day, so not given up
    disabled("07-10", "my-blog"),
    enabled("07-20", "sonarr"),
    enabled("08-01", "radarr"),  # on, off and on again within a day
    disabled("08-01", "radarr"),
    enabled("08-01", "radarr"),
    disabled("08-05", "sonarr"),  # given up after 16 days
]
BERT = [
    ran("05-20", "start", 60_000),
    enabled("06-15", "plex"),
    ran("07-02", "start", 4000),
    enabled("07-15", "jellyfin"),
    override("07-15", "enabled"),
    override("07-20", "disabled"),  # given up after 5 days
    enabled("08-01", "sonarr"),
    *failed("08-01", "enable-service", "exit_2"),
    *failed("08-01", "logs", "signal_INT"),
    ran("08-01", "logs", 700),
    disabled("08-20", "jellyfin"),  # after 36 days
    disabled("08-20", "plex"),  # off and on again within a day
    enabled("08-20", "plex"),
]
CLEO = [
    enabled("07-03", "jellyfin"),
    enabled("07-03", "sonarr"),
    override("07-03", "enabled"),
    disabled("07-05", "sonarr"),  # was there on the first day
    override("08-20", "disabled"),
    ran("08-20", "enable-service", 300),
]
DORA = [enabled("01-10", "plex"), ran("01-20", "start", 10)]  # silent for more than 90 days
EVE = [enabled("08-30", "plex")]  # arrived once
FAYE = [
    *(enabled("06-12", service) for service in ("plex", "jellyfin", "radarr", "my-wiki", "my-shop")),
    override("06-12", "enabled"),
    override("06-12", "enabled", "my-override"),
    enabled("06-20", "sonarr"),
    # counted again: a new half-year
    *(enabled("07-01", service) for service in ("plex", "jellyfin", "radarr", "sonarr", "my-wiki", "my-shop")),
    override("07-01", "enabled"),
    override("07-01", "enabled", "my-override"),
    disabled("07-01", "plex"),  # later on the day of the full count
    disabled("07-01", "sonarr"),  # given up after 11 days
    disabled("07-01", "jellyfin"),
    override("07-01", "disabled"),
    disabled("07-03", "radarr"),
    enabled("07-05", "radarr"),
    enabled("07-10", "jellyfin"),
    disabled("07-20", "jellyfin"),  # given up after 10 days
    disabled("08-10", "my-wiki"),  # all that OnRamp does not publish was counted twice and is disabled once
    disabled("08-10", "my-shop"),
    override("08-10", "disabled", "my-override"),
]
GUS = [  # since `reset-id`, so that there is no full count in July
    enabled("06-12", "my-diary"),  # still enabled, but not counted any more
    enabled("06-15", "plex"),
    ran("07-02", "logs", 700),
]
EVERYBODY = (ANNA, BERT, CLEO, DORA, EVE, FAYE, GUS)

#: 90 days that ended 14 days ago.
FIRST, LAST, MADE = date(2026, 6, 3), date(2026, 8, 31), date(2026, 9, 14)
PERIOD = queries.between(FIRST, LAST, MADE, apart=0)

TRACK = """
import json, sys
from onramp_analytics import track
for event, properties in json.load(sys.stdin):
    assert track(event, **properties)
"""


@pytest.fixture(scope="module")
def rows(tmp_path_factory: pytest.TempPathFactory) -> list[Row]:
    """The events of all installations, on the days of their commands. Anna's batch arrived twice."""
    return [
        row
        for number, did in enumerate(EVERYBODY)
        for row in _arrived(tmp_path_factory.mktemp("installation"), number, did, twice=did is ANNA)
    ]


def _arrived(folder: Path, number: int, did: list[Did], *, twice: bool) -> list[Row]:
    """Let an installation record its events and send them; return the events of all requests."""
    with Receiver() as receiver:
        destination = {"ONRAMP_ANALYTICS_API_KEY": KEY, "ONRAMP_ANALYTICS_HOST": receiver.url}
        environment = {"HOME": str(folder), **destination}
        checkout = make_checkout(folder / "onramp", environment)
        (checkout.path / "make.d" / "analytics.names").write_text(PUBLISHED)
        checkout.opt_in()
        checkout.hold_back_flusher()
        _track(checkout, did)
        if twice:
            receiver.answer_next(Answer(503))  # PostHog took the batch, but its answer was lost
        checkout.run("flush")
    arrived = [event for request in receiver.requests for event in request.events]
    assert len(arrived) == len(did) * (1 + twice)
    for event, (day, _event, _properties) in zip(arrived, did * 2, strict=False):
        event["distinct_id"] = f"{number:08}-e29b-41d4-a716-446655440000"
        event["timestamp"] = event["created_at"] = f"2026-{day}T12:00:00.000000Z"
    return arrived


def _track(checkout: Checkout, did: list[Did]) -> None:
    subprocess.run(
        [sys.executable, "-c", TRACK],
        input=json.dumps([said[1:] for said in did]),
        env={**checkout.env, "ONRAMP_ROOT": str(checkout.path)},
        text=True,
        check=True,
    )


@pytest.fixture(scope="module", params=[{}, NOTICED], ids=["types not noticed", "types noticed"])
def clickhouse(request: pytest.FixtureRequest, rows: list[Row]) -> ClickHouse:
    return ClickHouse(rows, request.param)


def answer(clickhouse: ClickHouse, name: str, period: queries.Period = PERIOD) -> list[list[Any]]:
    return clickhouse.ask(queries.fill(queries.named(name).text, period))[1]


def test_the_events_arrived_and_one_batch_of_them_twice(clickhouse: ClickHouse, rows: list[Row]) -> None:
    said = clickhouse.ask("select count(), uniqExact(uuid) from events")[1]

    assert said == [[len(rows), len(rows) - len(ANNA)]]


def test_installations_are_those_that_sent_something_in_the_period(clickhouse: ClickHouse) -> None:
    assert answer(clickhouse, "Installations") == [[6, 5, 6]]


def test_on_the_public_page_an_installation_counts_once_it_arrived_a_week_apart(clickhouse: ClickHouse) -> None:
    assert answer(clickhouse, "Installations", queries.between(FIRST, LAST, MADE)) == [[5, 4, 5]]


def test_an_installation_is_new_if_the_previous_page_did_not_count_it(clickhouse: ClickHouse) -> None:
    known = queries.between(date(2026, 4, 1), date(2026, 6, 30), date(2026, 7, 14))
    text = queries.new_installations()
    page = queries.between(FIRST, LAST, MADE)

    assert clickhouse.ask(queries.fill(text, page, known))[1] == [[3]]
    assert clickhouse.ask(queries.fill(text, page, queries.nothing_before(FIRST)))[1] == [[5]]


def test_installations_over_time_distinguishes_new_from_known(clickhouse: ClickHouse) -> None:
    assert answer(clickhouse, "Installations over time") == [
        ["2026-06-08", 3, 3],
        ["2026-06-15", 3, 0],
        ["2026-06-29", 5, 1],
        ["2026-07-06", 2, 0],
        ["2026-07-13", 1, 0],
        ["2026-07-20", 3, 0],
        ["2026-07-27", 2, 0],
        ["2026-08-03", 1, 0],
        ["2026-08-10", 1, 0],
        ["2026-08-17", 2, 0],
        ["2026-08-24", 1, 1],
    ]


def test_a_service_is_enabled_where_the_last_day_that_changed_it_enabled_it(clickhouse: ClickHouse) -> None:
    assert answer(clickhouse, "Enabled services") == [
        ["plex", 4],
        ["radarr", 2],
        ["custom", 1],
        ["jellyfin", 1],
        ["sonarr", 1],
    ]


def test_the_newest_full_count_replaces_what_was_known_before(clickhouse: ClickHouse) -> None:
    (counts,) = (row for row in answer(clickhouse, "Enabled services") if row[0] == "custom")

    assert counts[1] == 1  # Anna; Faye disabled hers, and Gus has had no full count since `reset-id`


def test_an_earlier_period_has_the_answer_that_it_had_then(clickhouse: ClickHouse) -> None:
    then = queries.between(date(2026, 4, 1), date(2026, 7, 8), date(2026, 7, 22), apart=0)

    assert answer(clickhouse, "Enabled services", then) == [
        ["plex", 3],
        ["custom", 2],
        ["jellyfin", 2],
        ["radarr", 1],
    ]


def test_scaffolded_services_are_marked(clickhouse: ClickHouse) -> None:
    assert answer(clickhouse, "Scaffolded services") == [[True, 5, 1], [False, 5, 4]]


def test_an_override_that_was_disabled_is_not_enabled(clickhouse: ClickHouse) -> None:
    assert answer(clickhouse, "Enabled overrides") == [["plex-nfs", 1]]


def test_given_up_is_what_was_enabled_by_choice_and_disabled_within_30_days(clickhouse: ClickHouse) -> None:
    assert answer(clickhouse, "Given up within 30 days") == [
        ["sonarr", 2],
        ["jellyfin", 1],
        ["plex-nfs (override)", 1],
    ]


def test_commands_are_ordered_by_installations_and_then_by_days(clickhouse: ClickHouse) -> None:
    assert answer(clickhouse, "Commands") == [
        ["start", 2, 3, 5],
        ["enable-service", 2, 2, 2],
        ["logs", 2, 2, 3],
        ["other", 1, 1, 1],
    ]


def test_what_was_interrupted_is_neither_a_failure_nor_a_run(clickhouse: ClickHouse) -> None:
    assert answer(clickhouse, "Error rate by command") == [
        ["enable-service", 1, 1, 2, 50.0],
        ["start", 1, 1, 5, 20.0],
        ["logs", 0, 0, 2, 0],
        ["other", 0, 0, 1, 0],
    ]


def test_failures_are_listed_by_what_they_failed_with(clickhouse: ClickHouse) -> None:
    assert answer(clickhouse, "Failures") == [
        ["enable-service", "exit_2", 1, 1],
        ["logs", "signal_INT", 1, 1],
        ["start", "exit_2", 1, 1],
    ]


def test_durations_are_those_of_successful_runs_and_each_installation_weighs_the_same(clickhouse: ClickHouse) -> None:
    assert answer(clickhouse, "Duration by command") == [
        ["start", 2, 3.0, 2.5],
        ["logs", 2, 0.7, 0.7],
        ["enable-service", 1, 0.3, 0.3],
        ["other", 1, 0.05, 0.05],
    ]


def test_versions_are_the_last_ones_that_were_seen(clickhouse: ClickHouse) -> None:
    assert answer(clickhouse, "Versions") == [[__version__, 6]]


def test_arrivals_count_each_event_once(clickhouse: ClickHouse, rows: list[Row]) -> None:
    in_period = {row["uuid"] for row in rows if row["created_at"] >= f"{FIRST}"}

    found = answer(clickhouse, "Arrivals")

    assert found[0] == ["2026-06-10", 11, 1]
    assert ["2026-07-01", 17, 2] in found
    assert sum(events for _day, events, _installations in found) == len(in_period)


def test_what_an_alert_looks_at_is_one_number(clickhouse: ClickHouse, rows: list[Row]) -> None:
    lately = queries.between(date(2026, 8, 1), date(2026, 8, 30), date(2026, 8, 3), apart=0)
    august = [row for row in rows if row["timestamp"] >= "2026-08-01"]

    assert answer(clickhouse, "Arrived in three days", lately) == [[len({row["uuid"] for row in august})]]
    assert answer(clickhouse, "Change of the error rate", lately) == [[25.0]]
    assert answer(clickhouse, "Events of the month", lately) == [[len(august)]]


ALL = [
    *((tile.name, queries.fill(tile.text, period)) for tile in TILES for period in (PERIOD, queries.latest(90))),
    ("new installations", queries.fill(queries.new_installations(), PERIOD, PERIOD)),
]


@pytest.mark.parametrize(("name", "text"), ALL, ids=lambda value: value if len(value) < 40 else "")
def test_posthogs_own_parser_takes_the_query_and_posthog_knows_its_functions(name: str, text: str) -> None:
    found = list(hogql.calls(hogql.parse(text)))

    assert found, name
    for function, given in found:
        least, most = hogql.FUNCTIONS[function]
        assert least <= given <= (most or given), f"{function} takes another number of arguments"


def test_the_parser_refuses_what_is_no_hogql() -> None:
    with pytest.raises(ValueError, match=r".+"):
        hogql.parse("select from where")


@pytest.mark.parametrize("tile", TILES, ids=lambda tile: tile.name)
def test_every_query_asks_for_as_many_rows_as_posthog_gives(tile: queries.Query) -> None:
    assert tile.text.endswith("\nlimit 50000\n")  # without a limit PostHog cuts at 100 rows, in silence


def test_every_tile_has_an_answer_that_is_tested() -> None:
    here = Path(__file__).read_text()

    for tile in TILES:
        assert f'answer(clickhouse, "{tile.name}"' in here


def words() -> set[str]:
    """Every event and property that a query reads."""
    text = "".join(re.sub(r"^--.*$", "", tile.text, flags=re.MULTILINE) for tile in TILES)
    return {word for pair in re.findall(r"'(\w+)'|properties\.`?(\$?\w+)`?", text) for word in pair if word}


@pytest.mark.parametrize("event", events.EVENTS)
def test_every_event_and_property_answers_a_question(event: str) -> None:
    assert {event, *(p.name for p in events.EVENTS[event].properties)} <= words()
