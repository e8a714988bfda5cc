"""`status`: on or off and why, what is queued, where it is sent and when, and what is wrong."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from onramp_analytics.outbox import locks
from onramp_analytics.receiver import Answer, Receiver
from tests.cli.terminal import configure
from tests.conftest import ID, KEY, Checkout

VARIABLE = "ONRAMP_ANALYTICS_ENABLED"


def flat(text: str) -> str:
    return " ".join(text.split())


def test_it_says_first_whether_and_why_and_last_how_to_change_it(opted_in: Checkout) -> None:
    lines = opted_in.run("status").stdout.splitlines()

    assert lines[0] == "Analytics are on: onramp.lock contains ANALYTICS_ENABLED=1."
    assert lines[-1] == "To turn them off: make analytics-disable"


@pytest.mark.parametrize(
    ("environ", "env_file", "why", "turn"),
    [
        ({}, "", "you have not opted in", "make analytics-enable"),
        ({"DO_NOT_TRACK": "1"}, "", "DO_NOT_TRACK is set", None),
        ({VARIABLE: "0"}, "", "ONRAMP_ANALYTICS_ENABLED turns them off", None),
        ({VARIABLE: "1"}, "", "the notice has not been shown yet", "make analytics-enable"),
        ({VARIABLE: "1"}, "DO_NOT_TRACK=1", "a .env file of the checkout mentions DO_NOT_TRACK", None),
    ],
)
def test_what_turns_analytics_off_is_named_and_no_command_is_offered_that_would_refuse(
    checkout: Checkout, environ: dict[str, str], env_file: str, why: str, turn: str | None
) -> None:
    if env_file:
        (checkout.path / ".env").write_text(env_file)

    found = checkout.status(environ)
    text = checkout.run("status", env=environ).stdout

    assert (found["on"], found["turn"]) == (False, turn)
    assert text.startswith(f"Analytics are off: {why}")
    assert ("To turn them on: make analytics-enable" in text) == (turn is not None)
    if turn:
        assert "already on" not in checkout.run("enable", env=environ).stdout
        assert checkout.status(environ)["on"]


def test_while_off_nothing_is_a_problem(checkout: Checkout) -> None:
    configure(checkout, "nonsense", key="phx_secret")
    (checkout.path / "onramp.spool").mkdir()

    assert checkout.status()["problems"] == []
    assert "problem" not in checkout.run("status").stdout


def test_a_damaged_lock_file_is_a_problem_although_it_means_off(opted_in: Checkout) -> None:
    opted_in.lock.write_bytes(opted_in.lock.read_bytes() + bytes(3))

    found = opted_in.status()

    assert found["on"] is False
    assert any(
        "is damaged: `make analytics-enable` or `make analytics-disable` repairs it" in problem
        for problem in found["problems"]
    )


def test_as_json_it_has_everything_and_no_whole_key(opted_in: Checkout, receiver: Receiver) -> None:
    opted_in.hold_back_flusher()
    opted_in.track()

    found = opted_in.status()

    assert (found["version"], found["on"], found["id"]) == (1, True, ID)
    assert (found["destination"], found["key"], found["send"]) == (receiver.url, "phc_…cdef", "at-once")
    assert (found["pending"], found["oldest"]) == (1, opted_in.pending()[0]["timestamp"])
    assert found["problems"] == []
    assert KEY not in opted_in.run("status").stdout


def test_queued_events_while_off_for_now_stay_and_that_is_said(opted_in: Checkout) -> None:
    opted_in.hold_back_flusher()
    opted_in.track()

    said = flat(opted_in.run("status", env={"DO_NOT_TRACK": "1"}).stdout)

    assert "1 event will stay queued until analytics are on again" in said
    assert "`make analytics-disable` deletes" in said
    assert len(opted_in.pending()) == 1


def test_it_says_when_events_are_sent(opted_in: Checkout, receiver: Receiver) -> None:
    configure(opted_in, receiver.url)
    empty = flat(opted_in.run("status").stdout)
    opted_in.hold_back_flusher()
    opted_in.track()

    assert "schedule Events are sent once a day, two days after they were recorded (UTC). To view them first:" in empty
    assert "two days after they were recorded (UTC). The next are due on " in flat(opted_in.run("status").stdout)


def test_the_last_send_and_the_next_try_are_shown_after_a_failure(opted_in: Checkout, receiver: Receiver) -> None:
    opted_in.hold_back_flusher()
    opted_in.track()
    receiver.answer_next(Answer(429, b"slow down", (("Retry-After", "7200"),)))
    opted_in.run("flush", check=False)

    said = flat(opted_in.run("status").stdout)

    assert re.search(r"last send (just now|\d+ seconds? ago): not reached, 0 events sent", said)
    late = "at the earliest, since the last attempt failed"
    assert re.search(rf"next try with the next command, in \d hours? {late}", said)
    assert re.search(r"problem the host answered 429: slow down", said)


def test_a_flusher_at_work_is_shown(opted_in: Checkout) -> None:
    opted_in.hold_back_flusher()
    code = (
        "import sys; from onramp_analytics import spool; from onramp_analytics.outbox import locks\n"
        "with locks.flusher_lock(spool.Spool(sys.argv[1].encode())): print(flush=True); sys.stdin.read()\n"
    )
    with subprocess.Popen(
        [sys.executable, "-c", code, str(opted_in.path)], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as holder:
        assert holder.stdout
        holder.stdout.readline()
        found, said = opted_in.status(), flat(opted_in.run("status").stdout)
        holder.kill()

    assert found["flusher_alive"]
    assert "next try events are being sent in the background" in said
    assert not locks.flusher_is_alive(opted_in.spool)


@pytest.mark.parametrize(
    ("given", "missing"),
    [
        ("ONRAMP_ANALYTICS_API_KEY", "ONRAMP_ANALYTICS_HOST"),
        ("ONRAMP_ANALYTICS_HOST", "ONRAMP_ANALYTICS_API_KEY"),
    ],
)
def test_one_of_the_pair_alone_is_an_error_that_says_so(
    checkout: Checkout, receiver: Receiver, given: str, missing: str
) -> None:
    value = checkout.env[given]
    configure(checkout, receiver.url)
    checkout.run("enable")
    checkout.env[given] = value
    sentence = f"{given} is set without {missing}: set both, or neither"

    assert checkout.status()["destination"] is None
    assert sentence in flat(checkout.run("status").stdout)
    assert sentence in flat(checkout.run("preview").stdout)
    assert sentence in flat(checkout.run("doctor", check=False).stdout)


@pytest.mark.parametrize("file", [".env", "services-enabled/.env"])
@pytest.mark.parametrize("name", ["ONRAMP_ANALYTICS_API_KEY", "ONRAMP_ANALYTICS_HOST"])
def test_a_key_or_host_in_an_env_file_is_named_and_nothing_is_sent(
    opted_in: Checkout, receiver: Receiver, file: str, name: str
) -> None:
    opted_in.hold_back_flusher()
    opted_in.track()
    (opted_in.path / file).write_text(f"{name}={opted_in.env[name]}\n")

    (problem,) = opted_in.status()["problems"]
    flushed = opted_in.run("flush", check=False)

    assert f"a .env file of the checkout names {name}: delete that line" in problem
    assert flushed.returncode == 1
    assert receiver.requests == []
    assert len(opted_in.pending()) == 1
    (opted_in.path / file).unlink()
    assert opted_in.run("flush").stdout == "Sent 1 event.\n"


@pytest.mark.parametrize("where", ["the pair in the environment", "the settings of the checkout"])
def test_notice_status_doctor_preview_and_the_upload_name_the_same_destination(
    checkout: Checkout, receiver: Receiver, where: str
) -> None:
    if where.startswith("the settings"):
        configure(checkout, receiver.url)
    notice = checkout.run("enable").stdout
    checkout.hold_back_flusher()
    shell = json.loads(checkout.run("preview", "--json").stdout)
    code = (
        "import json, os, sys\n"
        "from onramp_analytics import track\n"
        "from onramp_analytics.posthog import destination\n"
        "assert track('service_disabled', service_name='plex')\n"
        "print(destination.of(os.environb[b'ONRAMP_ROOT'], os.environ).host)\n"
    )
    python = subprocess.run(
        [sys.executable, "-c", code],
        env={**checkout.env, "ONRAMP_ROOT": str(checkout.path)},
        capture_output=True,
        text=True,
        check=True,
    ).stdout.strip()
    checkout.run("flush")

    assert f"Events are sent to {receiver.url}.\n" in notice
    assert checkout.status()["destination"] == python == receiver.url
    assert re.search(rf"destination +{re.escape(receiver.url)}", checkout.run("doctor").stdout)
    assert shell["url"] == f"{receiver.url}/batch/"
    assert shell["headers"]["Host"] == dict(receiver.requests[0].headers)["Host"]


@pytest.mark.parametrize(
    ("name", "kind"),
    [
        *[(name, kind) for name in ("onramp.spool", "onramp.spool.lock") for kind in ("symlink", "folder", "fifo")],
        ("onramp.spool.d", "symlink"),
        ("onramp.spool.d", "fifo"),
    ],
)
def test_what_stands_in_the_way_is_named_and_outlives_every_command(
    opted_in: Checkout, tmp_path: Path, name: str, kind: str
) -> None:
    place, victim = opted_in.path / name, tmp_path / "victim"
    victim.mkdir()
    (victim / "precious").write_text("precious")
    if kind == "symlink":
        place.symlink_to(victim)
    elif kind == "folder":
        place.mkdir()
    else:
        os.mkfifo(place)

    opted_in.track()
    problems = opted_in.status()["problems"]
    for command in ("show-pending", "flush", "show-sent", "status", "reset-id", "disable"):
        done = opted_in.run(command, check=False)
        assert done.returncode in (0, 1)
        assert "Traceback" not in done.stderr
        assert len(done.stderr.splitlines()) <= 1

    assert any(f"{name} has an unexpected type or is a hard link: move it away" in problem for problem in problems)
    assert os.listdir(victim) == ["precious"]
    assert (victim / "precious").read_text() == "precious"


def test_several_events_that_were_not_sent_are_counted_in_the_plural(opted_in: Checkout) -> None:
    opted_in.hold_back_flusher()
    run = {"at": 1.0, "outcome": "accepted", "sent": 1, "expired": 2, "refused": 1, "skipped": 3}
    (opted_in.path / "onramp.spool.d/state.json").write_text(json.dumps(run))

    said = flat(opted_in.run("status").stdout)

    assert "; not sent: 1 event refused by the server, 2 events older than 90 days, 3 damaged lines" in said


def test_the_destination_is_shown_before_opting_in(checkout: Checkout, receiver: Receiver) -> None:
    shown = flat(checkout.run("status").stdout)

    assert shown.startswith("Analytics are off")
    assert f"destination {receiver.url}" in shown


def test_a_folder_that_is_not_a_checkout_is_refused(environment: dict[str, str], tmp_path: Path) -> None:
    empty = tmp_path / "empty"
    empty.mkdir()

    done = Checkout(empty, environment).run("enable", check=False)

    assert done.returncode == 1
    assert done.stderr == f"onramp-analytics: {empty} is not an OnRamp checkout: change to one, or use --root DIR\n"
    assert list(empty.iterdir()) == []
