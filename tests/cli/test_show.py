"""`show-pending` and `show-sent`: the events themselves, on a terminal and in a pipe."""

from __future__ import annotations

import json
import os
import re
import time
from pathlib import Path

import pytest

from onramp_analytics import events
from onramp_analytics.outbox import locks, segments
from onramp_analytics.receiver import Receiver
from tests.cli.terminal import configure, on_a_terminal
from tests.conftest import ID, Checkout


def test_claimed_and_spilled_events_are_shown_too(opted_in: Checkout) -> None:
    opted_in.hold_back_flusher()
    opted_in.track()
    segments.claim(opted_in.spool)
    with locks.locked(opted_in.spool):
        opted_in.track("override_disabled", "override_name=plex-nfs")
    opted_in.track("override_enabled", "override_name=plex-nfs")

    assert [e["event"] for e in opted_in.pending()] == ["service_enabled", "override_disabled", "override_enabled"]


def test_in_a_pipe_it_is_json_lines(opted_in: Checkout) -> None:
    opted_in.hold_back_flusher()
    opted_in.track()

    done = opted_in.run("show-pending")

    assert done.stdout == opted_in.run("show-pending", "--json").stdout
    assert json.loads(done.stdout)["event"] == "service_enabled"
    assert done.stderr == ""


def test_damaged_lines_and_events_that_are_too_old_are_counted(opted_in: Checkout) -> None:
    opted_in.hold_back_flusher()
    opted_in.track()
    old = events.build("service_disabled", {"service_name": "plex"}, ID, time.time() - 91 * 86_400, bytes(16))
    with open(opted_in.spool.file, "ab") as spool:
        spool.write(b"half a li\n\0\0\n" + old)

    done = opted_in.run("show-pending")

    assert len(done.stdout.splitlines()) == 1
    assert done.stderr == "1 event older than 90 days skipped.\n2 damaged lines skipped.\n"


def test_on_a_terminal_it_is_a_table_without_what_is_always_the_same(opted_in: Checkout) -> None:
    opted_in.hold_back_flusher()
    opted_in.track()

    seen = on_a_terminal(opted_in, "show-pending")

    today = time.strftime("%Y-%m-%d", time.gmtime())
    assert re.search(rf"^ *{today} +service_enabled +service_name=\"plex\" +has_scaffold=true *$", seen, re.MULTILINE)
    assert seen.count('$ip="0.0.0.0"') == 1
    assert ID not in seen
    assert max(map(len, seen.splitlines())) <= 80


def test_on_a_terminal_show_pending_says_when_and_how_to_decide(opted_in: Checkout, receiver: Receiver) -> None:
    configure(opted_in, receiver.url)
    opted_in.hold_back_flusher()
    line = events.build("service_disabled", {"service_name": "plex"}, ID, 1_767_398_400, bytes(16))  # 3 January 2026
    Path(os.fsdecode(opted_in.spool.file)).write_bytes(line.replace(b"2026-01-03", _day(0)))

    seen = " ".join(on_a_terminal(opted_in, "show-pending").split())

    due = time.gmtime(time.time() + 2 * 86_400)
    said = f"Events are sent once a day, two days after they were recorded (UTC). The next are due on {due.tm_mday} "
    assert said in seen
    assert "To send them now: make analytics-flush. To delete them and opt out: make analytics-disable." in seen


def _day(later: int) -> bytes:
    return time.strftime("%Y-%m-%d", time.gmtime(time.time() + later * 86_400)).encode()


@pytest.mark.parametrize(
    ("command", "sentence"),
    [
        ("show-pending", "No events are queued. To see sent events, run `make analytics-show-sent`.\n"),
        ("show-sent", "No events have been sent. To see queued events, run `make analytics-show-pending`.\n"),
    ],
)
def test_nothing_is_a_sentence_on_a_terminal_that_says_where_events_are_and_nothing_in_a_pipe(
    opted_in: Checkout, command: str, sentence: str
) -> None:
    assert on_a_terminal(opted_in, command) == sentence
    assert opted_in.run(command).stdout == ""


NEVER = (
    *("2026-13-45T12:00:00.000000Z", "0000-01-01T12:00:00.000000Z", "2026-02-31T12:00:00.000000Z"),
    *("2099-02-31T12:00:00.000000Z", "9999-12-31T12:00:00.000000Z"),
)


@pytest.mark.parametrize("when", NEVER)
def test_a_day_that_never_was_breaks_no_command(opted_in: Checkout, when: str) -> None:
    line = events.build("service_disabled", {"service_name": "plex"}, ID, time.time(), bytes(16))
    damaged = re.sub(rb'"timestamp":"[^"]+"', f'"timestamp":"{when}"'.encode(), line)
    Path(os.fsdecode(opted_in.spool.file)).write_bytes(damaged)
    folder = opted_in.path / "onramp.spool.d"
    folder.mkdir()
    (folder / "sent").write_bytes(damaged + b'{}\n{"uuid": []}\n')
    (folder / "state.json").write_text('{"at": Infinity, "outcome": "accepted"}')

    for command in ("status", "show-pending", "show-sent"):
        assert "Traceback" not in on_a_terminal(opted_in, command)
