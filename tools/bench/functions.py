"""`track()` on disk against the SDK's `capture()` in memory: plain loops, and eight threads."""

from __future__ import annotations

import json
import subprocess

from tests.onramp_checkout import OnRamp
from tools.bench.calls import CALLS, THREADS
from tools.bench.measuring import Row
from tools.bench.running import PYTHON, REPOSITORY, Command, count_all

FEW, MANY = 100, 600  # the calls of two counts: the difference leaves out what a process costs before its first call


def function_rows(onramp: OnRamp, seconds: float) -> list[Row]:
    """Measure `track()` on disk against `capture()` in memory: microseconds per call."""
    env = {**onramp.env, "ONRAMP_ROOT": str(onramp.path)}

    def command(*words: str) -> Command:
        return Command((PYTHON, "-m", "tools.bench.calls", *words), env, REPOSITORY)

    counted = count_all({f"{who} {n}": command(who, str(n)) for who in ("ours", "theirs") for n in (FEW, MANY)})
    per_call = tuple((counted[f"{who} {MANY}"] - counted[f"{who} {FEW}"]) / (MANY - FEW) for who in ("ours", "theirs"))
    racing = command("race", str(seconds)).words
    done = subprocess.run(racing, env=env, cwd=REPOSITORY, check=True, capture_output=True, text=True)
    times = json.loads(done.stdout)

    def row(where: str, suffix: str, calls: int, budget: float, counts: tuple[float, float] | None) -> Row:
        mine, others = ([took * 1000 / calls for took in times[who + suffix]] for who in ("ours", "theirs"))
        what, against = f"`track()` {where}, on disk", "`Posthog.capture()`, in memory"
        why = "[the cost of `track()`](#cost-of-track-in-python)"
        return Row(what, against, mine, others, budget, "us", counted=counts, why=why)

    return [
        row("in a plain loop", "", CALLS, 1.0, (per_call[0], per_call[1])),
        row("in eight threads", " in threads", CALLS * THREADS, 1.05, None),
    ]
