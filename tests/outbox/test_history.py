"""The history of runs: limited, private, and replaced by defaults if it is damaged."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from onramp_analytics.outbox import gate, history
from onramp_analytics.outbox.history import State
from onramp_analytics.outbox.segments import Pending
from onramp_analytics.spool import Spool
from tests.conftest import STRANGER, line, put, uuid_of


@pytest.fixture
def folder(spool: Spool) -> Path:
    os.close(spool.make_folder())
    return Path(os.fsdecode(spool.folder))


def pending(number: int) -> Pending:
    found = gate.admit(line(number), b"\nservice plex\n")
    assert found
    return Pending(*found, 0)


def put_state(folder: Path, **said: Any) -> None:
    (folder / "state.json").write_text(json.dumps(said))


STATE = State(at=5.5, outcome="sent", reason="all is well", last_sent_at=4.5, failures=2, sent=7, skipped=1)


def test_how_a_run_ended_is_what_was_saved(spool: Spool, folder: Path) -> None:
    history.save_state(spool, STATE)

    assert history.load_state(spool) == STATE
    assert (folder / "state.json").stat().st_mode & 0o777 == 0o600


def test_without_a_folder_nothing_is_kept_and_nothing_raises(spool: Spool, tmp_path: Path) -> None:
    history.save_state(spool, STATE)
    history.log_sent(spool, [pending(1)])

    assert history.load_state(spool) == State()
    assert (history.sent(spool), history.refused(spool)) == ([], [])
    assert os.listdir(tmp_path) == []


@settings(max_examples=50, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(content=st.binary() | st.sampled_from([b"[" * 50_000, b"[1]", b"9" * 5000, b"{", b"null", b"\0" * 100]))
def test_a_damaged_state_is_as_if_there_was_none(spool: Spool, folder: Path, content: bytes) -> None:
    (folder / "state.json").write_bytes(content)

    assert history.load_state(spool) == State()


def test_what_is_of_another_kind_has_its_default_and_the_rest_counts(spool: Spool, folder: Path) -> None:
    put_state(folder, at="now", outcome=7, reason="why", failures=True, sent=1.5, skipped=3, alice="x", refused=None)

    assert history.load_state(spool) == State(reason="why", skipped=3)


@pytest.mark.parametrize("value", [float("inf"), float("nan"), -float("inf")])
def test_a_time_that_is_not_one_has_its_default(spool: Spool, folder: Path, value: float) -> None:
    put_state(folder, at=value, last_sent_at=value)

    assert history.load_state(spool) == State()


@pytest.mark.parametrize(("said", "counted"), [(-5, 0), (10**9, history.MOST_FAILURES), (3, 3)])
def test_the_failures_that_a_file_claims_are_bounded(spool: Spool, folder: Path, said: int, counted: int) -> None:
    put_state(folder, failures=said)

    assert history.load_state(spool).failures == counted


def test_what_was_sent_twice_is_there_once_and_in_its_order(spool: Spool, folder: Path) -> None:
    history.log_sent(spool, [pending(1), pending(2)])
    history.log_sent(spool, [pending(2), pending(3)])

    assert [event["uuid"] for event in history.sent(spool)] == [uuid_of(1), uuid_of(2), uuid_of(3)]
    assert (folder / "sent").stat().st_mode & 0o777 == 0o600


def test_only_what_passes_the_gate_is_shown_as_sent(spool: Spool, folder: Path) -> None:
    (folder / "sent").write_bytes(b'{"event":"x"}\n' + line(1) + b"\x1b[31m\n" + line(2)[:50])

    assert [event["uuid"] for event in history.sent(spool)] == [uuid_of(1)]


def test_the_log_of_what_was_sent_is_cut_to_its_newest_once_it_is_large(
    spool: Spool, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(history, "SENT_BYTES", 20 * len(line()))
    monkeypatch.setattr(history, "SENT_KEPT", 10)
    for number in range(25):
        history.log_sent(spool, [pending(number)])

    assert (folder / "sent").stat().st_size <= 20 * len(line())
    assert [event["uuid"] for event in history.sent(spool)] == [uuid_of(n) for n in range(15, 25)]


def test_the_newest_hundred_refused_events_are_kept_with_their_reason(spool: Spool, folder: Path) -> None:
    for number in range(120):
        history.log_refused(spool, [pending(number)], f"reason {number}")

    kept = history.refused(spool)
    assert len(kept) == history.REFUSED_KEPT
    assert kept[-1] == {"reason": "reason 119", "event": pending(119).event}
    for _ in range(3):
        history.log_refused(spool, [pending(1)] * 200, "x" * 500)
    assert (folder / "refused").read_bytes().count(b"\n") == history.REFUSED_KEPT


NAMES = ["state.json", "sent", "refused"]


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("kind", ["folder", "fifo", "device", "dangling link"])
def test_nothing_in_the_place_of_a_file_hangs_or_is_followed(spool: Spool, folder: Path, name: str, kind: str) -> None:
    put(folder / name, kind)

    assert history.load_state(spool) == State()
    assert (history.sent(spool), history.refused(spool)) == ([], [])
    history.save_state(spool, STATE)
    history.log_sent(spool, [pending(1)])
    history.log_refused(spool, [pending(1)], "x")

    assert not (folder / "nowhere").exists()


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give files away")
@pytest.mark.parametrize("name", NAMES)
def test_another_users_file_is_neither_read_nor_written_to(spool: Spool, folder: Path, name: str) -> None:
    theirs = line(1) if name == "sent" else b'{"reason":"x"}\n'
    (folder / name).write_bytes(theirs)
    os.chown(folder / name, STRANGER, STRANGER)

    assert history.load_state(spool) == State()
    assert (history.sent(spool), history.refused(spool)) == ([], [])
    history.log_sent(spool, [pending(2)])
    history.log_refused(spool, [pending(2)], "y")

    assert (folder / name).read_bytes() == theirs


def test_a_log_that_is_a_hard_link_is_not_written_to(spool: Spool, folder: Path, tmp_path: Path) -> None:
    (tmp_path / "victim").write_bytes(b"precious")
    (folder / "sent").hardlink_to(tmp_path / "victim")

    history.log_sent(spool, [pending(1)])

    assert (tmp_path / "victim").read_bytes() == b"precious"


def test_the_files_are_these(spool: Spool, folder: Path) -> None:
    assert [os.fsdecode(path) for path in history.paths(spool)] == [str(folder / name) for name in NAMES]
