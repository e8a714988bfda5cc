"""What waits, as it will be sent: the one view of it that the flusher and every command share."""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator

from onramp_analytics import events, userspool
from onramp_analytics.outbox import segments
from onramp_analytics.outbox.history import Counts
from onramp_analytics.outbox.schedule import Calendar
from onramp_analytics.outbox.segments import Pending


def sendable(found: Iterable[Pending | None], counts: Counts, calendar: Calendar) -> Iterator[Pending]:
    """Yield the events that may be sent, now or later.

    Args:
        found: what `segments.read` yields.
        counts: where the others are counted.
        calendar: that of the present time.
    """
    for pending in found:
        if pending is None:
            counts.skipped += 1
        elif calendar.has_expired(pending.event["timestamp"]):
            counts.expired += 1
        elif calendar.is_from_the_future(pending.event["timestamp"]):
            counts.from_the_future += 1
        else:
            yield pending


def of(root: bytes, counts: Counts) -> Iterator[Pending]:
    """Yield what waits in a checkout and in this user's own spool for it, oldest first in each; see `sendable`."""
    published, calendar = events.published(root), Calendar.at(time.time())
    for spool in userspool.spools_of(root):
        for file in segments.pending_files(spool):
            yield from sendable(segments.read(file, published), counts, calendar)
