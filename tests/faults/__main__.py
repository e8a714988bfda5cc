"""`make faults`: inject every fault, and print what became of the events."""

from __future__ import annotations

import sys
import time

from rich.console import Console
from rich.table import Table

from tests.faults.kinds import KINDS, run
from tests.faults.rig import WHOLE, Tally

COLUMNS = ("faults", "kills", "recorded", "delivered", "twice", "lost", "leaked", "disturbed")


def main() -> int:
    """Run everything, and return 1 if a guarantee did not hold."""
    console = Console(highlight=False, width=140)
    started, total, left_out = time.monotonic(), Tally(), list[str]()
    table = Table(box=None, pad_edge=False)
    table.add_column("fault")
    for column in (*COLUMNS, "broken"):
        table.add_column(column, justify="right")
    for kind, faults in KINDS.items():
        table.add_row(f"[bold]{kind}")
        for fault in faults:
            name = fault.__name__.replace("_", " ")
            console.print(f"{time.monotonic() - started:6.0f} s  {name} ...")
            tally = run(fault, WHOLE)
            total.add(tally)
            left_out += [f"{name}: {tally.left_out}"] if tally.left_out else []
            _row(table, f"  {name}", tally)
    _row(table, "[bold]in all", total)
    console.print(table)
    for sentence in left_out:
        console.print(f"left out: {sentence}")
    for sentence in total.broken:
        console.print(f"broken: {sentence}", markup=False)
    ok = not (total.broken or total.lost or total.leaked or total.disturbed)
    console.print(f"{'It holds' if ok else 'It does not hold'}, after {time.monotonic() - started:.0f} s.")
    return 0 if ok else 1


def _row(table: Table, name: str, tally: Tally) -> None:
    table.add_row(name, *(f"{getattr(tally, column):,}" for column in COLUMNS), str(len(tally.broken)))


if __name__ == "__main__":
    sys.exit(main())
