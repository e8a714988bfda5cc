"""3. Locks: their holder is stopped or dead."""

from __future__ import annotations

import os
import signal
import time

from onramp_analytics.outbox import locks
from onramp_analytics.spool import Spool
from tests.faults.children import Place, run_flusher, start
from tests.faults.rig import Fault, Rig, stopped


def hold_and_stop(place: Place) -> None:
    """Take the spool's lock, and stop."""
    with locks.locked(Spool(place.root)):
        os.kill(os.getpid(), signal.SIGSTOP)


def a_stopped_process_holds_the_spools_lock(rig: Rig) -> None:
    """`track` spills its event in time, the flusher sends it, `status` reports the holder, and `disable` works."""
    checkout = rig.checkout()
    rig.track(checkout, 3)
    holder = start(rig.place(checkout), hold_and_stop)
    with stopped(holder):
        for _ in range(min(rig.effort.points, 200)):
            rig.tally.faults += 1
            rig.tally.expect(rig.track_undisturbed(checkout), "an event was not kept because the lock was busy")
        rig.expect_told(checkout, "is held by a stuck process")
        rig.flush(checkout)
        rig.tally.expect(len(rig.pending(checkout)) == 3, "what was spilled was not sent while the lock was busy")
    rig.finish(holder)
    rig.settle(checkout)

    holder = start(rig.place(checkout), hold_and_stop)
    with stopped(holder):
        rig.ask(checkout, "disable")
        left = checkout.files() - {"onramp.lock"}
        rig.tally.expect(not left, f"a stopped process kept `disable` from deleting {left}")


def a_dead_flusher_held_its_lock(rig: Rig) -> None:
    """The next flusher starts at once."""
    checkout = rig.checkout()
    for halt in rig.halts(checkout, signal.SIGKILL, run_flusher):
        rig.track(checkout)
        rig.was_killed(start(rig.place(checkout), run_flusher, halt=halt))
        began = time.monotonic()
        rig.flush(checkout)
        took = time.monotonic() - began
        rig.tally.expect(
            took < 2 and not rig.pending(checkout), f"a dead flusher held up the next one for {took:.1f} s"
        )
    rig.settle(checkout)


FAULTS: list[Fault] = [a_stopped_process_holds_the_spools_lock, a_dead_flusher_held_its_lock]
