"""8. Load: many trackers at the same time, and many queued events."""

from __future__ import annotations

import os
import resource
import subprocess
import time
from collections.abc import Callable
from pathlib import Path

from onramp_analytics import events, tracker
from onramp_analytics.receiver import Answer, Request
from onramp_analytics.spool import Spool
from tests.conftest import COMMAND, Checkout
from tests.faults.children import EVENT, Place, numbered, run_command, run_flusher, start, time_asleep
from tests.faults.rig import ASLEEP, NUMBERS, Fault, Rig, consent_of

CROWD = 64
PAUSE = 0.1  # seconds between two events of one tracker; without it they would fill the spool to its cap
MEMORY = 16 << 20  # bytes that flushing is allowed to use in addition to the loaded modules
QUICK = 5.0  # seconds for `status` and `show-pending | head`
AT_ONCE = 1.0  # seconds for `disable`


def a_crowd_of_trackers(rig: Rig) -> None:
    """64 trackers, a flusher, and a receiver that fails one request in three: every event is stored and sent."""
    checkout = rig.checkout()
    rig.receiver.answer_always(lambda _request: rig.random.choice((None, None, Answer(503))))
    place, seconds = rig.place(checkout), rig.effort.crowd
    crowd = [start(place, track_for, rig.acknowledged, rig.numbers(), seconds) for _ in range(CROWD)]
    rig.tally.faults += CROWD
    while any(process.is_alive() for process in crowd):
        rig.flush(checkout)
    for process in crowd:
        rig.expect_undisturbed(process)
    rig.receiver.answer_always(lambda _request: None)
    rig.settle(checkout)
    slept = [float(line) for line in rig.asleep.read_text().split()]
    rig.tally.expect(len(slept) == CROWD, "not every tracker has reported how long it slept")
    rig.tally.disturbed += sum(each > ASLEEP for each in slept)
    rig.tally.expect(max(slept) <= ASLEEP, f"the slowest `track` waited for {max(slept) * 1000:.0f} ms")


def track_for(place: Place, acknowledged: Path, first: int, seconds: float) -> None:
    """Track for a number of seconds, and write the longest wait for the lock. Every event must be stored."""
    note = os.open(acknowledged, os.O_WRONLY | os.O_APPEND)
    until, waits = time.monotonic() + seconds, [0.0]

    def take_lock(spool: Spool) -> int:
        with time_asleep(waits.append):
            return really(spool)

    really, Spool.take_lock = Spool.take_lock, take_lock  # type: ignore[assignment, method-assign]
    for number in range(first, first + NUMBERS):
        with numbered(number):
            if not tracker.record(place.root, os.environb, [EVENT]):
                raise AssertionError("an event was not kept")
        os.write(note, b"%d\n" % number)
        if time.monotonic() > until:
            break
        time.sleep(PAUSE)
    with acknowledged.with_name("asleep").open("a") as file:
        file.write(f"{max(waits)}\n")


def a_million_events_wait(rig: Rig) -> None:
    """A million events are queued: commands stay within their time, and the flusher within its memory."""
    checkout = rig.checkout()
    _fill(rig, checkout)
    rig.tally.faults += 1
    rig.tally.expect(rig.track_undisturbed(checkout), "an event was not kept because many are queued")
    _is_quick(rig, QUICK, lambda: rig.ask(checkout, "status"))
    shown = subprocess.Popen([COMMAND, "show-pending"], cwd=checkout.path, env=checkout.env, stdout=subprocess.PIPE)
    with shown.stdout or open(os.devnull) as lines:
        _is_quick(rig, QUICK, lambda: [lines.readline() for _ in range(10)])
    rig.tally.expect(shown.wait() == 0, "`show-pending | head` ended badly")

    rig.receiver.answer_always(lambda request: _forget(rig, request))
    memory = rig.folder / "memory"
    rig.finish(start(rig.place(checkout), flush_measured, memory), 200)
    grown = int(memory.read_text())
    rig.tally.expect(grown < MEMORY, f"flushing took {grown >> 20} MiB")
    _fill(rig, checkout)
    _is_quick(rig, AT_ONCE, lambda: rig.finish(start(rig.place(checkout), run_command, "disable")))
    rig.tally.expect(not checkout.files() - {"onramp.lock"}, "`disable` left something")
    rig.forget_recorded()


def _fill(rig: Rig, checkout: Checkout) -> None:
    """Create a segment of many events. The program itself writes none that is larger than the spool's 5 MiB."""
    event, values = EVENT
    own_id = consent_of(checkout)[1]
    lines = [events.build(event, values, own_id, time.time(), os.urandom(16)) for _ in range(1000)]  # type: ignore[arg-type]
    with (checkout.path / "onramp.spool.d" / f"{10**18}-1.0").open("wb") as file:
        for _ in range(rig.effort.many // 1000):
            file.write(b"".join(lines))


def _is_quick(rig: Rig, seconds: float, do: Callable[[], object]) -> None:
    began = time.monotonic()
    do()
    took = time.monotonic() - began
    rig.tally.disturbed += took > seconds
    rig.tally.expect(took <= seconds, f"a command took {took:.1f} s with many queued events")


def _forget(rig: Rig, request: Request) -> None:
    """Check a request at once and forget it, so that this process stays small."""
    rig.check_request(request)
    del rig.receiver.requests[:], rig.receiver.accepted[:]


def flush_measured(place: Place, into: Path) -> None:
    """Flush, and write by how many bytes the peak memory of this process grew."""
    before = _peak()
    run_flusher(place)
    into.write_text(str(_peak() - before))


def _peak() -> int:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss << 10


FAULTS: list[Fault] = [a_crowd_of_trackers, a_million_events_wait]
