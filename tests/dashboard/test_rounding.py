"""The rounding of published counts: no exact number reaches a file."""

from __future__ import annotations

from datetime import date
from random import Random
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from onramp_analytics.cli.dashboard import links
from onramp_analytics.dashboard import pages, rounding
from onramp_analytics.dashboard.application import Answer
from onramp_analytics.dashboard.publish import made_from
from onramp_analytics.dashboard.rounding import one_digit, r

MADE = date(2026, 9, 28)


@pytest.mark.parametrize(
    ("n", "shown"),
    [(0, 0), (4, 0), (5, 5), (9, 5), (10, 10), (99, 95), (100, 100), (109, 100), (110, 110), (1234, 1200)],
)
def test_a_count_is_rounded_down_to_five_or_two_digits(n: int, shown: int) -> None:
    assert r(n) == shown


def test_at_least_can_only_be_raised() -> None:
    assert r(5, at_least=1) == 5
    assert r(4, at_least=1) == 0
    assert (r(19, at_least=20), r(20, at_least=20)) == (0, 20)


@pytest.mark.parametrize(("seconds", "shown"), [(0.34, 0.3), (4.9, 5), (64.0, 60), (0, 0), (0.05, 0.05)])
def test_a_duration_has_one_digit(seconds: float, shown: float) -> None:
    assert one_digit(seconds) == shown


@given(st.integers(0, 10**7))
def test_rounding_never_goes_up_and_rounding_again_changes_nothing(n: int) -> None:
    assert 0 <= r(n) <= n
    assert r(r(n)) == r(n)
    assert n < 5 or n - r(n) <= max(4, n // 10)


def like(n: int, chance: Random) -> int:
    """Return another number with the same rounded value as n."""
    low = r(n)
    if low == 0:
        return chance.randint(0, 4)
    return low + chance.randint(0, 4 if low < 100 else 10 ** (len(str(low)) - 2) - 1)


NAMES = [*"abcdefgh", "custom", "other"]
#: query -> its columns that are counts; the first column is the name.
COUNTED = {
    "Enabled services": ["service", "installations"],
    "Enabled overrides": ["override", "installations"],
    "Given up within 30 days": ["name", "installations"],
    "Commands": ["command", "installations", "installation_days", "runs"],
    "Error rate by command": ["command", "failed_on", "failures", "runs", "error_rate_percent"],
    "Duration by command": ["command", "installations", "typical_seconds", "mean_seconds"],
}
#: Columns that a page must not depend on at all.
UNUSED = {"installation_days", "runs", "failures", "error_rate_percent", "mean_seconds", "new"}


def twins(chance: Random) -> tuple[dict[str, Answer], dict[str, Answer]]:
    """Two sets of answers that differ within the steps of the rounding, and in the order of their rows."""
    one, other = {}, {}
    for name, columns in COUNTED.items():
        rows = [
            (label, [_cells(column, chance) for column in columns[1:]])
            for label in chance.sample(NAMES, chance.randint(0, len(NAMES)))
        ]
        one[name] = Answer(columns, [[label, *(a for a, _ in cells)] for label, cells in rows])
        chance.shuffle(rows)
        other[name] = Answer(columns, [[label, *(b for _, b in cells)] for label, cells in rows])
    columns = ["active", "new", "with_services"]
    total = [_cells(column, chance) for column in columns]
    one["Installations"] = Answer(columns, [[a for a, _ in total]])
    other["Installations"] = Answer(columns, [[b for _, b in total]])
    return one, other


def _cells(column: str, chance: Random) -> tuple[Any, Any]:
    if column == "typical_seconds":
        seconds = chance.choice([0.3, 2, 40])
        return seconds, seconds * chance.choice([1, 1.1])
    n = chance.randint(0, chance.choice([9, 30, 120, 3000]))
    return n, chance.randint(0, 3000) if column in UNUSED else like(n, chance)


def files(answers: dict[str, Answer], before: dict[str, Answer]) -> dict[str, str]:
    """Return the whole site of two pages."""
    history = [
        pages.Page(*pages.days(made), made, 5, rounding.counts(found))
        for made, found in ((MADE - pages.PAUSE, before), (MADE, answers))
    ]
    return made_from(history, "", links(None))


@settings(max_examples=60)
@given(st.integers(0, 2**32))
def test_every_file_is_the_same_whatever_the_exact_numbers_were(seed: int) -> None:
    now, before = twins(Random(seed)), twins(Random(seed + 1))

    assert files(now[0], before[0]) == files(now[1], before[1])


@given(st.integers(0, 30))
def test_whether_a_page_is_made_depends_on_the_rounded_number_alone(n: int) -> None:
    assert rounding.enough_new(Answer(["installations"], [[n]])) is (r(n) > 0)


def test_a_duration_is_shown_from_ten_installations_on() -> None:
    answers = {
        **{name: Answer(columns, []) for name, columns in COUNTED.items()},
        "Installations": Answer(["active", "new", "with_services"], [[20, 1, 20]]),
        "Commands": Answer(COUNTED["Commands"], [["up", 12, 1, 1], ["down", 12, 1, 1], ["logs", 4, 1, 1]]),
        "Error rate by command": Answer(COUNTED["Error rate by command"], [["up", 7, 9, 9, 9.9], ["down", 4, 9, 9, 9]]),
        "Duration by command": Answer(COUNTED["Duration by command"], [["up", 9, 3.3, 3], ["down", 10, 3.3, 3]]),
    }

    assert rounding.counts(answers).commands == [
        rounding.Row("down", 10, 0, 3),
        rounding.Row("up", 10, 5, None),
    ]
