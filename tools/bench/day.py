"""Measure the cost of a day on a small host: processor seconds of all processes, and the parts of an upload."""

from __future__ import annotations

import statistics
from pathlib import Path

from onramp_analytics.receiver import Receiver
from tests.onramp_checkout import KEY, OnRamp, build
from tools.bench import shape
from tools.bench.commands import empty
from tools.bench.flushing import lines_of
from tools.bench.measuring import instructions, table
from tools.bench.running import ENTRY, PYTHON, TRACK, Command, count_all, processor_seconds

DAYS = (1, 3, 100)  # commands in a day
ROUNDS = 9


def day_tables(folder: Path, env: dict[str, str]) -> str:
    """Measure one command, its tracker, and uploads of 1, 3 and 100 events; the cost of a day is a sum of these."""
    (folder / "without").mkdir()
    (folder / "with").mkdir()
    plain, onramp = build(folder / "without", env), build(folder / "with", env, installed=True)
    for checkout in (plain, onramp):
        shape.give(checkout)
    onramp.opt_in()
    without = _seconds(Command(("make", "-s", "list"), plain.env, plain.path))
    added = _seconds(Command(("make", "-s", "list"), onramp.env, onramp.path)) - without
    with Receiver() as receiver:
        env = {**onramp.env, "ONRAMP_ANALYTICS_API_KEY": KEY, "ONRAMP_ANALYTICS_HOST": receiver.url}
        onramp.opt_in(ANALYTICS_AGREED_TO=f"{receiver.url} {KEY}")
        upload = {
            count: _upload(onramp, Command((PYTHON, "-IS", ENTRY, *TRACK), env, onramp.path), count) for count in DAYS
        }
        counts = _where(onramp, env)
    lines = []
    for count in DAYS:
        ours, once, each = count * added, upload[count], count * upload[1]
        lines.append(
            [f"{count}", *(f"{value:.2f} s" for value in (count * without, ours, once, ours + once, ours + each))]
        )
    headings = ("commands", "make itself", "recording", "one upload", "added, daily", "added, at once")
    shares = [[name, instructions(value), f"{value / counts[-1][1]:.2f}"] for name, value in counts]
    parts = table(("an upload of one event", "instructions", "share"), shares)
    return table(headings, lines) + "\n" + parts


def _seconds(command: Command) -> float:
    return statistics.median(sum(processor_seconds(command)) for _ in range(ROUNDS))


def _upload(onramp: OnRamp, track: Command, count: int) -> float:
    """Return the processor seconds of the upload that a tracker starts, with `count` events including its own."""
    found = []
    for _ in range(3):
        lines = lines_of(onramp, count - 1) if count > 1 else []
        empty(onramp)
        (onramp.path / "onramp.spool").write_text("".join(lines))
        (onramp.path / "onramp.spool.d/not-before").unlink()
        found.append(processor_seconds(track)[1])
    return statistics.median(found)


def _where(onramp: OnRamp, env: dict[str, str]) -> list[tuple[str, float]]:
    """Return the instructions of each part of an upload, and of all of it in the last line."""

    def python(*words: str) -> Command:
        return Command((PYTHON, *words), env, onramp.path)

    empty(onramp)
    found = count_all(
        {
            "bare": python("-c", "pass"),
            "requests": python("-c", "import requests"),
            "sdk": python("-c", "import posthog.request, requests"),
            "track": python("-IS", ENTRY, *TRACK),
        }
    )
    (onramp.path / "onramp.spool.d/not-before").unlink()
    whole = count_all({"whole": python("-IS", ENTRY, *TRACK)})["whole"] - found["track"]
    return [
        ("starting an interpreter", found["bare"]),
        ("importing `requests`", found["requests"] - found["bare"]),
        ("importing the rest of the SDK", found["sdk"] - found["requests"]),
        ("waiting, consent, one request, logs", whole - found["sdk"]),
        ("in all", whole),
    ]
