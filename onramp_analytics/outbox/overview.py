"""What waits, as it will be sent: the one view of it that the flusher and every command share."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Iterable, Iterator

from onramp_analytics import events, userspool
from onramp_analytics.outbox import segments
from onramp_analytics.outbox.segments import Pending

OLDEST = 30 * 86_400  # seconds after which an event is dropped: the contract's
SKIPPED, EXPIRED = "skipped", "expired"


def sendable(found: Iterable[Pending | None], counts: Counter[str]) -> Iterator[Pending]:
    """Yield the events that may leave.

    Args:
        found: what `segments.read` yields.
        counts: where the others are counted: SKIPPED are lines that are no events of ours, EXPIRED are too old.
    """
    oldest = events.timestamp(max(0, time.time_ns() - OLDEST * 10**9))
    for pending in found:
        if pending is None:
            counts[SKIPPED] += 1
        elif pending.event["timestamp"] < oldest:
            counts[EXPIRED] += 1
        else:
            yield pending


def of(root: bytes, counts: Counter[str]) -> Iterator[Pending]:
    """Yield what waits in a checkout and in this user's own spool for it, oldest first in each; see `sendable`."""
    published = events.published(root)
    for spool in userspool.spools_of(root):
        for file in segments.pending_files(spool):
            yield from sendable(segments.read(file, published), counts)
