"""`track()` on disk and the SDK's `capture()` in memory, in one process and from threads.

Run by `make bench` with pytest-benchmark, never by `make test`, which takes files that begin with `test_`.
"""

from __future__ import annotations

import atexit
import os
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from posthog import Posthog

from onramp_analytics import track

CALLS = 250  # in each thread; with 8 threads the spool stays below its cap
ROUNDS = 20


def ours() -> None:
    track("service_enabled", service_name="plex", has_scaffold=True)


@pytest.fixture
def theirs() -> Iterator[Callable[[], None]]:
    sdk = Posthog("phc_bench", host="http://127.0.0.1:9", max_queue_size=10**6, flush_at=10**6, flush_interval=3600)
    properties = {"service_name": "plex", "has_scaffold": True}

    def capture() -> None:
        sdk.capture("service_enabled", distinct_id="x", properties=properties)

    yield capture
    atexit.unregister(sdk._atexit)


def in_threads(count: int, call: Callable[[], None]) -> None:
    def many() -> None:
        for _ in range(CALLS):
            call()

    with ThreadPoolExecutor(count) as pool:
        for done in [pool.submit(many) for _ in range(count)]:
            done.result()


def an_empty_spool() -> None:
    Path(os.environ["ONRAMP_ROOT"], "onramp.spool").write_bytes(b"")


@pytest.mark.parametrize("threads", [1, 2, 8])
def test_ours(benchmark: Any, threads: int) -> None:
    benchmark.pedantic(in_threads, (threads, ours), setup=an_empty_spool, rounds=ROUNDS, warmup_rounds=2)


@pytest.mark.parametrize("threads", [1, 2, 8])
def test_theirs(benchmark: Any, threads: int, theirs: Callable[[], None]) -> None:
    benchmark.pedantic(in_threads, (threads, theirs), rounds=ROUNDS, warmup_rounds=2)
