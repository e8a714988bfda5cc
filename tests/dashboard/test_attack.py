"""The attack on a published page: what a known newcomer's services can be told from it."""

from __future__ import annotations

from pathlib import Path

import pytest

from tools.results.attack import SIZES, attack, table

PAGE = Path(__file__).parent.parent.parent / "docs" / "results.md"


@pytest.mark.parametrize("size", SIZES)
def test_with_the_rule_the_attacker_is_right_less_often_than_on_exact_numbers(size: int) -> None:
    exact, rule = attack(size, exact=True), attack(size, exact=False)

    assert rule.right - rule.blind <= exact.right - exact.blind
    assert rule.right - rule.blind < 0.11


def test_exact_numbers_of_a_small_project_give_a_newcomer_away() -> None:
    assert attack(30, exact=True).right > 0.7


def test_the_document_has_the_success_as_it_is_simulated() -> None:
    assert table() in PAGE.read_text()
