"""The events in a checkout, as every command shows them, without changing a file."""

from __future__ import annotations

import os
import time

import pytest
from freezegun import freeze_time
from hypothesis import given
from hypothesis import strategies as st

from onramp_analytics import events
from onramp_analytics.outbox import history, locks, overview
from onramp_analytics.outbox.history import Counts, State
from onramp_analytics.outbox.overview import Outbox
from onramp_analytics.outbox.schedule import Calendar
from onramp_analytics.outbox.segments import Pending
from tests.conftest import NOON, Checkout, line, uuid_of


@pytest.fixture
def outbox(checkout: Checkout) -> Outbox:
    return Outbox(checkout.root)


def test_looking_into_an_empty_checkout_makes_no_file(checkout: Checkout, outbox: Outbox) -> None:
    counts = Counts()

    assert list(outbox.pending(counts)) == []
    assert outbox.count() == 0
    assert outbox.sent() == []
    assert outbox.last_run() == State()
    assert not outbox.flusher_is_alive()
    assert not outbox.remains()
    assert counts == Counts()
    assert checkout.files() == set()


@freeze_time("2026-01-04")
def test_what_is_queued_is_shown_oldest_first_and_the_rest_is_counted(outbox: Outbox) -> None:
    counts = Counts()
    for content in (line(1) + b"damaged\n", line(2)):
        outbox.spool.append(content, lambda: "")

    assert [p.event["uuid"] for p in outbox.pending(counts)] == [uuid_of(1), uuid_of(2)]
    assert counts == Counts(skipped=1)
    assert outbox.count() == 3
    assert outbox.remains()


def a_pending(day: float) -> Pending:
    return Pending({"timestamp": events.timestamp(day)}, b"", 0)


@pytest.mark.parametrize(("days", "sent"), [(0, True), (89, True), (90, True), (91, False), (365, False)])
def test_an_event_is_dropped_when_it_is_older_than_ninety_days(days: int, *, sent: bool) -> None:
    counts = Counts()
    with freeze_time("2026-01-03T18:00:00Z"):
        found = list(overview.sendable([a_pending(NOON - days * 86_400)], counts, Calendar.at(time.time())))

    assert bool(found) is sent
    assert counts == (Counts() if sent else Counts(expired=1))


@pytest.mark.parametrize(("days", "sent"), [(1, True), (2, False), (3650, False)])
def test_an_event_is_dropped_when_it_is_dated_after_tomorrow(days: int, *, sent: bool) -> None:
    counts = Counts()
    with freeze_time("2026-01-03T18:00:00Z"):
        found = list(overview.sendable([a_pending(NOON + days * 86_400)], counts, Calendar.at(time.time())))

    assert bool(found) is sent
    assert counts == (Counts() if sent else Counts(from_the_future=1))


def test_names_are_replaced_by_what_is_published_now(checkout: Checkout, outbox: Outbox) -> None:
    outbox.spool.append(line(1), lambda: "")
    (checkout.path / "make.d/analytics.names").write_text("service jellyfin\n")

    with freeze_time("2026-01-04"):
        (shown,) = outbox.pending(Counts())

    assert shown.event["properties"]["service_name"] == "custom"


def test_the_last_run_and_a_flusher_at_work_are_seen(outbox: Outbox) -> None:
    os.close(outbox.spool.make_folder())
    history.save_state(outbox.spool, State(outcome="sent", sent=3))

    assert outbox.last_run().sent == 3
    with locks.flusher_lock(outbox.spool):
        assert outbox.flusher_is_alive()
    assert not outbox.flusher_is_alive()


@pytest.mark.parametrize("name", ["onramp.spool", "onramp.spool.lock", "onramp.spool.d"])
def test_whatever_is_in_the_place_of_a_file_of_ours_remains(checkout: Checkout, outbox: Outbox, name: str) -> None:
    (checkout.path / name).symlink_to("nowhere")

    assert outbox.remains()


@given(st.lists(st.integers(1, 1 << 20), max_size=300))
def test_a_batch_is_a_hundred_events_and_a_mebibyte_at_most(sizes: list[int]) -> None:
    found = [Pending({}, bytes(size), 0) for size in sizes]

    made = list(overview.batches(found))

    assert [p for batch in made for p in batch] == found
    for batch in made:
        assert 1 <= len(batch) <= 100
        assert sum(len(p.line) for p in batch) <= 1 << 20
