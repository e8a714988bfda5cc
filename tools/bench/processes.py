"""Whole processes, timed from outside: make, `track`, the floors, and what one would write otherwise."""

from __future__ import annotations

import json
import os
import shutil
import signal
import time
from collections.abc import Callable
from contextlib import suppress

from onramp_analytics import events
from onramp_analytics.receiver import OK, Answer, Receiver
from tests.conftest import Checkout, flushers_of
from tests.onramp_checkout import KEY, OnRamp
from tools.bench.measuring import COMMAND, ENTRY, PYTHON, TRACK, Row, empty, interleaved, process

PENDING = (0, 1_000, 10_000, 100_000, 1_000_000)  # events; the last two are beyond the cap
LATENCY = 0.15  # seconds until a far host answers

#: The shortest that one can write with the SDK: it sends at once.
SYNC = """
import sys
from posthog import Posthog
posthog = Posthog(sys.argv[1], host=sys.argv[2], sync_mode=True, disable_geoip=True)
posthog.capture("service_enabled", distinct_id="x", properties={"service_name": "plex", "has_scaffold": True})
"""
THREADED = SYNC.replace("sync_mode=True, ", "") + "posthog.shutdown()\n"
SQLITE = """
import sqlite3, sys
spool = sqlite3.connect(sys.argv[1], timeout=0.05)
spool.execute("PRAGMA journal_mode = WAL")
spool.execute("CREATE TABLE IF NOT EXISTS events (id INTEGER PRIMARY KEY, event TEXT)")
with spool:
    spool.execute("INSERT INTO events (event) VALUES (?)", (sys.argv[2],))
"""
FILE = """
import os, sys, time
name = f"{sys.argv[1]}/{time.time_ns()}-{os.getpid()}"
with open(name + ".new", "x") as file:
    file.write(sys.argv[2])
os.rename(name + ".new", name)
"""
#: The half that records. The other half would start a process that sends to a host written into the package.
AZURE = """
import sys
from azure.cli.telemetry import save_payload
save_payload(sys.argv[1], sys.argv[2])
"""
CURL = """curl -s -o "$3" -H 'Content-Type: application/json' -d "$2" "$1/batch/" </dev/null >/dev/null 2>&1 &"""


def make_rows(onramp: OnRamp, rounds: int) -> list[Row]:
    """A make command: without the drop-in (`-f Makefile` goes past it), with it and off, with it and on."""
    plain = process("make", "-s", "-f", "Makefile", "list", env=onramp.env, cwd=onramp.path)
    with_it = process("make", "-s", "list", env=onramp.env, cwd=onramp.path)
    off = process("make", "-s", "list", env={**onramp.env, "DO_NOT_TRACK": "1"}, cwd=onramp.path)
    times = interleaved(rounds, {"plain": plain, "off": off, "on": with_it})
    added = [on - without for on, without in zip(times["on"], times["plain"], strict=True)]
    return [
        Row("make, analytics off", "make without the integration", times["off"], times["plain"], 1.05),
        Row("make, analytics on: time added", "5 ms", added, [5.0] * rounds, 1.0),
    ]


def track_rows(onramp: OnRamp, rounds: int) -> list[Row]:
    """The tracker against the floors of the same environment."""
    track = process(PYTHON, "-IS", ENTRY, *TRACK, env=onramp.env, cwd=onramp.path)
    stamp = onramp.path / "onramp.spool.d" / "not-before"

    def and_a_flusher() -> Callable[[], None]:
        stamp.unlink(missing_ok=True)
        track()
        return lambda: _end_flushers(onramp)

    empty(onramp)
    times = interleaved(
        rounds,
        {
            "bare": process(PYTHON, "-IS", "-c", "pass", env=onramp.env, cwd=onramp.path),
            "plain": process(PYTHON, "-c", "pass", env=onramp.env, cwd=onramp.path),
            "sh": process("sh", "-c", ":", env=onramp.env, cwd=onramp.path),
            "track": track,
            "ran": process(PYTHON, "-IS", ENTRY, "ran", "list", "0", "1.0", "1.5", env=onramp.env, cwd=onramp.path),
            "script": process(COMMAND, *TRACK, env=onramp.env, cwd=onramp.path),
            "flusher": and_a_flusher,
        },
    )
    empty(onramp)
    return [
        Row("track, as make starts it", "python3 -IS -c pass", times["track"], times["bare"], 1.2),
        Row("the same for a whole command (ran)", "python3 -IS -c pass", times["ran"], times["bare"], 1.2),
        Row("track that also starts a flusher", "python3 -IS -c pass", times["flusher"], times["bare"], 1.3),
        Row("onramp-analytics track", "python3 -c pass", times["script"], times["plain"], 1.35),
        Row("track, as make starts it", "sh -c :", times["track"], times["sh"]),
    ]


def _end_flushers(onramp: OnRamp) -> None:
    empty(onramp)
    for pid in flushers_of(Checkout(onramp.path)):
        with suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)


def alternative_rows(onramp: OnRamp, rounds: int) -> list[Row]:
    """What one would write otherwise: each records or sends one event from a process of its own."""
    folder = onramp.path.parent / "alternatives"
    (folder / "files").mkdir(parents=True)
    values = events.clean("service_enabled", {"service_name": "plex", "has_scaffold": True}, b"\nservice plex\n")
    line = events.build("service_enabled", values, "x", time.time_ns(), bytes(16)).decode()
    body = json.dumps({"api_key": KEY, "batch": [json.loads(line)]})
    with Receiver() as near, Receiver() as far:
        far.answer_always(lambda _request: Answer(OK.status, OK.body, OK.headers, delay=LATENCY))

        def python(*words: str) -> Callable[[], None]:
            return process(PYTHON, *words, env=onramp.env, cwd=folder)

        curl = process("sh", "-c", CURL, "sh", near.url, body, str(folder / "answer"), env=onramp.env, cwd=folder)

        def in_the_background() -> Callable[[], bool]:
            seen = len(near.requests)
            curl()
            return lambda: near.wait_for_request(seen + 1)

        subjects: dict[str, Callable[[], object]] = {
            "ours": process(PYTHON, "-IS", ENTRY, *TRACK, env=onramp.env, cwd=onramp.path),
            "one file an event": python("-IS", "-c", FILE, str(folder / "files"), line),
            "a SQLite table in WAL mode": python("-IS", "-c", SQLITE, str(folder / "spool.db"), line),
            "curl in the background": in_the_background,
            "Posthog(sync_mode=True), an answer at once": python("-c", SYNC, KEY, near.url),
            "the same, an answer after 150 ms": python("-c", SYNC, KEY, far.url),
            "Posthog() with its thread, and shutdown()": python("-c", THREADED, KEY, near.url),
            "azure-cli-telemetry, its record half": python("-c", AZURE, str(folder), line),
        }
        times = interleaved(rounds, subjects)
    ours = times.pop("ours")
    return [Row("track, as make starts it", name, ours, found) for name, found in times.items()]


def growth_rows(onramp: OnRamp, rounds: int) -> list[Row]:
    """The same call in checkouts in which so many events are pending."""
    subjects: dict[str, Callable[[], object]] = {}
    for count in PENDING:
        copy = OnRamp(onramp.path.parent / f"pending-{count}", onramp.env)
        shutil.copytree(onramp.path, copy.path, symlinks=True)
        empty(copy)
        track = process(PYTHON, "-IS", ENTRY, *TRACK, env=copy.env, cwd=copy.path)
        track()
        spool = copy.path / "onramp.spool"
        line = spool.read_bytes()
        with spool.open("wb") as file:
            for _ in range(count // 1000):
                file.write(line * 1000)
        subjects[str(count)] = track
    times = interleaved(rounds, subjects)
    return [
        Row(
            f"track with {count:,} events pending",
            "the same with none",
            times[str(count)],
            times["0"],
            1.05 if count == PENDING[-1] else None,
            events=count,
        )
        for count in PENDING[1:]
    ]
