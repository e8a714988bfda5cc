"""Possible outcomes of a request, as they are stored on disk and shown to users."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, Literal

ACCEPTED: Final = "accepted"
UNREACHED: Final = "not reached"  # the network or a busy server: try again
UNLIKE_POSTHOG: Final = "unlike PostHog"  # a captive portal, a wrong host
MISCONFIGURED: Final = "misconfigured"  # the key or the host is wrong
TOO_LARGE: Final = "too large"
REJECTED: Final = "rejected"  # an event is bad, and the server does not name it
OFF: Final = "off"  # no request: consent was withdrawn
OUT_OF_TIME: Final = "out of time"  # no request: the run has reached its time limit

Kind = Literal[
    "accepted", "not reached", "unlike PostHog", "misconfigured", "too large", "rejected", "off", "out of time"
]

LONGEST_REQUEST = 20.0  # seconds for a whole request: the timeouts do not end one that is answered byte by byte


@dataclass(frozen=True, slots=True)
class Outcome:
    """The outcome of one request, or of a run.

    Attributes:
        kind: one of the words above.
        reason: what is wrong and what to do, for the user; never holds the key.
        retry_after: seconds that the server asked us to wait; 0 if it did not ask.
    """

    kind: Kind
    reason: str = ""
    retry_after: float = 0.0
