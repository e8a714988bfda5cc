"""How the bench measures and what it prints: interleaved rounds, medians, quartiles, ratios."""

from __future__ import annotations

import os
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import onramp_analytics
from tests.onramp_checkout import OnRamp

PYTHON = sys.executable
COMMAND = str(Path(PYTHON).with_name("onramp-analytics"))
ENTRY = str(Path(onramp_analytics.__file__).with_name("make_entry.py"))
TRACK = ("track", "service_enabled", "service_name=plex", "has_scaffold=true")
WARM_UP = 3  # rounds that do not count

Times = dict[str, list[float]]


@dataclass(frozen=True)
class Row:
    """One line of a table: what was measured, held against something of the same run.

    Attributes:
        what: what was measured.
        against: what it is held against.
        ours: its figures, one a round, in `unit`.
        theirs: those of the other, of the same rounds.
        budget: the ratio that may not be exceeded; None where nobody set one.
        unit: "ms", "us" or "MiB".
        events: how many events it was measured with, where it was measured with several numbers of them.
    """

    what: str
    against: str
    ours: list[float]
    theirs: list[float]
    budget: float | None = None
    unit: str = "ms"
    events: int | None = None

    @property
    def ratio(self) -> float:
        return statistics.median(self.ours) / statistics.median(self.theirs)

    @property
    def spread(self) -> tuple[float, float]:
        """The quartiles of the ratios of the single rounds; half of the rounds are between them."""
        low, _, high = statistics.quantiles([o / t for o, t in zip(self.ours, self.theirs, strict=True)], n=4)
        return low, high

    @property
    def verdict(self) -> str:
        if self.budget is None:
            return ""
        return "met" if self.ratio <= self.budget else "not met"

    def cells(self) -> list[str]:
        """The line as the table shows it."""
        low, high = self.spread
        ours, theirs = (_figure(statistics.median(found), self.unit) for found in (self.ours, self.theirs))
        budget = "" if self.budget is None else f"{self.budget:.2f}"
        return [
            self.what,
            self.against,
            ours,
            theirs,
            f"{self.ratio:.2f}",
            f"{low:.2f} to {high:.2f}",
            budget,
            self.verdict,
        ]

    def as_json(self) -> dict[str, Any]:
        """The line with its figures."""
        found = {
            name: getattr(self, name) for name in ("what", "against", "ours", "theirs", "unit", "events", "budget")
        }
        return {**found, "ratio": self.ratio, "spread": self.spread, "verdict": self.verdict}


def _figure(value: float, unit: str) -> str:
    return f"{value:,.0f} {unit}" if value >= 100 else f"{value:.3g} {unit}"


def interleaved(rounds: int, subjects: Mapping[str, Callable[[], object]]) -> Times:
    """Time each subject once a round, in milliseconds, so that a machine that wanders wanders for all.

    A subject may return a function that prepares its next round; that one is not timed.
    """
    times: Times = {name: [] for name in subjects}
    for number in range(rounds + WARM_UP):
        for name, subject in subjects.items():
            started = time.perf_counter()
            after = subject()
            took = time.perf_counter() - started
            if callable(after):
                after()
            if number >= WARM_UP:
                times[name].append(took * 1000)
    return times


def process(*command: str, env: Mapping[str, str], cwd: Path) -> Callable[[], None]:
    """Return what runs a whole process and waits for it."""

    def run() -> None:
        subprocess.run(command, env=env, cwd=cwd, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, check=True)

    return run


def empty(onramp: OnRamp) -> None:
    """Nothing pending, and no flusher due for an hour."""
    (onramp.path / "onramp.spool").write_bytes(b"")
    stamp = onramp.path / "onramp.spool.d" / "not-before"
    stamp.touch()
    os.utime(stamp, (time.time() + 3600,) * 2)
