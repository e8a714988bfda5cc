"""Shared parts of the faults: checkouts, child processes, a receiver, and a tally of what became of each event."""

from __future__ import annotations

import os
import random
import signal
import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field, fields, replace
from multiprocessing.process import BaseProcess
from pathlib import Path
from typing import Any, TypeVar

from onramp_analytics import consent, tracker
from onramp_analytics.outbox import segments
from onramp_analytics.outbox.segments import Pending
from onramp_analytics.receiver import Receiver, Request
from tests.conftest import COMMAND, KEY, Checkout, flushers_of, make_checkout
from tests.faults import children, oracle
from tests.faults.children import Halt, Place, state_of

FROM_MAKE = f"{children.PACKAGE}/make_entry.py"  # the file that make runs
PATIENCE = 60.0  # seconds after which a child that should have ended counts as hanging
ASLEEP = 0.06  # seconds that a tracker may wait for the lock: 50 ms (docs/protocol.md) and the length of one pause
NUMBERS = 10_000  # event numbers that a tracker gets; a uuid has room for 400,000 such ranges
#: Files in the uploader's folder that are kept when all events are sent.
KEPT_FILES = {"flusher.lock", "not-before", "state.json", "sent", "refused", "enabled"}
NAMES = b"\ncommand enable-service\ncommand start\noverride plex-nfs\nservice jellyfin\nservice plex scaffold\n"
NOBODY = 65534
Item = TypeVar("Item")


@dataclass(frozen=True)
class Effort:
    """The amount of work: everything, or a sample for the tests."""

    points: int  # places at which a fault is injected, if there are many
    kills: int  # processes to kill at random moments
    events: int  # to record during these kills
    crowd: float  # seconds of 64 trackers
    deadline: float  # seconds for a request, so that a silent server does not hold up the tests
    many: int  # events pending where there are to be many


WHOLE = Effort(points=100_000, kills=3_500, events=100_000, crowd=20.0, deadline=20.0, many=1_000_000)
SAMPLE = Effort(points=12, kills=60, events=1_000, crowd=2.0, deadline=1.0, many=20_000)


@dataclass
class Tally:
    """The number of faults, and what became of the events.

    Attributes:
        faults: the number of injected faults, including kills.
        kills: processes that were killed while they ran.
        recorded: events that `track` reported as stored.
        delivered: those of them that arrived.
        twice: deliveries beyond the first of the same uuid.
        lost: events that are neither delivered nor pending.
        leaked: data in a request, a file or a message that must not be there.
        disturbed: commands that failed, printed, or slept for too long because of us.
        broken: every guarantee that did not hold, as a sentence.
        left_out: why the fault could not be injected here; empty if it was.
    """

    faults: int = 0
    kills: int = 0
    recorded: int = 0
    delivered: int = 0
    twice: int = 0
    lost: int = 0
    leaked: int = 0
    disturbed: int = 0
    broken: list[str] = field(default_factory=list)
    left_out: str = ""

    def add(self, other: Tally) -> None:
        """Add what another one counted."""
        for each in fields(self):
            setattr(self, each.name, getattr(self, each.name) + getattr(other, each.name))

    def expect(self, holds: object, otherwise: str) -> None:
        """Record a guarantee that did not hold."""
        if not holds:
            self.broken.append(otherwise)


class Rig:
    """The environment of one fault."""

    def __init__(self, folder: Path, effort: Effort, receiver: Receiver) -> None:
        self.folder = folder
        self.effort = effort
        self.receiver = receiver
        self.tally = Tally()
        self.random = random.Random()
        self.checkouts: list[Checkout] = []
        self._ranges = 0
        self.home = folder / "home"
        self.home.mkdir()
        self.acknowledged, self.asleep = folder / "acknowledged", folder / "asleep"
        self.printed = folder / "printed"
        for path in (folder, self.home, self.acknowledged, self.asleep, self.printed):  # children may be any user
            path.touch()
            path.chmod(0o777 if path.is_dir() else 0o666)
        self.env = {
            **{name: value for name, value in os.environ.items() if name.startswith(("COVERAGE_", "COV_"))},
            "PATH": f"{Path(COMMAND).parent}:{os.environ['PATH']}",
            "HOME": str(self.home),
            "ONRAMP_ANALYTICS_API_KEY": KEY,
            "ONRAMP_ANALYTICS_HOST": receiver.url,
        }

    def checkout(self, name: str = "onramp") -> Checkout:
        """Make a checkout with consent, in which no tracker starts a flusher."""
        made = make_checkout(self.folder / name, self.env)
        self.checkouts.append(made)
        made.opt_in()
        made.hold_back_flusher()
        return made

    def place(self, checkout: Checkout, user: int | None = None, env: dict[str, str] | None = None) -> Place:
        """Where the children of a checkout work."""
        return Place(checkout.root, {**checkout.env, **(env or {})}, self.printed, self.printed, user)

    def numbers(self) -> int:
        """Return the first of `NUMBERS` unused event numbers."""
        self._ranges += 1
        return (self._ranges - 1) * NUMBERS

    def track(self, checkout: Checkout, count: int = 1) -> int:
        """Track events in this process without starting a flusher, and return how many are stored."""
        checkout.hold_back_flusher()
        first, environ = self.numbers(), {os.fsencode(k): os.fsencode(v) for k, v in checkout.env.items()}
        numbers = range(first, first + count)
        kept = []
        for number in numbers:
            with children.numbered(number):
                if tracker.record(checkout.root, environ, [children.EVENT]):
                    kept.append(number)
        self.acknowledge(kept)
        return len(kept)

    def acknowledge(self, numbers: Iterable[int]) -> None:
        """Record events that `track` reported as stored."""
        with self.acknowledged.open("a") as file:
            file.write("".join(f"{number}\n" for number in numbers))

    def track_undisturbed(self, checkout: Checkout, user: int | None = None) -> bool:
        """Track an event as a command does, check that it is not disturbed, and return whether the event is stored."""
        acknowledged, number = self.acknowledged.stat().st_size, self.numbers()
        arguments = (self.acknowledged, number)
        process = children.start(self.place(checkout, user), children.track_timed, *arguments)
        self.expect_undisturbed(process)
        slept = float(self.asleep.read_text().split()[-1])
        self.tally.disturbed += slept > ASLEEP
        self.tally.expect(slept <= ASLEEP, f"`track` slept for {slept * 1000:.0f} ms")
        return self.acknowledged.stat().st_size > acknowledged

    def expect_undisturbed(self, process: BaseProcess, *, silent: bool = True) -> None:
        """Wait for a command, and check that it succeeds and prints only what it should."""
        printed = self.printed.stat().st_size
        status = self.finish(process)
        said = self.printed.read_bytes()[printed:] if silent else b""
        self.tally.disturbed += bool(status or said)
        self.tally.expect(not status and not said, f"a command was disturbed: status {status}, {said!r}")

    def ask(self, checkout: Checkout, *words: str, user: int | None = None) -> str:
        """Run a command, which may print one error, and return its output."""
        output, errors = self.folder / "said", self.folder / "said-wrong"
        for path in (output, errors):
            path.unlink(missing_ok=True)
        place = replace(self.place(checkout, user), output=output, errors=errors)
        status = self.finish(children.start(place, children.run_command, *words))
        wrong = errors.read_text(errors="replace")
        good = status in (0, 1) and len(wrong.splitlines()) <= 1
        self.tally.disturbed += not good
        self.tally.expect(good, f"`{words[0]}` ended with {status} and said: {wrong[-1000:]}")
        return output.read_text(errors="replace") + wrong

    def expect_told(self, checkout: Checkout, what: str, user: int | None = None) -> None:
        """Check that `status` and `doctor` name the fault."""
        for words in (("status", "--json"), ("doctor", "--json")):
            said = self.ask(checkout, *words, user=user)
            self.tally.expect(what in said, f"`{words[0]}` does not report {what!r}: {said}")

    def halts(
        self, checkout: Checkout, how: signal.Signals, function: Callable[..., None], *words: object
    ) -> list[Halt]:
        """Run a child once, and return two halts for each line that ran: before its first run and before its last.

        If the effort allows fewer halts, return a sample of them.
        """
        into = self.folder / "lines"
        self.finish(children.start(self.place(checkout), children.note_lines, into, function, *words))
        ran = into.read_text().splitlines()
        first = {line: number for number, line in reversed([*enumerate(ran, 1)])}
        last = {line: number for number, line in enumerate(ran, 1)}
        return [Halt(line, how) for line in self.sample(sorted({*first.values(), *last.values()}))]

    def sample(self, items: Sequence[Item]) -> list[Item]:
        """Return a sample as large as the effort allows, in order."""
        chosen = self.random.sample(range(len(items)), min(len(items), self.effort.points))
        return [items[i] for i in sorted(chosen)]

    def finish(self, process: BaseProcess, seconds: float = PATIENCE) -> int:
        """Wait for a child to end, and return its exit status."""
        process.join(seconds)
        if process.exitcode is None:
            self.tally.broken.append(f"a process did not end within {seconds:.0f} s")
            process.kill()
            process.join()
        assert process.exitcode is not None
        return process.exitcode

    def was_killed(self, process: BaseProcess) -> bool:
        """Wait for a child that was to be killed, and count it if it was."""
        killed = self.finish(process) == -signal.SIGKILL
        self.tally.kills += killed
        self.tally.faults += killed
        return killed

    def flush(self, checkout: Checkout) -> None:
        """Send the queued events, as the detached flusher does."""
        self.expect_undisturbed(children.start(self.place(checkout), children.run_flusher))

    def settle(self, checkout: Checkout) -> None:
        """Send all queued events, count them, and check that only `KEPT_FILES` are left in the uploader's folder."""
        # The uploader deletes the incomplete files of killed processes only once they are old.
        for path in checkout.path.glob("onramp.spool.d/*.new"):
            os.utime(path, (0, 0))
        for _ in range(10):
            self.flush(checkout)
            if not self.pending(checkout):
                break
        self.count()
        left = {path.name for path in (checkout.path / "onramp.spool.d").iterdir()} - KEPT_FILES
        self.tally.expect(not left, f"{left} is left although everything is sent")

    def pending(self, checkout: Checkout) -> list[dict[str, Any]]:
        """Return what is queued: claimed and spilled too."""
        files = segments.pending_files(checkout.spool)
        return [found.event for file in files for found in segments.read(file, NAMES) if isinstance(found, Pending)]

    def recorded(self) -> int:
        """Return how many events `track` reported as stored."""
        return self.acknowledged.read_bytes().count(b"\n")

    def forget_recorded(self) -> None:
        """Stop expecting the events that were recorded so far, because `disable` has deleted them."""
        self.acknowledged.write_text("")

    def count(self) -> None:
        """Find each event that `track` reported as stored."""
        kept = set(map(int, self.acknowledged.read_text().split()))
        arrived = Counter(event["uuid"] for event in self.receiver.accepted)
        there = {number_of(event) for event in self.receiver.accepted}
        waiting = {number_of(event) for checkout in self.checkouts for event in self.pending(checkout)}
        self.tally.recorded = len(kept)
        self.tally.delivered = len(kept & there)
        self.tally.twice = sum(arrived.values()) - len(arrived)
        self.tally.lost = len(kept - there - waiting)

    def end(self) -> None:
        """End the detached flushers, and check the output and the receiver's requests."""
        for checkout in self.checkouts:
            for pid in flushers_of(checkout):
                with suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)
        text = self.printed.read_text(errors="replace")
        _, traceback, rest = text.partition("Traceback")
        self.tally.expect(not traceback, f"a process printed: Traceback{rest[:3000]}")
        for request in self.receiver.requests:
            self.check_request(request)

    def check_request(self, request: Request) -> None:
        """Count everything in a request that must not be sent."""
        for sentence in oracle.wrong_in(request):
            self.tally.leaked += 1
            self.tally.broken.append(f"a request contains {sentence[:500]}")


#: Injects a fault, and counts in the rig's tally what became of the events.
Fault = Callable[[Rig], None]


def number_of(event: dict[str, Any]) -> int:
    """Return the number of an event that was tracked as `numbered`; -1 for another one."""
    number, _, rest = event["uuid"].partition("-")
    return int(number, 16) if rest == "0000-4000-8000-000000000000" else -1


def consent_of(checkout: Checkout) -> tuple[bool, str]:
    """Return whether the lock file says yes, and its identifier."""
    now = consent.ask({b"HOME": os.fsencode(checkout.env["HOME"])}, checkout.root)
    return now.on, now.id


@contextmanager
def stopped(process: BaseProcess) -> Iterator[None]:
    """Wait until a child has stopped itself, and let it continue after the block if it still exists."""
    assert process.pid
    deadline = time.monotonic() + PATIENCE
    while process.exitcode is None and state_of(process.pid) != "T" and time.monotonic() < deadline:
        time.sleep(0.001)
    yield
    if process.exitcode is None:
        os.kill(process.pid, signal.SIGCONT)
