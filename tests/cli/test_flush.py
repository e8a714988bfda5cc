"""`flush` sends now, and reports the outcome."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from onramp_analytics.outbox import locks
from onramp_analytics.receiver import Answer, Receiver
from tests.conftest import Checkout


def test_it_sends_what_is_queued_and_says_how_many(opted_in: Checkout, receiver: Receiver) -> None:
    opted_in.hold_back_flusher()
    opted_in.track()
    opted_in.track()
    shown = opted_in.pending()

    assert opted_in.run("flush").stdout == "Sent 2 events.\n"
    assert receiver.accepted == shown
    assert opted_in.run("flush").stdout == "No events are queued.\n"


def test_what_is_left_is_exit_1_with_the_reason(opted_in: Checkout, receiver: Receiver) -> None:
    opted_in.hold_back_flusher()
    opted_in.track()
    receiver.answer_always(lambda _request: Answer(401, b"API key is not valid"))

    done = opted_in.run("flush", check=False)

    assert (done.returncode, done.stdout) == (1, "Sent 0 events. 1 event still queued.\n")
    assert done.stderr.startswith("onramp-analytics: the host answered 401: ")
    assert len(opted_in.pending()) == 1


def test_while_off_it_sends_nothing_and_says_why(opted_in: Checkout, receiver: Receiver) -> None:
    opted_in.hold_back_flusher()
    opted_in.track()

    done = opted_in.run("flush", env={"DO_NOT_TRACK": "1"}, check=False)

    assert done.returncode == 1
    assert done.stderr == "onramp-analytics: nothing was sent because analytics are off: DO_NOT_TRACK is set\n"
    assert receiver.requests == []
    assert len(opted_in.pending()) == 1


def test_it_waits_no_longer_than_asked_for_a_flusher_at_work(opted_in: Checkout) -> None:
    opted_in.hold_back_flusher()
    opted_in.track()

    with locks.flusher_lock(opted_in.spool):
        done = opted_in.run("flush", "--timeout", "0.1", check=False)

    assert done.stderr == "onramp-analytics: events are still being sent in the background: try again in a moment\n"


@pytest.mark.parametrize("name", ["1-1.99999999999999999999", "1-1.0"])
def test_a_segment_that_is_none_breaks_no_command(opted_in: Checkout, name: str) -> None:
    opted_in.hold_back_flusher()
    odd = opted_in.path / "onramp.spool.d" / name
    if name == "1-1.0":
        odd.symlink_to("/etc/hostname")
    else:
        odd.write_text("x\n")
    opted_in.track()

    assert len(opted_in.pending()) == 1
    assert opted_in.status()["pending"] == 1
    assert opted_in.run("flush", check=False).stdout == "Sent 1 event.\n"


def test_something_left_that_cannot_be_read_is_said(opted_in: Checkout) -> None:
    opted_in.hold_back_flusher()
    (opted_in.path / "onramp.spool.d/1-1.0").symlink_to("/etc/hostname")

    done = opted_in.run("flush", check=False)

    said = "onramp-analytics: some queued events cannot be read: run `make analytics-doctor` for details\n"
    assert (done.returncode, done.stdout, done.stderr) == (1, "Sent 0 events.\n", said)


def test_what_was_not_sent_is_counted_apart(opted_in: Checkout) -> None:
    opted_in.hold_back_flusher()
    opted_in.track()
    with open(opted_in.spool.file, "ab") as spool:
        spool.write(b"damaged\n")

    assert opted_in.run("flush").stdout == "Sent 1 event. Not sent: 1 damaged line.\n"


def test_an_event_without_a_line_break_is_queued_too(opted_in: Checkout, receiver: Receiver) -> None:
    opted_in.hold_back_flusher()
    opted_in.track()
    place = Path(os.fsdecode(opted_in.spool.file))
    place.write_bytes(place.read_bytes().rstrip(b"\n"))

    assert opted_in.status()["pending"] == 1
    assert opted_in.run("flush").stdout == "Sent 1 event.\n"
    assert len(receiver.accepted) == 1


@pytest.mark.parametrize("name", ["sent", "state.json.new", "not-before"])
def test_a_hard_link_in_the_place_of_a_file_of_ours_is_not_written_to(
    opted_in: Checkout, tmp_path: Path, name: str
) -> None:
    victim = tmp_path / "victim"
    victim.write_text("precious")
    os.utime(victim, (1, 1))
    opted_in.hold_back_flusher()
    opted_in.track()
    (opted_in.path / "onramp.spool.d" / name).unlink(missing_ok=True)
    (opted_in.path / "onramp.spool.d" / name).hardlink_to(victim)

    opted_in.run("flush", check=False)

    assert victim.read_text() == "precious"
    assert victim.stat().st_mtime == 1
