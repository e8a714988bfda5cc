"""Send the queued events: claim, batch, send, decide, acknowledge, back off. One run at a time for each spool.

    python -m onramp_analytics.flush ROOT      the detached flusher, started by detached.py

The rules are in `posthog/retry.py` (what happens to events after an answer, and when to try again) and
`outbox/schedule.py` (when an event is due). `Run` walks the spool and applies them, and `posthog/sender.py` makes the
requests.
"""

from __future__ import annotations

import os
import random
import sys
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import suppress
from dataclasses import asdict
from functools import partial

from onramp_analytics import checkout, consent
from onramp_analytics.detached import LINGER, LONGEST_LIFE, forget_begin
from onramp_analytics.errors import CouldNot, Misconfigured
from onramp_analytics.outbox import history, locks, overview, schedule, segments
from onramp_analytics.outbox.history import Counts, State
from onramp_analytics.outbox.schedule import Calendar
from onramp_analytics.outbox.segments import Newer, Pending, Segment
from onramp_analytics.posthog import destination
from onramp_analytics.posthog.outcome import (
    ACCEPTED,
    LONGEST_REQUEST,
    MISCONFIGURED,
    OFF,
    OUT_OF_TIME,
    UNREACHED,
    Outcome,
)
from onramp_analytics.posthog.retry import ACTIONS, BACK_OFF, action, next_try
from onramp_analytics.posthog.sender import Sender, Stop, nothing_accepted, require_consent
from onramp_analytics.spool import Spool

RUN = LONGEST_LIFE - LINGER[1] - LONGEST_REQUEST - 5  # seconds in which a run may begin a request
LOG_WAIT = 0.2  # seconds for the spool's lock; if it stays busy, the events are sent but not logged
LOCK_WAIT = 2.0  # seconds for the previous flusher to end (race 5 of spool.py; 0 stranded in 3,000 rounds)


class Run:
    """One run over one spool. Its caller holds the flusher's lock.

    Attributes:
        counts: what became of the events.
    """

    def __init__(
        self, spool: Spool, root: bytes, sender: Sender, progress: Callable[[int], None], *, everything: bool
    ) -> None:
        self.counts = Counts()
        self._spool = spool
        self._root = root
        self._sender = sender
        self._progress = progress
        self._everything = everything
        self._published = checkout.published(root)
        self._calendar = Calendar.at(time.time())
        self._segment = Segment(b"", 0)
        self._left: set[bytes] = set()  # stems of segments that cannot be read, or hold events that are not due
        self._doubts = 0
        self._suspects: list[tuple[Pending, str]] = []  # in their order, with the server's reason; see `action`
        self._young = 0  # the offset in this segment at which the first event to keep begins
        self._end = 0  # the offset in this segment up to which events are done or suspects
        self._parked: list[Callable[[], object]] = []  # finish the earlier segments once the suspects are settled

    def send_all(self) -> None:
        """Send until no event that is due is left.

        Raises:
            Stop: events are left; it holds the reason.
            Misconfigured: the destination is not set, or not valid.
            OSError: a file cannot be used.
        """
        while True:
            while segment := next((s for s in segments.waiting(self._spool) if s.stem not in self._left), None):
                self._drain(segment)
            # Race 5 of spool.py: first clear `not-before`, then look at the spool again.
            self._spool.hold_back(0)
            claimed = segments.claim(self._spool) if self._is_worth_claiming() else None
            if not claimed:
                break
            self._spool.hold_back(time.time() + LONGEST_LIFE)
            self._drain(claimed)
        if self._suspects:
            raise nothing_accepted(self._suspects[-1][1])

    def _is_worth_claiming(self) -> bool:
        """Return whether the spool begins with an event to settle now; otherwise a claim would only move it."""
        if self._everything:
            return True
        try:
            with segments.open_spool(self._spool) as file:
                first = next(overview.sendable(segments.read(file, self._published), Counts(), self._calendar), None)
        except OSError:
            return True  # it is missing or not ours, which the claim handles
        return not first or self._calendar.is_due(first.event["timestamp"])

    def _drain(self, segment: Segment) -> None:
        try:
            file = segments.open_file(self._spool, segment.name, segment.offset)
        except OSError:
            self._left.add(segment.stem)
            return
        self._segment, self._end, self._young = segment, segment.offset, 0
        with file:
            for batch in overview.batches(self._due(segments.read(file, self._published))):
                self._settle(batch)
        self._acknowledge(self._young)  # so that lines that were dropped before it are not counted again
        is_whole = segment.stem not in self._left
        if self._suspects:
            self._left.add(segment.stem)
            finish = segments.discard if is_whole else partial(segments.acknowledge, end=self._end)
            self._parked.append(partial(finish, self._spool, self._segment))
        elif is_whole:
            segments.discard(self._spool, self._segment)

    def _due(self, found: Iterable[Pending | Newer | None]) -> Iterator[Pending]:
        """Yield the events before the first one that is not due; those after it are kept, too."""
        for pending in overview.sendable(self._until_newer(found), self.counts, self._calendar):
            if not (self._everything or self._calendar.is_due(pending.event["timestamp"])):
                self._left.add(self._segment.stem)
                self._young = pending.start
                return
            yield pending

    def _until_newer(self, found: Iterable[Pending | Newer | None]) -> Iterator[Pending | Newer | None]:
        """Yield the lines before the first one of a newer version of this program, which stays for the upgrade."""
        for one in found:
            if isinstance(one, Newer) and not self._calendar.has_expired(one.timestamp):
                self._left.add(self._segment.stem)
                self._young = one.start
                self.counts.newer += 1
                return
            yield one

    def _settle(self, batch: list[Pending]) -> None:
        """Send the events of the present identifier, and delete those of a former one."""
        distinct_id = require_consent(self._root).id
        present = [p for p in batch if p.event["distinct_id"] == distinct_id]
        if present:
            self._send(present)
        self.counts.former_id += len(batch) - len(present)
        self._acknowledge(batch[-1].end)

    def _send(self, batch: list[Pending]) -> None:
        """Send a batch until each of its events is accepted, refused, or a suspect."""
        outcome = self._sender.send([p.event for p in batch])
        self._doubts += ACTIONS[outcome.kind] == "split"
        match action(outcome.kind, len(batch), accepted=self.counts.sent, doubts=self._doubts):
            case "settle":
                self._accept(batch)
            case "split":
                self._send(batch[: len(batch) // 2])
                self._send(batch[len(batch) // 2 :])
            case "refuse":
                self._refuse(batch[0], outcome.reason)
                self._acknowledge(batch[0].end)
            case "suspect":
                self._suspects.append((batch[0], outcome.reason))
            case "give up":
                raise nothing_accepted(outcome.reason)
            case "keep":
                raise Stop(outcome.kind, outcome.reason, outcome.retry_after)

    def _accept(self, batch: list[Pending]) -> None:
        self._remember(batch, history.log_sent)
        self.counts.sent += len(batch)
        for suspect, reason in self._suspects:
            self._refuse(suspect, reason)
        for finish in self._parked:
            finish()
        self._suspects.clear()
        self._parked.clear()
        self._acknowledge(batch[-1].end)
        self._progress(len(batch))

    def _refuse(self, event: Pending, reason: str) -> None:
        self._remember([event], partial(history.log_refused, reason=reason))
        self.counts.refused += 1
        self._progress(1)

    def _acknowledge(self, end: int) -> None:
        """Record that the events before `end` are done, unless one of them is a suspect."""
        self._end = max(end, self._end)
        if not self._suspects and self._end > self._segment.offset:
            self._segment = segments.acknowledge(self._spool, self._segment, self._end)

    def _remember(self, batch: list[Pending], log: Callable[[Spool, list[Pending]], None]) -> None:
        """Log the events, unless their identifier was reset meanwhile (race 6 of spool.py)."""
        with suppress(OSError), locks.locked(self._spool, LOG_WAIT) as held:
            if held and consent.ask(os.environb, self._root).id == batch[0].event["distinct_id"]:
                log(self._spool, batch)


def run(
    spool: Spool,
    root: bytes,
    seconds: float,
    progress: Callable[[int], None] = lambda _done: None,
    *,
    everything: bool = False,
    at_once: bool = False,
) -> State:
    """Do one run, save how it ended, and set when the next one may start. Hold the flusher's lock.

    Args:
        spool: what to send.
        root: the checkout.
        seconds: how long the run may start new requests.
        progress: called with the number of events after each batch that is settled.
        everything: also send the events that are not due yet, since the user asked for it.
        at_once: whether this checkout sends events at once, or once a day those that are due.

    Returns:
        How it ended: `outcome` is ACCEPTED if no event is left that is to be sent now.
    """
    permission = consent.ask(os.environb, root)
    if not permission.on:
        segments.leave(spool)
        return State(outcome=OFF, reason=f"analytics are off: {permission.why}")
    before, now = history.load_state(spool), time.time()
    sender = Sender(root, seconds)
    work = Run(spool, root, sender, progress, everything=everything or at_once)
    try:
        outcome = _outcome_of(work)
    finally:
        sender.close()
    state = State(
        at=now,
        outcome=outcome.kind,
        reason=outcome.reason,
        last_sent_at=now if work.counts.sent else before.last_sent_at,
        failures=before.failures + 1 if outcome.kind in BACK_OFF else 0,
        **asdict(work.counts),
    )
    _wind_up(spool, before, state, outcome, at_once=at_once)
    return state


def _outcome_of(work: Run) -> Outcome:
    try:
        work.send_all()
    except Stop as stop:
        return stop.outcome
    except Misconfigured as error:
        return Outcome(MISCONFIGURED, str(error))
    except CouldNot as error:
        return Outcome(UNREACHED, f"this machine: {error}")
    except OSError as error:
        return Outcome(UNREACHED, f"this machine: {error.strerror or error}: see `onramp-analytics doctor`")
    return Outcome(ACCEPTED)


def _wind_up(spool: Spool, before: State, state: State, outcome: Outcome, *, at_once: bool) -> None:
    forget_begin(spool)
    try:
        if outcome.kind == OFF:
            spool.release()
            return
        if not (state.found_nothing and state.outcome == before.outcome == ACCEPTED):  # it would hide the previous run
            history.save_state(spool, state)
        segments.remove_abandoned(spool, time.time())
        if outcome.kind in BACK_OFF:
            when = next_try(outcome, state.failures, time.time(), random.random())  # noqa: S311
            spool.hold_back(when)
        elif outcome.kind == OUT_OF_TIME or at_once:
            spool.hold_back(0)
        else:
            spool.hold_back(schedule.next_day(time.time()))
    except OSError:
        pass  # `disable` deleted the folder, or the disk is full; `status` shows both


def main() -> None:
    """Run the detached flusher: send the events that are due, or leave them for the next one. Never prints."""
    root = os.fsencode(sys.argv[1])
    until = time.monotonic() + RUN  # a flusher is not a daemon
    spool = Spool(root)
    with (
        suppress(OSError),
        locks.flusher_lock(spool, LOCK_WAIT) as held,
    ):  # the folder is gone or not ours, which `status` shows
        if held:
            run(spool, root, until - time.monotonic(), at_once=sends_at_once(root))


def sends_at_once(root: bytes) -> bool:
    """Return whether this checkout sends events at once, and not once a day."""
    return destination.send(root, os.environ) == consent.AT_ONCE


if __name__ == "__main__":
    main()
