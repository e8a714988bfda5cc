"""Decide when an event is sent, from its day and the present time. These functions read no clock and no file.

A day is a UTC day, as a string like "2026-01-03". These strings sort by date.
"""

from __future__ import annotations

import time
from dataclasses import dataclass

DAY = 86_400  # seconds
OLDEST = 90  # days that an event is kept, since some users run one make command per month
DAYS_TO_LOOK = 2  # an event is due on the second day after its own, so a user has at least 24 hours to see it


@dataclass(frozen=True, slots=True)
class Calendar:
    """The days that matter at the present time.

    Attributes:
        oldest: events of earlier days are expired.
        due: events up to this day are due.
        latest: events of later days were dated by a wrong clock. One day ahead is allowed, since clocks differ.
    """

    oldest: str
    due: str
    latest: str

    @classmethod
    def at(cls, now: float) -> Calendar:
        """Return the calendar at `now`, in seconds since 1970."""
        return cls(_day(now - OLDEST * DAY), _day(now - DAYS_TO_LOOK * DAY), _day(now + DAY))

    def has_expired(self, timestamp: str) -> bool:
        """Return whether an event is too old to send."""
        return timestamp[:10] < self.oldest

    def is_from_the_future(self, timestamp: str) -> bool:
        """Return whether an event is dated after tomorrow. PostHog would store its exact time of arrival."""
        return timestamp[:10] > self.latest

    def is_due(self, timestamp: str) -> bool:
        """Return whether the user had a day to look at an event."""
        return timestamp[:10] <= self.due


def next_day(now: float) -> float:
    """Return when the next UTC day begins, in seconds since 1970."""
    return (now // DAY + 1) * DAY


def _day(when: float) -> str:
    return time.strftime("%Y-%m-%d", time.gmtime(when))
