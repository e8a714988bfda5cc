"""`track()` on disk and the SDK's `capture()` in memory, in one process: plain loops, and eight threads.

python -m tools.bench.functions ours|theirs CALLS      makes so many calls, to be counted
python -m tools.bench.functions race SECONDS           prints the times of both as JSON
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

from onramp_analytics import track
from tests.onramp_checkout import OnRamp
from tools.bench.measuring import Row
from tools.bench.running import PYTHON, REPOSITORY, Command, Subject, count_all, race

CALLS = 250  # in each thread
THREADS = 8
FEW, MANY = 100, 600  # the calls of two counts: the difference leaves out what a process costs before its first call


def ours() -> None:
    track("service_enabled", service_name="plex", has_scaffold=True)


def theirs() -> Callable[[], Any]:
    """Return a `capture()` that never sends: the queue and the batch are larger than any number of calls here."""
    from posthog import Posthog

    sdk = Posthog("phc_bench", host="http://127.0.0.1:9", max_queue_size=10**6, flush_at=10**6, flush_interval=3600)
    properties = {"service_name": "plex", "has_scaffold": True}
    return lambda: sdk.capture("service_enabled", distinct_id="x", properties=properties)


def many(call: Callable[[], Any], calls: int = CALLS) -> None:
    for _ in range(calls):
        call()


def in_threads(call: Callable[[], Any]) -> None:
    threads = [threading.Thread(target=many, args=(call,)) for _ in range(THREADS)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()


def empty_the_spool() -> None:
    Path(os.environ["ONRAMP_ROOT"], "onramp.spool").write_bytes(b"")


def run_race(seconds: float) -> dict[str, list[float]]:
    """Return the milliseconds of 250 calls in a plain loop, and of 2,000 in eight threads, of both."""
    capture = theirs()
    return race(
        {
            "ours": Subject(lambda: many(ours), empty_the_spool),
            "theirs": Subject(lambda: many(capture)),
            "ours in threads": Subject(lambda: in_threads(ours), empty_the_spool),
            "theirs in threads": Subject(lambda: in_threads(capture)),
        },
        seconds,
        [("ours", "theirs"), ("ours in threads", "theirs in threads")],
    )


def function_rows(onramp: OnRamp, seconds: float) -> list[Row]:
    """Measure `track()` on disk against `capture()` in memory: microseconds per call."""
    env = {**onramp.env, "ONRAMP_ROOT": str(onramp.path)}

    def command(*words: str) -> Command:
        return Command((PYTHON, "-m", "tools.bench.functions", *words), env, REPOSITORY)

    counted = count_all({f"{who} {n}": command(who, str(n)) for who in ("ours", "theirs") for n in (FEW, MANY)})
    per_call = tuple((counted[f"{who} {MANY}"] - counted[f"{who} {FEW}"]) / (MANY - FEW) for who in ("ours", "theirs"))
    racing = command("race", str(seconds)).words
    done = subprocess.run(racing, env=env, cwd=REPOSITORY, check=True, capture_output=True, text=True)
    times = json.loads(done.stdout)

    def row(where: str, suffix: str, calls: int, budget: float, counts: tuple[float, float] | None) -> Row:
        mine, others = ([took * 1000 / calls for took in times[who + suffix]] for who in ("ours", "theirs"))
        what, against = f"`track()` {where}, on disk", "`Posthog.capture()`, in memory"
        return Row(what, against, mine, others, budget, "us", counted=counts)

    return [
        row("in a plain loop", "", CALLS, 1.0, (per_call[0], per_call[1])),
        row("in eight threads", " in threads", CALLS * THREADS, 1.05, None),
    ]


def main() -> None:
    """Do what the command line says; end at once, since the SDK would try to send at its exit."""
    what, number = sys.argv[1:]
    if what == "race":
        print(json.dumps(run_race(float(number))), flush=True)
    else:
        empty_the_spool()
        many(ours if what == "ours" else theirs(), int(number))
    os._exit(0)


if __name__ == "__main__":
    main()
