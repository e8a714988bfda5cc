"""The events of a make command, and the container in which no flusher is started."""

from __future__ import annotations

import json
import os
import posix
import subprocess
import sys
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

import pytest
from freezegun import freeze_time
from hypothesis import given
from hypothesis import strategies as st

import onramp_analytics
from onramp_analytics import make_events, optin, spawn
from onramp_analytics.outbox import segments
from onramp_analytics.receiver import Receiver
from onramp_analytics.spool import Spool
from tests.conftest import KEY, Checkout, line
from tests.onramp_checkout import build

ENTRY = Path(onramp_analytics.__file__).with_name("make_entry.py")


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
def test_a_status_of_make_has_a_name_in_the_catalog(status: int, expected: str) -> None:
    assert make_events.error_type(status) == expected


def test_a_success_is_one_event_and_a_failure_two() -> None:
    assert make_events.outcome("start", 0, "10.50", "12.75") == [
        ("command_executed", {"command": "start", "success": True, "duration_ms": 2250})
    ]
    assert make_events.outcome("start", 2, "10.50", "10.51") == [
        ("command_executed", {"command": "start", "success": False, "duration_ms": 10}),
        ("error_occurred", {"command": "start", "error_type": "exit_2"}),
    ]


def test_without_an_uptime_no_duration_is_recorded() -> None:
    assert make_events.outcome("start", 0, "", "") == []


def test_what_came_and_went_is_the_events() -> None:
    before = {("service", "old"), ("service", "stays"), ("override", "old-nfs")}
    after = {("service", "new"), ("service", "stays"), ("override", "new-nfs")}

    assert make_events.changes(before, after, lambda name: name == "new") == [
        ("override_enabled", {"override_name": "new-nfs"}),
        ("service_enabled", {"service_name": "new", "has_scaffold": True}),
        ("override_disabled", {"override_name": "old-nfs"}),
        ("service_disabled", {"service_name": "old"}),
    ]


names = st.from_regex(r"[A-Za-z0-9._-]{1,20}", fullmatch=True)
everything = st.sets(st.tuples(st.sampled_from(["service", "override"]), names))


@given(everything, st.sampled_from(["2026-01-03", "never"]))
def test_a_list_is_read_as_it_was_written(links: set[tuple[str, str]], counted: str) -> None:
    assert make_events.parse(make_events.written(links, counted)) == (links, counted)


@given(st.binary(max_size=200))
def test_no_content_of_the_list_raises(content: bytes) -> None:
    make_events.parse(content)


@pytest.mark.parametrize(
    ("content", "counted"),
    [
        (b"", "never"),
        (b"\0", "never"),
        (b"never\n?", "never"),
        (b"2026-01-03", "2026-01-03"),
        (b"2026-01-03\nservice plex", "2026-01-03"),
        (b"2026-01-03\nservice two words\n", "2026-01-03"),
        (b"2026-01-03\nservice \n", "2026-01-03"),
        (b"2026-01-03\nother plex\n", "2026-01-03"),
    ],
)
def test_a_damaged_list_has_no_names_and_is_no_reason_to_count_again(content: bytes, counted: str) -> None:
    assert make_events.parse(content) == (None, counted)


@pytest.mark.parametrize(
    ("counted", "today", "again"),
    [
        ("", "2026-01-03", True),
        ("2026-01-03", "2026-06-30", False),
        ("2026-06-30", "2026-07-01", True),
        ("2026-07-01", "2026-12-31", False),
        ("2026-12-31", "2027-01-01", True),
        ("2027-01-01", "2026-12-31", False),
        ("2037-01-01", "2026-12-31", False),
        ("never", "2026-07-01", False),
    ],
)
def test_everything_is_counted_again_in_each_half_of_a_year(counted: str, today: str, again: bool) -> None:  # noqa: FBT001
    assert make_events.is_new_half(counted, today) == again


@pytest.fixture
def counted(here: Checkout) -> Checkout:
    """A checkout with consent after a full count, in which no flusher runs."""
    here.hold_back_flusher()
    compare(here)
    return here


def compare(checkout: Checkout) -> None:
    make_events.compare(checkout.root, os.environb)


def enable(checkout: Checkout, *links: str) -> None:
    for link in links:
        (checkout.path / link).symlink_to("/dev/null")


def queued(checkout: Checkout) -> list[tuple[str, ...]]:
    """The queued events, also those that were spilled: (event, its own values)."""
    recorded = [json.loads(line) for file in segments.pending_files(checkout.spool) for line in file]
    return [(e["event"], *(str(v) for k, v in e["properties"].items() if k[0] != "$")) for e in recorded]


def test_the_first_comparison_is_with_nothing(here: Checkout) -> None:
    here.hold_back_flusher()
    enable(here, "services-enabled/plex.yml", "services-enabled/my-wiki.yml", "overrides-enabled/plex-nfs.yml")

    compare(here)

    assert queued(here) == [
        ("override_enabled", "plex-nfs"),
        ("service_enabled", "custom", "False"),
        ("service_enabled", "plex", "True"),
    ]


def test_a_link_made_by_hand_and_one_that_went_are_recorded_once(counted: Checkout) -> None:
    enable(counted, "services-enabled/plex.yml")
    compare(counted)
    compare(counted)
    (counted.path / "services-enabled/plex.yml").unlink()
    compare(counted)
    compare(counted)

    assert queued(counted) == [("service_enabled", "plex", "True"), ("service_disabled", "plex")]


def test_several_commands_at_once_record_a_change_once(counted: Checkout) -> None:
    enable(counted, "overrides-enabled/plex-nfs.yml")
    words = [sys.executable, "-IS", str(ENTRY), "ran", "start", "0", "1.00", "1.50"]

    running = [subprocess.Popen(words, cwd=counted.path, env=counted.env) for _ in range(5)]
    assert [process.wait(60) for process in running] == [0] * 5

    recorded = queued(counted)
    assert recorded.count(("override_enabled", "plex-nfs")) == 1
    assert recorded.count(("command_executed", "other", "True", "500")) == 0  # `start` is published
    assert recorded.count(("command_executed", "start", "True", "500")) == 5


@pytest.mark.parametrize("trouble", ["missing", "without .keep", "too many", "unreadable"])
def test_a_folder_that_cannot_be_compared_keeps_its_names(
    counted: Checkout, trouble: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    enable(counted, "services-enabled/plex.yml", "overrides-enabled/plex-nfs.yml")
    compare(counted)
    before = queued(counted)
    folder = counted.path / "services-enabled"
    if trouble == "too many":
        monkeypatch.setattr(make_events, "MOST_LINKS", 1)
    elif trouble == "without .keep":
        (folder / ".keep").unlink()
        (folder / "plex.yml").unlink()
    else:
        folder.rename(counted.path / "away")
        if trouble == "unreadable":
            folder.write_text("a file")
    (counted.path / "overrides-enabled/plex-nfs.yml").unlink()

    compare(counted)

    assert queued(counted)[len(before) :] == [("override_disabled", "plex-nfs")]
    assert b"service plex\n" in (make_events._listed(counted.spool) or b"")


def test_names_that_no_service_of_onramp_could_have_are_not_looked_at(counted: Checkout) -> None:
    enable(counted, "services-enabled/two words.yml", "services-enabled/plex.yaml", "services-enabled/.yml")
    (counted.path / "services-enabled" / os.fsdecode(b"\xff.yml")).touch()
    (counted.path / "services-enabled/two\nlines.yml").touch()

    compare(counted)

    assert queued(counted) == []


def test_a_busy_lock_or_a_full_spool_repeats_an_event_and_never_loses_it(
    counted: Checkout, monkeypatch: pytest.MonkeyPatch
) -> None:
    enable(counted, "services-enabled/plex.yml")
    lock = counted.spool.take_lock()
    compare(counted)
    os.close(lock)
    monkeypatch.setattr("onramp_analytics.spool.CAP", 0)
    compare(counted)
    assert queued(counted) == []
    monkeypatch.undo()

    make_events.compare(counted.root, {os.fsencode(k): os.fsencode(v) for k, v in counted.env.items()})

    assert queued(counted) == [("service_enabled", "plex", "True")]


def test_a_lock_file_deleted_by_hand_during_a_comparison_repeats_an_event_and_never_loses_it(
    counted: Checkout, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Race 7: a flusher takes a new lock, and is done with the spool before the event is in it."""
    pread, calls = os.pread, []
    counted.spool.write(line())

    def deleted_and_finished(fd: int, size: int, at: int) -> bytes:
        calls.append(fd)
        if len(calls) == 1:  # the spool is open, and nothing is written
            os.unlink(counted.spool.lock)
            segment = segments.claim(counted.spool)
            assert segment
            segments.discard(counted.spool, segment)
        return pread(fd, size, at)

    monkeypatch.setattr("posix.pread", deleted_and_finished)
    enable(counted, "services-enabled/plex.yml")
    compare(counted)
    compare(counted)

    assert queued(counted) == [("service_enabled", "plex", "True")]


def test_a_comparison_that_disable_overtakes_leaves_nothing(counted: Checkout) -> None:
    optin.disable(counted.root)

    compare(counted)

    assert counted.files() == {"onramp.lock"}


def test_a_comparison_that_was_stopped_under_the_lock_leaves_nothing_after_disable(
    counted: Checkout, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Race 3: it was stopped just before it lists the folders, and `disable` went on without the lock."""
    listed = make_events.enabled

    def disabled_meanwhile(*given: Any) -> Any:
        os.unlink(counted.spool.lock)
        optin.disable(counted.root)
        os.close(counted.spool.make_folder())  # it may have been stopped just before it made the folder, too
        return listed(*given)

    monkeypatch.setattr(make_events, "enabled", disabled_meanwhile)
    enable(counted, "services-enabled/plex.yml")
    compare(counted)

    assert counted.files() == {"onramp.lock", "services-enabled/plex.yml"}


def test_a_damaged_list_is_written_again_without_events(counted: Checkout) -> None:
    enable(counted, "services-enabled/plex.yml")
    Path(os.fsdecode(counted.spool.folder), "enabled").write_bytes(b"2026-01-03\nservice pl")

    compare(counted)

    assert queued(counted) == []
    assert make_events._listed(counted.spool) == b"2026-01-03\nservice plex\n"


def test_twice_a_year_everything_is_counted_again(counted: Checkout) -> None:
    enable(counted, "services-enabled/plex.yml", "services-enabled/jellyfin.yml")
    compare(counted)
    (counted.path / "services-enabled/jellyfin.yml").unlink()
    before = len(queued(counted))

    with freeze_time(f"{datetime.now(tz=timezone.utc).year + 1}-01-05"):
        compare(counted)
        compare(counted)

    assert queued(counted)[before:] == [("service_enabled", "plex", "True"), ("service_disabled", "jellyfin")]


@pytest.mark.parametrize("is_listed", [True, False])
def test_after_reset_id_only_differences_are_recorded_also_in_the_next_half(
    here: Checkout,
    is_listed: bool,  # noqa: FBT001
) -> None:
    here.hold_back_flusher()
    enable(here, "services-enabled/plex.yml")
    if is_listed:
        compare(here)

    optin.reset_id(here.root)
    compare(here)
    enable(here, "services-enabled/jellyfin.yml")
    with freeze_time(f"{datetime.now(tz=timezone.utc).year + 1}-07-05"):
        compare(here)

    assert queued(here) == [("service_enabled", "jellyfin", "False")]


def test_a_command_that_do_not_track_hides_leaves_its_service_to_the_next_command(
    counted: Checkout, monkeypatch: pytest.MonkeyPatch
) -> None:
    enable(counted, "services-enabled/plex.yml")
    with monkeypatch.context() as hidden:
        hidden.setenv("DO_NOT_TRACK", "1")
        compare(counted)
    before = queued(counted)

    compare(counted)

    assert before == []
    assert queued(counted) == [("service_enabled", "plex", "True")]


def test_opting_out_and_in_again_records_everything_again(counted: Checkout) -> None:
    enable(counted, "services-enabled/plex.yml")
    compare(counted)

    optin.disable(counted.root)
    before = queued(counted)
    optin.enable(counted.root)
    optin.notice_was_shown(counted.root)

    assert before == []
    assert queued(counted) == [("service_enabled", "plex", "True")]


def test_trouble_with_the_list_never_loses_the_command_itself(counted: Checkout) -> None:
    Path(os.fsdecode(counted.spool.folder), "enabled").unlink()
    os.mkfifo(os.path.join(counted.spool.folder, b"enabled"))

    done = subprocess.run(
        [sys.executable, "-IS", str(ENTRY), "ran", "start", "0", "1.00", "1.50"],
        cwd=counted.path,
        env=counted.env,
        timeout=30,
        check=True,
        capture_output=True,
    )

    assert (done.stdout, done.stderr) == (b"", b"")
    assert queued(counted) == [("command_executed", "start", "True", "500")]


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
        return os.getpid()  # not a child of this process, so that it is never waited for

    monkeypatch.setattr(posix, "posix_spawn", spawned)
    monkeypatch.setattr(spawn, "_started", set())

    spawn.start_flusher(Spool(root), {})

    assert bool(started) == starts


def test_what_make_did_arrives(tmp_path: Path, receiver: Receiver) -> None:
    onramp = build(tmp_path / "made", os.environ, installed=True)
    onramp.install("--api-key", KEY, "--host", receiver.url, "--send", "at-once")
    onramp.opt_in(ANALYTICS_AGREED_TO=f"{receiver.url} {KEY}")
    (onramp.path / "onramp.spool.d/not-before").unlink()

    onramp.make("enable-service", "plex")

    assert receiver.wait_for(2)
    assert [event["event"] for event in receiver.accepted] == ["command_executed", "service_enabled"]
    assert receiver.requests[0].json["api_key"] == KEY
