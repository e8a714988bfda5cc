"""What make's words become, and the one container in which no flusher is started."""

from __future__ import annotations

import os
import posix
from pathlib import Path

import pytest

from onramp_analytics import make_events, spawn
from onramp_analytics.receiver import Receiver
from onramp_analytics.spool import Spool
from tests.conftest import KEY
from tests.onramp_checkout import build


@pytest.mark.parametrize(
    ("status", "expected"),
    [
        (1, "exit_1"),
        (2, "exit_2"),
        (127, "exit_127"),
        (128, "exit_128"),
        (130, "signal_INT"),
        (134, "signal_ABRT"),
        (137, "signal_KILL"),
        (143, "signal_TERM"),
        (200, "exit_200"),
        (255, "exit_255"),
    ],
)
def test_a_status_of_make_is_named_as_the_contract_says(status: int, expected: str) -> None:
    assert make_events.error_type(status) == expected


def test_a_success_is_one_event_and_a_failure_two() -> None:
    assert make_events.outcome("start", 0, "10.50", "12.75") == [
        ("command_executed", {"command": "start", "success": True, "duration_ms": 2250})
    ]
    assert make_events.outcome("start", 2, "10.50", "10.51") == [
        ("command_executed", {"command": "start", "success": False, "duration_ms": 10}),
        ("error_occurred", {"command": "start", "error_type": "exit_2"}),
    ]


def test_where_the_machine_tells_no_time_there_is_no_duration_to_tell() -> None:
    assert make_events.outcome("start", 0, "", "") == []


def test_links_that_came_and_went_are_the_events() -> None:
    before = {("services-enabled", "old"), ("services-enabled", "stays"), ("overrides-enabled", "old-nfs")}
    after = {("services-enabled", "new"), ("services-enabled", "stays"), ("overrides-enabled", "new-nfs")}

    assert make_events.changes(before, after, lambda name: name == "new") == [
        ("override_enabled", {"override_name": "new-nfs"}),
        ("service_enabled", {"service_name": "new", "has_scaffold": True}),
        ("override_disabled", {"override_name": "old-nfs"}),
        ("service_disabled", {"service_name": "old"}),
    ]


def test_names_with_spaces_line_breaks_and_bytes_that_are_no_text_are_told_apart() -> None:
    paths = b"/".join(
        (
            b"services-enabled/two words.yml",
            b"services-enabled/two\nlines.yml",
            b"services-enabled/\xff.yml",
            b"overrides-enabled/*.yml",
        )
    )

    assert make_events._links(paths) == {
        ("services-enabled", "two words"),
        ("services-enabled", "two\nlines"),
        ("services-enabled", "\udcff"),
    }


@pytest.mark.parametrize(
    ("root", "in_docker", "starts"),
    [(b"/app", True, False), (b"/app", False, True), (b"/srv/onramp", True, True)],
    ids=["in sietch", "a checkout that is at /app", "another container"],
)
def test_no_flusher_is_started_in_the_tool_container(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, root: bytes, *, in_docker: bool, starts: bool
) -> None:
    marker, started = tmp_path / "dockerenv", list[object]()
    if in_docker:
        marker.touch()
    monkeypatch.setattr(spawn, "_IN_DOCKER", os.fsencode(marker))

    def spawned(*words: object, **_options: object) -> int:
        started.append(words)
        return os.getpid()  # no child of ours, so that it is never waited for

    monkeypatch.setattr(posix, "posix_spawn", spawned)
    monkeypatch.setattr(spawn, "_started", set())

    spawn.start_flusher(Spool(os.fsencode(tmp_path)), root, {})

    assert bool(started) == starts


def test_what_make_did_arrives(tmp_path: Path, receiver: Receiver) -> None:
    onramp = build(tmp_path / "made", os.environ, installed=True)
    onramp.install("--api-key", KEY, "--host", receiver.url)
    onramp.opt_in()
    (onramp.path / "onramp.spool.d/not-before").unlink()

    onramp.make("enable-service", "plex")

    assert receiver.wait_for(2)
    assert [event["event"] for event in receiver.accepted] == ["service_enabled", "command_executed"]
    assert receiver.requests[0].json["api_key"] == KEY
