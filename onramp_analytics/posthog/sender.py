"""Make the requests of one run: check consent before each one, and retry while the host cannot be reached.

The SDK is loaded with the first request, so a run without events to send never loads it.
"""

from __future__ import annotations

import os
import random
import time
from typing import TYPE_CHECKING, Any

from onramp_analytics import consent
from onramp_analytics.posthog import destination
from onramp_analytics.posthog.outcome import MISCONFIGURED, OFF, OUT_OF_TIME, UNLIKE_POSTHOG, UNREACHED, Kind, Outcome
from onramp_analytics.posthog.retry import TRIES, pause_before_retry

if TYPE_CHECKING:
    import requests

    from onramp_analytics.consent import Consent
    from onramp_analytics.posthog.destination import Destination


class Stop(BaseException):
    """Ends the run and keeps the remaining events.

    Not an `Exception`, since it is also raised inside a request, where a library would catch it.
    """

    def __init__(self, kind: Kind, reason: str, retry_after: float = 0.0) -> None:
        self.outcome = Outcome(kind, reason, retry_after)


def nothing_accepted(reason: str) -> Stop:
    """Return the exception that ends a run in which the server accepted no event, with the server's reason."""
    what = f"the host refuses every event, so it is probably not PostHog: {reason}"
    return Stop(UNLIKE_POSTHOG, f"{what}: check the host's name and port")


def require_consent(root: bytes) -> Consent:
    """Check that analytics are on.

    Returns:
        The consent.

    Raises:
        Stop: analytics are off; it holds the reason.
    """
    current = consent.ask(os.environb, root)
    if not current.on:
        raise Stop(OFF, f"analytics are off: {current.why}")
    return current


class Sender:
    """Sends the events of one run. The caller must close it."""

    def __init__(self, root: bytes, seconds: float) -> None:
        """Send for the checkout `root`, and start new requests for this number of seconds."""
        self._root = root
        self._until = time.monotonic() + seconds
        self._tries = 0
        self._distinct_id = ""
        self._where: Destination | None = None
        self._how_often = consent.DAILY
        self._session: requests.Session | None = None

    def close(self) -> None:
        """Close the connection."""
        if self._session:
            self._session.close()

    def send(self, batch: list[dict[str, Any]]) -> Outcome:
        """Send events of one identifier in one request, and retry while the run has tries and time left.

        Raises:
            Stop: consent was withdrawn, does not cover the destination, or the identifier was reset, possibly during a
                request; or the time is over.
            Misconfigured: the destination is not set, or not valid.
        """
        from onramp_analytics.posthog import capture  # loads the SDK

        if not self._where:
            self._where = destination.of(self._root, os.environ)
            self._how_often = destination.send(self._root, os.environ)
        if not self._session:
            self._session = capture.open_session(self._where, self._require_the_same_consent)
        self._distinct_id = batch[0]["distinct_id"]
        while True:
            self._require_the_same_consent()
            if time.monotonic() > self._until:
                raise Stop(OUT_OF_TIME, "the run was out of time: the next run continues")
            outcome = capture.send(self._session, self._where, batch)
            if outcome.kind != UNREACHED:
                self._tries = 0
                return outcome
            self._tries += 1
            pause = pause_before_retry(outcome, self._tries, random.random())  # noqa: S311
            if self._tries == TRIES or time.monotonic() + pause > self._until:
                return outcome
            time.sleep(pause)

    def _require_the_same_consent(self) -> None:
        current = require_consent(self._root)
        if current.id != self._distinct_id:
            raise Stop(OUT_OF_TIME, "the identifier was reset: the next run continues")
        if self._where and (objection := destination.objection(current, self._where, self._how_often)):
            raise Stop(MISCONFIGURED, f"{objection}: to agree, run `make analytics-enable`")
