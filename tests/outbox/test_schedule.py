"""When an event may be sent, over hours, days and years, with clocks that are set back and forth."""

from __future__ import annotations

from datetime import date, datetime, timedelta, timezone

import pytest
from hypothesis import given
from hypothesis import strategies as st

from onramp_analytics.outbox.schedule import Calendar, next_day

NOWS = st.datetimes(datetime(1971, 1, 1), datetime(9998, 1, 1), timezones=st.just(timezone.utc))  # noqa: DTZ001  (hypothesis adds the zone)
JUMPS = st.integers(-400 * 24, 400 * 24)  # hours by which a clock is off


def at(day: date) -> str:
    return f"{day.isoformat()}T12:00:00.000000Z"


@given(NOWS, JUMPS)
def test_an_event_has_exactly_one_fate_by_its_day(now: datetime, hours: int) -> None:
    own = (now + timedelta(hours=hours)).date()
    calendar, age = Calendar.at(now.timestamp()), (now.date() - own).days

    assert calendar.has_expired(at(own)) == (age > 90)
    assert calendar.is_from_the_future(at(own)) == (age < -1)
    assert calendar.is_due(at(own)) == (age >= 2)


@given(NOWS)
def test_everybody_has_at_least_a_day_to_look(happened: datetime) -> None:
    """At any hour of the event, it is not due 24 hours later, and is due 48 hours later."""
    own = at(happened.date())

    assert not Calendar.at((happened + timedelta(hours=24)).timestamp()).is_due(own)
    assert Calendar.at((happened + timedelta(hours=48)).timestamp()).is_due(own)


@pytest.mark.parametrize(
    ("now", "due"),
    [
        ("2026-01-03T23:59:59+00:00", False),
        ("2026-01-04T23:59:59+00:00", False),
        ("2026-01-05T00:00:00+00:00", True),
        ("2026-04-03T23:59:59+00:00", True),
    ],
)
def test_the_second_utc_day_is_when_it_begins(now: str, due: bool) -> None:  # noqa: FBT001  (a column of the table)
    assert Calendar.at(datetime.fromisoformat(now).timestamp()).is_due("2026-01-03T12:00:00.000000Z") == due


def test_exact_times_of_older_versions_count_by_their_day() -> None:
    calendar = Calendar.at(datetime(2026, 1, 5, tzinfo=timezone.utc).timestamp())

    assert calendar.is_due("2026-01-03T23:59:59.999999Z")
    assert not calendar.is_due("2026-01-04T00:00:00.000000Z")


@given(NOWS)
def test_the_next_day_begins_within_a_day_and_is_another_one(now: datetime) -> None:
    when = next_day(now.timestamp())

    assert 0 < when - now.timestamp() <= 86_400
    assert datetime.fromtimestamp(when, timezone.utc).date() == now.date() + timedelta(days=1)
