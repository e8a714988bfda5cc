"""The gate admits a line only if a version of this package could have written it, to the letter."""

from __future__ import annotations

import copy
import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from onramp_analytics import __version__, events
from onramp_analytics.outbox import gate
from tests.conftest import ID, NOON
from tests.test_events import PUBLISHED, a_line, an_event

LINE = a_line()
RUN = a_line("command_executed", command="start", success=True, duration_ms=1200)


def _changed(path: str, value: object) -> dict[str, Any]:
    event = copy.deepcopy(an_event())
    *folders, last = path.split("/")
    target = event
    for folder in folders:
        target = target[folder]
    if value is None:
        del target[last]
    else:
        target[last] = value
    return event


@pytest.mark.parametrize(
    ("path", "value"),
    [
        ("event", "plex_enabled"),
        ("event", ["service_enabled"]),
        ("uuid", "not-a-uuid"),
        ("uuid", ID.upper()),
        ("uuid", "c232ab00-9414-11ec-b3c8-9f6bdeced846"),
        ("uuid", None),
        ("distinct_id", "alice"),
        ("timestamp", "yesterday"),
        ("timestamp", 1767441600),
        ("timestamp", "2026-01-03T12:00:00.000001Z"),
        ("timestamp", "2026-01-03T12:00:01.000000Z"),
        ("timestamp", "2026-01-03T11:00:00.000000Z"),
        ("timestamp", "2026-01-03T12:00:00.000000+01:00"),
        ("timestamp", "2026-13-03T12:00:00.000000Z"),
        ("extra", "1"),
        ("properties", []),
        ("properties/has_scaffold", "true"),
        ("properties/has_scaffold", 1),
        ("properties/has_scaffold", None),
        ("properties/extra", "x"),
        ("properties/$set", {"name": "alice"}),
        ("properties/$ip", "192.0.2.1"),
        ("properties/$ip", None),
        ("properties/$geoip_disable", 1),
        ("properties/$process_person_profile", "false"),
        ("properties/$process_person_profile", 0),
        ("properties/$ignore_sent_at", False),
        ("properties/$ignore_sent_at", "true"),
        ("properties/$ignore_sent_at", None),
        ("properties/$lib", "other"),
        ("properties/$lib_version", "alice's"),
        ("properties/$lib_version", "0-secret.lan_user-jo"),
        ("properties/$lib_version", "x" * 50),
    ],
)
def test_an_event_that_no_version_of_ours_could_have_written_is_not_admitted(path: str, value: object) -> None:
    assert gate.admit(gate.as_line(_changed(path, value)), PUBLISHED) is None


@pytest.mark.parametrize(
    ("line", "ours", "theirs"),
    [
        (LINE, b",", b", "),
        (LINE, b"{", b" {"),
        (LINE, b"{", b"\xef\xbb\xbf{"),
        (LINE, b"}}", b"}} "),
        (LINE, b"}}", b"}},"),
        (LINE, b"}}", b"}"),
        (LINE, b"}}\n", b"}}\r\n"),
        (LINE, b"}}\n", b"}}\n\n"),
        (LINE, b"\n", b"\n" + LINE),
        (LINE, b"plex", b"pl\\u0065x"),
        (LINE, b"plex", b"pl\xe9x"),
        (LINE, b"plex", b""),
        (LINE, b"plex", b"x" * 101),
        (LINE, b'"plex"', b"null"),
        (LINE, b'"plex"', b"true"),
        (LINE, b'"plex"', b"12"),
        (LINE, b'"plex"', b'"plex","service_name":"alice"'),
        (LINE, b'"has_scaffold":true', b'"has_scaffold":false,"has_scaffold":true'),
        (LINE, b'"service_name":"plex","has_scaffold":true', b'"has_scaffold":true,"service_name":"plex"'),
        (LINE, b'"uuid"', b'"name":"alice","uuid"'),
        (LINE, b'"uuid":"0', '"uuid":"\N{ARABIC-INDIC DIGIT ZERO}'.encode()),
        (LINE, b"2026", b"1969"),
        (LINE, b"T12", b"T24"),
        (RUN, b"1200", b"-1"),
        (RUN, b"1200", b"01200"),
        (RUN, b"1200", b"1200.0"),
        (RUN, b"1200", b"1e3"),
        (RUN, b"1200", b'"1200"'),
        (RUN, b"1200", b"1234"),
        (RUN, b"1200", b"7"),
        (RUN, b"1200", b"87000000"),
        (RUN, b"1200", b"9" * 5000),
        (RUN, b"1200", b"true"),
    ],
)
def test_a_line_that_differs_in_a_single_place_is_not_admitted(line: bytes, ours: bytes, theirs: bytes) -> None:
    changed = line.replace(ours, theirs, 1)

    assert changed != line
    assert gate.admit(line, PUBLISHED)
    assert gate.admit(changed, PUBLISHED) is None


@pytest.mark.parametrize(
    "version",
    ["0.0.9", "0.2.0rc1", "1.0a2", "1.0b12", "2", "0.2.0.dev0", "1.2.3.post1", "1.0rc1.post2.dev3", __version__],
)
def test_an_event_of_another_version_of_ours_is_admitted(version: str) -> None:
    event = _changed("properties/$lib_version", version)

    assert gate.admit(gate.as_line(event), PUBLISHED) == (event, gate.as_line(event))


@pytest.mark.parametrize("version", ["", "0.2.0+local", "1!2.0", "v1.0", "0.2.0-rc1", "1.0rc", "1..0", "1" * 21])
def test_what_is_not_a_version_that_we_would_publish_is_not_admitted(version: str) -> None:
    assert gate.admit(gate.as_line(_changed("properties/$lib_version", version)), PUBLISHED) is None


def for_good(line: bytes) -> bytes:
    return line.replace(b',"$process', b',"for_good":true,"$process')


DISABLED = a_line("service_disabled", service_name="plex")


@pytest.mark.usefixtures("version_2")
def test_the_gate_knows_a_form_for_each_version_so_an_upgrade_loses_nothing_that_is_queued() -> None:
    for line in (DISABLED, for_good(DISABLED)):
        event, as_it_leaves = gate.admit(line, PUBLISHED) or ({}, b"")
        assert as_it_leaves == line
        assert event == json.loads(line)


def test_the_gate_takes_no_form_of_a_version_that_it_does_not_know() -> None:
    backup = events.build("backup_made", {"service_name": "plex"}, ID, NOON, bytes(16))

    assert gate.admit(for_good(DISABLED), PUBLISHED) is None
    assert gate.admit(backup, PUBLISHED) is None


@pytest.mark.usefixtures("version_2")
def test_a_new_event_passes_the_gate_of_its_version() -> None:
    backup = events.build("backup_made", {"service_name": "plex"}, ID, NOON, bytes(16))

    assert gate.admit(backup, PUBLISHED) == (json.loads(backup), backup)


@pytest.mark.usefixtures("version_2")
def test_a_property_in_the_wrong_place_or_of_another_kind_is_no_form_of_any_version() -> None:
    first = DISABLED.replace(b'"service_name"', b'"for_good":true,"service_name"')

    assert gate.admit(first, PUBLISHED) is None
    assert gate.admit(for_good(DISABLED).replace(b':true,"$process', b':1,"$process'), PUBLISHED) is None
    assert gate.admit(for_good(for_good(DISABLED)), PUBLISHED) is None


def test_a_line_that_lost_its_line_break_gets_it_back() -> None:
    assert gate.admit(LINE.rstrip(), PUBLISHED) == (an_event(), LINE)


def test_a_private_name_in_the_spool_is_replaced_before_it_leaves() -> None:
    event, line = gate.admit(LINE.replace(b"plex", b"alices-diary"), PUBLISHED) or ({}, b"")

    assert event == _changed("properties/service_name", "custom")
    assert line == LINE.replace(b"plex", b"custom")


damaged = st.builds(lambda at, new: LINE[:at] + new + LINE[at:], st.integers(0, len(LINE)), st.binary())
renamed = st.builds(lambda name: LINE.replace(b"plex", name.encode()), st.text() | st.from_regex(r"[\w.-]+"))


@given(line=st.binary() | damaged | renamed)
def test_whatever_is_in_a_line_what_comes_out_is_an_event_that_passes_again(line: bytes) -> None:
    admitted = gate.admit(line, PUBLISHED)

    if admitted:
        event, as_it_leaves = admitted
        assert json.loads(as_it_leaves) == event
        assert gate.admit(as_it_leaves, PUBLISHED) == admitted


def test_a_line_of_a_newer_version_is_known_as_such_and_not_sent() -> None:
    line = a_line().replace(b'"$lib_version"', b'"new_property":1,"$lib_version"')
    newer = line.replace(f'"{__version__}"'.encode(), b'"99.1"')

    assert gate.admit(newer, PUBLISHED) is None
    assert gate.newer(newer) == json.loads(newer)["timestamp"]
    assert gate.newer(line) is None
    assert gate.newer(newer.replace(b'"99.1"', b'"0.1.0"')) is None
    assert gate.newer(b"damaged " + newer) is None
