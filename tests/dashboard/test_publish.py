"""Publishing, from the events of simulated installations to the site, through a query API on 127.0.0.1."""

from __future__ import annotations

import json
import re
from collections import Counter, defaultdict
from datetime import date, timedelta
from pathlib import Path
from typing import Any

import pytest

from onramp_analytics.cli.dashboard import links
from onramp_analytics.dashboard import pages
from onramp_analytics.dashboard.application import Application
from onramp_analytics.dashboard.publish import made_from, publish
from onramp_analytics.dashboard.rounding import Counts, r
from onramp_analytics.errors import CouldNot
from onramp_analytics.receiver import CAPTIVE_PORTAL, Answer, Receiver
from tools.results import demo
from tools.results.simulate import ON_FIVE, ON_FOUR, Row, installations
from tools.results.stand_in import JSON, KEY, PROJECT, QueryApi, refuses, says

FIRST, LAST = pages.days(demo.UNTIL)
LINK = links(None)


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, list[Row]]:
    """The site of `make demo-results`, with two editions, and the events behind it."""
    folder = tmp_path_factory.mktemp("site")
    return folder, demo.run(folder, editions=2)


def text_of(folder: Path) -> dict[str, str]:
    return {str(p.relative_to(folder)): p.read_text() for p in sorted(folder.rglob("*")) if p.is_file()}


def counting(rows: list[Row]) -> dict[str, list[Row]]:
    """The installations that the last edition counts, with their events; computed without a database."""
    of: dict[str, dict[str, Row]] = defaultdict(dict)
    for row in rows:
        if row["timestamp"][:10] <= str(LAST):
            of[row["distinct_id"]][row["uuid"]] = row
    found = {}
    for one, events in of.items():
        arrived = sorted(date.fromisoformat(event["created_at"][:10]) for event in events.values())
        active = max(event["timestamp"][:10] for event in events.values()) >= str(FIRST)
        if active and arrived[-1] - arrived[0] >= timedelta(days=7):
            found[one] = list(events.values())
    return found


def enabled(events: list[Row], kind: str) -> set[str]:
    """The names that are enabled after these events, which are in the order in which they happened.

    The database does not know that order, and it knows the real names of user-defined services as `custom` only.
    """
    on = {}
    for event in events:
        if event["event"] == f"{kind}_enabled":
            on[event["real_name"]] = event["properties"][f"{kind}_name"]
        elif event["event"] == f"{kind}_disabled":
            on.pop(event["real_name"], None)
    return set(on.values())


def rounded(names: Counter[str]) -> list[list[Any]]:
    shown = [[name, r(n)] for name, n in names.items() if r(n)]
    return sorted(shown, key=lambda row: (-row[1], row[0]))


def test_the_numbers_of_the_demo_are_those_counted_another_way(made: tuple[Path, list[Row]]) -> None:
    folder, rows = made
    page = json.loads((folder / "results.json").read_text())
    of = counting(rows)

    services = Counter(name for events in of.values() for name in enabled(events, "service"))
    overrides = Counter(name for events in of.values() for name in enabled(events, "override"))
    ran = Counter(
        command
        for events in of.values()
        for command in {
            event["properties"]["command"]
            for event in events
            if event["event"] == "command_executed" and str(FIRST) <= event["timestamp"][:10]
        }
    )
    assert page["installations"]["active"] == r(len(of))
    assert [[row["name"], row["installations"]] for row in page["services"]] == rounded(services)
    assert [[row["name"], row["installations"]] for row in page["overrides"]] == rounded(overrides)
    assert [[row["name"], row["installations"]] for row in page["commands"]] == rounded(ran)
    assert len(page["services"]) > 50


def test_no_name_of_fewer_than_five_and_no_number_that_is_not_rounded_is_in_any_file(
    made: tuple[Path, list[Row]],
) -> None:
    folder, rows = made
    files = text_of(folder)
    few = {
        name
        for name, n in Counter(
            name for events in counting(rows).values() for name in enabled(events, "service")
        ).items()
        if n < 5
    }

    assert ON_FOUR in few
    for name in few:
        assert not any(re.search(rf"\b{re.escape(name)}\b", text) for text in files.values()), name
    numbers = {int(n) for n in re.findall(r'"(?:installations|active|with_services|failed_on)": (\d+)', str(files))}
    assert len(numbers) > 20
    assert {n for n in numbers if r(n) != n} == set()
    cells = [int(n.replace(",", "")) for n in re.findall(r'</th><td class="n">([\d,]+)</td>', files["index.html"])]
    assert len(cells) > 50
    assert {n for n in cells if r(n) != n} == set()


def test_a_name_on_exactly_five_is_shown(made: tuple[Path, list[Row]]) -> None:
    page = json.loads((made[0] / "results.json").read_text())

    assert [row["installations"] for row in page["services"] if row["name"] == ON_FIVE] == [5]


@pytest.fixture(scope="module")
def few() -> QueryApi:
    return QueryApi(installations(30, demo.UNTIL))


@pytest.fixture
def api(few: QueryApi, receiver: Receiver) -> QueryApi:
    few.asked, few.scopes = [], {"query:read"}
    receiver.answer_always(few)
    return few


@pytest.fixture
def application(receiver: Receiver, api: QueryApi) -> Application:  # noqa: ARG001  (what answers it)
    return Application(receiver.url, PROJECT, KEY, "query:read", pause=lambda _seconds: None)


def publish_on(application: Application, folder: Path, made: date = demo.UNTIL, at_least: int = 5) -> str:
    return publish(application, folder, made, at_least, LINK)


def test_a_page_is_made_four_weeks_after_the_last_one_and_not_before(
    api: QueryApi, application: Application, tmp_path: Path
) -> None:
    publish_on(application, tmp_path, demo.UNTIL - timedelta(weeks=44))
    before, asked = text_of(tmp_path), len(api.asked)

    said = publish_on(application, tmp_path, demo.UNTIL - timedelta(weeks=44) + timedelta(days=27))

    assert "The next edition can be published on" in said
    assert (text_of(tmp_path), len(api.asked)) == (before, asked)
    assert ", edition 2." in publish_on(application, tmp_path)


def test_no_page_is_made_unless_five_installations_are_new(
    api: QueryApi, application: Application, tmp_path: Path, receiver: Receiver
) -> None:
    publish_on(application, tmp_path, demo.UNTIL - timedelta(weeks=4))
    before = text_of(tmp_path)
    receiver.answer_always(
        lambda request: (
            says(200, {"columns": ["installations"], "results": [[4]], "hasMore": False})
            if request.json.get("name", "").endswith("New installations")
            else api(request)
        )
    )

    assert publish_on(application, tmp_path).startswith("Fewer than five installations are new")
    assert text_of(tmp_path) == before


def test_what_was_published_stays_as_it_was(application: Application, tmp_path: Path) -> None:
    publish_on(application, tmp_path, demo.UNTIL - timedelta(weeks=44))
    first = json.loads((tmp_path / "history.json").read_text())["pages"]

    publish_on(application, tmp_path)

    history = json.loads((tmp_path / "history.json").read_text())["pages"]
    assert history[:1] == first
    assert history[1] == json.loads((tmp_path / "results.json").read_text())


def test_a_decision_is_shown_on_the_next_run_without_a_question(
    api: QueryApi, application: Application, tmp_path: Path
) -> None:
    publish_on(application, tmp_path)
    (tmp_path / "decisions.md").write_text("- Kept [plex](https://example.org/1) & <b>\n")
    asked = len(api.asked)

    publish_on(application, tmp_path)

    assert (
        '<li>Kept <a href="https://example.org/1">plex</a> &amp; &lt;b&gt;</li>'
        in (tmp_path / "index.html").read_text()
    )
    assert len(api.asked) == asked


@pytest.mark.parametrize(
    ("name", "content", "sentence"),
    [
        ("history.json", "{", "cannot be read"),
        ("history.json", '{"version": 2, "pages": []}', "is not a history of version 1"),
        ("history.json", '{"version": 1, "pages": [{"version": 1}]}', "is not a page of results"),
        ("index.html", "<p>", "contains a site without history.json"),
    ],
    ids=["broken", "newer", "no page", "gone"],
)
def test_a_history_that_cannot_be_read_ends_the_run_and_is_never_started_over(
    application: Application, tmp_path: Path, name: str, content: str, sentence: str
) -> None:
    (tmp_path / name).write_text(content)

    with pytest.raises(CouldNot, match=re.escape(sentence)):
        publish_on(application, tmp_path)

    assert text_of(tmp_path) == {name: content}


def test_at_least_leaves_out_more(application: Application, tmp_path: Path) -> None:
    publish_on(application, tmp_path, at_least=10)

    page = json.loads((tmp_path / "results.json").read_text())
    assert min(row["installations"] for row in page["services"]) >= 10
    assert "fewer than 10 installations" in (tmp_path / "index.html").read_text()


def test_an_edition_without_a_row_names_the_number_that_is_needed() -> None:
    edition = pages.Page(FIRST, LAST, demo.UNTIL, 10, Counts())

    text = made_from([edition], "", LINK)["index.html"]

    assert "None is enabled on 10 or more installations." in text
    assert "Nothing was given up by 10 or more installations." in text
    assert "five or more" not in text
    assert "fewer than 10" in text


def test_an_opt_in_that_is_older_than_the_retention_still_counts_with_what_it_has(
    receiver: Receiver, tmp_path: Path
) -> None:
    rows = installations(30, demo.UNTIL, days=900)
    joined = {row["distinct_id"]: row["timestamp"] for row in reversed(rows)}
    floor = demo.UNTIL - timedelta(days=365)
    old = {one for one, day in joined.items() if day < str(floor)}
    receiver.answer_always(QueryApi(rows, since=floor))

    publish_on(Application(receiver.url, PROJECT, KEY), tmp_path)

    page = json.loads((tmp_path / "results.json").read_text())
    kept = {one for one in counting([row for row in rows if row["timestamp"] >= str(floor)]) if one in old}
    of = counting(rows)
    assert len(kept) > 5
    for name in ("traefik", "plex"):
        shown = next(row["installations"] for row in page["services"] if row["name"] == name)
        assert shown == r(sum(name in enabled(events, "service") for events in of.values()))


def test_badges_of_services_that_are_no_longer_shown_are_deleted(application: Application, tmp_path: Path) -> None:
    (tmp_path / "badges").mkdir()
    (tmp_path / "badges" / "gone.svg").write_text("<svg/>")

    publish_on(application, tmp_path)

    assert not (tmp_path / "badges" / "gone.svg").exists()
    assert "240+" not in (tmp_path / "badges" / "plex.svg").read_text()


NOT_POSTHOG = "does not respond like PostHog's application"
FAILURES = [
    (refuses(400, "illegal_type", "Unknown function"), "answered 400 (Unknown function): it rejects the query"),
    (refuses(401, "authentication_failed", "Incorrect credentials."), "it does not recognize the key"),
    (refuses(402, "quota_limit_exceeded", "Quota"), "the project is over its quota"),
    (refuses(403, "permission_denied", "API key missing required scope 'query:read'"), "it needs query:read"),
    (refuses(404, "not_found", "Project not found."), "the key has no access to this project"),
    (refuses(429, "throttled", "Too many concurrent queries"), "it accepts no more requests at the moment"),
    (refuses(500, "error", "A server error occurred."), "try again later"),
    (Answer(503), "answered 503: try again later"),
    (Answer(504), "answered 504: try again later"),
    (refuses(512, "estimated_query_execution_time_too_long", "Too slow"), "answered 512 (Too slow): try again later"),
    (CAPTIVE_PORTAL, NOT_POSTHOG),
    (Answer(302, b"", (("Location", "http://127.0.0.1:9/"),)), NOT_POSTHOG),
    (says(200, {"columns": ["a"]}), NOT_POSTHOG),
    (says(200, {"columns": ["a"], "results": [[1]], "hasMore": True}), "and has more: use fewer days"),
    (Answer(drop=True), "could not be reached"),
]


@pytest.mark.parametrize("failure", FAILURES, ids=[str(i) for i in range(len(FAILURES))])
def test_each_error_is_one_sentence_and_nothing_is_written(
    api: QueryApi, application: Application, receiver: Receiver, tmp_path: Path, failure: tuple[Answer, str]
) -> None:
    answer, sentence = failure
    questions = iter(range(100))
    receiver.answer_always(
        lambda request: answer if "name" in request.json and next(questions) >= 3 else api(request)  # the fourth fails
    )

    with pytest.raises(CouldNot, match=re.escape(sentence)) as raised:
        publish_on(application, tmp_path)

    assert "\n" not in str(raised.value)
    assert KEY not in str(raised.value)
    assert text_of(tmp_path) == {}


@pytest.mark.parametrize(("headers", "seconds"), [((), 60), ((("Retry-After", "7"),), 7)], ids=["without", "with"])
@pytest.mark.usefixtures("api")
def test_a_429_is_waited_for_once(receiver: Receiver, headers: tuple[tuple[str, str], ...], seconds: int) -> None:
    waited: list[float] = []
    application = Application(receiver.url, PROJECT, KEY, "query:read", waited.append)
    receiver.answer_next(Answer(429, b'{"detail": "Too many concurrent queries"}', (*JSON, *headers)))

    assert application.query("select 1 as one limit 50000", "x").rows == [[1]]
    assert waited == [seconds]


def test_an_invalid_query_is_found_before_anything_is_asked(
    application: Application, receiver: Receiver, tmp_path: Path
) -> None:
    receiver.answer_always(
        lambda _request: says(200, {"isValid": False, "errors": [{"message": "Unknown table 'events'"}]})
    )

    with pytest.raises(CouldNot, match=r"rejects the query .*Unknown table 'events'"):
        publish_on(application, tmp_path)

    assert text_of(tmp_path) == {}


def test_the_stand_in_is_as_strict_as_posthog(api: QueryApi, application: Application) -> None:
    many = "select number from numbers(200)"

    assert application.query(f"{many} limit 50000", "x").columns == ["number"]
    with pytest.raises(CouldNot, match="has more"):
        application.query(many, "x")  # without a limit only 100 rows come
    assert application.check("select nothing from nowhere") != ""
    assert application.check("select 1") == ""
    api.scopes.clear()
    with pytest.raises(CouldNot, match="missing required scope 'query:read'"):
        application.query("select 1", "x")
