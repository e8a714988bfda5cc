"""What is in a checkout: the queued events, the sent ones, and how the last run ended. One view for every command."""

from __future__ import annotations

import os
import time
from collections import Counter
from collections.abc import Iterable, Iterator
from typing import Any

from onramp_analytics import checkout, events
from onramp_analytics.outbox import history, locks, segments
from onramp_analytics.outbox.history import State
from onramp_analytics.outbox.segments import Pending
from onramp_analytics.spool import Spool

OLDEST = 90 * 86_400  # seconds after which an event is dropped, since some people run one make command a month
SKIPPED, EXPIRED = "skipped", "expired"


def sendable(found: Iterable[Pending | None], counts: Counter[str]) -> Iterator[Pending]:
    """Yield the events that may be sent.

    Args:
        found: what `segments.read` yields.
        counts: where the others are counted: SKIPPED are lines that are no events of ours, EXPIRED are too old.
    """
    oldest = events.timestamp(max(0, time.time() - OLDEST))
    for pending in found:
        if pending is None:
            counts[SKIPPED] += 1
        elif pending.event["timestamp"] < oldest:
            counts[EXPIRED] += 1
        else:
            yield pending


class Outbox:
    """What is in a checkout. Creating the object touches no file.

    Attributes:
        root: the checkout.
        spool: its spool.
    """

    def __init__(self, root: bytes) -> None:
        self.root = root
        self.spool = Spool(root)

    def pending(self, counts: Counter[str]) -> Iterator[Pending]:
        """Yield the queued events as they will be sent, oldest first; see `sendable`."""
        published = checkout.published(self.root)
        for file in segments.pending_files(self.spool):
            yield from sendable(segments.read(file, published), counts)

    def count(self) -> int:
        """Return how many lines are queued, without looking into them."""
        return segments.count(self.spool)

    def sent(self) -> list[dict[str, Any]]:
        """Return the newest 1,000 events that were sent, oldest first."""
        return history.sent(self.spool)

    def last_run(self) -> State:
        """Return how the last run of the flusher ended."""
        return history.load_state(self.spool)

    def flusher_is_alive(self) -> bool:
        """Return whether a flusher is at work."""
        return locks.flusher_is_alive(self.spool)

    def remains(self) -> bool:
        """Return whether anything of ours is in the checkout besides `onramp.lock`."""
        return any(os.path.lexists(path) for path in (self.spool.file, self.spool.folder, self.spool.lock))
