"""The rules after an answer: what happens to the events, and when the next request or run may start."""

from __future__ import annotations

from typing import get_args

import pytest
from hypothesis import given
from hypothesis import strategies as st

from onramp_analytics.posthog import retry
from onramp_analytics.posthog.outcome import (
    MISCONFIGURED,
    OFF,
    OUT_OF_TIME,
    REJECTED,
    TOO_LARGE,
    UNLIKE_POSTHOG,
    UNREACHED,
    Kind,
    Outcome,
)
from onramp_analytics.spool import LONGEST_WAIT


@pytest.mark.parametrize("kind", [UNREACHED, UNLIKE_POSTHOG, MISCONFIGURED])
@given(failures=st.integers(1, 10_000), jitter=st.floats(0, 1), retry_after=st.floats(0, 1e12))
def test_the_next_try_is_later_than_asked_and_never_beyond_a_day(
    kind: Kind, failures: int, jitter: float, retry_after: float
) -> None:
    when = retry.next_try(Outcome(kind, retry_after=retry_after), failures, 0.0, jitter)

    assert 1 <= when <= LONGEST_WAIT
    assert when >= min(retry_after, LONGEST_WAIT)
    assert when <= max(retry.BACK_OFF[kind][1], retry_after, 1)


def test_the_back_off_doubles_to_its_longest() -> None:
    pauses = [retry.next_try(Outcome(UNREACHED), failures, 0, 1.0) for failures in range(1, 12)]

    assert pauses[:4] == [60, 120, 240, 480]
    assert pauses[-1] == 6 * 3600


def test_wrong_settings_are_tried_again_after_hours() -> None:
    assert retry.next_try(Outcome(MISCONFIGURED), 1, 0, 1.0) == 3600
    assert retry.next_try(Outcome(MISCONFIGURED), 9, 0, 1.0) == 12 * 3600


@pytest.mark.parametrize("kind", sorted(set(get_args(Kind)) - {OFF, OUT_OF_TIME}))
def test_every_kind_of_answer_has_an_action(kind: Kind) -> None:
    assert retry.action(kind, 1, accepted=0, refusals=0)
    assert (retry.ACTIONS[kind] == "keep") == (kind in retry.BACK_OFF)


@given(size=st.integers(1, 100), accepted=st.integers(0, 1000), refusals=st.integers(1, 1000))
def test_an_event_is_refused_only_alone_and_by_a_server_that_takes_others(
    size: int, accepted: int, refusals: int
) -> None:
    found = {retry.action(kind, size, accepted=accepted, refusals=refusals) for kind in (REJECTED, TOO_LARGE)}

    if accepted:
        assert found == {"split" if size > 1 else "refuse"}
    elif refusals >= 32:
        assert found == {"give up"}
    else:
        assert found == {"split" if size > 1 else "suspect"}


@given(tries=st.integers(1, 3), jitter=st.floats(0, 1), retry_after=st.floats(0, 1e9))
def test_a_pause_grows_with_the_tries_and_is_never_shorter_than_asked(
    tries: int, jitter: float, retry_after: float
) -> None:
    pause = retry.pause_before_retry(Outcome(UNREACHED, retry_after=retry_after), tries, jitter)

    assert retry_after <= pause <= max(2.0**tries, retry_after)
