"""A flush against a bare loop of the call that it makes: `posthog.request.batch_post`."""

from __future__ import annotations

import json
import subprocess
import uuid

from onramp_analytics.receiver import Receiver
from tests.onramp_checkout import KEY, OnRamp
from tools.bench.commands import empty
from tools.bench.measuring import Row
from tools.bench.running import ENTRY, PYTHON, REPOSITORY, TRACK, Command, Subject, count_instructions, race

LARGEST = 100_000
BATCH = 100  # events per request
DURATION = 1200  # milliseconds
TRACK_COMMAND = ("track", "command_executed", "command=start", "success=true", f"duration_ms={DURATION}")
#: Events, the budget, and the part of all the seconds that its rounds may take.
SIZES: tuple[tuple[int, float | None, float], ...] = ((1_000, 1.3, 0.25), (10_000, None, 0.2), (LARGEST, 1.2, 0.55))
FEW, MANY = 1_000, 4_000  # events of two counts


def lines_of(onramp: OnRamp, count: int) -> list[str]:
    """Return so many queued events: a service and a command by turns, the commands with 90 durations."""
    empty(onramp)
    Command((PYTHON, "-IS", ENTRY, *TRACK), onramp.env, onramp.path)()
    Command((PYTHON, "-IS", ENTRY, *TRACK_COMMAND), onramp.env, onramp.path)()
    tracked = (onramp.path / "onramp.spool").read_text().splitlines(keepends=True)
    own = [json.loads(line)["uuid"] for line in tracked]
    return [
        tracked[number % 2]
        .replace(own[number % 2], str(uuid.UUID(int=number, version=4)))
        .replace(f":{DURATION},", f":{1000 + number % 90 * 100},")
        for number in range(count)
    ]


class Rig:
    """A checkout with a queue, the same events as batches, and a receiver for both sides."""

    def __init__(self, onramp: OnRamp, receiver: Receiver) -> None:
        self.onramp, self.receiver = onramp, receiver
        onramp.opt_in(ANALYTICS_AGREED_TO=f"{receiver.url} {KEY}")
        self.lines = lines_of(onramp, LARGEST)
        self.batches = onramp.path.parent / "batches.json"
        self.env = {**onramp.env, "ONRAMP_ANALYTICS_API_KEY": KEY, "ONRAMP_ANALYTICS_HOST": receiver.url}
        self.printed: dict[str, list[tuple[float, float]]] = {"ours": [], "theirs": []}

    def prepare(self, count: int) -> None:
        """Queue so many events, and forget what was received."""
        self.receiver.requests.clear()
        self.receiver.accepted.clear()
        (self.onramp.path / "onramp.spool.d/not-before").unlink(missing_ok=True)
        (self.onramp.path / "onramp.spool").write_text("".join(self.lines[:count]))
        events = [json.loads(line) for line in self.lines[:count]]
        self.batches.write_text(json.dumps([events[start : start + BATCH] for start in range(0, count, BATCH)]))

    def command(self, who: str) -> Command:
        words = (PYTHON, "-m", "tools.bench.sending", who, str(self.onramp.path), str(self.batches))
        return Command(words, self.env, REPOSITORY)

    def send(self, who: str, count: int) -> None:
        """Send the queue; the process measures itself, from after its imports."""
        command = self.command(who)
        done = subprocess.run(
            command.words, env=command.env, cwd=command.cwd, check=True, stdout=subprocess.PIPE, text=True
        )
        if len(self.receiver.accepted) != count:
            raise SystemExit(f"{who}: {len(self.receiver.accepted)} of {count} events were accepted")
        took, memory = map(float, done.stdout.split())
        self.printed[who].append((took, memory))

    def count(self, who: str, count: int) -> float:
        self.prepare(count)
        return count_instructions(self.command(who))


def flush_rows(onramp: OnRamp, seconds: float) -> list[Row]:
    """Measure the flush of three queues against the loop; and the memory that it takes over `import posthog`."""
    rows = []
    with Receiver() as receiver:
        rig = Rig(onramp, receiver)
        counted = {(who, n): rig.count(who, n) for who in ("ours", "theirs", "loading") for n in (0, FEW, MANY)}
        for n in (0, FEW, MANY):
            counted["theirs", n] -= counted["loading", n]  # the loop reads its events from a file before it begins
        for count, budget, share in SIZES:
            rig.printed = {"ours": [], "theirs": []}
            subjects = {
                who: Subject(lambda who=who, count=count: rig.send(who, count), lambda count=count: rig.prepare(count))  # type: ignore[misc]
                for who in ("ours", "theirs")
            }
            race(subjects, seconds * share, [("ours", "theirs")])
            mine, others = ([took for took, _ in rig.printed[who]] for who in ("ours", "theirs"))
            few, base = (FEW, 0) if count == FEW else (MANY, FEW)
            counts = [(counted[who, few] - counted[who, base]) * count / (few - base) for who in ("ours", "theirs")]
            rows.append(
                Row(
                    f"flush of {count:,} events",
                    "a bare loop of `batch_post`",
                    mine,
                    others,
                    budget,
                    events=count,
                    counted=(counts[0], counts[1]),
                    why="[instructions of an upload](#instructions-of-an-upload)",
                )
            )
        memory = [peak for _, peak in rig.printed["ours"]]
    limit = [16.0] * len(memory)
    return [*rows, Row("memory that it adds to `import posthog`", "a limit of 16 MiB", memory, limit, 1.0, "MiB")]
