"""Events are sent on the second UTC day after their own at the earliest, with the first recorded command of a day."""

from __future__ import annotations

import os
import random
import re
import subprocess
import sys
import time
from collections.abc import Mapping
from datetime import datetime, timedelta, timezone
from pathlib import Path

import pytest

import onramp_analytics
from onramp_analytics import consent, flush, spawn, tracker
from onramp_analytics.outbox import history, locks, schedule, segments
from onramp_analytics.outbox.history import Counts
from onramp_analytics.outbox.overview import Outbox
from onramp_analytics.posthog.outcome import ACCEPTED
from onramp_analytics.receiver import Receiver
from onramp_analytics.spool import Spool
from tests.conftest import KEY, Checkout, flushers_of, wait_until

ENTRY = Path(onramp_analytics.__file__).with_name("make_entry.py")
DAY = 86_400


@pytest.fixture
def onramp(checkout: Checkout, receiver: Receiver) -> Checkout:
    """A checkout of OnRamp's: the destination is in `make.d/analytics.conf`, and two services are enabled."""
    (checkout.path / "make.d/analytics.conf").write_text(f"ANALYTICS_API_KEY={KEY}\nANALYTICS_HOST={receiver.url}\n")
    for name in ("ONRAMP_ANALYTICS_API_KEY", "ONRAMP_ANALYTICS_HOST"):
        del checkout.env[name]
    for service in ("plex", "jellyfin"):
        (checkout.path / f"services-enabled/{service}.yml").symlink_to("/dev/null")
    checkout.run("enable")
    return checkout


def command(checkout: Checkout, goal: str = "start") -> None:
    """Do what make does after a command, and wait until the flusher that it may have started has ended."""
    subprocess.run(
        [sys.executable, "-IS", ENTRY, "ran", goal, "0", "1.00", "1.50"],
        cwd=checkout.path,
        env=checkout.env,
        check=True,
    )
    # While a process executes another program, its command line is empty for a moment. But until the flusher has set
    # `not-before`, another one is due, and after that, its mark is there until it ends.
    spool = checkout.spool
    wait_until(
        lambda: (
            not (
                (os.path.exists(spool.file) and spool.flusher_is_due(time.time()))
                or flushers_of(checkout)
                or history.unfinished(spool)
            )
        ),
        "the end of the flusher",
    )


def a_day_passes(checkout: Checkout) -> None:
    """Make every event and every time that is kept a day older."""

    def earlier(found: re.Match[str]) -> str:
        day = datetime.strptime(found[0], "%Y-%m-%d").replace(tzinfo=timezone.utc) - timedelta(days=1)
        return day.strftime("%Y-%m-%d")

    folder = Path(os.fsdecode(checkout.spool.folder))
    for path in (Path(os.fsdecode(checkout.spool.file)), *folder.iterdir()):
        if path.exists():
            mtime = path.stat().st_mtime
            path.write_text(re.sub(r"\d{4}-\d\d-\d\d", earlier, path.read_text()))
            os.utime(path, (mtime - DAY, mtime - DAY))


def names(events: list[dict[str, object]]) -> list[str]:
    return [str(event["event"]) for event in events]


def test_nothing_is_sent_today_or_tomorrow_and_the_day_after_only_what_is_due(
    onramp: Checkout, receiver: Receiver
) -> None:
    command(onramp)
    command(onramp)
    assert receiver.requests == []

    a_day_passes(onramp)
    command(onramp)
    onramp.run("enable")
    command(onramp)
    assert receiver.requests == []

    a_day_passes(onramp)
    command(onramp)

    assert len(receiver.requests) == 1
    assert names(receiver.accepted) == ["service_enabled"] * 2 + ["command_executed"] * 2
    assert len(onramp.pending()) == 3

    command(onramp)
    assert len(receiver.requests) == 1


def test_no_command_waits_for_the_request(onramp: Checkout, receiver: Receiver) -> None:
    a_day_passes(onramp)
    a_day_passes(onramp)
    began = time.monotonic()

    subprocess.run(
        [sys.executable, "-IS", ENTRY, "ran", "start", "0", "1.00", "1.50"], cwd=onramp.path, env=onramp.env, check=True
    )

    took = time.monotonic() - began
    assert receiver.requests == []
    assert receiver.wait_for(2)
    assert took < time.monotonic() - began


def test_flush_sends_everything_now(onramp: Checkout, receiver: Receiver) -> None:
    command(onramp)

    onramp.run("flush")

    assert names(receiver.accepted) == ["service_enabled"] * 2 + ["command_executed"]
    assert onramp.pending() == []


def test_after_disable_in_between_nothing_was_ever_sent(onramp: Checkout, receiver: Receiver) -> None:
    command(onramp)
    a_day_passes(onramp)
    onramp.run("disable")

    command(onramp)

    assert receiver.requests == []
    assert onramp.files() == {"onramp.lock", "make.d/analytics.conf"} | {
        f"services-enabled/{service}.yml" for service in ("plex", "jellyfin")
    }


def test_without_its_stamp_a_run_sends_nothing_early(onramp: Checkout, receiver: Receiver) -> None:
    command(onramp)
    Path(os.fsdecode(onramp.spool.stamp)).unlink()
    a_day_passes(onramp)

    command(onramp)

    assert receiver.requests == []
    assert len(onramp.pending()) == 4


@pytest.mark.parametrize("seed", range(6))
@pytest.mark.parametrize(
    "jumps",
    [
        (0,),
        (-3600, 3600, -7200, 7200),
        (-DAY, DAY, -3 * DAY, 3 * DAY),
        (-400 * DAY, 400 * DAY, -4000 * DAY, 4000 * DAY),
    ],
    ids=["a clock that is right", "hours", "days", "years"],
)
def test_sixty_days_of_commands_send_none_early_none_twice_and_lose_none_that_is_not_counted(
    onramp: Checkout, receiver: Receiver, monkeypatch: pytest.MonkeyPatch, jumps: tuple[int, ...], seed: int
) -> None:
    """The clock is the only thing that is not real: commands, spool, requests and `enable` each morning are."""
    dice, clock, dropped = random.Random(seed), [time.time()], Counts()
    for name, value in onramp.env.items():
        monkeypatch.setenv(name, value)
    for name in ("ONRAMP_ANALYTICS_API_KEY", "ONRAMP_ANALYTICS_HOST"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr(time, "time", lambda: clock[0])
    real_gmtime = time.gmtime
    monkeypatch.setattr(time, "gmtime", lambda when=None: real_gmtime(clock[0] if when is None else when))

    def run_here(spool: Spool, _environ: Mapping[bytes, bytes]) -> None:
        if not spool.flusher_is_due(time.time()):
            return
        os.close(spool.make_folder())
        with locks.flusher_lock(spool):
            before, taken = len(receiver.accepted), schedule.Calendar.at(time.time())
            state = flush.run(spool, onramp.root, 20)
        assert state.outcome == ACCEPTED
        assert all(taken.is_due(str(event["timestamp"])) for event in receiver.accepted[before:])
        dropped.expired += state.expired
        dropped.from_the_future += state.from_the_future

    monkeypatch.setattr(spawn, "start_flusher", run_here)
    tracked = len(list(Outbox(onramp.root).pending(Counts())))
    for _ in range(60):
        for _ in range(dice.choice((0, 0, 1, 3))):
            clock[0] += dice.choice(jumps) if dice.random() < 0.2 else dice.randrange(1, 5000)
            assert consent.ask(os.environb, onramp.root).on
            tracked += tracker.record(
                onramp.root, os.environb, [("error_occurred", {"command": "start", "error_type": "exit_2"})]
            )
        clock[0] += DAY

    uuids = [event["uuid"] for event in receiver.accepted]
    left = segments.count(onramp.spool)
    assert len(uuids) == len(set(uuids))
    assert tracked == len(uuids) + left + dropped.expired + dropped.from_the_future
    assert max(jumps) > 80 * DAY or (dropped.expired, dropped.from_the_future) == (0, 0) or max(jumps) == 3 * DAY
    assert uuids or max(jumps) > 80 * DAY
    assert history.unfinished(onramp.spool) == 0
