"""1. Killed anywhere: before each line of every process, in the middle of a request, and at random."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from contextlib import suppress
from multiprocessing.process import BaseProcess

from onramp_analytics import settings
from onramp_analytics.outbox import locks
from onramp_analytics.receiver import OK, Answer, Request
from tests.conftest import Checkout, flushers_of
from tests.faults.children import NOT_STORED, NUMBERED, run_command, run_flusher, start, write_events
from tests.faults.rig import FROM_MAKE, NUMBERS, SAMPLE, Fault, Rig, consent_of

OTHERS = b"# a line of another program\nSOMETHING=else\n"
TRACK = ("track", "command_executed", "command=start", "success=true", "duration_ms=410")


def a_tracker_before_each_line(rig: Rig) -> None:
    """`track` is killed before each of its lines; the events before and after are whole."""
    checkout = rig.checkout()
    for halt in rig.halts(checkout, signal.SIGKILL, run_command, *TRACK):
        rig.was_killed(start(rig.place(checkout), run_command, *TRACK, halt=halt))
        rig.tally.expect(rig.track(checkout), "the tracker after a killed one could not keep its event")
    rig.settle(checkout)


def a_tracker_that_spills_before_each_line(rig: Rig) -> None:
    """The same while another process holds the spool's lock, so that the event is spilled."""
    checkout = rig.checkout()
    with locks.locked(checkout.spool):
        for halt in rig.halts(checkout, signal.SIGKILL, run_command, *TRACK):
            rig.was_killed(start(rig.place(checkout), run_command, *TRACK, halt=halt))
        rig.tally.expect(rig.track(checkout), "the tracker after a killed one could not spill its event")
    rig.settle(checkout)


def a_flusher_before_each_line(rig: Rig) -> None:
    """The flusher is killed before each line: between claim, request, acknowledgement and deletion, one by one."""
    checkout = rig.checkout()
    rig.receiver.answer_always(lambda request: Answer(413) if len(request.events) > 2 else None)
    _fill(rig, checkout)
    for halt in rig.halts(checkout, signal.SIGKILL, run_flusher):
        _fill(rig, checkout)
        rig.was_killed(start(rig.place(checkout), run_flusher, halt=halt))
        rig.flush(checkout)
        rig.tally.expect(not rig.pending(checkout), "the flusher after a killed one left something")
    rig.settle(checkout)
    most = 2 * rig.tally.kills
    rig.tally.expect(rig.tally.twice <= most, f"{rig.tally.twice} came twice, which is more than the batch at work")
    rig.tally.expect(
        rig.tally.twice or rig.effort is SAMPLE, "no flusher was killed between the answer and the acknowledgement"
    )


def a_flusher_while_its_request_is_under_way(rig: Rig) -> None:
    """The flusher is killed after the server has its request: the events are accepted without its knowledge."""
    checkout = rig.checkout()

    def kill(_request: Request) -> Answer:
        assert flusher.pid
        os.kill(flusher.pid, signal.SIGKILL)
        return OK

    for _ in range(min(rig.effort.points, 200)):
        rig.track(checkout, 3)
        rig.receiver.answer_always(kill)
        flusher = start(rig.place(checkout), run_flusher)
        rig.tally.expect(rig.was_killed(flusher), "a flusher with events made no request")
        rig.receiver.answer_always(lambda _request: None)
        rig.flush(checkout)
    rig.settle(checkout)
    rig.tally.expect(
        rig.tally.twice == rig.tally.delivered,
        "a batch that was accepted without the flusher's knowledge was not sent again exactly once",
    )


def enable_disable_and_reset_id_before_each_line(rig: Rig) -> None:
    """A command that changes the lock file is killed before each line: the file has the old or the new content."""
    for words, wanted in (("enable", True), ("disable", False), ("reset-id", True)):
        checkout = rig.checkout(words)
        _choose(checkout, on=True)
        for halt in rig.halts(checkout, signal.SIGKILL, run_command, words):
            _choose(checkout, on=words != "enable")
            if words != "enable":
                rig.track(checkout, 1)
            before = consent_of(checkout)
            if rig.was_killed(start(rig.place(checkout), run_command, words, halt=halt)):
                _look_at_the_lock_file(rig, checkout, before, wanted=wanted, may_change_id=words == "reset-id")
            rig.finish(start(rig.place(checkout), run_command, "disable"))
            left = checkout.files() - {"onramp.lock"}
            rig.tally.expect(not left, f"{left} stays after `disable` that followed a killed `{words}`")
    rig.forget_recorded()


def _choose(checkout: Checkout, *, on: bool) -> None:
    checkout.opt_in()
    checkout.lock.write_bytes(OTHERS + checkout.lock.read_bytes().replace(b"ENABLED=1", b"ENABLED=%d" % on))
    if on:
        checkout.hold_back_flusher()


def _look_at_the_lock_file(
    rig: Rig, checkout: Checkout, before: tuple[bool, str], *, wanted: bool, may_change_id: bool
) -> None:
    content, (on, own_id) = checkout.lock.read_bytes(), consent_of(checkout)
    rig.tally.expect(content.startswith(OTHERS) and content.endswith(b"\n"), f"onramp.lock is damaged: {content!r}")
    rig.tally.expect(on in (before[0], wanted), "a killed command changed the consent to an unexpected value")
    is_expected = own_id == before[1] or (own_id if may_change_id else not wanted)
    rig.tally.expect(is_expected, "a killed command lost the identifier")
    keys = set(settings.parse(content))
    rig.tally.expect(keys >= AGREED or keys == {settings.ENABLED}, f"a key of onramp.lock is gone: {content!r}")
    if on:
        rig.track(checkout, 1)
    rig.tally.expect(consent_of(checkout) == (on, own_id), "the consent changed by itself")


AGREED = set(settings.KEYS) - {settings.TOLD}


def everybody_at_random(rig: Rig) -> None:
    """Trackers, flushers and `enable` run at the same time, and each is killed at a random moment and replaced."""
    checkout = rig.checkout()
    choices = (_tracker, _tracker, _tracker, _flusher, _flusher, _real_tracker, _real_tracker, _real_flusher, _chooser)
    slots = [choice(rig, checkout) for choice in choices]
    while rig.tally.kills < rig.effort.kills or rig.recorded() < rig.effort.events:
        number = rig.random.randrange(len(slots))
        time.sleep(rig.random.expovariate(200))
        rig.tally.kills += slots[number]()
        slots[number] = choices[number](rig, checkout)
        if not rig.tally.kills % 50:
            on, own_id = consent_of(checkout)
            rig.tally.expect(on and own_id, f"the consent changed by itself: {checkout.lock.read_bytes()!r}")
    for end in slots:
        rig.tally.kills += end()
    rig.tally.faults = rig.tally.kills
    rig.settle(checkout)
    rig.tally.expect(rig.tally.twice <= 100 * rig.tally.kills, "more than a batch a kill was delivered twice")


#: Kills a process, and returns whether it was still running.
End = Callable[[], bool]


def _tracker(rig: Rig, checkout: Checkout) -> End:
    return _end(start(rig.place(checkout), write_events, rig.acknowledged, rig.numbers(), NUMBERS, 0.001))


def _flusher(rig: Rig, checkout: Checkout) -> End:
    return _end(start(rig.place(checkout), run_flusher))


def _chooser(rig: Rig, checkout: Checkout) -> End:
    return _end(start(rig.place(checkout), run_command, "enable"))


def _end(process: BaseProcess) -> End:
    def end() -> bool:
        process.kill()
        process.join()
        return process.exitcode == -signal.SIGKILL

    return end


def _real_tracker(rig: Rig, checkout: Checkout) -> End:
    """Start a tracker as make does. If it exits with 0, its event was stored."""
    number = rig.numbers()
    words = [sys.executable, "-IS", "-c", NUMBERED, FROM_MAKE, str(number), *TRACK]
    process = subprocess.Popen(words, cwd=checkout.path, env=checkout.env)

    def end() -> bool:
        process.kill()
        status = process.wait()
        if status == 0:
            rig.acknowledge([number])
        rig.tally.disturbed += status not in (0, NOT_STORED, -signal.SIGKILL)
        return status == -signal.SIGKILL

    return end


def _real_flusher(_rig: Rig, checkout: Checkout) -> End:
    """Kill the detached flushers that the trackers have started."""

    def end() -> bool:
        found = flushers_of(checkout)
        for pid in found:
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        return bool(found)

    return end


FAULTS: list[Fault] = [
    a_tracker_before_each_line,
    a_tracker_that_spills_before_each_line,
    a_flusher_before_each_line,
    a_flusher_while_its_request_is_under_way,
    enable_disable_and_reset_id_before_each_line,
    everybody_at_random,
]


def _fill(rig: Rig, checkout: Checkout) -> None:
    """Queue five events, one of them spilled. The receiver accepts two per request, so there are several requests."""
    with locks.locked(checkout.spool):
        rig.track(checkout)
    rig.track(checkout, 4)
