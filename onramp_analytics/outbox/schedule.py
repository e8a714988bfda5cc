"""When an event may be sent: rules of its day and the present time. Nothing here looks at a clock or a file.

Days are UTC, and texts like "2026-01-03", which sort as the days do.
"""

from __future__ import annotations

import time
from dataclasses import dataclass

DAY = 86_400  # seconds
OLDEST = 90  # days that an event is kept: some people run one make command per month
DAYS_TO_LOOK = 2  # an event is due on the second day after its own, so everybody has 24 hours at least to see it


@dataclass(frozen=True, slots=True)
class Calendar:
    """What the present time says about the days of events.

    Attributes:
        oldest: events of earlier days have expired.
        due: events up to this day are due.
        latest: events of later days were dated by a wrong clock. A day ahead is left for clocks that differ a little.
    """

    oldest: str
    due: str
    latest: str

    @classmethod
    def at(cls, now: float) -> Calendar:
        """Return the calendar at `now`, in seconds since 1970."""
        return cls(_day(now - OLDEST * DAY), _day(now - DAYS_TO_LOOK * DAY), _day(now + DAY))

    def has_expired(self, timestamp: str) -> bool:
        """Tell whether an event is too old to be sent."""
        return timestamp[:10] < self.oldest

    def is_from_the_future(self, timestamp: str) -> bool:
        """Tell whether an event is dated after tomorrow. PostHog would store the exact time of its arrival instead."""
        return timestamp[:10] > self.latest

    def is_due(self, timestamp: str) -> bool:
        """Tell whether everybody had their day to look at an event."""
        return timestamp[:10] <= self.due


def next_day(now: float) -> float:
    """Return when the next UTC day begins, in seconds since 1970."""
    return (now // DAY + 1) * DAY


def _day(when: float) -> str:
    return time.strftime("%Y-%m-%d", time.gmtime(when))
