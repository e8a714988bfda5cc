"""The catalogue is closed: whatever is said, what is stored is in it, and what is not in it does not leave."""

from __future__ import annotations

import json
import uuid
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from onramp_analytics import __version__, events
from onramp_analytics.outbox import gate

PUBLISHED = b"\n# OnRamp\ncommand start\noverride plex-nfs\nservice plex\nservice sonarr\n"
ID = "550e8400-e29b-41d4-a716-446655440000"
NOON = 1_767_441_600_123_456_789

anything = st.one_of(
    st.text(), st.sampled_from(["plex", "start", "true", "exit_1", "12"]), st.booleans(), st.integers()
)
names = st.sampled_from([(event, p.name) for event, (_, ps) in events.EVENTS.items() for p in ps])


def a_line(event: str = "service_enabled", **given: object) -> bytes:
    given = given or {"service_name": "plex", "has_scaffold": True}
    return events.build(event, events.clean(event, given, PUBLISHED), ID, NOON, bytes(range(16)))


def an_event() -> dict[str, Any]:
    found: dict[str, Any] = json.loads(a_line())
    return found


def test_an_event_is_the_json_of_the_contract() -> None:
    assert an_event() == {
        "event": "service_enabled",
        "uuid": "00010203-0405-4607-8809-0a0b0c0d0e0f",
        "distinct_id": ID,
        "timestamp": "2026-01-03T12:00:00.123456Z",
        "properties": {
            "service_name": "plex",
            "has_scaffold": True,
            "$process_person_profile": False,
            "$geoip_disable": True,
            "$ip": "0.0.0.0",
            "$lib": "onramp-analytics",
            "$lib_version": __version__,
        },
    }


def test_the_events_and_their_properties_are_those_of_the_contract() -> None:
    found = {event: [p.name for p in properties] for event, (_, properties) in events.EVENTS.items()}

    assert found == {
        "service_enabled": ["service_name", "has_scaffold"],
        "service_disabled": ["service_name"],
        "override_enabled": ["override_name"],
        "override_disabled": ["override_name"],
        "command_executed": ["command", "success", "duration_ms"],
        "error_occurred": ["command", "error_type"],
    }


@given(random=st.binary(min_size=16, max_size=16))
def test_a_uuid_is_of_version_4(random: bytes) -> None:
    text = events.uuid4(random)

    assert uuid.UUID(text).version == 4
    assert str(uuid.UUID(text)) == text
    assert events.is_uuid4(text)


@given(when=st.integers(min_value=0, max_value=4_102_444_800 * 10**9))
def test_a_timestamp_is_utc_to_the_microsecond(when: int) -> None:
    text = events.timestamp(when)

    parsed = datetime.strptime(text, "%Y-%m-%dT%H:%M:%S.%fZ").replace(tzinfo=timezone.utc)
    assert round(parsed.timestamp() * 10**6) == when // 1000


@given(name=names, value=anything)
def test_whatever_is_given_is_stored_as_the_catalogue_allows_or_refused(name: tuple[str, str], value: object) -> None:
    event, key = name
    given: dict[str, object] = {"service_name": "plex", "has_scaffold": "false", "override_name": "plex-nfs"}
    given |= {"command": "start", "success": True, "duration_ms": 7, "error_type": "exit_2"}
    given = {p.name: given[p.name] for p in events.EVENTS[event][1]} | {key: value}
    try:
        line = a_line(event, **given)
    except ValueError:
        return

    assert line.count(b"\n") == 1
    parsed = json.loads(line)
    assert gate.admit(line, PUBLISHED) == (parsed, line)
    stored = parsed["properties"][key]
    assert stored in {
        "service_name": ["plex", "sonarr", "custom"],
        "override_name": ["plex-nfs", "custom"],
        "command": ["start", "other"],
    }.get(key, [stored])


@pytest.mark.parametrize(
    "value", ["alice", "", "plex\nservice sonarr", "PLEX", "plex ", "../plex", 'p"lex', "plé", "x" * 10_000, "\ud800"]
)
def test_a_name_that_onramp_does_not_publish_is_custom(value: str) -> None:
    assert events.clean("service_disabled", {"service_name": value}, PUBLISHED) == {"service_name": "custom"}
    assert events.clean("override_enabled", {"override_name": value}, PUBLISHED) == {"override_name": "custom"}


def test_without_a_catalogue_every_name_is_replaced(tmp_path: Path) -> None:
    none = events.published(bytes(tmp_path))

    assert events.clean("service_disabled", {"service_name": "plex"}, none) == {"service_name": "custom"}
    assert events.clean("error_occurred", {"command": "start", "error_type": "exit_1"}, none)["command"] == "other"


TOO_LONG = b"#" * (events.CATALOGUE_LIMIT - len(b"service my-wiki") - 1) + b"\nservice my-wiki-of-ours\n"


@pytest.mark.parametrize("content", [TOO_LONG, b"service plex\nservice my-wiki"], ids=["too long", "cut"])
def test_a_catalogue_that_breaks_off_publishes_no_half_name(content: bytes, tmp_path: Path) -> None:
    (tmp_path / "make.d").mkdir()
    (tmp_path / "make.d" / "analytics.names").write_bytes(content)

    found = events.clean("service_disabled", {"service_name": "my-wiki"}, events.published(bytes(tmp_path)))

    assert found == {"service_name": "custom"}


def test_a_catalogue_behind_a_link_does_not_count(tmp_path: Path) -> None:
    (tmp_path / "make.d").mkdir()
    (tmp_path / "elsewhere").write_bytes(PUBLISHED)
    (tmp_path / "make.d" / "analytics.names").symlink_to(tmp_path / "elsewhere")

    assert events.published(bytes(tmp_path)) == b""


@pytest.mark.parametrize(
    ("value", "stored"),
    [
        ("exit_0", "exit_0"),
        ("exit_255", "exit_255"),
        ("exit_256", "other"),
        ("exit_007", "other"),
        ("exit_", "other"),
        ("exit_²", "other"),
        ("signal_INT", "signal_INT"),
        ("signal_SIGTERM", "signal_SIGTERM"),
        ("signal_", "other"),
        ("signal_INT KILL", "other"),
        ("signal_alice", "other"),
        ("FileNotFoundError", "FileNotFoundError"),
        ("KeyboardInterrupt", "KeyboardInterrupt"),
        ("CalledProcessError", "CalledProcessError"),
        ("AliceError", "other"),
        ("print", "other"),
        ("__name__", "other"),
        ("cannot open /srv/alice/x", "other"),
    ],
)
def test_an_error_type_is_a_status_a_signal_or_a_standard_exception(value: str, stored: str) -> None:
    given = {"command": "start", "error_type": value}

    assert events.clean("error_occurred", given, PUBLISHED)["error_type"] == stored


@pytest.mark.parametrize(
    ("value", "stored"),
    [(0, 0), ("1200", 1200), (-5, 0), ("-5", 0), (10**30, 86_400_000), ("9" * 10_000, 86_400_000), ("00012", 12)],
)
def test_a_duration_is_brought_into_its_range(value: object, stored: int) -> None:
    given = {"command": "start", "success": True, "duration_ms": value}

    assert events.clean("command_executed", given, PUBLISHED)["duration_ms"] == stored


@pytest.mark.parametrize("value", [True, 1.5, "1.5", "", "-", "²", "fast", None])
def test_a_duration_that_is_no_whole_number_is_a_programmers_error(value: object) -> None:
    given = {"command": "start", "success": True, "duration_ms": value}

    with pytest.raises(ValueError, match="duration_ms must be a whole number of milliseconds"):
        events.clean("command_executed", given, PUBLISHED)


@pytest.mark.parametrize("value", ["yes", 1, 0, "True", None, ""])
def test_a_boolean_that_is_none_is_a_programmers_error(value: object) -> None:
    with pytest.raises(ValueError, match="has_scaffold must be true or false"):
        events.clean("service_enabled", {"service_name": "plex", "has_scaffold": value}, PUBLISHED)


@pytest.mark.parametrize(
    ("event", "given", "sentence"),
    [
        ("plex_enabled", {}, "unknown event 'plex_enabled': known are service_enabled, service_disabled"),
        ("service_disabled", {"name": "plex"}, "has no property 'name': its properties are service_name"),
        ("service_disabled", {"service_name": "plex", "$ip": "1.2.3.4"}, "has no property '\\$ip'"),
        ("service_enabled", {"service_name": "plex"}, "needs the property 'has_scaffold'"),
        ("service_disabled", {"service_name": 7}, "service_name must be a text, not 7"),
        ("error_occurred", {"command": "start", "error_type": 2}, "error_type must be a text, not 2"),
    ],
)
def test_a_programmers_error_names_what_is_known(event: str, given: dict[str, object], sentence: str) -> None:
    with pytest.raises(ValueError, match=sentence):
        events.clean(event, given, PUBLISHED)
