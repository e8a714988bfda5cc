"""The attack on a published page: what it shows about the services of a known new installation."""

from __future__ import annotations

from pathlib import Path

import pytest

from tools.results.attack import SIZES, attack, table

PAGE = Path(__file__).parent.parent.parent / "docs" / "results.md"


@pytest.mark.parametrize(("size", "most"), list(zip(SIZES, (0.11, 0.02, 0.01), strict=True)))
def test_with_the_rule_a_page_gives_away_hardly_more_than_popularity(size: int, most: float) -> None:
    rule = attack(size, exact=False)

    assert rule.right - rule.blind < most


def test_exact_numbers_of_a_small_project_give_a_newcomer_away() -> None:
    assert attack(30, exact=True).right > 0.7


def test_the_document_has_the_success_as_it_is_simulated() -> None:
    assert table() in PAGE.read_text()
