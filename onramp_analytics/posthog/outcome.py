"""What can become of a request, in words that are kept on disk and shown to people."""

from __future__ import annotations

from dataclasses import dataclass

ACCEPTED = "accepted"
UNREACHED = "not reached"  # the network, a busy server: try again
UNLIKE_POSTHOG = "unlike PostHog"  # a captive portal, a wrong host
MISCONFIGURED = "misconfigured"  # the key or the host is wrong
TOO_LARGE = "too large"
REJECTED = "rejected"  # one event is bad, and the server does not say which
OFF = "off"  # no request: consent is gone
OUT_OF_TIME = "out of time"  # no request: the run has taken long enough


@dataclass(frozen=True, slots=True)
class Outcome:
    """What became of one request, or of a whole run.

    Attributes:
        kind: one of the words above.
        reason: for a person; never holds the key.
        retry_after: seconds that the server asked us to wait, 0 when it did not.
    """

    kind: str
    reason: str = ""
    retry_after: float = 0.0
