"""`dashboard`: its output, and what it creates in PostHog's application (a fake, over real HTTP)."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from onramp_analytics.dashboard import application as applications
from onramp_analytics.dashboard import queries, tiles
from onramp_analytics.errors import CouldNot, Misconfigured
from onramp_analytics.posthog import destination
from onramp_analytics.receiver import CAPTIVE_PORTAL, Answer, Receiver
from onramp_analytics.spawn import KEPT
from tests.conftest import KEY as PROJECT_KEY
from tests.conftest import Checkout
from tests.dashboard.posthog_application import JSON, KEY, PROJECT, Application

REPOSITORY = Path(__file__).parent.parent.parent
CHECKED = len(queries.tiles()) + 1  # queries that `--create` lets PostHog check first
NAMES = [tile.name for tile in queries.tiles()]


@pytest.fixture
def application(receiver: Receiver) -> Application:
    application = Application()
    receiver.answer_always(application)
    return application


@pytest.fixture
def maintainer(checkout: Checkout) -> Checkout:
    checkout.env |= {applications.KEY_VARIABLE: KEY, applications.PROJECT_VARIABLE: PROJECT}
    return checkout


def names(found: list[dict[str, str]]) -> list[str]:
    return [one["name"] for one in found]


def fails(maintainer: Checkout, env: dict[str, str] | None = None) -> str:
    done = maintainer.run("dashboard", "--create", check=False, env=env)
    assert done.returncode == 1
    assert len(done.stderr.splitlines()) == 1
    assert KEY not in done.stdout + done.stderr
    return done.stderr


def test_without_a_key_it_prints_every_query_and_sends_nothing(checkout: Checkout, receiver: Receiver) -> None:
    said = checkout.run("dashboard").stdout

    for tile in queries.tiles():
        assert tiles.text(tile) in said
    assert f'Would create the dashboard "OnRamp usage" with these {len(NAMES)} tiles at {receiver.url}' in said
    assert receiver.requests == []


def test_it_makes_one_dashboard_with_a_tile_for_each_query(maintainer: Checkout, application: Application) -> None:
    said = maintainer.run("dashboard", "--create").stdout

    (made,) = application.dashboards
    assert made["name"] == "OnRamp usage"
    assert names(application.insights) == NAMES
    for tile, insight in zip(queries.tiles(), application.insights, strict=True):
        assert insight["query"]["source"] == {"kind": "HogQLQuery", "query": tiles.text(tile)}
        assert insight["description"] == tile.question
        assert insight["dashboard_tiles"] == [{"id": 1, "dashboard_id": made["id"]}]
    assert said.endswith(f"/project/{PROJECT}/dashboard/{made['id']}\n")


def test_the_second_time_it_makes_nothing_and_restores_what_was_changed(
    maintainer: Checkout, application: Application
) -> None:
    maintainer.run("dashboard", "--create")
    application.insights[0]["query"] = {"kind": "DataVisualizationNode", "source": "an older one"}

    maintainer.run("dashboard", "--create")

    assert len(application.dashboards) == 1
    assert names(application.insights) == NAMES
    assert application.insights[0]["query"]["source"]["query"] == tiles.text(queries.tiles()[0])


def test_it_finds_its_dashboard_behind_a_hundred_others(maintainer: Checkout, application: Application) -> None:
    application.dashboards += [{"id": number, "name": f"other {number}", "deleted": False} for number in range(150)]
    application.dashboards.append({"id": 999, "name": "OnRamp usage", "deleted": False})

    maintainer.run("dashboard", "--create")

    assert len(application.dashboards) == 151
    assert {tile["dashboard_id"] for insight in application.insights for tile in insight["dashboard_tiles"]} == {999}


def test_an_insight_of_the_same_name_elsewhere_is_left_alone(maintainer: Checkout, application: Application) -> None:
    mine = {"id": 1, "name": NAMES[0], "deleted": False, "dashboard_tiles": [{"id": 1, "dashboard_id": 5}]}
    application.insights.append(dict(mine))

    maintainer.run("dashboard", "--create")

    assert application.insights[0] == mine
    assert names(application.insights[1:]) == NAMES


def test_after_a_failure_half_way_it_says_what_is_there_and_the_next_run_goes_on(
    maintainer: Checkout, application: Application, receiver: Receiver
) -> None:
    posts, good = iter(range(100)), CHECKED + 3
    receiver.answer_always(
        lambda request: Answer(503) if request.line.startswith("POST") and next(posts) >= good else application(request)
    )

    said = fails(maintainer)
    receiver.answer_always(application)
    maintainer.run("dashboard", "--create")

    assert f"503: try again later; the dashboard and 2 of its {len(NAMES)} tiles are done; running it" in said
    assert len(application.dashboards) == 1
    assert names(application.insights) == NAMES


@pytest.mark.parametrize(
    ("answer", "sentence"),
    [
        (Answer(302, b"", (("Location", "http://127.0.0.1:9/"),)), "does not respond like PostHog's application"),
        (CAPTIVE_PORTAL, "does not respond like PostHog's application"),
        (Answer(200, b'{"status": "Ok"}', JSON), "does not respond like PostHog's application"),
        (
            Answer(429, b'{"detail": "Request was throttled."}', JSON),
            "429 (Request was throttled.): it accepts no more",
        ),
        (Answer(500, b"oops"), "answered 500: try again later"),
        (Answer(drop=True), "could not be reached: the connection failed"),
    ],
    ids=["redirect", "portal", "another service", "throttled", "server error", "reset"],
)
def test_what_is_not_done_is_said_in_one_sentence(receiver: Receiver, answer: Answer, sentence: str) -> None:
    receiver.answer_always(lambda _request: answer)

    assert sentence in failure(applications.Application(receiver.url, PROJECT, KEY))
    assert len(receiver.requests) == 1


def failure(project: applications.Application) -> str:
    """Create the dashboard in this process, which fails, and return the error."""
    with pytest.raises(CouldNot) as raised:
        tiles.create(project, lambda _line: None)
    assert project.key not in str(raised.value)
    return str(raised.value)


def test_an_unknown_key_and_one_without_the_scope_get_different_sentences(
    application: Application, receiver: Receiver
) -> None:
    unknown = failure(applications.Application(receiver.url, PROJECT, "phx_another"))
    application.scopes.remove("insight:write")
    forbidden = failure(applications.Application(receiver.url, PROJECT, KEY))
    elsewhere = failure(applications.Application(receiver.url, "1", KEY))

    assert "401 (Incorrect authentication credentials.): it does not recognize the key" in unknown
    assert "403 (API key missing required scope 'insight:write'): the key is not allowed to do this" in forbidden
    assert "404 (Project not found.): the key has no access to this project" in elsewhere


@pytest.mark.parametrize(
    ("env", "sentence"),
    [
        ({"POSTHOG_PERSONAL_API_KEY": ""}, "no personal key: set POSTHOG_PERSONAL_API_KEY"),
        ({"POSTHOG_PERSONAL_API_KEY": PROJECT_KEY}, "contains a project key (phc_…), which can only send events"),
        ({"POSTHOG_PERSONAL_API_KEY": "phx_a b"}, "must be a personal key"),
        ({"POSTHOG_PROJECT_ID": ""}, "POSTHOG_PROJECT_ID must be the project's number"),
        ({"POSTHOG_PROJECT_ID": "1/../2"}, "POSTHOG_PROJECT_ID must be the project's number"),
        ({"ONRAMP_ANALYTICS_HOST": "http://posthog.example", "ONRAMP_ANALYTICS_ALLOW_HTTP": "1"}, "begin with https"),
        ({"ONRAMP_ANALYTICS_HOST": "ftp://posthog.example"}, "must begin with https://"),
    ],
    ids=["no key", "project key", "half a key", "no project", "a path", "http", "ftp"],
)
def test_what_cannot_be_right_is_refused_before_anything_is_sent(env: dict[str, str], sentence: str) -> None:
    right = {applications.KEY_VARIABLE: KEY, applications.PROJECT_VARIABLE: PROJECT}

    with pytest.raises(Misconfigured, match=re.escape(sentence)) as raised:
        applications.from_environ({**right, **env})

    assert KEY not in str(raised.value)
    assert PROJECT_KEY not in str(raised.value)


def test_a_wrong_kind_of_key_is_one_line_and_sends_nothing(maintainer: Checkout, receiver: Receiver) -> None:
    said = fails(maintainer, {"POSTHOG_PERSONAL_API_KEY": PROJECT_KEY})

    assert "contains a project key" in said
    assert PROJECT_KEY not in said
    assert receiver.requests == []


@pytest.fixture
def stranger() -> Iterator[Receiver]:
    with Receiver() as running:
        yield running


def test_the_personal_key_goes_to_the_host_and_nowhere_else(
    maintainer: Checkout, application: Application, receiver: Receiver, stranger: Receiver
) -> None:
    home = Path(maintainer.env["HOME"])
    (home / ".netrc").write_text("default login somebody password hunter2\n")
    receiver.answer_next(Answer(307, b"", (("Location", f"{stranger.url}/api/"),)))

    fails(maintainer)
    maintainer.run("dashboard", "--create", env={"HTTP_PROXY": stranger.url, "http_proxy": stranger.url})

    assert stranger.requests == []
    assert {dict(request.headers)["Authorization"] for request in receiver.requests} == {f"Bearer {KEY}"}
    assert len(application.dashboards) == 1


def test_the_flusher_never_gets_the_personal_key() -> None:
    assert applications.KEY_VARIABLE.encode() not in KEPT


def test_the_personal_key_is_in_no_representation() -> None:
    assert KEY not in repr(applications.Application("https://eu.posthog.com", PROJECT, KEY))


@pytest.mark.parametrize(
    ("events_go_to", "application"),
    [
        (None, "https://us.posthog.com"),
        ("https://us.i.posthog.com", "https://us.posthog.com"),
        ("https://eu.i.posthog.com/", "https://eu.posthog.com"),
        ("https://eu.posthog.com", "https://eu.posthog.com"),
        ("https://posthog.example/", "https://posthog.example"),
        ("http://127.0.0.1:8000", "http://127.0.0.1:8000"),
    ],
)
def test_the_application_is_found_from_where_events_go(events_go_to: str | None, application: str) -> None:
    assert destination.application({"ONRAMP_ANALYTICS_HOST": events_go_to} if events_go_to else {}) == application


def test_the_documents_name_the_variables_and_the_tiles() -> None:
    readme, page = ((REPOSITORY / name).read_text() for name in ("README.md", "docs/posthog.md"))

    for variable in (applications.KEY_VARIABLE, applications.PROJECT_VARIABLE):
        assert f"`{variable}`" in readme
        assert variable in page
    for tile in queries.tiles():
        assert f"| {tile.name} | {tile.question} |" in page
