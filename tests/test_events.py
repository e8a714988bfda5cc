"""The catalog is closed: whatever is recorded, only values in the catalog are stored and sent."""

from __future__ import annotations

import json
import uuid
from collections.abc import Mapping
from datetime import date, timedelta
from enum import Enum
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from onramp_analytics import __version__, events
from onramp_analytics.cli import preview
from onramp_analytics.outbox import gate
from tests.conftest import ID
from tests.faults import oracle

PUBLISHED = b"\n# OnRamp\ncommand start\noverride plex-nfs\nservice plex scaffold\nservice sonarr\n"
EVENING = 1_767_474_123.456  # 2026-01-03T21:02:03.456Z

anything = st.one_of(
    st.text(), st.sampled_from(["plex", "start", "true", "exit_1", "12"]), st.booleans(), st.integers()
)
names = st.sampled_from([(event, p.name) for event, e in events.EVENTS.items() for p in e.properties])


def cleaned(event: str, given: Mapping[str, object], version: int = events.VERSION) -> dict[str, Any]:
    found = events.clean(event, given, PUBLISHED, version)
    assert found is not None
    return found


def a_line(event: str = "service_enabled", **given: object) -> bytes:
    given = given or {"service_name": "plex", "has_scaffold": True}
    return events.build(event, cleaned(event, given), ID, EVENING, bytes(range(16)))


def an_event() -> dict[str, Any]:
    found: dict[str, Any] = json.loads(a_line())
    return found


def test_an_event_is_the_documented_json() -> None:
    assert an_event() == {
        "event": "service_enabled",
        "uuid": "00010203-0405-4607-8809-0a0b0c0d0e0f",
        "distinct_id": ID,
        "timestamp": "2026-01-03T12:00:00.000000Z",
        "properties": {
            "service_name": "plex",
            "has_scaffold": True,
            "$process_person_profile": False,
            "$geoip_disable": True,
            "$ip": "0.0.0.0",
            "$ignore_sent_at": True,
            "$lib": "onramp-analytics",
            "$lib_version": __version__,
        },
    }


#: What users agreed to, by the version of the catalog. A version that is here never changes.
CATALOGS = {
    1: {
        "service_enabled": ["service_name", "has_scaffold"],
        "service_disabled": ["service_name"],
        "override_enabled": ["override_name"],
        "override_disabled": ["override_name"],
        "command_executed": ["command", "success", "duration_ms"],
        "error_occurred": ["command", "error_type"],
    },
}


def test_each_version_of_the_catalog_is_what_its_users_agreed_to() -> None:
    assert {
        version: {
            name: [p.name for p in event.agreed(version)]
            for name, event in events.EVENTS.items()
            if event.since <= version
        }
        for version in range(1, events.VERSION + 1)
    } == CATALOGS


def test_the_newest_catalog_has_every_event_and_property() -> None:
    newest = CATALOGS[events.VERSION]

    assert newest == {name: [p.name for p in event.properties] for name, event in events.EVENTS.items()}
    assert {name: set(names) for name, names in newest.items()} == oracle.PROPERTIES


@given(random=st.binary(min_size=16, max_size=16))
def test_a_uuid_is_of_version_4(random: bytes) -> None:
    text = events.uuid4(random)

    assert uuid.UUID(text).version == 4
    assert str(uuid.UUID(text)) == text
    assert events.is_uuid4(text)


@given(when=st.floats(min_value=0, max_value=4_102_444_800))
def test_a_timestamp_is_noon_of_the_utc_day_and_says_nothing_of_the_hour(when: float) -> None:
    day = date(1970, 1, 1) + timedelta(days=int(when) // 86_400)

    assert events.timestamp(when) == f"{day}T12:00:00.000000Z"


@given(name=names, value=anything)
def test_whatever_is_given_is_stored_as_the_catalog_allows_or_refused(name: tuple[str, str], value: object) -> None:
    event, key = name
    example = next(found.event["properties"] for found in preview.examples() if found.event["event"] == event)
    given = {name: example[name] for name in events.EVENTS[event].names} | {key: value}
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
    assert events.clean("service_disabled", {"service_name": value}, PUBLISHED, 1) == {"service_name": "custom"}
    assert events.clean("override_enabled", {"override_name": value}, PUBLISHED, 1) == {"override_name": "custom"}


def test_where_nothing_is_published_every_name_is_replaced() -> None:
    assert events.clean("service_disabled", {"service_name": "plex"}, b"", 1) == {"service_name": "custom"}
    assert events.clean("error_occurred", {"command": "start", "error_type": "exit_1"}, b"", 1) == {
        "command": "other",
        "error_type": "exit_1",
    }


def test_a_name_counts_with_its_word_for_scaffold_files_and_without() -> None:
    for name in ("plex", "sonarr"):
        assert events.clean("service_disabled", {"service_name": name}, PUBLISHED, 1) == {"service_name": name}
    for not_a_name in ("plex scaffold", "scaffold", "plex-nfs", "start"):
        assert events.clean("service_disabled", {"service_name": not_a_name}, PUBLISHED, 1) == {
            "service_name": "custom"
        }


@pytest.mark.parametrize(
    ("service", "has"),
    [
        ("plex", True),
        ("sonarr", False),
        ("custom", False),
        ("alice", False),
        ("", False),
        ("sonarr\nservice plex", False),
    ],
)
def test_a_service_has_scaffold_files_if_onramp_publishes_that(service: str, *, has: bool) -> None:
    assert events.has_scaffold(service, PUBLISHED) is has


class Name(str, Enum):
    PLEX = "plex"
    START = "start"
    FAILED = "exit_1"
    MANY = "1200"


def test_a_member_of_an_enum_is_stored_as_the_text_that_it_is() -> None:
    line = a_line("service_disabled", service_name=Name.PLEX)
    assert gate.admit(line, PUBLISHED) == (json.loads(line), line)

    line = a_line("command_executed", command=Name.START, success=True, duration_ms=Name.MANY)
    assert json.loads(line)["properties"]["duration_ms"] == 1200
    assert json.loads(line)["properties"]["command"] == "start"
    assert b'"error_type":"exit_1"' in a_line("error_occurred", command="start", error_type=Name.FAILED)


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

    assert cleaned("error_occurred", given)["error_type"] == stored


@pytest.mark.parametrize(
    ("value", "stored"),
    [
        *[(0, 0), ("0", 0), (-5, 0), ("-5", 0), ("-0", 0)],
        *[(4, 0), (5, 10), (94, 90), (95, 100), (99, 100), (412, 410), (3258, 3300), (995, 1000), ("00012", 10)],
        *[("1234", 1200), (86_400_000, 86_000_000), (10**30, 86_000_000), ("9" * 10_000, 86_000_000)],
    ],
)
def test_a_duration_is_brought_into_its_range_and_rounded(value: object, stored: int) -> None:
    given = {"command": "start", "success": True, "duration_ms": value}

    assert cleaned("command_executed", given)["duration_ms"] == stored


@given(milliseconds=st.integers(min_value=0, max_value=events.LONGEST_DURATION))
def test_a_rounded_duration_is_near_has_two_digits_and_stays_as_it_is(milliseconds: int) -> None:
    rounded = events.coarse(milliseconds)

    assert 0 <= rounded <= events.LONGEST_DURATION
    assert events.coarse(rounded) == rounded
    assert len(str(rounded).rstrip("0")) <= 2
    assert rounded % 10 == 0
    assert abs(rounded - milliseconds) <= max(5, milliseconds * 0.05)


@pytest.mark.parametrize("value", [True, 1.5, "1.5", "", "-", "²", "fast", None])
def test_a_duration_that_is_no_whole_number_is_a_programmers_error(value: object) -> None:
    given = {"command": "start", "success": True, "duration_ms": value}

    with pytest.raises(ValueError, match="duration_ms must be a whole number of milliseconds"):
        events.clean("command_executed", given, PUBLISHED, 1)


@pytest.mark.parametrize("value", ["yes", 1, 0, "True", None, ""])
def test_a_boolean_that_is_none_is_a_programmers_error(value: object) -> None:
    with pytest.raises(ValueError, match="has_scaffold must be true or false"):
        events.clean("service_enabled", {"service_name": "plex", "has_scaffold": value}, PUBLISHED, 1)


@pytest.mark.parametrize(
    ("event", "given", "sentence"),
    [
        ("plex_enabled", {}, "unknown event 'plex_enabled': use one of service_enabled, service_disabled"),
        ("service_disabled", {"name": "plex"}, "has no property 'name': its properties are service_name"),
        ("service_disabled", {"service_name": "plex", "$ip": "1.2.3.4"}, "has no property '\\$ip'"),
        ("service_enabled", {"service_name": "plex"}, "needs the property 'has_scaffold'"),
        ("service_disabled", {"service_name": 7}, "service_name must be a string, not 7"),
        ("error_occurred", {"command": "start", "error_type": 2}, "error_type must be a string, not 2"),
    ],
)
def test_a_programmers_error_names_what_is_known(event: str, given: dict[str, object], sentence: str) -> None:
    with pytest.raises(ValueError, match=sentence):
        events.clean(event, given, PUBLISHED, 1)


# -- versions of the catalog -------------------------------------------------------------------------------------------

BOTH = {"service_name": "plex", "for_good": "true"}


def test_everything_in_the_catalog_has_a_version_that_is_known() -> None:
    for event in events.EVENTS.values():
        assert 1 <= event.since <= events.VERSION
        assert all(1 <= p.since <= events.VERSION for p in event.properties)


@pytest.mark.usefixtures("version_2")
def test_what_is_newer_than_the_consent_is_not_recorded() -> None:
    assert events.clean("backup_made", {"service_name": "plex"}, PUBLISHED, 1) is None
    assert events.clean("service_disabled", BOTH, PUBLISHED, 1) == {"service_name": "plex"}


@pytest.mark.usefixtures("version_2")
def test_who_agreed_to_the_new_version_has_all_of_it_recorded() -> None:
    assert events.clean("backup_made", {"service_name": "plex"}, PUBLISHED, 2) == {"service_name": "plex"}
    assert events.clean("service_disabled", BOTH, PUBLISHED, 2) == {"service_name": "plex", "for_good": True}


@pytest.mark.usefixtures("version_2")
def test_a_new_property_that_an_older_consent_cuts_may_be_left_out_and_otherwise_not() -> None:
    assert events.clean("service_disabled", {"service_name": "plex"}, PUBLISHED, 1) == {"service_name": "plex"}

    with pytest.raises(ValueError, match="needs the property 'for_good'"):
        events.clean("service_disabled", {"service_name": "plex"}, PUBLISHED, 2)


@pytest.mark.usefixtures("version_2")
@pytest.mark.parametrize("version", [1, 2])
def test_a_programmers_error_is_one_under_every_consent(version: int) -> None:
    with pytest.raises(ValueError, match="for_good must be true or false"):
        events.clean("service_disabled", {"service_name": "plex", "for_good": 7}, PUBLISHED, version)
    with pytest.raises(ValueError, match="backup_made needs the property 'service_name'"):
        events.clean("backup_made", {}, PUBLISHED, version)


def test_make_knows_the_version_of_the_catalog() -> None:
    drop_in = Path(events.__file__).with_name("integration") / "GNUmakefile"

    assert f"\nonramp-analytics-catalog := {events.VERSION}\n" in drop_in.read_text()
