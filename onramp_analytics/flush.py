"""Send what is pending: claim, batch, send, decide, acknowledge, back off. One run at a time for each spool.

    python -m onramp_analytics.flush ROOT           the detached flusher, started by detached.py

The rules are `ACTIONS` (outcome -> action) and `next_try` (when to come back); the rest does what they say.
"""

from __future__ import annotations

import os
import random
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from contextlib import suppress
from functools import partial

from onramp_analytics import checkout, consent
from onramp_analytics.detached import LINGER, LONGEST_LIFE
from onramp_analytics.errors import CouldNot, Misconfigured
from onramp_analytics.outbox import history, locks, overview, segments
from onramp_analytics.outbox.history import State
from onramp_analytics.outbox.segments import Pending, Segment
from onramp_analytics.posthog import capture, destination
from onramp_analytics.posthog.destination import Destination
from onramp_analytics.posthog.outcome import (
    ACCEPTED,
    MISCONFIGURED,
    OFF,
    OUT_OF_TIME,
    REJECTED,
    TOO_LARGE,
    UNLIKE_POSTHOG,
    UNREACHED,
    Outcome,
)
from onramp_analytics.spool import LONGEST_WAIT, Spool

MOST_EVENTS, MOST_BYTES = 100, 1 << 20  # a batch: the contract's
TRIES = 3  # failed requests in a run: the contract's, and what PostHog asks of its SDKs
RUN = LONGEST_LIFE - LINGER[1] - capture.DEADLINE - 5  # seconds in which a run may begin a request
LOG_WAIT = 0.2  # seconds for the spool's lock; where it stays busy the events are sent, but not remembered
LOCK_WAIT = 2.0  # seconds for the flusher before us to end (race 5 of spool.py; 0 stranded in 3,000 rounds)

KEEP, SPLIT, SETTLE = "keep", "split", "settle"
#: What happens to the events of a request (contract, "Sending").
ACTIONS = {
    ACCEPTED: SETTLE,
    TOO_LARGE: SPLIT,
    REJECTED: SPLIT,
    UNREACHED: KEEP,
    UNLIKE_POSTHOG: KEEP,
    MISCONFIGURED: KEEP,
}
#: First and longest pause in seconds after a run that kept its events; doubled after each.
BACK_OFF = {
    UNREACHED: (60, 6 * 3600),
    UNLIKE_POSTHOG: (1800, 12 * 3600),  # a captive portal is left within the hour, a wrong host is not
    MISCONFIGURED: (3600, 12 * 3600),
}


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


def pause_before_retry(outcome: Outcome, tries: int, jitter: float) -> float:
    """Return the seconds to wait before trying again within a run, after `tries` failures."""
    return max(2.0**tries * jitter, outcome.retry_after)


def batches(found: Iterable[Pending]) -> Iterator[list[Pending]]:
    """Group events into batches of at most 100 events and 1 MiB, each of one identifier."""
    batch: list[Pending] = []
    size = 0
    for one in found:
        other_id = batch and batch[-1].event["distinct_id"] != one.event["distinct_id"]
        if batch and (len(batch) == MOST_EVENTS or size + len(one.line) > MOST_BYTES or other_id):
            yield batch
            batch, size = [], 0
        batch.append(one)
        size += len(one.line)
    if batch:
        yield batch


class _Stop(Exception):  # noqa: N818  (not an error: the run ends here, and the rest of the events is kept)
    def __init__(self, kind: str, reason: str, retry_after: float = 0.0) -> None:
        self.outcome = Outcome(kind, reason, retry_after)


class Run:
    """One run over one spool, in the hands of whoever holds the flusher's lock.

    Attributes:
        counts: what became of the events: "sent", "refused", "expired", and "skipped" for lines that were no events.
    """

    def __init__(self, spool: Spool, root: bytes, seconds: float, progress: Callable[[int], None]) -> None:
        self.counts = Counter({"sent": 0, "refused": 0, overview.EXPIRED: 0, overview.SKIPPED: 0})
        self._spool = spool
        self._root = root
        self._until = time.monotonic() + seconds
        self._progress = progress
        self._published = checkout.published(root)
        self._unreadable: set[bytes] = set()
        self._tries = 0

    def send_all(self, where: Destination) -> None:
        """Send until nothing is left.

        Raises:
            _Stop: something is left, and why.
            OSError: the machine is in the way.
        """
        with capture.open_session(where) as self._session:
            self._where = where
            while True:
                while segment := self._next_waiting():
                    self._drain(segment)
                # Race 5 of spool.py: first say that a flusher is due, then look once more.
                self._spool.hold_back(0)
                claimed = segments.claim(self._spool)
                if not claimed:
                    return
                self._spool.hold_back(time.time() + LONGEST_LIFE)
                self._drain(claimed)

    def _next_waiting(self) -> Segment | None:
        return next((s for s in segments.waiting(self._spool) if s.stem not in self._unreadable), None)

    def _drain(self, segment: Segment) -> None:
        try:
            file = segments.open_file(self._spool, segment.name, segment.offset)
        except OSError:
            self._unreadable.add(segment.stem)
            return
        self._segment = segment
        with file:
            for batch in batches(overview.sendable(segments.read(file, self._published), self.counts)):
                self._settle(batch)
        segments.discard(self._spool, self._segment)

    def _settle(self, batch: list[Pending]) -> None:
        """Send a batch until each of its events is accepted or refused for good."""
        outcome = self._request(batch)
        if ACTIONS[outcome.kind] == KEEP:
            raise _Stop(outcome.kind, outcome.reason, outcome.retry_after)
        if ACTIONS[outcome.kind] == SPLIT and len(batch) > 1:
            self._settle(batch[: len(batch) // 2])
            self._settle(batch[len(batch) // 2 :])
            return
        if outcome.kind == ACCEPTED:
            self._remember(batch, history.log_sent)
            self.counts["sent"] += len(batch)
        else:
            self._remember(batch, partial(history.log_refused, reason=outcome.reason))
            self.counts["refused"] += 1
        self._segment = segments.acknowledge(self._spool, self._segment, batch[-1].end)
        self._progress(len(batch))

    def _remember(self, batch: list[Pending], log: Callable[[Spool, list[Pending]], None]) -> None:
        """Log what was settled, unless its identifier was reset meanwhile (race 6 of spool.py)."""
        with suppress(OSError), locks.locked(self._spool, LOG_WAIT) as held:
            if held and consent.ask(os.environb, self._root).id == batch[0].event["distinct_id"]:
                log(self._spool, batch)

    def _request(self, batch: list[Pending]) -> Outcome:
        """Make one request, and again while the host is not reached and the run has tries and time left."""
        while True:
            self._check_consent()
            if time.monotonic() > self._until:
                raise _Stop(OUT_OF_TIME, "the run was out of time")
            outcome = capture.send(self._session, self._where, [p.event for p in batch])
            if outcome.kind != UNREACHED:
                self._tries = 0
                return outcome
            self._tries += 1
            pause = pause_before_retry(outcome, self._tries, random.random())  # noqa: S311
            if self._tries == TRIES or time.monotonic() + pause > self._until:
                return outcome
            time.sleep(pause)

    def _check_consent(self) -> None:
        now = consent.ask(os.environb, self._root)
        if not now.on:
            raise _Stop(OFF, f"analytics are off: {now.why}")


def run(spool: Spool, root: bytes, seconds: float, progress: Callable[[int], None] = lambda _done: None) -> State:
    """Do one run, keep how it ended, and say when the next one may start. Hold the flusher's lock.

    Args:
        spool: what to send.
        root: the checkout.
        seconds: how long the run may begin requests.
        progress: called with the number of events after each batch that is settled.

    Returns:
        How it ended: `outcome` is ACCEPTED when nothing is left.
    """
    permission = consent.ask(os.environb, root)
    if not permission.on:
        segments.leave(spool)
        return State(outcome=OFF, reason=f"analytics are off: {permission.why}")
    before, now = history.load_state(spool), time.time()
    work = Run(spool, root, seconds, progress)
    outcome = Outcome(ACCEPTED)
    try:
        work.send_all(destination.of(root, os.environ))
    except _Stop as stop:
        outcome = stop.outcome
    except Misconfigured as error:
        outcome = Outcome(MISCONFIGURED, str(error))
    except (CouldNot, OSError) as error:
        outcome = Outcome(UNREACHED, f"this machine: {getattr(error, 'strerror', None) or error}")
    failed = outcome.kind in BACK_OFF
    state = State(
        at=now,
        outcome=outcome.kind,
        reason=outcome.reason,
        last_sent_at=now if work.counts["sent"] else before.last_sent_at,
        failures=before.failures + 1 if failed else 0,
        **work.counts,
    )
    _wind_up(spool, state, outcome)
    return state


def _wind_up(spool: Spool, state: State, outcome: Outcome) -> None:
    try:
        if outcome.kind == OFF:
            spool.release()
            return
        history.save_state(spool, state)
        segments.remove_abandoned(spool, time.time())
        if outcome.kind in BACK_OFF:
            when = next_try(outcome, state.failures, time.time(), random.random())  # noqa: S311
            spool.hold_back(when)
        elif outcome.kind == OUT_OF_TIME:
            spool.hold_back(0)
    except OSError:
        pass  # `disable` has taken the folder away, or the disk is full; both are known by looking


def main() -> None:
    """Be the detached flusher: send what is there, or leave it for the next one. Never prints."""
    root = os.fsencode(sys.argv[1])
    _run_detached(Spool(root), root, time.monotonic() + RUN)


def _run_detached(spool: Spool, root: bytes, until: float) -> None:
    try:
        with locks.flusher_lock(spool, LOCK_WAIT) as held:
            if held:
                run(spool, root, until - time.monotonic())
    except OSError:
        pass  # the folder is gone or not ours: `status` says so


if __name__ == "__main__":
    main()
