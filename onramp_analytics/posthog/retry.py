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

TRIES = 3  # failed requests in a run, as PostHog asks of its SDKs
MOST_DOUBTS = 32  # requests refused without one accepted: finds a bad event among 100, and 24 more beside it

Action = Literal["settle", "split", "refuse", "suspect", "give up", "keep"]
#: What happens to the events of a request (contract, "Sending"). `action` says how far a batch is split.
ACTIONS: dict[Kind, Literal["settle", "split", "keep"]] = {
    ACCEPTED: "settle",
    TOO_LARGE: "split",
    REJECTED: "split",
    UNREACHED: "keep",
    UNLIKE_POSTHOG: "keep",
    MISCONFIGURED: "keep",
}
#: First and longest pause in seconds after a run that kept its events; doubled after each.
BACK_OFF: dict[Kind, tuple[int, int]] = {
    UNREACHED: (60, 6 * 3600),
    UNLIKE_POSTHOG: (1800, 12 * 3600),  # a captive portal is left within the hour, a wrong host is not
    MISCONFIGURED: (3600, 12 * 3600),
}


def action(kind: Kind, size: int, *, accepted: int, doubts: int) -> Action:
    """Return what happens to a batch after its answer.

    An event is refused only by a server that takes others: a load balancer or a wrong port refuses everything.

    Args:
        kind: what the answer was.
        size: the batch's number of events.
        accepted: events of this run that the server has accepted.
        doubts: requests of this run that were refused, this one among them.

    Returns:
        "settle": they are sent. "split": halve the batch. "refuse": put the one event aside. "suspect": refuse it as
        soon as another one is accepted. "give up": keep all, since nothing is ever accepted. "keep": keep all.
    """
    planned = ACTIONS[kind]
    if planned != "split":
        return planned
    if not accepted and doubts >= MOST_DOUBTS:
        return "give up"
    if size > 1:
        return "split"
    return "refuse" if accepted else "suspect"


def next_try(outcome: Outcome, failures: int, now: float, jitter: float) -> float:
    """Return when the next run may start, in seconds since 1970.

    Exponential back-off with full jitter, and never before what the server asked for.

    Args:
        outcome: why the run ended.
        failures: runs that failed one after the other, this one among them.
        now: seconds since 1970.
        jitter: 0 to 1, random.
    """
    first, longest = BACK_OFF[outcome.kind]
    pause = max(min(longest, first * 2.0 ** min(failures - 1, 30)) * jitter, 1.0)
    return now + min(max(pause, outcome.retry_after), LONGEST_WAIT)


def pause_before_retry(outcome: Outcome, tries: int, jitter: float) -> float:
    """Return the seconds to wait before trying again within a run, after `tries` failures."""
    return max(2.0**tries * jitter, outcome.retry_after)
