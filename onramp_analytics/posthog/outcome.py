"""What can become of a request, in words that are kept on disk and shown to people."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, Literal

ACCEPTED: Final = "accepted"
UNREACHED: Final = "not reached"  # the network, a busy server: try again
UNLIKE_POSTHOG: Final = "unlike PostHog"  # a captive portal, a wrong host
MISCONFIGURED: Final = "misconfigured"  # the key or the host is wrong
TOO_LARGE: Final = "too large"
REJECTED: Final = "rejected"  # one event is bad, and the server does not say which
OFF: Final = "off"  # no request: consent is gone
OUT_OF_TIME: Final = "out of time"  # no request: the run has taken long enough

Kind = Literal[
    "accepted", "not reached", "unlike PostHog", "misconfigured", "too large", "rejected", "off", "out of time"
]

LONGEST_REQUEST = 20.0  # seconds for one request in all: a server that drips bytes never runs into the time-outs


@dataclass(frozen=True, slots=True)
class Outcome:
    """What became of one request, or of a whole run.

    Attributes:
        kind: one of the words above.
        reason: for a person: what is wrong and what to do; never holds the key.
        retry_after: seconds that the server asked us to wait, 0 when it did not.
    """

    kind: Kind
    reason: str = ""
    retry_after: float = 0.0
