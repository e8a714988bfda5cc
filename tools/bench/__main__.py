"""`make bench`: measure the cost, and write the tables into docs/performance.md.

It never fails because of a time: it measures, and the page says which budgets are met.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import re
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path

from tests.onramp_checkout import OnRamp, build
from tools.bench.commands import empty, make_rows, pending_rows, tracker_rows, wrapper_rows
from tools.bench.day import day_tables
from tools.bench.flushing import flush_rows
from tools.bench.functions import function_rows
from tools.bench.growth import growth_table
from tools.bench.measuring import Row, rows_table, summary
from tools.bench.peers import NOTE, peer_table
from tools.bench.running import REPOSITORY, adopt_orphans

PAGE = REPOSITORY / "docs/performance.md"
MARKED = re.compile(r"(<!-- written by `make bench`: (\w+) -->\n).*?(<!-- end -->)", re.DOTALL)


def measure(folder: Path, effort: float, parts: set[str]) -> tuple[list[Row], dict[str, str]]:
    """Measure the named parts, or everything; return the lines of the main table, and the other tables by name."""
    env = dict(os.environ)
    rows: list[Row] = []
    tables: dict[str, str] = {}

    def place(name: str) -> Path:
        (folder / name).mkdir()
        return folder / name

    def checkout(name: str) -> OnRamp:
        onramp = build(place(name), env, installed=True)
        onramp.opt_in()
        empty(onramp)
        return onramp

    def make() -> None:
        found, tables["kernel"] = make_rows(place("make"), env, 50 * effort)
        rows.extend(found)

    def peers() -> None:
        tables["peers"] = peer_table(checkout("peers")) + "\n" + NOTE

    steps: dict[str, Callable[[], None]] = {
        "make": make,
        "tracker": lambda: rows.extend(tracker_rows(checkout("tracker"), 35 * effort)),
        "wrappers": lambda: rows.extend(wrapper_rows(checkout("wrapped"), place("wrappers"), 30 * effort)),
        "functions": lambda: rows.extend(function_rows(checkout("functions"), 35 * effort)),
        "pending": lambda: rows.extend(pending_rows(checkout("pending"), 20 * effort)),
        "flush": lambda: rows.extend(flush_rows(checkout("flush"), 80 * effort)),
        "day": lambda: tables.update(day=day_tables(place("day"), env)),
        "growth": lambda: tables.update(growth=growth_table(checkout("growth"), 20 * effort)),
        "peers": peers,
    }
    for name, step in steps.items():
        if not parts or name in parts:
            sys.stderr.write(f"bench: {name} ...\n")
            step()
    return rows, tables


def written(page: str, tables: dict[str, str]) -> str:
    """Return the page with each measured table between its marks; what was not measured stays as it is."""
    return MARKED.sub(lambda found: f"{found[1]}{tables[found[2]]}{found[3]}" if found[2] in tables else found[0], page)


def machine() -> str:
    """Return one sentence about the machine."""
    release = platform.python_version()
    return f"{os.cpu_count()} cores ({platform.machine()}), {platform.system()}, Python {release}.\n"


def main() -> None:
    """Read the command line, measure, and write the page."""
    parser = argparse.ArgumentParser(prog="make bench", description=__doc__)
    parser.add_argument("--effort", type=float, default=1.0, help="a share of the usual time for each line")
    parser.add_argument("--json", metavar="FILE", type=Path, help="write the figures there, too")
    parser.add_argument("--print", action="store_true", help="print the tables, and leave the page as it is")
    parser.add_argument("parts", nargs="*", help="measure only these (default: all)")
    options = parser.parse_args()
    adopt_orphans()  # so that every detached process has ended before its checkout is deleted
    with tempfile.TemporaryDirectory(prefix="onramp-bench-", ignore_cleanup_errors=True) as folder:
        rows, tables = measure(Path(folder), options.effort, set(options.parts))
    budgets, others = ([row for row in rows if (row.budget is None) == free] for free in (False, True))
    tables["machine"] = machine()
    if budgets:
        tables["budgets"] = summary(budgets) + rows_table(budgets)
    if others:
        tables["others"] = rows_table(others)
    sys.stdout.write("\n".join(tables.values()))
    if not options.print:
        PAGE.write_text(written(PAGE.read_text(), tables))
    if options.json:
        options.json.write_text(json.dumps([row.as_json() for row in rows], indent=1) + "\n")


if __name__ == "__main__":
    main()
