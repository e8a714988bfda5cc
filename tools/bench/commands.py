"""Whole processes, timed from outside: make, the tracker, the command with each wrapper, and queues of all sizes."""

from __future__ import annotations

import os
import shutil
import signal
import sys
from contextlib import suppress
from pathlib import Path

from tests.conftest import Checkout, flushers_of, wait_until
from tests.onramp_checkout import OnRamp, build
from tools.bench import shape
from tools.bench.measuring import Row, table
from tools.bench.running import (
    ENTRY,
    PYTHON,
    REPOSITORY,
    TRACK,
    Command,
    Subject,
    count_all,
    count_calls,
    race,
    run_quietly,
)

PENDING = (0, 1_000, 10_000, 100_000, 1_000_000)  # events; the last two are more than a checkout ever queues
IN_A_FILE = 10_000  # events; the spool is full with about 14,000
ADDED = 3.0  # milliseconds that a recorded command may take longer
WHY = "[the instructions of `track`](#instructions-of-track-as-a-command)"
BARE, TRACKER = "python3 -IS -c pass", "track, as make starts it"


def make_rows(folder: Path, env: dict[str, str], seconds: float) -> tuple[list[Row], str]:
    """Measure a make command without the integration, with it and off, with it and on; and count its calls."""
    (folder / "without").mkdir()
    (folder / "with").mkdir()
    plain, onramp = build(folder / "without", env), build(folder / "with", env, installed=True)
    for checkout in (plain, onramp):
        shape.give(checkout)
    without = Command(("make", "-s", "list"), plain.env, plain.path)
    command = Command(("make", "-s", "list"), onramp.env, onramp.path)
    never = count_calls(without), count_calls(command)
    counted = count_all({"without": without, "off": command})
    onramp.opt_in()
    spool, lock, aside = onramp.path / "onramp.spool", onramp.lock, onramp.path / "aside"
    recorded = count_calls(command)
    ran = Command((PYTHON, "-IS", ENTRY, "ran", "list", "0", "1.0", "1.5"), onramp.env, onramp.path)
    counted |= count_all({"on": command, "tracker": ran})

    def record() -> None:
        before = spool.stat().st_size
        command()
        sizes.append(before)

    sizes: list[int] = []
    subjects = {
        "without": Subject(without),
        "off": Subject(command, lambda: lock.rename(aside), lambda: aside.rename(lock)),
        "on": Subject(
            record, after=lambda: wait_until(lambda: spool.stat().st_size > sizes[-1], "the event of the command")
        ),
    }
    times = race(subjects, seconds, [("off", "without"), ("on", "without")])
    allowed = [took + ADDED for took in times["without"]]
    rows = [
        Row(
            "make, analytics off",
            "make without the integration",
            times["off"],
            times["without"],
            1.05,
            counted=(counted["off"], counted["without"]),
        ),
        Row(
            "make, analytics on",
            "make without the integration",
            times["on"],
            times["without"],
            counted=(counted["on"] - counted["tracker"], counted["without"]),
        ),
        Row(
            "make, analytics on",
            "make without the integration, plus 3 ms",
            times["on"],
            allowed,
            1.0,
            why="[the cost of a recorded command](#cost-of-a-recorded-command)",
        ),
    ]
    lines = [
        ["without the integration", *never[0][0].cells(), "", ""],
        ["off", *never[1][0].cells(), "", ""],
        ["on", *(recorded[0] - recorded[1]).cells(), *recorded[1].cells()],
    ]
    headings = ("a make command", "system calls", "processes", "system calls in the background", "processes there")
    return rows, table(headings, lines)


def tracker_rows(onramp: OnRamp, seconds: float) -> list[Row]:
    """Measure the tracker against an interpreter that does nothing."""
    stamp = onramp.path / "onramp.spool.d" / "not-before"

    def command(*words: str) -> Command:
        return Command(words, onramp.env, onramp.path)

    commands = {
        "bare": command(PYTHON, "-IS", "-c", "pass"),
        "track": command(PYTHON, "-IS", ENTRY, *TRACK),
        "ran": command(PYTHON, "-IS", ENTRY, "ran", "list", "0", "1.0", "1.5"),
        "sh": command("sh", "-c", ":"),
    }
    counted = count_all(commands)
    subjects = {name: Subject(run) for name, run in commands.items()}
    subjects["flusher"] = Subject(
        commands["track"], lambda: stamp.unlink(missing_ok=True), lambda: _end_flushers(onramp)
    )
    times = race(subjects, seconds, [("track", "bare"), ("ran", "bare"), ("flusher", "bare")])
    onramp.hold_back_flusher()

    def row(what: str, name: str, budget: float | None, other: str = "bare", against: str = f"`{BARE}`") -> Row:
        both = (counted[name], counted[other]) if name in counted else None
        return Row(what, against, times[name], times[other], budget, counted=both, why=WHY)

    return [
        row(TRACKER, "track", 1.15),
        row("the same for a whole command (`ran`)", "ran", 1.15),
        row("track that also starts an uploader", "flusher", 1.25),
        row(TRACKER, "track", None, "sh", "`sh -c :`"),
    ]


def _end_flushers(onramp: OnRamp) -> None:
    empty(onramp)
    for pid in flushers_of(Checkout(onramp.path)):
        with suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)


def empty(onramp: OnRamp) -> None:
    """Leave nothing queued, and hold the uploader back."""
    (onramp.path / "onramp.spool").write_bytes(b"")
    onramp.hold_back_flusher()


#: Each installer: its name, what pip installs for it, and the budget. Up to pip 25.2, the wrapper imports `re`.
INSTALLERS = (("pip 23", "pip==23.3.2", 1.6), ("pip 25.3 or newer", "pip>=25.3", 1.2), ("uv", "uv", 1.2))


def wrapper_rows(onramp: OnRamp, folder: Path, seconds: float) -> list[Row]:
    """Measure the command as each installer's wrapper starts it, against the interpreter of the same environment."""
    commands: dict[str, Command] = {}
    run_quietly([PYTHON, "-m", "build", "-w", "-o", folder, REPOSITORY])
    wheel = str(next(folder.glob("*.whl")))
    for name, installer, _ in INSTALLERS:
        python = _environment(folder / name.replace(" ", "-"), installer, wheel)
        commands[name] = Command((str(python.with_name("onramp-analytics")), *TRACK), onramp.env, onramp.path)
        commands[f"bare {name}"] = Command((str(python), "-c", "pass"), onramp.env, onramp.path)
    for command in commands.values():
        command()  # uv leaves it to the first run to compile the modules
    counted = count_all(commands)
    pairs = [(name, f"bare {name}") for name, _, _ in INSTALLERS]
    times = race({name: Subject(run) for name, run in commands.items()}, seconds, pairs)
    rows = []
    for name, _, budget in INSTALLERS:
        loads = "loads `re`" if " re\n" in Path(commands[name].words[0]).read_text() else "loads no `re`"
        bare = f"bare {name}"
        rows.append(
            Row(
                f"`onramp-analytics track`, installed by {name} (its wrapper {loads})",
                "`python3 -c pass` of the same environment",
                times[name],
                times[bare],
                budget,
                counted=(counted[name], counted[bare]),
                why=WHY,
            )
        )
    return rows


def _environment(folder: Path, installer: str, wheel: str) -> Path:
    """Create an environment, install the package without its dependencies, and return the interpreter."""
    run_quietly([sys.executable, "-m", "venv", folder])
    python = folder / "bin/python"
    run_quietly([python, "-m", "pip", "install", "-q", installer])
    how = ["uv", "pip", "install", "--python", python] if installer == "uv" else ["pip", "install"]
    run_quietly([python, "-m", *how, "--no-deps", wheel])
    return python


def pending_rows(onramp: OnRamp, seconds: float) -> list[Row]:
    """Measure one `track` with so many events queued. The queue of each size is moved into place for its turn."""
    empty(onramp)
    track = Command((PYTHON, "-IS", ENTRY, *TRACK), onramp.env, onramp.path)
    track()
    spool, folder = onramp.path / "onramp.spool", onramp.path / "onramp.spool.d"
    line = spool.read_bytes()
    stores = {str(count): onramp.path.parent / f"queue-{count}" for count in PENDING}
    for count, store in stores.items():
        shutil.copytree(folder, store / folder.name)  # with `not-before`, so that no uploader starts
        queue(store, line, int(count))
    shutil.rmtree(folder)

    def subject(store: Path) -> Subject:
        size = (store / spool.name).stat().st_size

        def take() -> None:
            for path in (spool, folder):
                (store / path.name).replace(path)

        def put_back() -> None:
            if spool.stat().st_size != size + len(line):
                raise SystemExit(f"track did not store its event with the {store.name}")
            os.truncate(spool, size)
            for path in (spool, folder):
                path.replace(store / path.name)

        return Subject(track, take, put_back)

    pairs = [(str(count), "0") for count in PENDING[1:]]
    times = race({name: subject(store) for name, store in stores.items()}, seconds, pairs)
    for store in stores.values():
        shutil.rmtree(store)
    return [
        Row(
            f"track with {count:,} events queued",
            "the same with none",
            times[str(count)],
            times["0"],
            1.05 if count == PENDING[-1] else None,
            events=count,
        )
        for count in PENDING[1:]
    ]


def queue(root: Path, line: bytes, count: int) -> None:
    """Queue so many events: 10,000 in the spool, which has space for more, and the others in segments of 10,000."""
    (root / "onramp.spool").write_bytes(line * min(count, IN_A_FILE))
    for number, start in enumerate(range(IN_A_FILE, count, IN_A_FILE)):
        segment = root / "onramp.spool.d" / f"{10**18 + number}-1.0"
        segment.write_bytes(line * min(count - start, IN_A_FILE))
