"""Send what is pending: claim, batch, send, decide, acknowledge, back off. One run at a time for each spool.

    python -m onramp_analytics.flush ROOT      the detached flusher, started by detached.py

The rules are `ACTIONS` and `action` (what happens to the events after an answer), `next_try` (when to come back) and
`outbox/schedule.py` (when an event is due). `Run` walks the spool and does what they say; the requests are those of
`posthog/sender.py`.
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
from typing import Literal

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
    REJECTED,
    TOO_LARGE,
    UNLIKE_POSTHOG,
    UNREACHED,
    Kind,
    Outcome,
)
from onramp_analytics.posthog.sender import Sender, Stop, require_consent
from onramp_analytics.spool import LONGEST_WAIT, Spool

MOST_EVENTS, MOST_BYTES = 100, 1 << 20  # a batch: the contract's
MOST_DOUBTS = 32  # requests refused without one accepted: finds a bad event among 100, and 24 more beside it
RUN = LONGEST_LIFE - LINGER[1] - LONGEST_REQUEST - 5  # seconds in which a run may begin a request
LOG_WAIT = 0.2  # seconds for the spool's lock; where it stays busy the events are sent, but not remembered
LOCK_WAIT = 2.0  # seconds for the flusher before us to end (race 5 of spool.py; 0 stranded in 3,000 rounds)

Action = Literal["settle", "split", "refuse", "suspect", "give up", "keep"]
#: What happens to the events of a request (contract, "Sending"). `action` says how far a batch is split.
ACTIONS: dict[Kind, Literal["settle", "split", "keep"]] = {
    ACCEPTED: "settle",
    TOO_LARGE: "split",
    REJECTED: "split",
    UNREACHED: "keep",
    UNLIKE_POSTHOG: "keep",
    MISCONFIGURED: "keep",
}
#: First and longest pause in seconds after a run that kept its events; doubled after each.
BACK_OFF: dict[Kind, tuple[int, int]] = {
    UNREACHED: (60, 6 * 3600),
    UNLIKE_POSTHOG: (1800, 12 * 3600),  # a captive portal is left within the hour, a wrong host is not
    MISCONFIGURED: (3600, 12 * 3600),
}


def action(kind: Kind, size: int, *, accepted: int, doubts: int) -> Action:
    """Return what happens to a batch after its answer.

    An event is refused only by a server that takes others: a load balancer or a wrong port refuses everything.

    Args:
        kind: what the answer was.
        size: the batch's number of events.
        accepted: events of this run that the server has accepted.
        doubts: requests of this run that were refused, this one among them.

    Returns:
        "settle": they are sent. "split": halve the batch. "refuse": put the one event aside. "suspect": refuse it as
        soon as another one is accepted. "give up": keep all, since nothing is ever accepted. "keep": keep all.
    """
    planned = ACTIONS[kind]
    if planned != "split":
        return planned
    if not accepted and doubts >= MOST_DOUBTS:
        return "give up"
    if size > 1:
        return "split"
    return "refuse" if accepted else "suspect"


def next_try(outcome: Outcome, failures: int, now: float, jitter: float) -> float:
    """Return when the next run may start, in seconds since 1970.

    Exponential back-off with full jitter, and never before what the server asked for.

    Args:
        outcome: why the run ended.
        failures: runs that failed one after the other, this one among them.
        now: seconds since 1970.
        jitter: 0 to 1, random.
    """
    first, longest = BACK_OFF[outcome.kind]
    pause = max(min(longest, first * 2.0 ** min(failures - 1, 30)) * jitter, 1.0)
    return now + min(max(pause, outcome.retry_after), LONGEST_WAIT)


def batches(found: Iterable[Pending]) -> Iterator[list[Pending]]:
    """Group events into batches of at most 100 events and 1 MiB."""
    batch: list[Pending] = []
    size = 0
    for one in found:
        if batch and (len(batch) == MOST_EVENTS or size + len(one.line) > MOST_BYTES):
            yield batch
            batch, size = [], 0
        batch.append(one)
        size += len(one.line)
    if batch:
        yield batch


class Run:
    """One run over one spool, in the hands of whoever holds the flusher's lock.

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
        self._left: set[bytes] = set()  # stems of segments that cannot be read, or hold events that are too young
        self._doubts = 0
        self._suspects: list[tuple[Pending, str]] = []  # in their order, with the server's reason; see `action`
        self._young = 0  # the offset in this segment at which the first event begins that is to be kept
        self._end = 0  # the offset in this segment up to which all is done, or under suspicion
        self._parked: list[Callable[[], object]] = []  # what is to be done with the segments before this one then

    def send_all(self) -> None:
        """Send until nothing is left that is due.

        Raises:
            Stop: something is left, and why.
            Misconfigured: there is nowhere to send to.
            OSError: the machine is in the way.
        """
        while True:
            while segment := self._next_waiting():
                self._drain(segment)
            # Race 5 of spool.py: first say that a flusher is due, then look once more.
            self._spool.hold_back(0)
            claimed = segments.claim(self._spool) if self._is_worth_claiming() else None
            if not claimed:
                break
            self._spool.hold_back(time.time() + LONGEST_LIFE)
            self._drain(claimed)
        if self._suspects:
            raise _nothing_accepted(self._suspects[-1][1])

    def _next_waiting(self) -> Segment | None:
        return next((s for s in segments.waiting(self._spool) if s.stem not in self._left), None)

    def _is_worth_claiming(self) -> bool:
        """Tell whether the spool begins with something that can be settled now; else a claim would only move it."""
        if self._everything:
            return True
        try:
            with segments.open_spool(self._spool) as file:
                first = next(overview.sendable(segments.read(file, self._published), Counts(), self._calendar), None)
        except OSError:
            return True  # there is none, or it is not ours: the claim finds out
        return not first or self._calendar.is_due(first.event["timestamp"])

    def _drain(self, segment: Segment) -> None:
        try:
            file = segments.open_file(self._spool, segment.name, segment.offset)
        except OSError:
            self._left.add(segment.stem)
            return
        self._segment, self._end, self._young = segment, segment.offset, 0
        with file:
            for batch in batches(self._due(segments.read(file, self._published))):
                self._settle(batch)
        self._acknowledge(self._young)  # so that what was dropped before it is not counted again
        is_whole = segment.stem not in self._left
        if self._suspects:
            self._left.add(segment.stem)
            finish = segments.discard if is_whole else partial(segments.acknowledge, end=self._end)
            self._parked.append(partial(finish, self._spool, self._segment))
        elif is_whole:
            segments.discard(self._spool, self._segment)

    def _due(self, found: Iterable[Pending | Newer | None]) -> Iterator[Pending]:
        """Yield the events up to the first one that is too young; what is behind it waits with it."""
        for pending in overview.sendable(self._until_newer(found), self.counts, self._calendar):
            if not (self._everything or self._calendar.is_due(pending.event["timestamp"])):
                self._left.add(self._segment.stem)
                self._young = pending.start
                return
            yield pending

    def _until_newer(self, found: Iterable[Pending | Newer | None]) -> Iterator[Pending | Newer | None]:
        """Yield lines up to the first one of a newer version of this program, which an upgrade will know."""
        for one in found:
            if isinstance(one, Newer) and not self._calendar.has_expired(one.timestamp):
                self._left.add(self._segment.stem)
                self._young = one.start
                self.counts.newer += 1
                return
            yield one

    def _settle(self, batch: list[Pending]) -> None:
        """Send the events of the present identifier, and drop those of a former one."""
        distinct_id = require_consent(self._root).id
        present = [p for p in batch if p.event["distinct_id"] == distinct_id]
        if present:
            self._send(present)
        self.counts.former_id += len(batch) - len(present)
        self._acknowledge(batch[-1].end)

    def _send(self, batch: list[Pending]) -> None:
        """Send a batch until each of its events is accepted, refused for good, or under suspicion."""
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
                raise _nothing_accepted(outcome.reason)
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
        """Note that everything before `end` is done, unless an event before it is under suspicion."""
        self._end = max(end, self._end)
        if not self._suspects and self._end > self._segment.offset:
            self._segment = segments.acknowledge(self._spool, self._segment, self._end)

    def _remember(self, batch: list[Pending], log: Callable[[Spool, list[Pending]], None]) -> None:
        """Log what was settled, unless its identifier was reset meanwhile (race 6 of spool.py)."""
        with suppress(OSError), locks.locked(self._spool, LOG_WAIT) as held:
            if held and consent.ask(os.environb, self._root).id == batch[0].event["distinct_id"]:
                log(self._spool, batch)


def _nothing_accepted(reason: str) -> Stop:
    what = f"the host refuses every event, so it is probably not PostHog: {reason}"
    return Stop(UNLIKE_POSTHOG, f"{what}: check the host's name and port")


def run(
    spool: Spool,
    root: bytes,
    seconds: float,
    progress: Callable[[int], None] = lambda _done: None,
    *,
    everything: bool = False,
    at_once: bool = False,
) -> State:
    """Do one run, keep how it ended, and say when the next one may start. Hold the flusher's lock.

    Args:
        spool: what to send.
        root: the checkout.
        seconds: how long the run may begin requests.
        progress: called with the number of events after each batch that is settled.
        everything: send the events that are not due yet, too: a person asked for it.
        at_once: how this checkout sends: as soon as there is something, or once a day what is due.

    Returns:
        How it ended: `outcome` is ACCEPTED when nothing is left that is to be sent now.
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
    failed = outcome.kind in BACK_OFF
    state = State(
        at=now,
        outcome=outcome.kind,
        reason=outcome.reason,
        last_sent_at=now if work.counts.sent else before.last_sent_at,
        failures=before.failures + 1 if failed else 0,
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
        if _is_news(before, state):
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
        pass  # `disable` has taken the folder away, or the disk is full; both are known by looking


def _is_news(before: State, state: State) -> bool:
    """Tell whether a run is worth keeping: one that found nothing to do hides how the last real one went."""
    is_empty = Counts(**{name: getattr(state, name) for name in asdict(Counts())}) == Counts()
    return not (is_empty and state.outcome == before.outcome == ACCEPTED)


def main() -> None:
    """Be the detached flusher: send what is due, or leave it for the next one. Never prints."""
    root = os.fsencode(sys.argv[1])
    until = time.monotonic() + RUN  # a flusher is never a daemon
    spool = Spool(root)
    with suppress(OSError), locks.flusher_lock(spool, LOCK_WAIT) as held:  # gone or not ours: `status` says so
        if held:
            run(spool, root, until - time.monotonic(), at_once=sends_at_once(root))


def sends_at_once(root: bytes) -> bool:
    """Return whether this checkout sends as soon as there is something, and not once a day what is due."""
    return destination.send(root, os.environ) == consent.AT_ONCE


if __name__ == "__main__":
    main()
