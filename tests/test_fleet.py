"""`make fleet` simulates a host as the product behaves: small cases counted by hand, and compared with the product."""

from __future__ import annotations

import os
import posix
from collections import Counter
from random import Random
from types import SimpleNamespace
from typing import Any

import pytest

from onramp_analytics import detached, events, flush
from onramp_analytics.outbox import locks, overview
from onramp_analytics.posthog import sender
from onramp_analytics.posthog.outcome import ACCEPTED, UNREACHED, Outcome
from tests.conftest import Checkout
from tools.bench.fleet import ANSWER, WORLDS, World, busiest, play, requests

BEGIN = 1_790_000_000.0  # any time


def half() -> float:
    """The middle of all random numbers: then a linger lasts three seconds, and the first back-off thirty."""
    return 0.5


OUTAGE = World(outage=(0, 1000))
TRIES = [103.0, 104.0 + ANSWER, 106.0 + 2 * ANSWER]
BACK_OFF_ENDS = TRIES[-1] + ANSWER + 30


def test_without_an_outage_each_command_that_is_alone_makes_one_request_after_its_linger() -> None:
    assert requests([10.0, 500.0, 9000.0], World(), half) == [13.0, 503.0, 9003.0]


def test_commands_within_the_linger_share_a_request() -> None:
    assert requests([10.0, 11.0, 12.9], World(), half) == [13.0]


def test_a_command_during_the_request_is_sent_by_the_same_flusher() -> None:
    assert requests([10.0, 13.1], World(), half) == [13.0, 13.0 + ANSWER]


def test_a_batch_holds_a_hundred_events() -> None:
    assert len(requests([10.0] * 100, World(), half)) == 1
    assert len(requests([10.0] * 101, World(), half)) == 2


def test_a_run_in_an_outage_makes_three_requests() -> None:
    assert requests([100.0], OUTAGE, half) == pytest.approx(TRIES)


def test_no_request_is_made_before_the_stored_time() -> None:
    assert requests([100.0, 104.0, BACK_OFF_ENDS - 0.01], OUTAGE, half) == pytest.approx(TRIES)


def test_the_stored_time_alone_starts_nothing_but_the_next_command_does() -> None:
    made = requests([100.0, BACK_OFF_ENDS + 0.01], OUTAGE, half)

    assert len(made) == 6
    assert made[3] == pytest.approx(BACK_OFF_ENDS + 0.01 + 3)


def test_after_an_outage_the_segment_that_was_left_and_the_spool_are_two_requests() -> None:
    made = requests([100.0, 104.0, 5000.0, 6000.0], OUTAGE, half)

    assert made[3:] == pytest.approx([5003.0, 5003.0 + ANSWER, 6003.0])


def test_a_run_begins_no_request_after_its_time() -> None:
    world = World(outage=(0, 1000), linger=(2.0, 94.5))  # leaves half a second

    assert len(requests([100.0], world, half)) == 1


@pytest.mark.parametrize("seed", range(4))
def test_the_product_makes_its_requests_at_the_same_moments(
    seed: int, here: Checkout, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Runs the real linger, run and spool with the commands, random numbers and simulated clock of the model."""
    dice = Random(seed)
    commands = sorted(dice.uniform(0, 3600) for _ in range(80))
    world = Flapping()
    dice.seed(seed)
    expected = requests(commands, world, lambda: dice.randrange(256) / 255)
    dice.seed(seed)
    product = Product(here, commands, world)
    monkeypatch.setattr(posix, "environ", dict(os.environb))
    monkeypatch.setattr(posix, "urandom", lambda _size: bytes([dice.randrange(256)]))
    monkeypatch.setattr("onramp_analytics.posthog.sender.random.random", lambda: dice.randrange(256) / 255)
    monkeypatch.setattr("onramp_analytics.posthog.capture.send", product.answer)
    for module in (detached, flush, overview, sender):  # the age of an event is `overview`'s
        monkeypatch.setattr(module, "time", product.time)

    product.play()

    assert product.requests == pytest.approx(expected, abs=0.001)
    assert {world.is_down(moment) for moment in expected} == {True, False}


class Flapping(World):
    """A server that fails for ten minutes out of twenty-five."""

    def is_down(self, moment: float) -> bool:
        return moment % 1500 < 600


class Product:
    """A host with the real spool, whose clock advances only when the product waits."""

    def __init__(self, checkout: Checkout, commands: list[float], world: World) -> None:
        self.requests: list[float] = []
        self._checkout, self._commands, self._world = checkout, commands, world
        self._now, self._tracked = 0.0, 0
        self.time = SimpleNamespace(
            time=lambda: BEGIN + self._now,
            time_ns=lambda: int((BEGIN + self._now) * 10**9),
            monotonic=lambda: self._now,
            sleep=self._wait,
        )

    def play(self) -> None:
        spool, root = self._checkout.spool, self._checkout.root
        for number, command in enumerate(self._commands):
            if number < self._tracked:
                continue  # it came while a flusher was alive
            self._wait(command - self._now)
            if spool.flusher_is_due(self.time.time()):
                assert detached.linger(spool)
                with locks.flusher_lock(spool) as held:
                    assert held
                    flush.run(spool, root, flush.RUN, at_once=True)

    def answer(self, *_request: Any) -> Outcome:
        self.requests.append(self._now)
        outcome = Outcome(UNREACHED if self._world.is_down(self._now) else ACCEPTED)
        self._wait(ANSWER)
        return outcome

    def _wait(self, seconds: float) -> None:
        self._now += seconds
        while self._tracked < len(self._commands) and self._commands[self._tracked] <= self._now:
            line = events.build(
                "service_disabled",
                {"service_name": "plex"},
                "550e8400-e29b-41d4-a716-446655440000",
                self.time.time(),
                self._tracked.to_bytes(16, "big"),
            )
            assert self._checkout.spool.append(line, lambda: "") == "stored"
            self._tracked += 1


def test_the_same_hosts_send_the_same_every_time(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tools.bench.fleet.SHARE", 20)

    assert play(7) == play(7)
    assert play(7) != play(8)
    assert len(play(7)) == len(WORLDS)


def test_the_busiest_stretch_is_the_first_of_the_fullest_and_is_given_a_second() -> None:
    count = Counter({59: 5, 60: 3, 61: 3, 119: 3, 180: 9})

    assert busiest(count) == (9, 180)
    assert busiest(count, 60) == (9 / 60, 60)
    assert busiest(count, span=(0, 180)) == (5, 59)
