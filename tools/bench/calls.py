"""The process of `functions.py`; it imports little, since callgrind counts what it imports.

python -m tools.bench.calls ours|theirs CALLS      makes so many calls, to be counted
python -m tools.bench.calls race SECONDS           prints the times of both as JSON
"""

from __future__ import annotations

import json
import os
import sys
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

from onramp_analytics import track
from tools.bench.running import Subject, race

CALLS = 250  # in each thread
THREADS = 8


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


def main() -> None:
    """Do what the command line says; end at once, since the SDK would try to send at its exit."""
    what, number = sys.argv[1:]
    if what == "race":
        sys.stdout.write(json.dumps(run_race(float(number))))
        sys.stdout.flush()
    else:
        empty_the_spool()
        many(ours if what == "ours" else theirs(), int(number))
    os._exit(0)


if __name__ == "__main__":
    main()
