"""Read what is in a checkout: queued events, sent events, and how the last run ended. Nothing here changes a file."""

from __future__ import annotations

import os
import time
from collections.abc import Iterable, Iterator
from typing import Any

from onramp_analytics import checkout
from onramp_analytics.outbox import history, locks, segments
from onramp_analytics.outbox.history import Counts, State
from onramp_analytics.outbox.schedule import Calendar
from onramp_analytics.outbox.segments import Entry, Newer, Pending
from onramp_analytics.spool import Spool

MOST_EVENTS, MOST_BYTES = 100, 1 << 20  # in one request, see docs/protocol.md


def sendable(entries: Iterable[Entry], counts: Counts, calendar: Calendar) -> Iterator[Pending]:
    """Yield the events that can be sent, now or later.

    Args:
        entries: what `segments.read` yields.
        counts: increased for every entry that cannot be sent.
        calendar: the calendar of the present time.
    """
    for entry in entries:
        if entry is None:
            counts.skipped += 1
        elif isinstance(entry, Newer):
            if calendar.has_expired(entry.timestamp):
                counts.expired += 1
            else:
                counts.newer += 1
        elif calendar.has_expired(entry.event["timestamp"]):
            counts.expired += 1
        elif calendar.is_from_the_future(entry.event["timestamp"]):
            counts.from_the_future += 1
        else:
            yield entry


def is_worth_claiming(spool: Spool, published: bytes, calendar: Calendar) -> bool:
    """Return whether the spool begins with an event to settle now; otherwise a claim would only move it."""
    try:
        with segments.open_spool(spool) as file:
            first = next(sendable(segments.read(file, published), Counts(), calendar), None)
    except OSError:
        return True  # it is missing or not ours, which the claim handles
    return not first or calendar.is_due(first.event["timestamp"])


def batches(events: Iterable[Pending]) -> Iterator[list[Pending]]:
    """Group events into batches of at most 100 events and 1 MiB."""
    batch: list[Pending] = []
    size = 0
    for event in events:
        if batch and (len(batch) == MOST_EVENTS or size + len(event.line) > MOST_BYTES):
            yield batch
            batch, size = [], 0
        batch.append(event)
        size += len(event.line)
    if batch:
        yield batch


class Outbox:
    """The events in a checkout. Creating the object touches no file.

    Attributes:
        root: the checkout.
        spool: its spool.
    """

    def __init__(self, root: bytes) -> None:
        self.root = root
        self.spool = Spool(root)

    def pending(self, counts: Counts) -> Iterator[Pending]:
        """Yield the queued events as they will be sent, oldest first; see `sendable`."""
        published, calendar = checkout.published(self.root), Calendar.at(time.time())
        for file in segments.pending_files(self.spool):
            yield from sendable(segments.read(file, published), counts, calendar)

    def count(self) -> int:
        """Return the number of queued lines, without validating them."""
        return segments.count(self.spool)

    def sent(self) -> list[dict[str, Any]]:
        """Return the newest 1,000 sent events, oldest first."""
        return history.sent(self.spool)

    def last_run(self) -> State:
        """Return how the last run of the flusher ended."""
        return history.load_state(self.spool)

    def flusher_is_alive(self) -> bool:
        """Return whether a flusher is running."""
        return locks.flusher_is_alive(self.spool)

    def remains(self) -> bool:
        """Return whether the checkout holds any of our files besides `onramp.lock`."""
        return any(os.path.lexists(path) for path in (self.spool.file, self.spool.folder, self.spool.lock))
