"""The functions: `track()` in a Python program, and the flusher against a bare loop of the call that it makes."""

from __future__ import annotations

import json
import subprocess
import tempfile
import time
from pathlib import Path
from typing import Any

from onramp_analytics import events
from onramp_analytics.receiver import Receiver
from tests.onramp_checkout import KEY, OnRamp
from tools.bench.functions import CALLS
from tools.bench.measuring import PYTHON, Row, Times, empty

PASSES = 4  # of the whole file of functions, so that both sides share the machine's moods
TO_FLUSH = (1_000, 10_000, 100_000)  # events
ID = "550e8400-e29b-41d4-a716-446655440000"


def function_rows(onramp: OnRamp) -> list[Row]:
    """`track()` on disk against the SDK's `capture()` in memory: microseconds for each call of each thread."""
    times: dict[tuple[str, int], list[float]] = {}
    empty(onramp)
    for _ in range(PASSES):
        for found in _benchmarks(onramp):
            threads = found["params"]["threads"]
            per_call = [seconds * 1e6 / CALLS / threads for seconds in found["stats"]["data"]]
            times.setdefault((found["name"].partition("[")[0], threads), []).extend(per_call)
    empty(onramp)
    return [
        Row(
            f"track() in {threads} thread{'s' * (threads > 1)}, on disk",
            "Posthog.capture(), in memory",
            times["test_ours", threads],
            times["test_theirs", threads],
            0.75 if threads == 1 else None,
            "us",
        )
        for threads in (1, 2, 8)
    ]


def _benchmarks(onramp: OnRamp) -> list[dict[str, Any]]:
    with tempfile.NamedTemporaryFile(suffix=".json") as file:
        options = [
            "-q",
            "-p",
            "no:cacheprovider",
            "-o",
            "addopts=",
            "--benchmark-quiet",
            f"--benchmark-json={file.name}",
        ]
        functions = str(Path(__file__).with_name("functions.py"))
        subprocess.run(
            [PYTHON, "-m", "pytest", functions, *options],
            env={**onramp.env, "ONRAMP_ROOT": str(onramp.path)},
            cwd=Path(__file__).parent.parent.parent,
            stdout=subprocess.DEVNULL,
            check=True,
        )
        found: list[dict[str, Any]] = json.load(file)["benchmarks"]
        return found


SEND = """
import json, os, re, sys, time
from onramp_analytics.posthog import capture
def peak():  # KiB; unlike ru_maxrss it begins anew with the program
    return int(re.search(r"VmHWM:\\s+(\\d+)", open("/proc/self/status").read())[1])
what, root = sys.argv[1:3]
if what == "ours":
    from onramp_analytics import flush, spool
    from onramp_analytics.outbox import segments
    base, started = peak(), time.perf_counter()
    s = spool.Spool(root.encode())
    with segments.flusher_lock(s) as held:
        assert held and flush.run(s, root.encode(), 600, at_once=True).outcome == "accepted"
else:
    import posthog.request, requests
    batches = json.load(open(sys.argv[3]))
    base, started = peak(), time.perf_counter()
    session, key, host = requests.Session(), os.environ["ONRAMP_ANALYTICS_API_KEY"], os.environ["ONRAMP_ANALYTICS_HOST"]
    for batch in batches:
        posthog.request.batch_post(key, host, gzip=True, timeout=15, batch=batch, session=session)
print((time.perf_counter() - started) * 1000, (peak() - base) / 1024)
"""


def flush_rows(onramp: OnRamp, rounds: int) -> list[Row]:
    """The flusher against a bare loop of `batch_post` over the same batches; and its memory over `import posthog`."""
    rows = []
    for count in TO_FLUSH:
        times, memory = _flushes(onramp, count, rounds)
        last = count == TO_FLUSH[-1]
        what, against = f"flush of {count:,} events", "a bare loop of batch_post"
        rows.append(Row(what, against, times["ours"], times["theirs"], 1.3 if last else None, events=count))
    return [*rows, Row("its memory over import posthog", "16 MiB", memory, [16.0] * rounds, 1.0, "MiB")]


def _flushes(onramp: OnRamp, count: int, rounds: int) -> tuple[Times, list[float]]:
    values = events.clean("service_enabled", {"service_name": "plex", "has_scaffold": True}, b"\nservice plex\n")
    lines = [events.build("service_enabled", values, ID, time.time_ns(), n.to_bytes(16, "big")) for n in range(count)]
    batch_file = onramp.path.parent / "batches.json"
    batch_file.write_text(json.dumps([[json.loads(line) for line in lines[n : n + 100]] for n in range(0, count, 100)]))
    times: Times = {"theirs": [], "ours": []}
    memory = []
    with Receiver() as receiver:
        env = {**onramp.env, "ONRAMP_ANALYTICS_API_KEY": KEY, "ONRAMP_ANALYTICS_HOST": receiver.url}
        for _ in range(rounds):
            for what, found in times.items():
                (onramp.path / "onramp.spool").write_bytes(b"".join(lines))
                command = [PYTHON, "-c", SEND, what, str(onramp.path), str(batch_file)]
                done = subprocess.run(command, env=env, capture_output=True, text=True, check=True)
                milliseconds, mebibytes = map(float, done.stdout.split())
                found.append(milliseconds)
                if what == "ours":
                    memory.append(mebibytes)
                receiver.requests.clear()
                receiver.accepted.clear()
    return times, memory
