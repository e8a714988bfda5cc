"""How the bench runs things: rounds in random order against the clock, callgrind, strace."""

from __future__ import annotations

import ctypes
import json
import os
import random
import re
import resource
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import onramp_analytics
from tools.bench.measuring import BLOCKS, is_steady

PYTHON = sys.executable
COMMAND = str(Path(PYTHON).with_name("onramp-analytics"))
ENTRY = str(Path(onramp_analytics.__file__).with_name("make_entry.py"))
TRACK = ("track", "service_enabled", "service_name=plex", "has_scaffold=true")
REPOSITORY = Path(__file__).parent.parent.parent
WARM_UP = 2  # rounds that do not count

Times = dict[str, list[float]]
Step = Callable[[], object]


def nothing() -> None:
    """Prepare nothing."""


@dataclass(frozen=True)
class Subject:
    """What is timed, and what prepares and tidies up each round, which is not."""

    run: Step
    before: Step = nothing
    after: Step = nothing


def race(subjects: Mapping[str, Subject], seconds: float, pairs: Sequence[tuple[str, str]], least: int = 3) -> Times:
    """Time each subject once per round, in milliseconds, in a random order within each round.

    Goes on until the quartiles of the ratio of each of `pairs` lie within a tenth of it, or until `seconds` have
    passed, but for at least `least` rounds.
    """
    times: Times = {name: [] for name in subjects}
    order, shuffle = list(subjects), random.Random(19).shuffle
    end, number = time.monotonic() + seconds, 0
    while True:
        shuffle(order)
        for name in order:
            took = _time(subjects[name])
            if number >= min(WARM_UP, least - 1):
                times[name].append(took * 1000)
        number += 1
        done = len(times[order[0]])
        if done >= least and time.monotonic() >= end:
            return times
        steady = done >= 3 * BLOCKS and done % BLOCKS == 0 and all(is_steady(times[a], times[b]) for a, b in pairs)
        if steady and done >= least:
            return times


def _time(subject: Subject) -> float:
    subject.before()
    started = time.perf_counter()
    subject.run()
    took = time.perf_counter() - started
    subject.after()
    return took


@dataclass(frozen=True)
class Command:
    """A command, its environment and its working directory."""

    words: tuple[str, ...]
    env: Mapping[str, str]
    cwd: Path

    def __call__(self) -> None:
        """Run it and wait for its end."""
        self.run()

    def run(self, *before: str) -> None:
        """Run it below another program, and wait for its end.

        Raises:
            CalledProcessError: it failed.
        """
        run_quietly([*before, *self.words], self.env, self.cwd)


def run_quietly(words: Sequence[str | Path], env: Mapping[str, str] | None = None, cwd: Path | None = None) -> None:
    """Run a command without input and output.

    Raises:
        CalledProcessError: it failed.
    """
    null = subprocess.DEVNULL
    subprocess.run(words, env=env, cwd=cwd, check=True, stdin=null, stdout=null, stderr=null)


def count_instructions(command: Command) -> float:
    """Return the instructions of a command in user mode, and of all processes that it starts, detached ones too."""
    adopt_orphans()
    with tempfile.TemporaryDirectory() as folder:
        program = _program("valgrind")
        command.run(program, "--tool=callgrind", "--trace-children=yes", f"--callgrind-out-file={folder}/%p")
        wait_for_orphans()
        found = [re.search(r"^summary: (\d+)", file.read_text(), re.MULTILINE) for file in Path(folder).iterdir()]
        return float(sum(int(match[1]) for match in found if match))


@dataclass(frozen=True)
class Kernel:
    """What a command asked of the kernel."""

    calls: int
    processes: int

    def __sub__(self, other: Kernel) -> Kernel:
        return Kernel(self.calls - other.calls, self.processes - other.processes)

    def cells(self) -> list[str]:
        """Return both as a table shows them."""
        return [f"{self.calls:,}", f"{self.processes:,}"]


def count_calls(command: Command, background: str = "make_entry.py") -> tuple[Kernel, Kernel]:
    """Return the system calls and processes of a command, and those of them that ran `background`.

    All calls of a background process count as its own, also those before it executes `background`.
    strace waits for detached processes, so all their calls are counted.
    """
    as_argument = re.compile(rf'"[^" ]*{re.escape(background)}"')  # not within the text of a script
    with tempfile.TemporaryDirectory() as folder:
        command.run(_program("strace"), "-ff", "-qq", "-s", "999", "-o", f"{folder}/pid")
        whole, apart = Kernel(0, 0), Kernel(0, 0)
        for file in Path(folder).iterdir():
            lines = [line for line in file.read_text(errors="replace").splitlines() if re.match(r"\w+\(", line)]
            own = Kernel(-len(lines), -1)
            whole -= own
            if any(line.startswith("execve(") and as_argument.search(line) for line in lines):
                apart -= own
        return whole, apart


def _program(name: str) -> str:
    found = shutil.which(name)
    if not found:
        raise SystemExit(f"make bench needs {name}: install it (Debian: apt install valgrind strace)")
    return found


def adopt_orphans() -> None:
    """Become the parent of every detached process that is started below this one, so that it can be waited for."""
    ctypes.CDLL(None).prctl(36, 1)  # PR_SET_CHILD_SUBREAPER


def wait_for_orphans() -> None:
    """Wait for the end of all detached processes."""
    with suppress(ChildProcessError):
        while True:
            os.wait()


def processor_seconds(command: Command) -> tuple[float, float]:
    """Return the processor seconds of a command until it ended, and of what it left running until that ended, too."""
    adopt_orphans()
    wait_for_orphans()
    start = _used()
    command()
    middle = _used()
    wait_for_orphans()
    return middle - start, _used() - middle


def _used() -> float:
    found = resource.getrusage(resource.RUSAGE_CHILDREN)
    return found.ru_utime + found.ru_stime


def count_all(commands: Mapping[str, Command]) -> dict[str, float]:
    """Count the instructions of several commands at the same time; unlike a time, a count is not affected by that."""
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        return dict(zip(commands, pool.map(_count_apart, commands.values()), strict=True))


def _count_apart(command: Command) -> float:
    """Count in a separate process, so that it waits for the orphans of this command only."""
    worker = [PYTHON, "-m", "tools.bench.running", str(command.cwd), *command.words]
    env = {"ONRAMP_BENCH_ENV": json.dumps(dict(command.env)), "PATH": os.environ["PATH"]}
    done = subprocess.run(worker, env=env, cwd=REPOSITORY, check=True, capture_output=True, text=True)
    return float(done.stdout)


def main() -> None:
    """Print the instructions of a command; the arguments are its working directory and its words."""
    folder, *words = sys.argv[1:]
    command = Command(tuple(words), json.loads(os.environ["ONRAMP_BENCH_ENV"]), Path(folder))
    sys.stdout.write(f"{count_instructions(command)}\n")


if __name__ == "__main__":
    main()
