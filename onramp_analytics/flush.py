"""Send the queued events: claim, batch, send, decide, acknowledge, back off. One run at a time for each spool.

    python -m onramp_analytics.flush ROOT      the detached flusher, started by detached.py

The rules are in `posthog/retry.py` (what happens to events after an answer, and when to try again) and
`outbox/schedule.py` (when an event is due). `Run` applies them to the queued events, one segment after another, and
`posthog/sender.py` makes the requests.
"""

from __future__ import annotations

import os
import random
import sys
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import closing, suppress
from dataclasses import asdict, dataclass
from functools import partial

from onramp_analytics import checkout, consent
from onramp_analytics.detached import LINGER, LONGEST_LIFE, record_end
from onramp_analytics.errors import CouldNot, Misconfigured
from onramp_analytics.outbox import history, locks, overview, schedule, segments
from onramp_analytics.outbox.history import Counts, State
from onramp_analytics.outbox.schedule import Calendar
from onramp_analytics.outbox.segments import Entry, Newer, Pending, Segment
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
FLUSHER_WAIT = 2.0  # seconds; the previous flusher lets a new one start shortly before it ends (race 5 of spool.py)


@dataclass(slots=True)
class Reading:
    """A segment while its events are sent.

    Attributes:
        segment: the segment; its offset is the one in the name of the file.
        end: an offset; each event before it is done or is a suspect. A suspect is an event that the server refused in
            a request of its own, when it had not accepted any other event.
        kept_from: the offset of the first event that stays queued; None if none stays.
    """

    segment: Segment
    end: int
    kept_from: int | None = None

    def acknowledge(self, spool: Spool) -> None:
        """Record on disk that the events before `end` are done."""
        if self.end > self.segment.offset:
            self.segment = segments.acknowledge(spool, self.segment, self.end)

    def finish(self, spool: Spool) -> None:
        """Delete the segment if all its events are done; otherwise record which ones are."""
        if self.kept_from is None:
            segments.discard(spool, self.segment)
        else:
            self.acknowledge(spool)


class Run:
    """One run over one spool; `counts` holds what became of the events. The caller must hold the flusher's lock."""

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
        self._visited: set[bytes] = set()  # stems of the segments that this run has read, or could not open
        self._refusals = 0  # requests that the server refused
        self._suspects: list[tuple[Pending, str]] = []  # in their order, with the server's reason; see `action`
        self._unfinished: list[Reading] = []  # segments to finish as soon as the suspects are settled

    def send_all(self) -> None:
        """Send until no event that is due is left.

        Raises:
            Stop: events are left; it holds the reason.
            Misconfigured: the destination is not set, or not valid.
            OSError: a file cannot be used.
        """
        while True:
            while segment := next((s for s in segments.waiting(self._spool) if s.stem not in self._visited), None):
                self._drain(segment)
            # Race 5 of spool.py: first allow a new flusher to start, then look at the spool again.
            self._spool.set_not_before(0)
            must_claim = self._everything or overview.is_worth_claiming(self._spool, self._published, self._calendar)
            claimed = segments.claim(self._spool) if must_claim else None
            if not claimed:
                break
            self._spool.set_not_before(time.time() + LONGEST_LIFE)
            self._drain(claimed)
        if self._suspects:
            raise nothing_accepted(self._suspects[-1][1])

    def _drain(self, segment: Segment) -> None:
        self._visited.add(segment.stem)
        try:
            file = segments.open_file(self._spool, segment.name, segment.offset)
        except OSError:
            return
        reading = Reading(segment, segment.offset)
        with file:
            for batch in overview.batches(self._due(reading, segments.read(file, self._published))):
                self._settle(reading, batch)
        reading.end = max(reading.end, reading.kept_from or 0)  # dropped lines before the first kept one are done, too
        if self._suspects:
            self._unfinished.append(reading)
        else:
            reading.finish(self._spool)

    def _due(self, reading: Reading, entries: Iterable[Entry]) -> Iterator[Pending]:
        """Yield the events before the first one that is not due. That event and the later ones stay queued."""
        for pending in overview.sendable(self._until_newer(reading, entries), self.counts, self._calendar):
            if not (self._everything or self._calendar.is_due(pending.event["timestamp"])):
                reading.kept_from = pending.start
                return
            yield pending

    def _until_newer(self, reading: Reading, entries: Iterable[Entry]) -> Iterator[Entry]:
        """Yield the lines before the first one of a newer version. That line and the later ones wait for an upgrade."""
        for entry in entries:
            if isinstance(entry, Newer) and not self._calendar.has_expired(entry.timestamp):
                reading.kept_from = entry.start
                self.counts.newer += 1
                return
            yield entry

    def _settle(self, reading: Reading, batch: list[Pending]) -> None:
        """Send the events of the present identifier, and delete those of a former one."""
        distinct_id = require_consent(self._root).id
        present = [p for p in batch if p.event["distinct_id"] == distinct_id]
        if present:
            self._send(reading, present)
        self.counts.former_id += len(batch) - len(present)
        self._acknowledge(reading, batch[-1])

    def _send(self, reading: Reading, batch: list[Pending]) -> None:
        """Send a batch until each of its events is accepted, refused, or a suspect."""
        outcome = self._sender.send([p.event for p in batch])
        self._refusals += ACTIONS[outcome.kind] == "split"
        match action(outcome.kind, len(batch), accepted=self.counts.sent, refusals=self._refusals):
            case "settle":
                self._accept(batch)
                self._acknowledge(reading, batch[-1])
                self._progress(len(batch))
            case "split":
                self._send(reading, batch[: len(batch) // 2])
                self._send(reading, batch[len(batch) // 2 :])
            case "refuse":
                self._refuse(batch[0], outcome.reason)
                self._acknowledge(reading, batch[0])
            case "suspect":
                self._suspects.append((batch[0], outcome.reason))
            case "give up":
                raise nothing_accepted(outcome.reason)
            case "keep":
                raise Stop(outcome.kind, outcome.reason, outcome.retry_after)

    def _accept(self, batch: list[Pending]) -> None:
        self._log(batch, history.log_sent)
        self.counts.sent += len(batch)
        for suspect, reason in self._suspects:
            self._refuse(suspect, reason)
        for reading in self._unfinished:
            reading.finish(self._spool)
        self._suspects.clear()
        self._unfinished.clear()

    def _refuse(self, event: Pending, reason: str) -> None:
        self._log([event], partial(history.log_refused, reason=reason))
        self.counts.refused += 1
        self._progress(1)

    def _acknowledge(self, reading: Reading, last: Pending) -> None:
        """Record that the events up to `last` are done; if there are suspects, not before they are settled."""
        reading.end = max(reading.end, last.end)
        if not self._suspects:
            reading.acknowledge(self._spool)

    def _log(self, batch: list[Pending], log: Callable[[Spool, list[Pending]], None]) -> None:
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
    """Do one run, save how it ended, and set when the next one may start. The caller must hold the flusher's lock.

    Args:
        spool: what to send.
        root: the checkout.
        seconds: how long the run may start new requests.
        progress: called with the number of events after each batch that is settled.
        everything: also send the events that are not due yet, since the user asked for it.
        at_once: whether this checkout sends events at once; otherwise it sends the due ones once a day.

    Returns:
        How it ended: `outcome` is ACCEPTED if no event is left to send now.
    """
    permission = consent.ask(os.environb, root)
    if not permission.on:
        segments.leave(spool)
        return State(outcome=OFF, reason=f"analytics are off: {permission.why}")
    before, now = history.load_state(spool), time.time()
    sender = Sender(root, seconds)
    work = Run(spool, root, sender, progress, everything=everything or at_once)
    with closing(sender):
        outcome = _outcome_of(work)
    state = State(
        at=now,
        outcome=outcome.kind,
        reason=outcome.reason,
        last_sent_at=now if work.counts.sent else before.last_sent_at,
        failures=before.failures + 1 if outcome.kind in BACK_OFF else 0,
        **asdict(work.counts),
    )
    _finish(spool, before, state, outcome, at_once=at_once)
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
        return Outcome(UNREACHED, f"this machine: {error.strerror or error}: see `make analytics-doctor`")
    return Outcome(ACCEPTED)


def _finish(spool: Spool, before: State, state: State, outcome: Outcome, *, at_once: bool) -> None:
    record_end(spool)
    try:
        if outcome.kind == OFF:
            spool.clear_not_before()
            return
        if not (state.found_nothing and state.outcome == before.outcome == ACCEPTED):
            history.save_state(spool, state)  # a run that found nothing does not replace a success
        segments.remove_abandoned(spool, time.time())
        if outcome.kind in BACK_OFF:
            spool.set_not_before(next_try(outcome, state.failures, time.time(), random.random()))  # noqa: S311
        elif outcome.kind == OUT_OF_TIME or at_once:
            spool.set_not_before(0)
        else:
            spool.set_not_before(schedule.next_day(time.time()))
    except OSError:
        pass  # `disable` deleted the folder, or the disk is full; `status` shows both


def main() -> None:
    """Run the detached flusher: send the events that are due, or leave them for the next one. Print nothing."""
    root = os.fsencode(sys.argv[1])
    until = time.monotonic() + RUN  # a flusher is not a daemon
    spool = Spool(root)
    with suppress(OSError), locks.flusher_lock(spool, FLUSHER_WAIT) as held:  # OSError: the folder is gone or not ours
        if held:
            run(spool, root, until - time.monotonic(), at_once=sends_at_once(root))


def sends_at_once(root: bytes) -> bool:
    """Return whether this checkout sends events at once, and not once a day."""
    return destination.send(root, os.environ) == consent.AT_ONCE


if __name__ == "__main__":
    main()
