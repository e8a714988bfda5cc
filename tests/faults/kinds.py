"""Every fault, by its kind, and how one is run."""

from __future__ import annotations

import tempfile
from pathlib import Path

from onramp_analytics.receiver import Receiver
from tests.faults import choice, crowds, killed, leaks, locks, machine, network, torn
from tests.faults.rig import Effort, Fault, Rig, Tally

KINDS: dict[str, list[Fault]] = {
    "1 Killed anywhere": killed.FAULTS,
    "2 Disk and permissions": machine.FAULTS,
    "3 Locks": locks.FAULTS,
    "4 Torn and hostile files": torn.FAULTS,
    "5 The network": network.FAULTS,
    "6 Consent": choice.FAULTS,
    "7 Leaks": leaks.FAULTS,
    "8 Crowds": crowds.FAULTS,
}


def run(fault: Fault, effort: Effort) -> Tally:
    """Bring about a fault in a folder of its own, and return what became of the events."""
    with tempfile.TemporaryDirectory(prefix="onramp-torture-") as folder, Receiver() as receiver:
        rig = Rig(Path(folder), effort, receiver)
        fault(rig)
        rig.end()
    return rig.tally
