"""Consent: each rule of the contract, in the order in which they hold, with the disk and the receiver looked at."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from onramp_analytics import consent, events, flush, optin, settings
from onramp_analytics import spool as spools
from onramp_analytics.errors import CouldNot
from onramp_analytics.outbox import segments
from onramp_analytics.receiver import Answer, Receiver
from onramp_analytics.spool import Spool
from tests.conftest import COMMAND, Checkout, flushers_of, wait_until

ON_ID = "550e8400-e29b-41d4-a716-446655440000"
ON = f"ANALYTICS_ENABLED=1\nANALYTICS_ID={ON_ID}\nANALYTICS_NOTICE_SHOWN=1\n"

ROWS = [
    # DO_NOT_TRACK goes before everything
    ({"DO_NOT_TRACK": "1"}, ON, False),
    ({"DO_NOT_TRACK": "yes", "ONRAMP_ANALYTICS_ENABLED": "1"}, ON, False),
    ({"DO_NOT_TRACK": ""}, ON, True),
    ({"DO_NOT_TRACK": "0"}, ON, True),
    ({"DO_NOT_TRACK": "False"}, ON, True),
    # then the product's own variable
    *[({"ONRAMP_ANALYTICS_ENABLED": said}, "", True) for said in ("1", "true", "YES", "on")],
    *[({"ONRAMP_ANALYTICS_ENABLED": said}, ON, False) for said in ("0", "", "false", "off", "2", "enabled")],
    # then the lock file
    ({}, ON, True),
    ({}, "OTHER=1\n" + ON, True),
    # and everything else is off
    ({}, None, False),
    ({}, "", False),
    ({}, "ANALYTICS_ENABLED=0\n", False),
    ({}, "ANALYTICS_ENABLED=yes\n", False),
    ({}, " ANALYTICS_ENABLED=1\n", False),
    ({}, "#ANALYTICS_ENABLED=1\n", False),
    ({}, ON + "ANALYTICS_ENABLED=0\n", False),
    ({}, ON + "\0\0\0", False),
]


@pytest.mark.parametrize(("environ", "content", "on"), ROWS)
def test_the_rules_hold_in_their_order(environ: dict[str, str], content: str | None, *, on: bool) -> None:
    in_bytes = {key.encode(): value.encode() for key, value in environ.items()}

    assert consent.decide(in_bytes, None if content is None else content.encode()).on is on


@pytest.mark.parametrize(("environ", "content", "on"), ROWS)
def test_on_stores_the_event_and_off_leaves_no_trace(
    checkout: Checkout, receiver: Receiver, environ: dict[str, str], content: str | None, *, on: bool
) -> None:
    if content is not None:
        checkout.lock.write_text(content)
    before = checkout.files()

    checkout.track(env=environ)
    flushed = checkout.run("flush", env=environ, check=False)

    if on and content:
        assert len(receiver.accepted) == 1
    else:
        assert receiver.requests == []
    if not on:
        assert flushed.stdout == "Nothing is waiting.\n"
        assert checkout.files() == before
        assert content is None or checkout.lock.read_text() == content


def test_an_unreadable_lock_file_is_off(checkout: Checkout) -> None:
    checkout.lock.mkdir()

    checkout.track()

    assert checkout.files() == {"onramp.lock"}


def test_off_starts_no_process_and_opens_nothing_but_the_lock_file(checkout: Checkout) -> None:
    code = (
        "import sys\n"
        "from onramp_analytics import tracker\n"
        "seen = []\n"
        "sys.addaudithook(lambda name, args: seen.append((name, *args)))\n"
        "tracker.main(sys.argv[1], ['service_disabled', 'service_name=plex'])\n"
        "print([s for s in seen if s[0] != 'object.__getattr__'])\n"
    )

    done = subprocess.run(
        [sys.executable, "-c", code, str(checkout.path)], env=checkout.env, capture_output=True, text=True, check=True
    )

    assert done.stdout.count("(") == 1
    assert f"('open', b'{checkout.path}/onramp.lock'" in done.stdout


def test_an_installation_by_environment_alone_gets_an_identifier_but_sends_nothing_before_the_notice(
    checkout: Checkout, receiver: Receiver
) -> None:
    on = {"ONRAMP_ANALYTICS_ENABLED": "1"}

    checkout.track(env=on)
    checkout.track(env=on)
    flushed = checkout.run("flush", env=on, check=False)

    assert flushed.returncode == 1
    assert "notice" in flushed.stderr
    assert receiver.requests == []
    assert len({event["distinct_id"] for event in checkout.pending()}) == 1
    assert checkout.status(on)["notice_shown"] is False
    assert not os.path.exists(checkout.spool.not_before)


@pytest.mark.parametrize("found", ["", "alice", ON_ID.upper(), "c232ab00-9414-11ec-b3c8-9f6bdeced846"])
def test_an_identifier_that_is_not_random_is_replaced_before_an_event_has_it(found: str, opted_in: Checkout) -> None:
    """The last one is of version 1, which holds the address of a network card."""
    opted_in.hold_back_flusher()
    opted_in.lock.write_text(opted_in.lock.read_text().replace(ON_ID, found))

    opted_in.track()

    (event,) = opted_in.pending()
    assert events.is_uuid4(event["distinct_id"])
    assert f"ANALYTICS_ID={event['distinct_id']}\n" in opted_in.lock.read_text()


def test_enable_shows_the_notice_and_turns_analytics_on(checkout: Checkout, receiver: Receiver) -> None:
    checkout.lock.write_text("# mine\nOTHER=x\n")

    said = checkout.run("enable").stdout

    assert said.startswith(
        "Analytics enabled. OnRamp collects anonymous usage statistics to improve the project.\n"
        "No personal data or infrastructure details are collected.\n\nTo disable: make analytics-disable\n"
    )
    assert receiver.url in said
    lines = checkout.lock.read_text().splitlines()
    assert lines[:3] == ["# mine", "OTHER=x", "ANALYTICS_ENABLED=1"]
    assert events.is_uuid4(lines[3].removeprefix("ANALYTICS_ID="))
    assert lines[4:] == ["ANALYTICS_NOTICE_SHOWN=1"]


def test_enable_again_keeps_the_identifier(checkout: Checkout) -> None:
    checkout.run("enable")
    first = checkout.lock.read_text()

    checkout.run("enable")

    assert checkout.lock.read_text() == first


def test_enable_under_do_not_track_says_no_and_changes_nothing(checkout: Checkout) -> None:
    done = checkout.run("enable", env={"DO_NOT_TRACK": "1"}, check=False)

    assert done.returncode == 1
    assert "DO_NOT_TRACK is set" in done.stderr
    assert done.stderr.count("\n") == 1
    assert checkout.files() == set()


def test_disable_deletes_everything_but_the_lock_file(opted_in: Checkout, receiver: Receiver) -> None:
    for _ in range(3):
        opted_in.track()
    opted_in.run("flush")
    opted_in.track()
    spools.make_folder(opted_in.spool)
    segments.claim(opted_in.spool)
    opted_in.track()
    received = len(receiver.requests)

    opted_in.run("disable")
    opted_in.track()

    assert opted_in.files() == {"onramp.lock"}
    assert "ANALYTICS_ENABLED=0" in opted_in.lock.read_text()
    assert len(receiver.requests) == received


def test_disable_without_a_lock_file_leaves_none(checkout: Checkout) -> None:
    checkout.run("disable")

    assert checkout.files() == set()


def test_deleting_the_lock_file_is_never_having_opted_in(opted_in: Checkout, receiver: Receiver) -> None:
    opted_in.hold_back_flusher()
    opted_in.track()
    opted_in.lock.unlink()

    opted_in.track()
    done = opted_in.run("flush", check=False)

    assert done.returncode == 1
    assert "analytics are off" in done.stderr
    assert receiver.requests == []


def test_do_not_track_between_tracking_and_sending_stops_the_sending(opted_in: Checkout, receiver: Receiver) -> None:
    opted_in.hold_back_flusher()
    opted_in.track()

    done = opted_in.run("flush", env={"DO_NOT_TRACK": "1"}, check=False)

    assert done.returncode == 1
    assert receiver.requests == []
    assert len(opted_in.pending()) == 1


@pytest.mark.parametrize("stopped", [False, True], ids=["in a request", "in a request, and stopped"])
def test_disable_ends_a_flusher_in_the_middle_of_a_request(
    opted_in: Checkout, receiver: Receiver, *, stopped: bool
) -> None:
    opted_in.hold_back_flusher()
    for _ in range(120):
        with (opted_in.path / "onramp.spool").open("ab") as spool:
            spool.write(an_event_line())
    receiver.answer_always(lambda _request: Answer(200, b'{"status": "Ok"}', delay=30))
    command = [COMMAND, "--root", str(opted_in.path), "flush"]
    flusher = subprocess.Popen(command, env=opted_in.env, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    assert receiver.wait_for_request()
    if stopped:
        flusher.send_signal(signal.SIGSTOP)

    opted_in.run("disable")

    assert flusher.wait(5) == -signal.SIGKILL
    flusher.communicate()
    assert opted_in.files() == {"onramp.lock"}
    assert len(receiver.requests) == 1


def test_disable_works_while_a_stopped_process_holds_the_spools_lock(opted_in: Checkout) -> None:
    opted_in.track()
    code = "import fcntl,sys\nf=open(sys.argv[1],'w')\nfcntl.flock(f,2)\nprint(flush=True)\nsys.stdin.read()"
    with subprocess.Popen(
        ["python3", "-c", code, os.fsdecode(opted_in.spool.lock)], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as holder:
        assert holder.stdout
        holder.stdout.readline()

        opted_in.run("disable")

        holder.kill()
    assert opted_in.files() == {"onramp.lock"}


def test_reset_id_replaces_the_identifier_and_forgets_what_was_sent(opted_in: Checkout, receiver: Receiver) -> None:
    old = opted_in.run("show-id").stdout
    opted_in.track()
    opted_in.run("flush")
    opted_in.hold_back_flusher()
    opted_in.track()

    new = opted_in.run("reset-id").stdout
    opted_in.track()

    assert new != old
    assert opted_in.run("show-id").stdout == new
    assert opted_in.sent() == []
    opted_in.run("flush")
    batches = [{event["distinct_id"] for event in request.events} for request in receiver.requests]
    assert batches == [{old.strip()}, {new.strip()}]  # what was pending under the old one is deleted
    assert {event["distinct_id"] for event in opted_in.sent()} == {new.strip()}
    leftovers = [p for p in opted_in.path.rglob("*") if p.is_file() and old.strip().encode() in p.read_bytes()]
    assert leftovers == []


def test_reset_id_keeps_the_choice(checkout: Checkout) -> None:
    checkout.lock.write_text("ANALYTICS_ENABLED=0\n")

    checkout.run("reset-id")

    assert checkout.status()["on"] is False


def an_event_line() -> bytes:
    values = {"service_name": "plex"}
    now = time.time_ns()
    return events.build("service_disabled", values, "550e8400-e29b-41d4-a716-446655440000", now, os.urandom(16))


def test_a_flusher_that_lingers_while_consent_goes_sends_nothing_and_leaves_nothing(
    opted_in: Checkout, receiver: Receiver
) -> None:
    opted_in.track()
    wait_until(lambda: os.path.exists(opted_in.spool.not_before), "a flusher lingers")

    opted_in.run("disable")

    wait_until(lambda: not flushers_of(opted_in), "the flusher has ended")
    assert opted_in.files() == {"onramp.lock"}
    assert receiver.requests == []


def test_a_flush_that_comes_after_disable_leaves_nothing_on_the_disk(opted_in: Checkout) -> None:
    spools.make_folder(opted_in.spool)
    opted_in.lock.write_text("ANALYTICS_ENABLED=0\n")

    with segments.flusher_lock(opted_in.spool):
        state = flush.run(opted_in.spool, opted_in.root, 5, at_once=True)

    assert state.outcome == "off"
    assert opted_in.files() == {"onramp.lock"}


def test_a_flush_while_analytics_are_off_claims_nothing(opted_in: Checkout) -> None:
    opted_in.hold_back_flusher()
    opted_in.track()
    before = opted_in.files()

    done = opted_in.run("flush", env={"DO_NOT_TRACK": "1"}, check=False)

    assert done.stderr == "onramp-analytics: nothing was sent: analytics are off: DO_NOT_TRACK is set\n"
    assert opted_in.files() == before


def test_a_change_that_was_overtaken_by_disable_does_not_turn_analytics_on_again(
    opted_in: Checkout, monkeypatch: pytest.MonkeyPatch
) -> None:
    updated = settings.updated

    def overtaken(content: bytes, changes: dict[bytes, bytes]) -> bytes:
        opted_in.lock.write_text("ANALYTICS_ENABLED=0\n")
        return updated(content, changes)

    monkeypatch.setattr(settings, "updated", overtaken)

    with pytest.raises(CouldNot, match="changed meanwhile"):
        optin.reset_id(opted_in.root)

    assert opted_in.lock.read_text() == "ANALYTICS_ENABLED=0\n"
    assert opted_in.files() == {"onramp.lock", "onramp.spool.lock"}


def test_only_disable_goes_on_without_the_lock(opted_in: Checkout) -> None:
    before = opted_in.lock.read_text()
    (opted_in.path / "onramp.spool.lock").mkdir()

    assert opted_in.run("reset-id", check=False).returncode == 1
    assert opted_in.run("enable", check=False).returncode == 1
    assert opted_in.lock.read_text() == before
    opted_in.run("disable", check=False)

    assert "ANALYTICS_ENABLED=0" in opted_in.lock.read_text()


def test_a_tracker_that_was_stopped_under_the_lock_takes_its_event_back_after_disable(
    opted_in: Checkout, monkeypatch: pytest.MonkeyPatch
) -> None:
    write = spools._write

    def disabled_meanwhile(spool: Spool, lines: bytes) -> str:
        opted_in.lock.write_text("ANALYTICS_ENABLED=0\n")
        segments.purge(spool)
        return write(spool, lines)

    monkeypatch.setattr(spools, "_write", disabled_meanwhile)

    outcome = spools.append(opted_in.spool, an_event_line(), lambda: consent.ask({}, opted_in.root).on)

    assert outcome == "off"
    assert opted_in.files() == {"onramp.lock"}


def test_disable_ends_nobody_who_only_reads_the_flushers_lock_file(opted_in: Checkout) -> None:
    spools.make_folder(opted_in.spool)
    path = Path(os.fsdecode(segments.flusher_lock_path(opted_in.spool)))
    path.touch()
    with subprocess.Popen(["tail", "-f", str(path)]) as reader:
        wait_until(lambda: any(path.samefile(fd) for fd in Path(f"/proc/{reader.pid}/fd").iterdir()), "it is open")

        opted_in.run("disable")

        assert reader.poll() is None
        reader.kill()


def test_disable_sweeps_up_what_a_killed_reset_id_left(opted_in: Checkout) -> None:
    opted_in.lock.write_text("ANALYTICS_ENABLED=0\n")
    (opted_in.path / "onramp.lock.new").write_text("ANALYTICS_ID=550e8400-e29b-41d4-a716-446655440000\n")

    opted_in.run("disable")

    assert opted_in.files() == {"onramp.lock"}
