"""`events`: the catalog on a terminal, in a pipe, as JSON, and reduced to what is new."""

from __future__ import annotations

import json

import pytest

from onramp_analytics import events
from onramp_analytics.cli.events import markdown, sections
from onramp_analytics.events import Event, Property
from tests.cli.terminal import on_a_terminal
from tests.conftest import Checkout


def test_in_a_pipe_it_is_markdown_with_every_event_property_and_rule(checkout: Checkout) -> None:
    said = checkout.run("events").stdout

    assert said == markdown() + "\n"
    for name, event in events.EVENTS.items():
        assert f"| `{name}` | {event.why} |" in said
        assert all(f"| `{p.name}` | {p.rule} |" in said for p in event.properties)
    for name in (*events.FIXED, "uuid", "distinct_id", "timestamp"):
        assert f"| `{name}` |" in said


def test_on_a_terminal_it_is_a_table_that_fits(checkout: Checkout) -> None:
    seen = on_a_terminal(checkout, "events")

    assert "|" not in seen
    assert "`" not in seen
    assert all(name in seen for name in events.EVENTS)
    assert max(map(len, seen.splitlines())) <= 80


def test_as_json_it_has_every_event_and_the_version_of_the_catalog(checkout: Checkout) -> None:
    found = json.loads(checkout.run("events", "--json").stdout)

    assert (found["version"], found["catalog"]) == (1, events.VERSION)
    assert list(found["events"]) == list(events.EVENTS)
    assert found["events"]["service_enabled"]["since"] == 1
    assert set(found["events"]["service_enabled"]["properties"]) == {"service_name", "has_scaffold"}
    assert set(found["with_every_event"]) == {"uuid", "distinct_id", "timestamp", *events.FIXED}


def test_new_is_everything_before_opting_in_and_nothing_afterwards(checkout: Checkout) -> None:
    before = checkout.run("events", "--new").stdout
    checkout.opt_in()
    after = checkout.run("events", "--new").stdout

    assert before == checkout.run("events").stdout
    assert after == "Nothing new: you have agreed to everything that can be recorded.\n"
    assert json.loads(checkout.run("events", "--new", "--json").stdout)["events"] == {}


def test_new_shows_what_a_later_version_added_and_nothing_else(monkeypatch: pytest.MonkeyPatch) -> None:
    later = events.VERSION + 1
    added = Property("attempts", "how often", lambda value, _published: int(str(value)), since=later)
    old = events.EVENTS["command_executed"]
    monkeypatch.setitem(events.EVENTS, "command_executed", Event(old.why, *old.properties, added))
    made = Event("Whether backups are made", events._SUCCESS, since=later)
    monkeypatch.setitem(events.EVENTS, "backup_made", made)

    said = markdown([section for section in sections(events.VERSION) if section[1]])

    assert "| `command_executed` | Which commands are used, and how long they take | `attempts` |" in said
    assert "| `backup_made` | Whether backups are made | `success` |" in said
    assert "| `attempts` | how often |" in said
    assert "service_enabled" not in said
    assert "duration_ms" not in said
