"""List every fault by its kind, and run one."""

from __future__ import annotations

import tempfile
from pathlib import Path

from onramp_analytics.receiver import Receiver
from tests.faults import choice, crowds, killed, leaks, locks, machine, network, torn
from tests.faults.rig import Effort, Fault, Rig, Tally

KINDS: dict[str, list[Fault]] = {
    "1 Processes killed at any point": killed.FAULTS,
    "2 Disk and permissions": machine.FAULTS,
    "3 Locks": locks.FAULTS,
    "4 Damaged and hostile files": torn.FAULTS,
    "5 Network": network.FAULTS,
    "6 Consent": choice.FAULTS,
    "7 Leaks": leaks.FAULTS,
    "8 Load": crowds.FAULTS,
}


def run(fault: Fault, effort: Effort) -> Tally:
    """Inject a fault in a temporary folder, and return the tally of the events."""
    with tempfile.TemporaryDirectory(prefix="onramp-faults-") as folder, Receiver() as receiver:
        rig = Rig(Path(folder), effort, receiver)
        fault(rig)
        rig.end()
    return rig.tally
