"""The flusher: what happens to events after each answer, and when it runs again. Real HTTP to the receiver."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from datetime import datetime, timedelta, timezone
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from freezegun import freeze_time

from onramp_analytics import __version__, detached, events, flush
from onramp_analytics import checkout as checkouts
from onramp_analytics.outbox import history, locks, schedule, segments
from onramp_analytics.outbox.history import State
from onramp_analytics.outbox.segments import Pending
from onramp_analytics.posthog.outcome import (
    MISCONFIGURED,
    OUT_OF_TIME,
    UNLIKE_POSTHOG,
    UNREACHED,
)
from onramp_analytics.receiver import CAPTIVE_PORTAL, OK, Answer, Receiver, Request
from onramp_analytics.spool import LONGEST_WAIT, Spool
from tests.conftest import Checkout, uuid_of

ID = "550e8400-e29b-41d4-a716-446655440000"
OTHER_ID = "650e8400-e29b-41d4-a716-446655440000"


def fill(checkout: Checkout, count: int, *, first: int = 0, distinct_id: str = ID, when: float = 0.0) -> list[str]:
    """Put events into the spool and return their uuids."""
    values = {"service_name": "plex"}
    lines = [
        events.build("service_disabled", values, distinct_id, when or time.time(), n.to_bytes(16, "big"))
        for n in range(first, first + count)
    ]
    with open(checkout.spool.file, "ab") as spool:
        spool.write(b"".join(lines))
    return [json.loads(line)["uuid"] for line in lines]


def run(checkout: Checkout, seconds: float = 20.0, *, everything: bool = False, at_once: bool = True) -> State:
    """Do one run, as the flusher does after it has taken its lock."""
    os.close(checkout.spool.make_folder())
    with locks.flusher_lock(checkout.spool) as held:
        assert held
        return flush.run(checkout.spool, checkout.root, seconds, everything=everything, at_once=at_once)


def uuids(found: list[dict[str, Any]]) -> list[str]:
    return [event["uuid"] for event in found]


def pending(checkout: Checkout) -> list[str]:
    published = checkouts.published(checkout.root)
    files = segments.pending_files(checkout.spool)
    return [p.event["uuid"] for file in files for p in segments.read(file, published) if isinstance(p, Pending)]


@pytest.fixture(autouse=True)
def no_waiting_between_tries(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("onramp_analytics.posthog.sender.random.random", lambda: 0.01)


# -- each row of the table in docs/posthog.md --------------------------------------------------------------------------


def test_accepted_events_move_to_the_sent_log(here: Checkout, receiver: Receiver) -> None:
    sent = fill(here, 250)

    state = run(here)

    assert (state.outcome, state.sent) == ("accepted", 250)
    assert [len(request.events) for request in receiver.requests] == [100, 100, 50]
    assert uuids(receiver.accepted) == sent
    assert uuids(history.sent(here.spool)) == sent
    assert pending(here) == []
    assert segments.waiting(here.spool) == []
    assert here.spool.flusher_is_due(time.time())


def test_the_sent_log_has_each_event_as_it_was_sent(here: Checkout, receiver: Receiver) -> None:
    fill(here, 3)
    file = Path(os.fsdecode(here.spool.file))
    file.write_bytes(file.read_bytes().replace(b"plex", b"alices-diary", 1).removesuffix(b"\n"))
    run(here)
    fill(here, 1, first=3)

    run(here)

    assert [event["properties"]["service_name"] for event in receiver.accepted] == ["custom", "plex", "plex", "plex"]
    assert history.sent(here.spool) == receiver.accepted


def test_the_status_1_of_older_servers_is_a_yes_too(here: Checkout, receiver: Receiver) -> None:
    fill(here, 1)
    receiver.answer_next(Answer(200, b'{"status": 1}'))

    assert run(here).outcome == "accepted"


@pytest.mark.parametrize(
    "answer",
    [
        CAPTIVE_PORTAL,
        Answer(200, b""),
        Answer(200, b"[]"),
        Answer(200, b'{"status": 0}'),
        Answer(200, b'{"status": true}'),
        Answer(200, b'{"status": "error"}'),
        Answer(201, OK.body),
        Answer(204),
        Answer(304),
        Answer(410, b"gone"),
    ],
    ids=lambda answer: f"{answer.status} {answer.body.decode()[:20]}",
)
def test_an_answer_that_is_not_posthogs_keeps_the_events_for_long(
    here: Checkout, receiver: Receiver, answer: Answer
) -> None:
    sent = fill(here, 3)
    receiver.answer_always(lambda _request: answer)

    state = run(here)

    assert state.outcome == UNLIKE_POSTHOG
    assert "does not respond like PostHog" in state.reason
    assert len(receiver.requests) == 1
    assert pending(here) == sent
    assert not here.spool.flusher_is_due(time.time() + 10)


@pytest.mark.parametrize("status", [301, 302, 307, 308])
def test_a_redirect_is_not_followed(here: Checkout, receiver: Receiver, status: int) -> None:
    fill(here, 1)
    with Receiver() as elsewhere:
        receiver.answer_next(Answer(status, b"", (("Location", elsewhere.url + "/batch/"),)))

        state = run(here)

        assert elsewhere.requests == []
    assert (state.outcome, len(receiver.requests)) == (UNLIKE_POSTHOG, 1)
    assert len(pending(here)) == 1


@pytest.mark.parametrize(
    "answer",
    [*(Answer(status, b"busy") for status in (408, 425, 429, 500, 502, 503, 504)), Answer(drop=True)],
    ids=lambda answer: "connection dropped" if answer.drop else str(answer.status),
)
def test_a_server_in_trouble_is_tried_three_times_and_then_left_alone(
    here: Checkout, receiver: Receiver, answer: Answer
) -> None:
    sent = fill(here, 2)
    receiver.answer_always(lambda _request: answer)

    state = run(here)

    assert (state.outcome, state.failures) == (UNREACHED, 1)
    assert len(receiver.requests) == 3
    assert pending(here) == sent
    assert here.spool.not_before() > time.time() - 1


def test_a_retry_repeats_the_same_events_to_the_letter(here: Checkout, receiver: Receiver) -> None:
    fill(here, 3)
    receiver.answer_next(Answer(503), Answer(drop=True))

    assert run(here).outcome == "accepted"

    assert len(receiver.requests) == 3
    assert receiver.requests[0].events == receiver.requests[1].events == receiver.requests[2].events


@pytest.mark.parametrize("body", [b"[]", b'"x"', b"7", b"null", b'{"detail": {"a": 1}}', b"\xff\xfe" * 1000])
def test_an_error_whose_body_is_no_object_is_an_error_like_any_other(
    here: Checkout, receiver: Receiver, body: bytes
) -> None:
    fill(here, 1)
    receiver.answer_always(lambda _request: Answer(503, body, (("Content-Type", "application/json"),)))

    assert run(here).outcome == UNREACHED
    assert len(pending(here)) == 1


def test_the_host_is_not_asked_again_before_it_said(here: Checkout, receiver: Receiver) -> None:
    fill(here, 1)
    receiver.answer_next(Answer(429, b"slow down", (("Retry-After", "7200"),)))

    run(here)

    assert len(receiver.requests) == 1
    assert 7190 < here.spool.not_before() - time.time() <= 7200


@pytest.mark.parametrize("said", ["-5", "nan", "inf", "soon", "1e400", ""])
def test_a_retry_after_that_makes_no_sense_is_passed_over(here: Checkout, receiver: Receiver, said: str) -> None:
    fill(here, 1)
    receiver.answer_always(lambda _request: Answer(503, b"", (("Retry-After", said),)))

    assert run(here).outcome == UNREACHED
    assert here.spool.not_before() - time.time() < 60


def test_a_retry_after_of_a_year_is_a_day(here: Checkout, receiver: Receiver) -> None:
    fill(here, 1)
    receiver.answer_always(lambda _request: Answer(503, b"", (("Retry-After", "31536000"),)))

    run(here)

    assert here.spool.not_before() - time.time() <= LONGEST_WAIT


def poison(*bad: str) -> Any:
    """PostHog's answer if one event of a batch is bad; it accepts none."""

    def choose(request: Request) -> Answer | None:
        return Answer(400, b"this event is bad") if {*uuids(request.events)} & {*bad} else None

    return choose


def test_a_bad_event_is_found_and_put_aside_and_the_others_are_sent_once(here: Checkout, receiver: Receiver) -> None:
    sent = fill(here, 100)
    receiver.answer_always(poison(sent[0], sent[37], sent[99]))

    state = run(here)

    good = [uuid for uuid in sent if uuid not in (sent[0], sent[37], sent[99])]
    assert (state.outcome, state.sent, state.refused) == ("accepted", 97, 3)
    assert uuids(receiver.accepted) == good
    refused = history.refused(here.spool)
    assert [r["event"]["uuid"] for r in refused] == [sent[0], sent[37], sent[99]]
    assert refused[0]["reason"] == "the host answered 400: this event is bad"
    assert pending(here) == []


def test_a_batch_that_is_too_large_is_halved_until_it_fits(here: Checkout, receiver: Receiver) -> None:
    sent = fill(here, 64)
    receiver.answer_always(lambda request: Answer(413) if len(request.events) > 10 else None)

    assert run(here).sent == 64

    assert uuids(receiver.accepted) == sent
    assert {len(request.events) for request in receiver.requests} == {64, 32, 16, 8}


def test_an_event_that_is_too_large_alone_is_refused(here: Checkout, receiver: Receiver) -> None:
    sent = fill(here, 2)
    receiver.answer_always(lambda request: Answer(413) if sent[0] in uuids(request.events) else None)

    state = run(here)

    assert (state.sent, state.refused) == (1, 1)
    assert uuids(receiver.accepted) == sent[1:]


@pytest.mark.parametrize("status", [401, 403, 404])
def test_wrong_settings_keep_the_events_and_say_so(here: Checkout, receiver: Receiver, status: int) -> None:
    sent = fill(here, 2)
    receiver.answer_always(lambda _request: Answer(status, b"no"))

    state = run(here)

    assert (state.outcome, len(receiver.requests)) == (MISCONFIGURED, 1)
    assert pending(here) == sent
    assert any(f"the host answered {status}" in problem for problem in here.status()["problems"])


def test_without_a_key_nothing_is_sent_and_status_says_so(
    here: Checkout, receiver: Receiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    fill(here, 1)
    monkeypatch.delenv("ONRAMP_ANALYTICS_API_KEY")

    state = run(here)

    assert state.outcome == MISCONFIGURED
    assert "ONRAMP_ANALYTICS_HOST is set without ONRAMP_ANALYTICS_API_KEY" in state.reason
    assert receiver.requests == []


def test_a_run_out_of_time_leaves_the_rest_for_the_next_one_at_once(here: Checkout, receiver: Receiver) -> None:
    fill(here, 300)

    state = run(here, seconds=-1)

    assert state.outcome == OUT_OF_TIME
    assert receiver.requests == []
    assert here.spool.flusher_is_due(time.time())


def test_nothing_to_send_makes_no_request(here: Checkout, receiver: Receiver) -> None:
    assert run(here).outcome == "accepted"
    assert receiver.requests == []


# -- across runs -------------------------------------------------------------------------------------------------------


def test_failures_add_up_across_runs_and_a_success_forgets_them(here: Checkout, receiver: Receiver) -> None:
    fill(here, 1)
    receiver.answer_always(lambda _request: Answer(503))
    assert [run(here).failures for _ in range(3)] == [1, 2, 3]

    receiver.answer_always(lambda _request: None)

    assert run(here).failures == 0


@pytest.mark.parametrize("damage", [b"", b"\0\0", b"[1]", b'{"failures": -3, "at": "x"}', b'{"failures": 1e999}', b"{"])
def test_a_damaged_state_is_a_fresh_one(here: Checkout, damage: bytes) -> None:
    os.close(here.spool.make_folder())
    Path(os.fsdecode(here.spool.folder), "state.json").write_bytes(damage)

    assert history.load_state(here.spool) == State()


def test_a_run_goes_on_where_the_last_one_was_interrupted(here: Checkout, receiver: Receiver) -> None:
    sent = fill(here, 250)
    receiver.answer_next(OK)
    receiver.answer_always(lambda _request: Answer(503))
    run(here)
    assert pending(here) == sent[100:]
    receiver.answer_always(lambda _request: None)

    run(here)

    assert uuids(receiver.accepted) == sent


def test_an_event_tracked_during_the_run_is_sent_by_it(here: Checkout, receiver: Receiver) -> None:
    first = fill(here, 1)
    later: list[str] = []

    def track_meanwhile(_request: Request) -> None:
        if not later:
            later.extend(fill(here, 1, first=500))

    receiver.answer_always(track_meanwhile)

    run(here)

    assert uuids(receiver.accepted) == first + later


def test_events_older_than_ninety_days_are_dropped_and_counted(here: Checkout, receiver: Receiver) -> None:
    now = datetime(2026, 3, 1, tzinfo=timezone.utc)
    with freeze_time(now) as clock:
        fill(here, 2)
        clock.tick(timedelta(days=1))
        young = fill(here, 1, first=10)
        clock.tick(timedelta(days=90))

        state = run(here)

    assert (state.expired, state.sent) == (2, 1)
    assert uuids(receiver.accepted) == young
    assert pending(here) == []


@pytest.mark.parametrize("jump", [timedelta(days=-365), timedelta(days=365)], ids=["a year back", "a year ahead"])
def test_a_clock_that_jumps_blocks_nothing_for_long(here: Checkout, receiver: Receiver, jump: timedelta) -> None:
    now = datetime.now(timezone.utc)
    receiver.answer_always(lambda _request: Answer(503))
    with freeze_time(now):
        fill(here, 1)
        run(here)
    receiver.answer_always(lambda _request: None)

    with freeze_time(now + jump):
        assert here.spool.flusher_is_due(time.time())
        late = fill(here, 1, first=9)
        run(here)

    assert late[0] in uuids(receiver.accepted)


def test_events_of_another_identifier_are_deleted_and_never_sent(here: Checkout, receiver: Receiver) -> None:
    first = fill(here, 3)
    fill(here, 3, first=10, distinct_id=OTHER_ID)
    last = fill(here, 3, first=20)

    state = run(here)

    assert [uuids(r.events) for r in receiver.requests] == [first + last]
    assert (state.outcome, state.sent, state.former_id) == ("accepted", 6, 3)
    assert pending(here) == []


def test_a_spool_of_another_identifier_alone_is_deleted_without_a_request(here: Checkout, receiver: Receiver) -> None:
    fill(here, 3, distinct_id=OTHER_ID)

    state = run(here)

    assert (state.outcome, state.former_id) == ("accepted", 3)
    assert receiver.requests == []
    assert (pending(here), segments.waiting(here.spool)) == ([], [])


def test_after_a_reset_no_further_request_has_the_old_identifier(here: Checkout, receiver: Receiver) -> None:
    fill(here, 250)
    lock = here.lock.read_text()

    def reset(_request: Request) -> Answer:
        here.lock.write_text(lock.replace(ID, OTHER_ID))
        return Answer(503)

    receiver.answer_always(reset)

    states = run(here), run(here)

    assert len(receiver.requests) == 1
    assert [(state.outcome, state.former_id) for state in states] == [(OUT_OF_TIME, 0), ("accepted", 250)]


def test_events_are_kept_where_the_identifier_is_missing(here: Checkout, receiver: Receiver) -> None:
    sent = fill(here, 1)
    here.opt_in(ANALYTICS_ID="none")

    state = run(here)

    assert (state.outcome, state.reason) == (
        "off",
        "analytics are off: onramp.lock contains no valid identifier; run `make analytics-enable` to create one",
    )
    assert (receiver.requests, pending(here)) == ([], sent)


def test_consent_is_asked_before_every_request(here: Checkout, receiver: Receiver) -> None:
    sent = fill(here, 250)

    def opt_out(_request: Request) -> None:
        here.lock.write_text("ANALYTICS_ENABLED=0\n")

    receiver.answer_always(opt_out)

    state = run(here)

    assert state.outcome == "off"
    assert len(receiver.requests) == 1
    assert pending(here) == sent[100:]


def test_a_private_name_that_got_into_the_spool_does_not_leave_it(here: Checkout, receiver: Receiver) -> None:
    fill(here, 1)
    place = Path(os.fsdecode(here.spool.file))
    place.write_bytes(place.read_bytes().replace(b'"plex"', b'"alices-diary"') + b'{"event": "$identify"}\n')

    state = run(here)

    assert state.skipped == 1
    assert b"alice" not in receiver.requests[0].body
    assert receiver.accepted[0]["properties"]["service_name"] == "custom"


def test_the_logs_are_bounded(here: Checkout, receiver: Receiver, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(history, "SENT_BYTES", 1000)
    monkeypatch.setattr(history, "SENT_KEPT", 20)
    monkeypatch.setattr(history, "REFUSED_KEPT", 3)
    monkeypatch.setattr(history, "REFUSED_BYTES", 1000)
    sent = fill(here, 50)
    receiver.answer_always(poison(*sent[:5]))

    run(here)

    assert uuids(history.sent(here.spool)) == sent[-20:]
    assert [r["event"]["uuid"] for r in history.refused(here.spool)] == sent[2:5]
    log = Path(os.fsdecode(here.spool.folder), "sent")
    assert len(log.read_bytes().splitlines()) == 20


def test_an_unreadable_segment_is_left_alone_and_the_others_are_sent(here: Checkout, receiver: Receiver) -> None:
    os.close(here.spool.make_folder())
    folder = Path(os.fsdecode(here.spool.folder))
    (folder / "00000000000000000001-1.0").symlink_to("/etc/hostname")
    (folder / "00000000000000000002-1.0").mkdir()
    sent = fill(here, 1)

    assert run(here).sent == 1

    assert uuids(receiver.accepted) == sent


def test_a_second_flusher_does_not_start(opted_in: Checkout, receiver: Receiver) -> None:
    opted_in.hold_back_flusher()
    fill(opted_in, 1)
    with locks.flusher_lock(opted_in.spool):
        done = opted_in.run("flush", "--timeout", "0.2", check=False)

    assert done.returncode == 1
    assert "events are still being sent in the background" in done.stderr
    assert receiver.requests == []


def test_an_event_that_comes_just_before_the_flusher_says_that_it_ends_is_sent_by_it(
    here: Checkout, receiver: Receiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Race 5 of spool.py: its tracker still saw a flusher alive, and so started none."""
    set_not_before, late = Spool.set_not_before, list[str]()

    def track_just_before(spool: Spool, when: float) -> None:
        if when == 0 and receiver.accepted and not late:
            late.extend(fill(here, 1, first=500))
        set_not_before(spool, when)

    monkeypatch.setattr(Spool, "set_not_before", track_just_before)
    fill(here, 1)

    run(here)

    assert late[0] in uuids(receiver.accepted)


def test_what_was_sent_under_an_identifier_that_was_reset_meanwhile_is_not_remembered(
    here: Checkout, receiver: Receiver
) -> None:
    """Race 6 of spool.py."""
    fill(here, 2)
    lock = here.lock.read_text()

    def reset(_request: Request) -> None:
        here.lock.write_text(lock.replace(ID, OTHER_ID))

    receiver.answer_always(reset)

    assert run(here).sent == 2

    assert history.sent(here.spool) == []


# -- a 400 from another server -----------------------------------------------------------------------------------------


def test_a_host_that_refuses_everything_costs_no_event(here: Checkout, receiver: Receiver) -> None:
    """Nginx answers like this on a TLS port, and so do load balancers."""
    sent = fill(here, 1000)
    receiver.answer_always(lambda _request: Answer(400, b"The plain HTTP request was sent to HTTPS port"))

    state = run(here)

    assert (state.outcome, state.refused) == (UNLIKE_POSTHOG, 0)
    assert "it is probably not PostHog" in state.reason
    assert "check the host's name and port" in state.reason
    assert len(receiver.requests) == 32
    assert pending(here) == sent
    assert history.refused(here.spool) == []
    assert not here.spool.flusher_is_due(time.time() + 10)


def test_a_bad_event_alone_is_kept_until_another_one_is_accepted(here: Checkout, receiver: Receiver) -> None:
    bad = fill(here, 1)
    receiver.answer_always(poison(*bad))

    assert [run(here).outcome for _ in range(2)] == [UNLIKE_POSTHOG] * 2
    assert (pending(here), len(receiver.requests)) == (bad, 2)

    good = fill(here, 1, first=9)
    state = run(here)

    assert (state.outcome, state.sent, state.refused) == ("accepted", 1, 1)
    assert uuids(receiver.accepted) == good
    assert [r["event"]["uuid"] for r in history.refused(here.spool)] == bad
    assert (pending(here), segments.waiting(here.spool)) == ([], [])


def test_bad_events_before_the_first_good_one_are_refused_with_it_and_nothing_is_sent_twice(
    here: Checkout, receiver: Receiver
) -> None:
    sent = fill(here, 100)
    receiver.answer_always(poison(*sent[:5]))

    state = run(here)

    assert (state.outcome, state.sent, state.refused) == ("accepted", 95, 5)
    assert uuids(receiver.accepted) == sent[5:]
    assert [r["event"]["uuid"] for r in history.refused(here.spool)] == sent[:5]


def test_a_run_that_ends_while_events_are_under_suspicion_keeps_them(here: Checkout, receiver: Receiver) -> None:
    sent = fill(here, 4)
    receiver.answer_next(*[Answer(400)] * 3, Answer(401))

    assert run(here).outcome == MISCONFIGURED

    assert pending(here) == sent


# -- events that are not due -------------------------------------------------------------------------------------------

NOON = datetime(2026, 1, 3, 12, tzinfo=timezone.utc)


def daily(checkout: Checkout, **how: bool) -> State:
    return run(checkout, **{"at_once": False, **how})


def test_an_event_is_sent_on_the_second_day_after_its_own(here: Checkout, receiver: Receiver) -> None:
    with freeze_time(NOON) as clock:
        sent = fill(here, 3)
        for days in (0, 1):
            clock.move_to(datetime(2026, 1, 3 + days, 23, 59, 59, tzinfo=timezone.utc))
            assert daily(here).sent == 0
        assert (receiver.requests, pending(here)) == ([], sent)

        clock.move_to(datetime(2026, 1, 5, tzinfo=timezone.utc))

        assert daily(here).sent == 3
    assert uuids(receiver.accepted) == sent


def test_the_first_event_that_is_too_young_holds_those_behind_it_and_a_later_run_goes_on(
    here: Checkout, receiver: Receiver
) -> None:
    with freeze_time(NOON) as clock:
        old = fill(here, 2)
        clock.tick(timedelta(days=2))
        young = fill(here, 1, first=10)
        behind = fill(here, 1, first=20, when=NOON.timestamp())

        assert daily(here).outcome == "accepted"
        assert (uuids(receiver.accepted), pending(here)) == (old, young + behind)

        later = fill(here, 1, first=30)
        clock.tick(timedelta(days=2))
        assert daily(here).sent == 3
    assert uuids(receiver.accepted) == [*old, *young, *behind, *later]
    assert segments.waiting(here.spool) == []


def test_a_spool_that_begins_with_a_young_event_is_not_claimed(here: Checkout) -> None:
    fill(here, 1)

    daily(here)

    assert segments.waiting(here.spool) == []
    assert os.path.exists(here.spool.file)


def test_flush_also_sends_events_that_are_not_due(here: Checkout, receiver: Receiver) -> None:
    sent = fill(here, 2)

    assert daily(here, everything=True).sent == 2

    assert uuids(receiver.accepted) == sent


def test_after_a_run_no_flusher_starts_before_the_next_day(here: Checkout) -> None:
    midnight = datetime(2026, 1, 4, tzinfo=timezone.utc).timestamp()
    with freeze_time(NOON):
        fill(here, 1)
        daily(here)

    assert here.spool.not_before() == midnight
    assert not here.spool.flusher_is_due(midnight - 1)
    assert here.spool.flusher_is_due(midnight)


def test_a_run_that_failed_may_run_again_the_same_day(here: Checkout, receiver: Receiver) -> None:
    with freeze_time(NOON) as clock:
        fill(here, 1)
        clock.tick(timedelta(days=2))
        receiver.answer_always(lambda _request: Answer(503))

        daily(here)

        assert here.spool.not_before() - time.time() <= 60


def test_a_run_that_finds_nothing_due_keeps_how_the_last_real_one_went(here: Checkout) -> None:
    with freeze_time(NOON) as clock:
        fill(here, 2)
        clock.tick(timedelta(days=2))
        daily(here)
        clock.tick(timedelta(days=1))

        assert daily(here).sent == 0

        assert (history.load_state(here.spool).sent, history.load_state(here.spool).at) == (2, time.time() - 86_400)


def test_events_that_a_wrong_clock_dated_after_tomorrow_are_dropped_and_counted(
    here: Checkout, receiver: Receiver
) -> None:
    now = time.time()
    fill(here, 2, when=now + 2 * 86_400)
    tomorrow = fill(here, 1, first=9, when=now + 86_400)

    state = run(here)

    assert (state.from_the_future, state.sent) == (2, 1)
    assert uuids(receiver.accepted) == tomorrow


def test_a_flusher_that_finds_nothing_due_never_loads_the_sdk(here: Checkout) -> None:
    fill(here, 1)
    os.close(here.spool.make_folder())
    code = (
        "import sys, os; from onramp_analytics import flush; flush.sends_at_once = lambda root: False; flush.main();"
        "print([name for name in ('posthog', 'requests') if name in sys.modules])"
    )

    done = subprocess.run(
        [sys.executable, "-c", code, here.path, here.path], capture_output=True, text=True, check=True, env=here.env
    )

    assert done.stdout == "[]\n"
    assert here.spool.not_before() == schedule.next_day(time.time())


# -- flushers that never finish ----------------------------------------------------------------------------------------


def test_senders_that_are_killed_each_time_are_counted_until_one_comes_to_its_end(
    here: Checkout, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Killed(BaseException):
        pass

    def killed(_seconds: float) -> None:
        raise Killed

    monkeypatch.setattr(detached, "time", SimpleNamespace(time=time.time, sleep=killed))
    fill(here, 1)
    for number in (1, 2, 3):
        here.spool.clear_not_before()
        with pytest.raises(Killed):
            detached.linger(here.spool)
        assert history.unfinished(here.spool) == number
        assert any("were interrupted" in said for said in here.status()["problems"]) == (number == 3)

    assert "`make analytics-flush`" in "".join(here.status()["problems"])

    assert run(here).sent == 1

    assert history.unfinished(here.spool) == 0
    assert here.status()["problems"] == []


def test_an_event_of_a_newer_version_is_kept_until_an_upgrade_knows_it(here: Checkout, receiver: Receiver) -> None:
    first = fill(here, 1)
    here.spool.append(newer_line(), lambda: "")
    behind = fill(here, 1, first=2)

    state = run(here)
    fill(here, 1, first=3)
    run(here)

    assert (state.outcome, state.sent, state.newer, state.skipped) == ("accepted", 1, 1, 0)
    assert uuids(receiver.accepted) == [*first, uuid_of(3)]
    (segment,) = segments.waiting(here.spool)
    with segments.open_file(here.spool, segment.name, segment.offset) as file:
        assert file.read().startswith(newer_line())
    assert "need a newer version of this program" in here.run("flush", check=False).stderr
    assert behind[0] in pending(here)


def newer_line() -> bytes:
    """An event with a property that this version does not know."""
    line = events.build("service_disabled", {"service_name": "plex"}, ID, time.time(), (99).to_bytes(16, "big"))
    return line.replace(b'"$process', b'"new_property":true,"$process').replace(f'"{__version__}"'.encode(), b'"99.0"')
