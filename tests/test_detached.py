"""The flusher is detached from the command, the terminal and the descriptors, and runs once for each checkout."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from onramp_analytics.outbox import locks
from onramp_analytics.receiver import OK, Answer, Receiver
from tests.conftest import COMMAND, KEY, SERVICE, Checkout, flushers_of, make_checkout, wait_until

BAIT = {"AWS_SECRET_ACCESS_KEY": "bait-secret", "MAKEFLAGS": "--jobserver-auth=3,4", "PATH_TO_HOME": "bait-path"}


@pytest.fixture
def lingering(opted_in: Checkout) -> Iterator[int]:
    """The pid of a flusher that lingers, started by a `track` with secrets in its environment."""
    with open(os.devnull, "rb") as inherited:
        os.set_inheritable(inherited.fileno(), True)
        subprocess.run(
            [COMMAND, "--root", str(opted_in.path), "track", *SERVICE],
            env={**opted_in.env, **BAIT},
            check=True,
            close_fds=False,
        )
    wait_until(opted_in.spool.not_before, "a flusher lingers")
    (pid,) = flushers_of(opted_in)
    yield pid
    wait_until(lambda: not flushers_of(opted_in), "the flusher has ended")


def stat_of(pid: int) -> list[str]:
    """The fields of /proc/PID/stat from the state on: state, parent, group, session, terminal."""
    return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()


def test_it_is_an_orphan_in_a_session_that_it_does_not_lead_without_a_terminal(lingering: int) -> None:
    _state, parent, _group, session, terminal, *_ = stat_of(lingering)

    assert int(parent) in (1, *reapers())
    assert int(session) not in (lingering, os.getsid(0))
    assert terminal == "0"


def reapers() -> list[int]:
    """The processes that adopt orphans: init, or the service manager of a container or a user."""
    found, pid = [], os.getpid()
    while pid > 1:
        pid = int(stat_of(pid)[1])
        found.append(pid)
    return found


def test_it_holds_no_descriptor_but_dev_null(lingering: int) -> None:
    open_files = {fd: os.readlink(f"/proc/{lingering}/fd/{fd}") for fd in os.listdir(f"/proc/{lingering}/fd")}

    assert open_files == {"0": "/dev/null", "1": "/dev/null", "2": "/dev/null"}


def test_it_stands_in_the_root_folder_and_shares_no_file_with_others(lingering: int) -> None:
    status = Path(f"/proc/{lingering}/status").read_text()

    assert os.readlink(f"/proc/{lingering}/cwd") == "/"
    assert "Umask:\t0077" in status


def test_its_environment_is_cut_down_to_what_it_needs(lingering: int, opted_in: Checkout, receiver: Receiver) -> None:
    environ = Path(f"/proc/{lingering}/environ").read_bytes().split(b"\0")
    found = [line for line in environ if line and not line.startswith(b"COVERAGE_")]  # which `make cover` adds

    assert sorted(found) == [
        f"HOME={opted_in.env['HOME']}".encode(),  # the file that leads back to the checkout is below it
        f"ONRAMP_ANALYTICS_API_KEY={KEY}".encode(),
        f"ONRAMP_ANALYTICS_HOST={receiver.url}".encode(),
    ]


def test_it_sends_everything_in_one_request_and_ends(opted_in: Checkout, receiver: Receiver) -> None:
    for _ in range(5):
        opted_in.track()
    shown = opted_in.pending()

    assert receiver.wait_for(5)
    wait_until(lambda: not flushers_of(opted_in), "the flusher has ended")

    assert receiver.accepted == shown == opted_in.sent()
    assert len(receiver.requests) == 1
    assert opted_in.pending() == []
    assert opted_in.status()["last_run"]["outcome"] == "accepted"


def test_one_is_started_for_many_events(opted_in: Checkout, receiver: Receiver) -> None:
    opted_in.track()
    wait_until(opted_in.spool.not_before, "a flusher lingers")

    for _ in range(3):
        opted_in.track()

    assert len(flushers_of(opted_in)) == 1
    assert receiver.wait_for(4)


def test_eight_trackers_at_once_lose_nothing_and_share_a_flusher(opted_in: Checkout, receiver: Receiver) -> None:
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(lambda _: opted_in.track(), range(40)))

    assert receiver.wait_for(40)
    wait_until(lambda: not flushers_of(opted_in), "the flushers have ended")
    assert len({event["uuid"] for event in receiver.accepted}) == 40
    assert len(receiver.accepted) == 40
    assert opted_in.pending() == []


def test_two_checkouts_do_not_touch_each_other(tmp_path: Path, environment: dict[str, str], receiver: Receiver) -> None:
    with Receiver() as other_receiver:
        one = make_checkout(tmp_path / "one", environment)
        two = make_checkout(tmp_path / "two", {**environment, "ONRAMP_ANALYTICS_HOST": other_receiver.url})
        one.run("enable")
        two.run("enable")
        one.track()
        two.track("override_enabled", "override_name=plex-nfs")
        shown = one.pending(), two.pending()

        assert receiver.wait_for(1)
        assert other_receiver.wait_for(1)

        assert (receiver.accepted, other_receiver.accepted) == shown
        two.run("disable")
        assert one.status()["on"]


def test_the_receiver_down_then_up_gets_the_events_later_and_once(
    opted_in: Checkout,
) -> None:
    with Receiver() as down:
        port = down.port
    opted_in.env["ONRAMP_ANALYTICS_HOST"] = f"http://127.0.0.1:{port}"
    opted_in.opt_in()
    opted_in.hold_back_flusher()
    for _ in range(3):
        opted_in.track()
    failed = opted_in.run("flush", check=False)
    assert failed.returncode == 1
    assert "refused the connection" in failed.stderr
    assert opted_in.status()["last_run"]["failures"] == 1
    shown = opted_in.pending()

    with Receiver(port) as up:
        opted_in.run("flush")
        opted_in.run("flush")

        assert up.accepted == shown
    assert len(shown) == 3


def test_a_back_off_holds_back_the_next_flusher(opted_in: Checkout, receiver: Receiver) -> None:
    receiver.answer_always(lambda _request: Answer(429, b"", (("Retry-After", "600"),)))
    opted_in.track()
    assert receiver.wait_for_request()
    wait_until(lambda: not flushers_of(opted_in), "the flusher has ended")

    opted_in.track()

    assert flushers_of(opted_in) == []
    assert len(receiver.requests) == 1
    assert len(opted_in.pending()) == 2


@pytest.fixture
def slow(opted_in: Checkout, receiver: Receiver) -> Iterator[Checkout]:
    """A checkout whose flusher runs for a long time, since the receiver answers slowly. It is killed at the end."""
    receiver.answer_always(lambda _request: Answer(200, OK.body, delay=20))
    yield opted_in
    wait_until(lambda: flushers_of(opted_in), "the flusher is alive, or the test has shown nothing")
    for pid in flushers_of(opted_in):
        os.kill(pid, 9)


@pytest.mark.parametrize(
    "script",
    [
        'x=$("$@")',
        '"$@" | cat',
        '"$@" 2>&1 | cat',
        '{ "$@" 3>&1 >/dev/null; } | cat',
    ],
    ids=["command substitution", "stdout", "stderr", "a higher descriptor"],
)
def test_no_reader_of_a_pipe_waits_for_it(slow: Checkout, script: str) -> None:
    """The pipe's reader ends when the command ends, although the flusher that it started is still alive."""
    subprocess.run(
        ["sh", "-c", script, "sh", COMMAND, "--root", str(slow.path), "track", *SERVICE],
        env=slow.env,
        check=True,
        timeout=15,
    )


def test_ctrl_c_at_the_terminal_does_not_reach_it(opted_in: Checkout, receiver: Receiver) -> None:
    code = (
        "import os, signal, subprocess, sys\n"
        "subprocess.run(sys.argv[1:], check=True)\n"
        "os.killpg(0, signal.SIGINT)\n"  # what the terminal does: to the whole foreground group, at once
    )
    done = subprocess.run(
        [sys.executable, "-c", code, COMMAND, "--root", str(opted_in.path), "track", *SERVICE],
        env=opted_in.env,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
        check=False,
    )

    assert done.returncode != 0
    assert receiver.wait_for(1)


def test_an_event_that_comes_while_it_ends_is_not_stranded(opted_in: Checkout, receiver: Receiver) -> None:
    """Trackers go on for some seconds around the end of a flusher; then one more look finds nothing pending."""
    until = time.monotonic() + 6
    tracked = 0
    while time.monotonic() < until:
        opted_in.track()
        tracked += 1

    assert receiver.wait_for(tracked)
    assert len(receiver.accepted) == tracked


@pytest.mark.parametrize("environ", [{"ONRAMP_ANALYTICS_ENABLED": "1"}, {}], ids=["by the variable", "off"])
def test_without_a_notice_none_is_started(checkout: Checkout, environ: dict[str, str]) -> None:
    checkout.track(env=environ)

    assert flushers_of(checkout) == []
    assert checkout.files() == set()


def test_a_lingering_flusher_sends_and_leaves_nothing_once_consent_is_withdrawn(
    opted_in: Checkout, receiver: Receiver
) -> None:
    opted_in.track()
    wait_until(opted_in.spool.not_before, "a flusher lingers")

    opted_in.run("disable")

    assert flushers_of(opted_in) == []
    assert opted_in.files() == {"onramp.lock"}
    assert receiver.requests == []


def test_a_flusher_killed_at_its_work_leaves_everything_for_the_next(opted_in: Checkout, receiver: Receiver) -> None:
    receiver.answer_next(Answer(200, b"", delay=20))
    opted_in.track()
    assert receiver.wait_for_request()
    (pid,) = flushers_of(opted_in)
    os.kill(pid, 9)
    wait_until(lambda: not locks.flusher_is_alive(opted_in.spool), "the flusher is gone")

    opted_in.run("flush")

    assert len(receiver.accepted) == 1
    assert receiver.requests[0].events == receiver.requests[1].events
