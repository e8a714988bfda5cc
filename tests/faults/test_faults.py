"""A sample of every fault of `make faults`: no event is lost or leaked, and no command is disturbed."""

from __future__ import annotations

import pytest

from tests.faults.kinds import KINDS, run
from tests.faults.rig import SAMPLE, Fault


@pytest.mark.parametrize("fault", [f for faults in KINDS.values() for f in faults], ids=lambda fault: fault.__name__)
def test_no_event_is_lost_or_leaked_and_no_command_disturbed_by(fault: Fault) -> None:
    tally = run(fault, SAMPLE)

    assert tally.broken == []
    assert (tally.lost, tally.leaked, tally.disturbed) == (0, 0, 0)
    assert tally.faults or tally.left_out
