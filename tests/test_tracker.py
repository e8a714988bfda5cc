"""`onramp_analytics.track`, as a program calls it: from threads, from asyncio, after a fork, and never in its way."""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

import onramp_analytics
from onramp_analytics import spawn
from onramp_analytics.receiver import Receiver
from tests.conftest import Checkout, flushers_of, wait_until


def track(number: int = 1) -> bool:
    return onramp_analytics.track("command_executed", command="start", success=True, duration_ms=number)


def test_it_stores_the_event_and_says_so(here: Checkout) -> None:
    here.hold_back_flusher()

    assert onramp_analytics.track("service_enabled", service_name="plex", has_scaffold=False) is True

    (event,) = here.pending()
    assert event["event"] == "service_enabled"
    assert event["properties"]["service_name"] == "plex"
    assert event["properties"]["has_scaffold"] is False


def test_it_says_no_when_analytics_are_off(here: Checkout) -> None:
    here.lock.write_text("")

    assert track() is False
    assert here.files() == {"onramp.lock"}


@pytest.mark.usefixtures("here")
def test_a_variable_that_the_program_set_counts(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(os.environ, "DO_NOT_TRACK", "1")

    assert track() is False


def test_a_programmers_error_is_raised_on_and_off(here: Checkout) -> None:
    for content in (here.lock.read_text(), ""):
        here.lock.write_text(content)
        with pytest.raises(ValueError, match="unknown event"):
            onramp_analytics.track("nonsense")


@pytest.mark.parametrize("trouble", ["no checkout", "folder in the way", "read-only"])
def test_trouble_with_the_machine_is_never_raised(
    here: Checkout, monkeypatch: pytest.MonkeyPatch, trouble: str
) -> None:
    if trouble == "no checkout":
        monkeypatch.delenv("ONRAMP_ROOT")
        monkeypatch.chdir("/")
    elif trouble == "folder in the way":
        Path(os.fsdecode(here.spool.file)).mkdir()
    else:
        monkeypatch.setattr("posix.write", no_space)

    assert track() is False


def no_space(_fd: int, _content: bytes) -> int:
    raise OSError(28, "No space left on device")


def test_eight_threads_lose_nothing(here: Checkout) -> None:
    here.hold_back_flusher()

    with ThreadPoolExecutor(8) as pool:
        assert all(pool.map(track, range(800)))

    durations = [event["properties"]["duration_ms"] for event in here.pending()]
    assert sorted(durations) == list(range(800))


def test_it_may_be_called_from_asyncio(here: Checkout) -> None:
    here.hold_back_flusher()

    async def many() -> list[bool]:
        return await asyncio.gather(*(asyncio.to_thread(track, n) for n in range(20)), say_one())

    async def say_one() -> bool:
        return track(20)

    assert all(asyncio.run(many()))
    assert len(here.pending()) == 21


def test_it_may_be_called_after_a_fork(here: Checkout) -> None:
    here.hold_back_flusher()
    track()
    code = (
        "import os, onramp_analytics as o\n"
        "def t(n): return o.track('command_executed', command='start', success=True, duration_ms=n)\n"
        "t(1)\n"
        "pid = os.fork()\n"
        "ok = t(2)\n"
        "if pid == 0: os._exit(not ok)\n"
        "assert os.waitpid(pid, 0)[1] == 0 and ok\n"
    )

    subprocess.run([sys.executable, "-c", code], env=dict(os.environ), check=True)

    assert [e["properties"]["duration_ms"] for e in here.pending()] == [1, 1, 2, 2]


def test_a_program_that_goes_on_keeps_no_zombies(here: Checkout, receiver: Receiver) -> None:
    assert track()
    assert len(spawn._started) == 1
    (pid,) = spawn._started
    wait_until(lambda: state_of(pid) in ("Z", ""), "the first half of the flusher has ended")

    track()

    assert pid not in spawn._started
    assert state_of(pid) == ""
    assert receiver.wait_for(2)
    wait_until(lambda: not flushers_of(here), "the flusher has ended")


def state_of(pid: int) -> str:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except OSError:
        return ""


def test_it_costs_little_whatever_is_pending(here: Checkout) -> None:
    """No budget is checked here (times wander), only that nothing grows with the spool."""
    here.hold_back_flusher()

    def fastest() -> float:
        times = []
        for _ in range(300):
            started = time.perf_counter()
            track()
            times.append(time.perf_counter() - started)
        return min(times)

    empty = fastest()
    Path(os.fsdecode(here.spool.file)).write_bytes(b"{}\n" * 1_000_000)

    assert fastest() < 3 * empty
