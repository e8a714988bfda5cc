"""`make bench`: what it costs, held in one run against the floor and against what one would write otherwise.

A ruler, not a test: it never fails for a time. Rounds are interleaved, so that a machine that wanders wanders for all.
The figures are ratios of medians; the spread is the middle half of the rounds, as a share of the median.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path

from rich.console import Console
from rich.table import Table

import onramp_analytics
from onramp_analytics import events
from onramp_analytics.receiver import Receiver
from tests.onramp_checkout import KEY, OnRamp, build

PYTHON = sys.executable
COMMAND = str(Path(PYTHON).with_name("onramp-analytics"))
TRACK = ("track", "service_enabled", "service_name=plex", "has_scaffold=true")
ENTRY = str(Path(onramp_analytics.__file__).with_name("frommake.py"))
MANY = 1_000_000  # pending events
TO_FLUSH = 100_000  # events


@dataclass(frozen=True)
class Row:
    """One line of the table: our figure over the one it is held against, and the budget of the contract."""

    what: str
    against: str
    ours: float
    theirs: float
    spread: float
    budget: float
    unit: str = "ms"

    @property
    def ratio(self) -> float:
        return self.ours / self.theirs

    @property
    def met(self) -> bool:
        return self.ratio <= self.budget


def interleaved(rounds: int, **subjects: Callable[[], object]) -> dict[str, list[float]]:
    """Time each subject once a round, in seconds; the first rounds warm up and do not count."""
    times: dict[str, list[float]] = {name: [] for name in subjects}
    for number in range(rounds + 3):
        for name, subject in subjects.items():
            started = time.perf_counter()
            subject()
            if number >= 3:
                times[name].append(time.perf_counter() - started)
    return times


def row(what: str, against: str, times: dict[str, list[float]], budget: float, scale: float = 1000) -> Row:
    ours, theirs = times["ours"], times["theirs"]
    low, middle, high = statistics.quantiles(ours, n=4)
    unit = "ms" if scale == 1000 else "us"
    return Row(what, against, middle * scale, statistics.median(theirs) * scale, (high - low) / middle, budget, unit)


def process(*command: str, env: dict[str, str], cwd: Path) -> Callable[[], object]:
    return lambda: subprocess.run(
        command, env=env, cwd=cwd, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, check=True
    )


def empty(onramp: OnRamp) -> None:
    """Nothing pending, and no flusher due for an hour."""
    (onramp.path / "onramp.spool").write_bytes(b"")
    stamp = onramp.path / "onramp.spool.d" / "not-before"
    os.utime(stamp, (time.time() + 3600,) * 2)


def make_rows(onramp: OnRamp, rounds: int) -> list[Row]:
    """Wall time of a make command: without the drop-in (`-f Makefile` goes past it), with it off, with it on."""
    past = process("make", "-s", "-f", "Makefile", "list", env=onramp.env, cwd=onramp.path)
    with_it = process("make", "-s", "list", env=onramp.env, cwd=onramp.path)
    off = process("make", "-s", "list", env={**onramp.env, "DO_NOT_TRACK": "1"}, cwd=onramp.path)
    times = interleaved(rounds, past=past, off=off, on=with_it)
    added = [on - statistics.median(times["past"]) for on in times["on"]]
    return [
        row("make, analytics off", "make without the drop-in", {"ours": times["off"], "theirs": times["past"]}, 1.05),
        row("make, on: time added", "5 ms", {"ours": added, "theirs": [0.005, 0.005]}, 1.0),
    ]


def process_rows(onramp: OnRamp, rounds: int) -> list[Row]:
    from_make = process(PYTHON, "-IS", ENTRY, *TRACK, env=onramp.env, cwd=onramp.path)
    script = process(COMMAND, *TRACK, env=onramp.env, cwd=onramp.path)
    bare = process(PYTHON, "-IS", "-c", "pass", env=onramp.env, cwd=onramp.path)
    plain = process(PYTHON, "-c", "pass", env=onramp.env, cwd=onramp.path)
    stamp = onramp.path / "onramp.spool.d" / "not-before"

    def and_a_flusher() -> None:
        stamp.unlink(missing_ok=True)
        from_make()

    empty(onramp)
    quiet = interleaved(rounds, ours=from_make, theirs=bare)
    scripts = interleaved(rounds, ours=script, theirs=plain)
    starting = interleaved(rounds, ours=and_a_flusher, theirs=bare)
    subprocess.run(["pkill", "-f", f"detached.py {onramp.path}"], check=False)
    stamp.touch()
    return [
        row("track, as make starts it", "python3 -IS -c pass", quiet, 1.2),
        row("the same, starting a flusher", "python3 -IS -c pass", starting, 1.3),
        row("onramp-analytics track", "python3 -c pass", scripts, 1.35),
    ]


def growth_row(onramp: OnRamp, rounds: int) -> Row:
    """The same call with nothing and with a million events pending."""
    track = process(PYTHON, "-IS", ENTRY, *TRACK, env=onramp.env, cwd=onramp.path)
    spool, aside = onramp.path / "onramp.spool", onramp.path / "a-million"
    empty(onramp)
    track()
    line = spool.read_bytes()
    with aside.open("wb") as file:
        for _ in range(100):
            file.write(line * (MANY // 100))

    def swapped() -> None:
        spool.rename(onramp.path / "none")
        aside.rename(spool)

    def back() -> None:
        spool.rename(aside)
        (onramp.path / "none").rename(spool)

    times: dict[str, list[float]] = {"ours": [], "theirs": []}
    for number in range(rounds + 3):
        for name in ("theirs", "ours"):
            if name == "ours":
                swapped()
            started = time.perf_counter()
            track()
            took = time.perf_counter() - started
            if name == "ours":
                back()
            if number >= 3:
                times[name].append(took)
    aside.unlink()
    return row(f"track with {MANY:,} events pending", "the same with none", times, 1.05)


CALLS = """
import os, sys, time
which, calls = sys.argv[1], int(sys.argv[2])
if which == "ours":
    from onramp_analytics import track
    def call(): track("service_enabled", service_name="plex", has_scaffold=True)
else:
    from posthog import Posthog
    sdk = Posthog("phc_bench", host="http://127.0.0.1:9", max_queue_size=10**6, flush_at=10**6, flush_interval=3600)
    properties = {"service_name": "plex", "has_scaffold": True}
    def call(): sdk.capture("service_enabled", distinct_id="x", properties=properties)
times = []
for number in range(calls):
    started = time.perf_counter()
    call()
    times.append(time.perf_counter() - started)
print(*times[100:], flush=True)
os._exit(0)
"""


def function_row(onramp: OnRamp, rounds: int) -> Row:
    """`track()` on disk against the SDK's `capture()` in memory, in turns, each in a process of its own."""
    env = {**onramp.env, "ONRAMP_ROOT": str(onramp.path)}
    times: dict[str, list[float]] = {"ours": [], "theirs": []}
    for _ in range(5):
        for which, found in times.items():
            empty(onramp)
            command = [PYTHON, "-c", CALLS, which, str(rounds * 10)]
            done = subprocess.run(command, env=env, capture_output=True, text=True, check=True, cwd="/")
            found.extend(map(float, done.stdout.split()))
    return row("track() in Python, on disk", "Posthog.capture(), in memory", times, 0.75, scale=1e6)


SEND = """
import json, os, re, sys, time
from onramp_analytics import posthog_api
def peak():  # KiB; unlike ru_maxrss it begins anew with the program
    return int(re.search(r"VmHWM:\\s+(\\d+)", open("/proc/self/status").read())[1])
what, root = sys.argv[1:3]
if what == "ours":
    from onramp_analytics import flush, segments, spool
    base, started = peak(), time.perf_counter()
    s = spool.Spool(root.encode())
    with segments.flusher_lock(s) as held:
        assert held and flush.run(s, root.encode(), 600).outcome == "accepted"
else:
    import posthog.request, requests
    batches = json.load(open(sys.argv[3]))
    base, started = peak(), time.perf_counter()
    session, key, host = requests.Session(), os.environ["ONRAMP_ANALYTICS_API_KEY"], os.environ["ONRAMP_ANALYTICS_HOST"]
    for batch in batches:
        posthog.request.batch_post(key, host, gzip=True, timeout=15, batch=batch, session=session)
print(time.perf_counter() - started, peak() - base)
"""


def flush_rows(onramp: OnRamp, rounds: int) -> list[Row]:
    """The flusher against a bare loop of `batch_post` over the same batches; and its memory over `import posthog`."""
    values = events.clean("service_enabled", {"service_name": "plex", "has_scaffold": True}, b"\nservice plex\n")
    identifier = "550e8400-e29b-41d4-a716-446655440000"
    lines = [
        events.build("service_enabled", values, identifier, time.time_ns(), n.to_bytes(16, "big"))
        for n in range(TO_FLUSH)
    ]
    batches = [[json.loads(line) for line in lines[n : n + 100]] for n in range(0, TO_FLUSH, 100)]
    batch_file = onramp.path / "batches.json"
    batch_file.write_text(json.dumps(batches))
    del batches
    times: dict[str, list[float]] = {"ours": [], "theirs": []}
    memory = []
    with Receiver() as receiver:
        env = {**onramp.env, "ONRAMP_ANALYTICS_API_KEY": KEY, "ONRAMP_ANALYTICS_HOST": receiver.url}
        for _ in range(rounds):
            for what in ("theirs", "ours"):
                (onramp.path / "onramp.spool").write_bytes(b"".join(lines))
                command = [PYTHON, "-c", SEND, what, str(onramp.path), str(batch_file)]
                done = subprocess.run(command, env=env, capture_output=True, text=True, check=True)
                seconds, kib = done.stdout.split()
                times[what].append(float(seconds))
                if what == "ours":
                    memory.append(float(kib) / 1024)
                receiver.requests.clear()
                receiver.accepted.clear()
    return [
        row(f"flush of {TO_FLUSH:,} events", "a bare loop of batch_post", times, 1.3),
        Row("its memory over import posthog", "16 MiB", statistics.median(memory), 16, 0, 1.0, "MiB"),
    ]


def measure(rounds: int) -> list[Row]:
    """Measure every line of the contract's budget table."""
    with tempfile.TemporaryDirectory(prefix="onramp-bench-") as folder:
        onramp = build(Path(folder), dict(os.environ), installed=True)
        onramp.opt_in()
        return [
            *make_rows(onramp, rounds),
            *process_rows(onramp, rounds),
            function_row(onramp, rounds),
            growth_row(onramp, rounds),
            *flush_rows(onramp, 3),
        ]


def show(rows: list[Row]) -> None:
    table = Table("what", "held against", "ours", "theirs", "ratio", "budget", "spread", "", box=None)
    for r in rows:
        figures = f"{r.ours:.1f} {r.unit}", f"{r.theirs:.1f} {r.unit}", f"{r.ratio:.2f}", f"{r.budget:.2f}"
        table.add_row(r.what, r.against, *figures, f"{r.spread:.0%}", "met" if r.met else "not met")
    Console(width=130).print(table)


def main() -> None:
    parser = argparse.ArgumentParser(prog="make bench", description=__doc__)
    parser.add_argument("--rounds", type=int, default=100, help="rounds for each line")
    parser.add_argument("--json", metavar="FILE", type=Path, help="write the table there, too")
    options = parser.parse_args()
    rows = measure(options.rounds)
    show(rows)
    if options.json:
        found = [{**asdict(r), "ratio": r.ratio, "met": r.met} for r in rows]
        options.json.write_text(json.dumps(found, indent=2) + "\n")


if __name__ == "__main__":
    main()
