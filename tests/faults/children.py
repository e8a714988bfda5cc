"""Run the product in processes that are killed or stopped, at random or before a given line.

They are forked by multiprocessing's fork server, which has everything imported. A start takes milliseconds, so
thousands of them can be killed. Each runs an entry point of the product, with its own environment. A child that becomes
another user continues with a copy of the package that this user can read.
"""

from __future__ import annotations

import multiprocessing
import os
import pickle
import posix
import resource
import signal
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from multiprocessing.process import BaseProcess
from pathlib import Path
from types import FrameType
from typing import Any

import onramp_analytics
import onramp_analytics.cli.main
from onramp_analytics import __main__ as program
from onramp_analytics import consent, flush, tracker
from onramp_analytics.outbox import locks
from onramp_analytics.spool import Spool
from tests.other_user import Copy, copy

EVENT = ("command_executed", {"command": "start", "success": True, "duration_ms": 410})
PACKAGE = str(Path(onramp_analytics.__file__).parent)
_servers = multiprocessing.get_context("forkserver")
_servers.set_forkserver_preload(["__main__", __name__])


@dataclass(frozen=True)
class Place:
    """Where a child runs: its checkout, its environment, the files for its output, and its user."""

    root: bytes
    env: dict[str, str]
    output: Path
    errors: Path
    user: int | None = None


@dataclass(frozen=True)
class Halt:
    """Stop or kill a child: it sends itself the signal `how` just before the product's line number `line` runs.

    Lines are counted as they run, so a line in a loop has several numbers.
    """

    line: int
    how: signal.Signals


def start(place: Place, function: Callable[..., None], *arguments: object, halt: Halt | None = None) -> BaseProcess:
    """Start a child that calls `function(place, *arguments)`."""
    reachable = copy() if place.user is not None else None
    process = _servers.Process(target=_be, args=(place, reachable, _Work(function, arguments, halt)), daemon=True)
    process.start()
    return process


@dataclass(frozen=True)
class _Work:
    """The work of a child, and where it is stopped."""

    function: Callable[..., None]
    arguments: tuple[object, ...]
    halt: Halt | None

    def do(self, place: Place) -> None:
        if halt := self.halt:
            sys.settrace(_Lines(lambda number, _: signal.raise_signal(halt.how) if number == halt.line else None))
        self.function(place, *self.arguments)
        sys.settrace(None)


def _be(place: Place, reachable: Copy | None, work: _Work) -> None:
    os.environ.clear()
    os.environ.update(place.env)
    os.chdir("/")
    for stream, path in enumerate((place.output, place.errors), 1):
        os.dup2(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600), stream)
    if reachable and place.user is not None:
        os.setgroups([])
        os.setgid(place.user)
        os.setuid(place.user)
        rest = pickle.dumps((place, work)).hex()
        command = reachable.command("from tests.faults.children import go_on; go_on(sys.argv[1])", rest)
        os.execve(command[0], command, {**place.env, **reachable.environment()})
    work.do(place)


def go_on(rest: str) -> None:
    """Do the work that another process has prepared; this process runs as another user."""
    place, work = pickle.loads(bytes.fromhex(rest))
    work.do(place)


class _Lines:
    """A trace function that calls `at(number, where)` before each of the product's lines."""

    def __init__(self, at: Callable[[int, tuple[str, int]], object]) -> None:
        self._at = at
        self._number = 0

    def __call__(self, frame: FrameType, event: str, _argument: Any) -> _Lines | None:
        if not frame.f_code.co_filename.startswith(PACKAGE):
            return None
        if event == "line":
            self._number += 1
            self._at(self._number, (frame.f_code.co_filename, frame.f_lineno))
        return self


def note_lines(place: Place, into: Path, function: Callable[..., None], *arguments: object) -> None:
    """Call `function(place, *arguments)`, and write the position of each line that ran, one per line."""
    ran: list[str] = []
    sys.settrace(_Lines(lambda _number, where: ran.append(f"{where[0]}:{where[1]}")))
    try:
        function(place, *arguments)
    finally:
        sys.settrace(None)
        into.write_text("\n".join(ran))


def run_flusher(place: Place) -> None:
    """Run the detached flusher from the end of its linger, so its folder exists."""
    with suppress(OSError):
        if consent.ask(os.environb, place.root).on:
            os.close(Spool(place.root).make_folder())
    with _flushers(place).open("a") as file:
        file.write(f"{os.getpid()}\n")
    sys.argv = ["flush", os.fsdecode(place.root)]
    flush.main()


def _flushers(place: Place) -> Path:
    """Return the file that lists the process ids of a checkout's flushers.

    `disable` finds a flusher by its command line. A flusher that is a child of the fork server has another one.
    """
    return place.output.with_name(f"flushers-of-{os.fsdecode(os.path.basename(place.root))}")


def run_command(place: Place, *words: str) -> None:
    """Run the command `onramp-analytics`."""
    os._exit = sys.exit  # type: ignore[assignment]  # `track` calls it, and then `note_lines` could not write its file
    really = locks.flushers
    locks.flushers = lambda spool: iter([*really(spool), *_running(place)])
    sys.argv = ["onramp-analytics", "--root", os.fsdecode(place.root), *words]
    status = program.main()
    sys.stdout.flush()
    if status:
        os._exit(status)


def _running(place: Place) -> list[int]:
    file = _flushers(place)
    pids = map(int, file.read_text().split()) if file.exists() else ()
    return [pid for pid in pids if Path(f"/proc/{pid}/stat").exists() and state_of(pid) not in "ZX"]


def state_of(pid: int) -> str:
    """Return the state of a process as the kernel's letter; T is stopped, Z has ended."""
    try:
        stat = Path(f"/proc/{pid}/stat").read_text()
    except OSError:
        return "X"
    return stat.rpartition(") ")[2][:1]


@contextmanager
def numbered(number: int) -> Iterator[None]:
    """Put a number into the uuid of each event that is tracked inside, to recognize the event when it arrives."""
    really = posix.urandom
    posix.urandom = lambda size: number.to_bytes(4, "big") + bytes(size - 4)
    try:
        yield
    finally:
        posix.urandom = really


NOT_STORED = 3
#: A script that does the same in a separate process: `python -IS -c SCRIPT ENTRY NUMBER WORD…`. It exits with
#: `NOT_STORED` if `record` returns False, for example because the spool is full; the product itself exits with 0.
NUMBERED = f"""
import posix, sys
entry, number = sys.argv[1], int(sys.argv[2])
posix.urandom = lambda size: number.to_bytes(4, "big") + bytes(size - 4)
sys.path.insert(0, entry.removesuffix("/onramp_analytics/make_entry.py"))
from onramp_analytics import tracker
record = tracker.record
tracker.record = lambda *given: record(*given) or posix._exit({NOT_STORED})
sys.argv[:] = [entry, *sys.argv[3:]]
exec(compile(open(entry).read(), entry, "exec"), {{"__name__": "__main__", "__file__": entry}})
"""


def write_events(place: Place, acknowledged: Path, first: int, count: int, pause: float) -> None:
    """Track a number of events, pause after each, and write the number of each that `track` reported as stored.

    Args:
        place: where.
        acknowledged: the file that takes the numbers.
        first: the first number.
        count: how many.
        pause: seconds after each.
    """
    note = os.open(acknowledged, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
    for number in range(first, first + count):
        with numbered(number):
            kept = tracker.record(place.root, os.environb, [EVENT])
        if kept:
            os.write(note, b"%d\n" % number)
        time.sleep(pause)


def track_timed(place: Place, acknowledged: Path, number: int) -> None:
    """Track one event, and write how many seconds it slept into a file beside the acknowledgements."""
    with (
        acknowledged.with_name("asleep").open("a") as file,
        time_asleep(lambda seconds: file.write(f"{seconds:.6f}\n")),
    ):
        write_events(place, acknowledged, number, 1, 0)


def track_on_a_full_disk(place: Place, size: int) -> None:
    """Track one event while no file can grow beyond `size` bytes."""
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, resource.RLIM_INFINITY))
    tracker.record(place.root, os.environb, [("error_occurred", {"command": "start", "error_type": "OSError"})])
    resource.setrlimit(resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))


@contextmanager
def time_asleep(tell: Callable[[float], object]) -> Iterator[None]:
    """Measure for how many seconds this process slept inside the block: it neither ran nor waited for a core.

    If it never gave up its core voluntarily, it did not sleep: any gap is time that a hypervisor took, and counts as 0.
    """
    gave_away, before = resource.getrusage(resource.RUSAGE_SELF).ru_nvcsw, _seconds_idle()
    try:
        yield
    finally:
        slept = _seconds_idle() - before
        tell(slept if resource.getrusage(resource.RUSAGE_SELF).ru_nvcsw > gave_away else 0.0)


def _seconds_idle() -> float:
    queued = int(Path("/proc/self/schedstat").read_text().split()[1])  # proc(5): nanoseconds
    # `process_time` is exact; the running time in schedstat is up to 24 ms old.
    return time.monotonic() - time.process_time() - queued / 1e9
