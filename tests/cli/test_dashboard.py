"""`dashboard --results`, `--check` and `--publish`: the commands, against the stand-in for PostHog's query API."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from onramp_analytics.dashboard import queries, tiles
from onramp_analytics.dashboard.application import KEY_VARIABLE, PROJECT_VARIABLE
from onramp_analytics.receiver import Answer, Receiver
from tests.conftest import Checkout
from tools.results import demo
from tools.results.simulate import installations
from tools.results.stand_in import KEY, PROJECT, QueryApi, says

SINGLE = ["Arrived in three days", "Change of the error rate", "Events of the month"]


@pytest.fixture(scope="module")
def loaded() -> QueryApi:
    return QueryApi(installations(12, demo.UNTIL, days=200))


@pytest.fixture
def maintainer(checkout: Checkout, receiver: Receiver, loaded: QueryApi) -> Checkout:
    checkout.env |= {KEY_VARIABLE: KEY, PROJECT_VARIABLE: PROJECT}
    receiver.answer_always(loaded)
    return checkout


def test_the_answers_are_printed_for_three_periods(maintainer: Checkout) -> None:
    shown = maintainer.run("dashboard", "--results", env={"PYTHONIOENCODING": "ascii"}).stdout

    assert shown.isascii()
    assert shown.count("Enabled services") == 3
    assert [days for days in (30, 90, 365) if f"The last {days} days" in shown] == [30, 90, 365]


def test_a_single_number_is_printed_once_after_the_periods(maintainer: Checkout) -> None:
    shown = maintainer.run("dashboard", "--results").stdout

    for name in SINGLE:
        assert shown.count(f"\n{name} ") == 1
        assert shown.index(name) > shown.index("For alerts") > shown.index("The last 365 days")


def test_the_answers_come_as_json_whole_and_exact(maintainer: Checkout, loaded: QueryApi) -> None:
    loaded.asked.clear()
    found = json.loads(maintainer.run("dashboard", "--results", "--json").stdout)

    assert list(found) == ["30", "90", "365", "alerts"]
    assert set(found["90"]) == {tile.name for tile in queries.tiles()} - set(SINGLE)
    assert list(found["alerts"]) == SINGLE
    assert found["365"]["Installations"]["columns"] == ["active", "new", "with_services"]
    assert all(body["refresh"] == "force_blocking" for body in loaded.asked)
    assert {body["name"] for body in loaded.asked} == {f"onramp-analytics {tile.name}" for tile in queries.tiles()}
    (change,) = (body["query"]["query"] for body in loaded.asked if body["name"].endswith("Change of the error rate"))
    assert change == tiles.text(queries.named("Change of the error rate"))  # 30 days, compared with the 30 before


def test_check_lets_posthog_look_at_every_query(maintainer: Checkout, loaded: QueryApi) -> None:
    loaded.asked.clear()

    shown = maintainer.run("dashboard", "--check").stdout

    assert shown.count("right  ") == len(queries.tiles()) + 1
    assert {body["query"]["kind"] for body in loaded.asked} == {"HogQLMetadata"}


def test_check_says_what_is_wrong_and_create_stops_there(maintainer: Checkout, receiver: Receiver) -> None:
    receiver.answer_always(lambda _request: says(200, {"isValid": False, "errors": [{"message": "Unknown function"}]}))

    for option in ("--check", "--create"):
        done = maintainer.run("dashboard", option, check=False)
        assert done.returncode == 1
        assert "PostHog rejects Installations (Unknown function)" in done.stderr
    assert all("/query/" in request.line for request in receiver.requests)


def test_publish_says_what_it_did_or_why_not_and_leaves_nothing_half_written(
    maintainer: Checkout, receiver: Receiver, tmp_path: Path
) -> None:
    site = tmp_path / "site"
    receiver.answer_next(Answer(503))

    done = maintainer.run("dashboard", "--publish", str(site), check=False)

    assert (done.returncode, site.exists()) == (1, False)
    assert "answered 503: try again later" in done.stderr
    shown = maintainer.run("dashboard", "--publish", str(site)).stdout
    assert "Wrote " in shown or "there is no new one" in shown


@pytest.mark.parametrize(
    "words",
    [
        ("--results", "--check"),
        ("--json",),
        ("--at-least", "10"),
        *(("--publish", "x", "--at-least", number) for number in ("4", "7", "105")),
    ],
    ids=["two", "json alone", "at-least alone", "below five", "not rounded", "not rounded from 100 on"],
)
def test_what_does_not_fit_together_is_a_usage_error(maintainer: Checkout, words: tuple[str, ...]) -> None:
    done = maintainer.run("dashboard", *words, check=False)

    assert done.returncode == 2
    assert len(done.stderr.splitlines()) == 1
