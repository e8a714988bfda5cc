"""`make bench`: what it costs, held in one run against the floors and against what one would write otherwise.

A ruler, not a test: it never fails for a time. Rounds are interleaved, so that a machine that wanders wanders for all.
A ratio is one of medians; the spread beside it has the quartiles of the ratios of the single rounds.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import tempfile
from pathlib import Path

from rich import box
from rich.console import Console
from rich.table import Table

from tests.onramp_checkout import build
from tools.bench.inprocess import flush_rows, function_rows
from tools.bench.measuring import Row
from tools.bench.processes import alternative_rows, growth_rows, make_rows, track_rows

HEADINGS = ("what", "held against", "ours", "theirs", "ratio", "quartiles", "budget", "")


def measure(rounds: int) -> list[Row]:
    """Measure everything; `rounds` of what is quick, fewer of what is not."""
    few = max(rounds // 5, 3)
    with tempfile.TemporaryDirectory(prefix="onramp-bench-") as folder:
        onramp = build(Path(folder), dict(os.environ), installed=True)
        onramp.opt_in()
        return [
            *make_rows(onramp, rounds),
            *track_rows(onramp, rounds),
            *function_rows(onramp),
            *growth_rows(onramp, rounds),
            *flush_rows(onramp, max(rounds // 12, 3)),
            *alternative_rows(onramp, few),
        ]


def show(rows: list[Row]) -> None:
    """Print two tables, as Markdown, so that they can stand in a page as they are."""
    console = Console(width=160)
    console.print(f"{os.cpu_count()} cores, {platform.machine()}, Python {platform.python_version()}\n")
    others = [row for row in rows if row.budget is None]
    for found, headings in (([row for row in rows if row.budget is not None], HEADINGS), (others, HEADINGS[:-2])):
        table = Table(*headings, box=box.MARKDOWN)
        for row in found:
            table.add_row(*row.cells()[: len(headings)])
        console.print(table)


def main() -> None:
    """Read the command line, measure, print."""
    parser = argparse.ArgumentParser(prog="make bench", description=__doc__)
    parser.add_argument("--rounds", type=int, default=60, help="rounds for each line")
    parser.add_argument("--json", metavar="FILE", type=Path, help="write the figures there, too")
    options = parser.parse_args()
    rows = measure(options.rounds)
    show(rows)
    if options.json:
        options.json.write_text(json.dumps([row.as_json() for row in rows], indent=1) + "\n")


if __name__ == "__main__":
    main()
