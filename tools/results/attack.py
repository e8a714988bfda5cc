"""Simulate an attack on a published page: the attacker knows one new installation, and wants its services.

Between two editions, the attacker assumes that the newcomer has the services whose rows went up. The simulation covers
a year, both with exact numbers each week and with the rounded editions. The random numbers are seeded.
"""

from __future__ import annotations

import random
import sys
from collections import Counter
from dataclasses import dataclass

from onramp_analytics.dashboard.rounding import r

NAMES = 290
WEEKS = 52
BETWEEN = 4  # weeks between two editions of the rule
NEW = 5  # installations that must be new in one
SIZES = (30, 300, 3000)


@dataclass(frozen=True, slots=True)
class Success:
    """How the attack went.

    Attributes:
        found: the share of the newcomer's services that were guessed.
        right: the share of the guesses that are right.
        blind: the share of right guesses if the attacker guesses as many services by popularity alone.
    """

    found: float
    right: float
    blind: float


def attack(size: int, *, exact: bool, seed: int = 18) -> Success:
    """Simulate the attack on every edition of a year, each time on another newcomer.

    Args:
        size: installations at the beginning. Each week, a fiftieth of that number joins, but at least one.
        exact: whether the editions show exact numbers each week; otherwise they follow the rule for rounding.
        seed: for the random numbers.
    """
    chance = random.Random(seed)
    chances = [0.8 / (1 + rank / 6) for rank in range(NAMES)]
    alive = [_joins(chance, chances) for _ in range(size)]
    before, newcomers = _rows(alive, exact=exact), []
    hits, named, had, blind = 0, 0, 0, 0.0
    for week in range(1, WEEKS + 1):
        newcomers += [_joins(chance, chances) for _ in range(max(1, size // 50))]
        _toggle(chance, alive)
        if not exact and (week % BETWEEN or len(newcomers) < NEW):
            continue
        alive += newcomers
        now = _rows(alive, exact=exact)
        victim, guess = newcomers[0], {name for name in now if now[name] > before.get(name, 0)}
        hits, named, had = hits + len(guess & victim), named + len(guess), had + len(victim)
        blind += sum(chances[name] for name in guess)
        before, newcomers = now, []
    return Success(hits / (had or 1), hits / (named or 1), blind / (named or 1))


def _joins(chance: random.Random, chances: list[float]) -> set[int]:
    return {name for name, likely in enumerate(chances) if chance.random() < likely}


def _toggle(chance: random.Random, alive: list[set[int]]) -> None:
    """One installation in ten switches something in a week."""
    for _ in range(len(alive) // 10):
        alive[chance.randrange(len(alive))] ^= {chance.randrange(NAMES)}


def _rows(alive: list[set[int]], *, exact: bool) -> dict[int, int]:
    counts = Counter(name for one in alive for name in one)
    return dict(counts) if exact else {name: r(n) for name, n in counts.items() if r(n)}


def table() -> str:
    """Return the table of docs/results.md."""
    lines = [
        "| installations | numbers | found | right | right by popularity alone |",
        "|---|---|---|---|---|",
    ]
    for size in SIZES:
        for exact, what in ((True, "exact, each week"), (False, "the rule")):
            done = attack(size, exact=exact)
            figures = " | ".join(f"{100 * share:.0f}%" for share in (done.found, done.right, done.blind))
            lines.append(f"| {size:,} | {what} | {figures} |")
    return "\n".join(lines)


if __name__ == "__main__":
    sys.stdout.write(f"{table()}\n")
