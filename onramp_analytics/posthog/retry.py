"""Decide what happens to the events of a request after its answer, and when to try again."""

from __future__ import annotations

from typing import Literal

from onramp_analytics.posthog.outcome import (
    ACCEPTED,
    MISCONFIGURED,
    REJECTED,
    TOO_LARGE,
    UNLIKE_POSTHOG,
    UNREACHED,
    Kind,
    Outcome,
)
from onramp_analytics.spool import LONGEST_WAIT

TRIES = 3  # a run ends after this many failed requests in a row, as PostHog asks of its SDKs
MOST_REFUSALS = 32  # refused requests before the first accepted one; enough to find bad events scattered in a batch

Action = Literal["settle", "split", "refuse", "suspect", "give up", "keep"]
#: What happens to the events of a request, by the kind of its answer. `action` decides how far a batch is split.
ACTIONS: dict[Kind, Literal["settle", "split", "keep"]] = {
    ACCEPTED: "settle",
    TOO_LARGE: "split",
    REJECTED: "split",
    UNREACHED: "keep",
    UNLIKE_POSTHOG: "keep",
    MISCONFIGURED: "keep",
}
#: Limits of the pause after a run that kept its events, in seconds: after the first failure, and after many. The limit
#: doubles with each failure in between. The pause itself is random.
BACK_OFF: dict[Kind, tuple[int, int]] = {
    UNREACHED: (60, 6 * 3600),
    UNLIKE_POSTHOG: (1800, 12 * 3600),  # a user leaves a captive portal within the hour, and a wrong host stays wrong
    MISCONFIGURED: (3600, 12 * 3600),
}


def action(kind: Kind, size: int, *, accepted: int, refusals: int) -> Action:
    """Return what happens to a batch after its answer.

    A refused event is given up only if the server accepts others, since a load balancer or a wrong port refuses all.

    Args:
        kind: the kind of the answer.
        size: the number of events in the batch.
        accepted: events of this run that the server has accepted.
        refusals: requests of this run that the server refused, including this one.

    Returns:
        "settle": the events are sent.
        "split": halve the batch.
        "refuse": move the one event to the log of refused events.
        "suspect": refuse the one event as soon as the server accepts another one.
        "give up": keep all events, since the server accepts none.
        "keep": keep all events.
    """
    planned = ACTIONS[kind]
    if planned != "split":
        return planned
    if not accepted and refusals >= MOST_REFUSALS:
        return "give up"
    if size > 1:
        return "split"
    return "refuse" if accepted else "suspect"


def next_try(outcome: Outcome, failures: int, now: float, jitter: float) -> float:
    """Return when the next run may start, in seconds since 1970.

    Exponential back-off with full jitter: the pause is random, up to the limit in `BACK_OFF`. If the server asks for a
    longer pause, that one counts, up to a day.

    Args:
        outcome: why the run ended.
        failures: the number of consecutive failed runs, including this one.
        now: seconds since 1970.
        jitter: a random number from 0 to 1.
    """
    first, longest = BACK_OFF[outcome.kind]
    limit = min(longest, first * 2.0 ** min(failures - 1, 30))
    pause = max(limit * jitter, 1.0)
    return now + min(max(pause, outcome.retry_after), LONGEST_WAIT)


def pause_before_retry(outcome: Outcome, tries: int, jitter: float) -> float:
    """Return the seconds to wait before trying again within a run, after `tries` failures."""
    return max(2.0**tries * jitter, outcome.retry_after)
