"""6. Consent: opting out at any moment, and a new identifier at any moment."""

from __future__ import annotations

import signal
from pathlib import Path

from tests.conftest import Checkout
from tests.faults.children import run_command, run_flusher, start, write_events
from tests.faults.rig import NUMBERS, Fault, Rig, consent_of, stopped


def disable_at_each_line_of_a_flush(rig: Rig) -> None:
    """After `disable` no event arrives and only `onramp.lock` is left, at whichever line the flusher was."""
    checkout = rig.checkout()
    rig.track(checkout, 2)
    for halt in rig.halts(checkout, signal.SIGSTOP, run_flusher):
        checkout.opt_in()
        rig.track(checkout, 2)
        flusher = start(rig.place(checkout), run_flusher, halt=halt)
        with stopped(flusher):
            _disable(rig, checkout)
            arrived = len(rig.receiver.requests)
        rig.finish(flusher)
        _nothing_more(rig, checkout, arrived)
    rig.forget_recorded()


def disable_at_each_line_of_a_tracker(rig: Rig) -> None:
    """The same for a tracker: it continues after `disable`, and leaves no file behind."""
    checkout = rig.checkout()
    words = ("track", "service_disabled", "service_name=plex")
    for halt in rig.halts(checkout, signal.SIGSTOP, run_command, *words):
        checkout.opt_in()
        checkout.hold_back_flusher()
        tracker = start(rig.place(checkout), run_command, *words, halt=halt)
        with stopped(tracker):
            _disable(rig, checkout)
        rig.expect_undisturbed(tracker)
        _nothing_more(rig, checkout, 0)


def _disable(rig: Rig, checkout: Checkout) -> None:
    rig.tally.faults += 1
    rig.expect_undisturbed(start(rig.place(checkout), run_command, "disable"), silent=False)


def _nothing_more(rig: Rig, checkout: Checkout, arrived: int) -> None:
    rig.tally.expect(len(rig.receiver.requests) == arrived, "something arrived after `disable` had returned")
    left = checkout.files() - {"onramp.lock"}
    rig.tally.expect(not left, f"{left} is left after `disable`")


def disable_among_writers(rig: Rig) -> None:
    """`disable` while trackers and flushers run: from then on no event is stored and none arrives."""
    for _ in range(max(3, min(rig.effort.points, 40) // 4)):
        checkout = rig.checkout(f"onramp-{len(rig.checkouts)}")
        place = rig.place(checkout)
        others = [start(place, write_events, rig.acknowledged, rig.numbers(), NUMBERS, 0.0005) for _ in range(3)]
        others += [start(place, run_flusher) for _ in range(2)]
        rig.receiver.wait_for_request(len(rig.receiver.requests) + 1)
        _disable(rig, checkout)
        arrived = len(rig.receiver.requests)
        rig.track_undisturbed(checkout)
        for other in others[3:]:
            rig.finish(other)
        for other in others[:3]:
            other.kill()
            other.join()
        _nothing_more(rig, checkout, arrived)
    rig.forget_recorded()


def do_not_track_between_tracking_and_sending(rig: Rig) -> None:
    """Nothing is sent with DO_NOT_TRACK, without consent, and before the notice; queued events stay queued."""
    checkout = rig.checkout()
    rig.track(checkout, 3)
    before = checkout.lock.read_bytes()
    for name, value in (("DO_NOT_TRACK", "1"), ("ONRAMP_ANALYTICS_ENABLED", "0"), ("ONRAMP_ANALYTICS_ENABLED", "?")):
        rig.tally.faults += 1
        rig.expect_undisturbed(start(rig.place(checkout, env={name: value}), run_flusher))
    for said in (b"", before.replace(b"NOTICE_SHOWN=1", b"NOTICE_SHOWN=0"), before.replace(b"ENABLED=1", b"ENABLED=0")):
        rig.tally.faults += 1
        checkout.lock.write_bytes(said)
        rig.flush(checkout)
    rig.tally.expect(not rig.receiver.requests, "something was sent without consent")
    rig.tally.expect(len(rig.pending(checkout)) == 3, "queued events are gone")
    checkout.lock.write_bytes(before)
    rig.settle(checkout)


def a_new_identifier_at_each_line_of_a_flush(rig: Rig) -> None:
    """`reset-id` at each line of the flusher: no request has two identifiers, and the old one is not kept."""
    checkout = rig.checkout()
    rig.track(checkout, 2)
    for halt in rig.halts(checkout, signal.SIGSTOP, run_flusher):
        rig.track(checkout, 2)
        old = consent_of(checkout)[1]
        flusher = start(rig.place(checkout), run_flusher, halt=halt)
        with stopped(flusher):
            rig.tally.faults += 1
            rig.ask(checkout, "reset-id")  # which ends the flusher first
            is_new = consent_of(checkout)[1] != old
            rig.track(checkout, 2)
        rig.finish(flusher)
        rig.flush(checkout)
        rig.tally.expect(not rig.pending(checkout), "events under the new identifier were not sent")
        found = [path.name for path in _files(checkout) if old.encode() in path.read_bytes()]
        rig.tally.expect(not found or not is_new, f"the old identifier is in {found} after its events were sent")
    rig.settle(checkout)
    rig.forget_recorded()  # `reset-id` deletes what is queued under the old identifier, as it is meant to
    rig.count()


def _files(checkout: Checkout) -> list[Path]:
    return [path for path in checkout.path.rglob("*") if path.is_file()]


FAULTS: list[Fault] = [
    disable_at_each_line_of_a_flush,
    disable_at_each_line_of_a_tracker,
    disable_among_writers,
    do_not_track_between_tracking_and_sending,
    a_new_identifier_at_each_line_of_a_flush,
]
