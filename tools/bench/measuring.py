"""What the bench computes: blocks of rounds, ratios with their quartiles, verdicts, tables. No process, no file."""

from __future__ import annotations

import statistics
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

BLOCKS = 12  # groups of consecutive rounds; each gives one ratio
NARROW = 0.1  # the quartiles of a steady line lie within this share of the ratio
WIDE = "time not steady"

HEADINGS = ("what", "against", "ours", "theirs", "ratio", "quartiles", "instructions", "their instructions", "ratio")


def blocks(figures: Sequence[float], count: int = BLOCKS) -> list[float]:
    """Return the medians of `count` groups of consecutive figures, or of fewer groups if there are fewer figures."""
    count = min(count, len(figures))
    edges = [len(figures) * number // count for number in range(count + 1)]
    return [statistics.median(figures[start:end]) for start, end in pairwise(edges)]


def ratios(ours: Sequence[float], theirs: Sequence[float]) -> list[float]:
    """Return the ratio of each block."""
    return [our / their for our, their in zip(blocks(ours), blocks(theirs), strict=True)]


def quartiles(ours: Sequence[float], theirs: Sequence[float]) -> tuple[float, float]:
    """Return the lower and the upper quartile of the ratios of the blocks; half of the ratios lie between them."""
    found = ratios(ours, theirs)
    low, _, high = statistics.quantiles(found, n=4, method="inclusive") if len(found) > 1 else found * 3
    return low, high


def is_steady(ours: Sequence[float], theirs: Sequence[float]) -> bool:
    """Return whether the quartiles of a ratio lie within a tenth of it."""
    ratio = statistics.median(ratios(ours, theirs))
    low, high = quartiles(ours, theirs)
    return low >= ratio * (1 - NARROW) and high <= ratio * (1 + NARROW)


@dataclass(frozen=True)
class Row:
    """One line of a table: what was measured, and what it is compared with, in the same run.

    Attributes:
        what: what was measured.
        against: what it is compared with.
        ours: its figures, one per round, in `unit`; empty if only instructions were counted.
        theirs: those of the other, from the same rounds.
        budget: the ratio that must not be exceeded; None if there is no budget.
        unit: "ms", "us" or "MiB".
        events: how many events it was measured with, if the number varies.
        counted: the instructions of both; None if they were not counted.
        why: where the rest goes, shown if the budget is not met.
    """

    what: str
    against: str
    ours: Sequence[float] = ()
    theirs: Sequence[float] = ()
    budget: float | None = None
    unit: str = "ms"
    events: int | None = None
    counted: tuple[float, float] | None = None
    why: str = ""

    @property
    def ratio(self) -> float | None:
        return statistics.median(ratios(self.ours, self.theirs)) if self.ours else None

    @property
    def spread(self) -> tuple[float, float] | None:
        return quartiles(self.ours, self.theirs) if self.ours else None

    @property
    def counted_ratio(self) -> float | None:
        return self.counted[0] / self.counted[1] if self.counted else None

    @property
    def is_steady(self) -> bool:
        return not self.ours or is_steady(self.ours, self.theirs)

    @property
    def verdict(self) -> str:
        """Whether the budget is met, and whether the times can be trusted.

        The time decides. If it is not steady, the instructions, which leave out what the kernel does, must meet the
        budget, too.
        """
        wandering = "" if self.is_steady else WIDE
        if self.budget is None:
            return wandering
        found = [ratio for ratio in (self.ratio, self.counted_ratio) if ratio is not None]
        assert found, "a row needs times or instructions"
        is_met = (max(found) if wandering else found[0]) <= self.budget
        verdict = ("met" if is_met else "**not met**") + (f" ({wandering})" if wandering else "")
        return verdict + (f": {self.why}" if self.why and not is_met else "")

    def cells(self) -> list[str]:
        """Return the line as a table shows it, one text per heading, and then the budget and the verdict."""
        times = ["", "", "", ""]
        if self.ours and self.spread and self.ratio is not None:
            medians = [figure(statistics.median(found), self.unit) for found in (self.ours, self.theirs)]
            times = [*medians, f"{self.ratio:.2f}", "{:.2f} to {:.2f}".format(*self.spread)]
        counts = ["", "", ""]
        if self.counted and self.counted_ratio is not None:
            counts = [*map(instructions, self.counted), f"{self.counted_ratio:.2f}"]
        budget = "" if self.budget is None else f"{self.budget:.2f}"
        return [self.what, self.against, *times, *counts, budget, self.verdict]

    def as_json(self) -> dict[str, Any]:
        """Return the line with all its figures."""
        names = "what", "against", "ours", "theirs", "unit", "events", "budget", "counted", "ratio", "spread", "verdict"
        return {name: getattr(self, name) for name in names}


def figure(value: float, unit: str) -> str:
    """Return a measured value with three digits and its unit."""
    return f"{value:,.0f} {unit}" if abs(value) >= 100 else f"{value:.3g} {unit}"


def instructions(value: float) -> str:
    """Return a number of instructions in thousands or millions."""
    return f"{value / 1e6:,.1f} M" if value >= 1e6 else f"{value / 1e3:,.0f} k"


def rows_table(rows: Sequence[Row]) -> str:
    """Return lines as a Markdown table; the two columns of the budget only if a line has one."""
    with_budget = any(row.budget is not None for row in rows)
    headings = [*HEADINGS, *(("budget", "verdict") if with_budget else ("budget", "note"))]
    cells = [row.cells() for row in rows]
    if not with_budget:
        headings.remove("budget")
        cells = [[*line[:-2], line[-1]] for line in cells]
    return table(headings, cells)


def summary(rows: Sequence[Row]) -> str:
    """Return a paragraph that says how many budgets are met."""
    met = sum(row.verdict.startswith("met") for row in rows)
    return f"{met} of {len(rows)} budgets are met. The verdicts of the others link to the reasons.\n\n"


def table(headings: Sequence[str], lines: Sequence[Sequence[str]]) -> str:
    """Return a Markdown table."""
    whole = [headings, ["---"] * len(headings), *lines]
    return "".join("| " + " | ".join(line) + " |\n" for line in whole)
