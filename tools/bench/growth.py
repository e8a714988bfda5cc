"""How the time of the commands grows with the number of queued events."""

from __future__ import annotations

import statistics
from collections.abc import Callable

from onramp_analytics.spool import CAP
from tests.onramp_checkout import OnRamp
from tools.bench.flushing import lines_of
from tools.bench.measuring import figure, table
from tools.bench.running import COMMAND, Command, Subject, race

COMMANDS = {
    "status": (COMMAND, "status"),
    "show-pending \\| head": ("sh", "-c", f"'{COMMAND}' show-pending | head"),
    "report": (COMMAND, "report"),
    "disable": (COMMAND, "disable"),
}


def growth_table(onramp: OnRamp, seconds: float) -> str:
    """Measure each command with nothing, with 1,000 events and with a full queue; the ratio is to nothing."""
    line = lines_of(onramp, 1)[0]
    sizes = (0, 1_000, CAP // len(line))
    lines = []
    for name, words in COMMANDS.items():
        command = Command(words, onramp.env, onramp.path)
        subjects = {str(size): Subject(command, _queue(onramp, size)) for size in sizes}
        times = race(subjects, seconds / len(COMMANDS), [(str(size), "0") for size in sizes[1:]])
        medians = [statistics.median(times[str(size)]) for size in sizes]
        cells = [f"{figure(median, 'ms')} ({median / medians[0]:.2f})" for median in medians]
        lines.append([f"`{name}`", *cells])
    return table(("command", *(f"{size:,} events" for size in sizes)), lines)


def _queue(onramp: OnRamp, count: int) -> Callable[[], None]:
    text = "".join(lines_of(onramp, count)) if count else ""

    def queue() -> None:
        onramp.opt_in()
        (onramp.path / "onramp.spool").write_text(text)

    return queue
