"""`make bench-plots`: draw what grows with the number of events, from the figures of one `make bench`.

python -m tools.bench.plots FIGURES.json FOLDER
"""

from __future__ import annotations

import json
import statistics
import sys
from pathlib import Path
from typing import Any

import matplotlib as mpl
from matplotlib import pyplot as plt
from matplotlib.axes import Axes

OURS, THEIRS, QUIET = "#0b6e99", "#b0713a", "#777777"
LOOK = {
    "axes.spines.right": False,
    "axes.spines.top": False,
    "axes.titlelocation": "left",
    "figure.figsize": (7, 3.6),
    "figure.constrained_layout.use": True,
    "font.size": 11,
    "svg.fonttype": "none",  # text stays text
    "svg.hashsalt": "onramp-analytics",  # the same figures give the same file
}

Rows = list[dict[str, Any]]


def track_cost(axes: Axes, rows: Rows) -> None:
    """Draw the time of `track` by number of queued events, as a ratio to an empty queue, with its quartiles as bars."""
    rows = [row for row in rows if row["what"].startswith("track with")]
    ratios = [row["ratio"] for row in rows]
    bars = [
        [max(ratio - row["spread"][0], 0) for row, ratio in zip(rows, ratios, strict=True)],
        [max(row["spread"][1] - ratio, 0) for row, ratio in zip(rows, ratios, strict=True)],
    ]
    axes.axhline(1.05, color=QUIET, linewidth=1, linestyle="--")
    axes.annotate("budget: 1.05", (0, 1.05), xytext=(0, 4), textcoords="offset points", color=QUIET)
    places = range(1, len(rows) + 1)
    axes.errorbar(places, ratios, bars, color=OURS, fmt="none", capsize=3)
    axes.plot([0, *places], [1, *ratios], color=OURS, marker="o")
    axes.set_xticks([0, *places], ["0", *(f"{row['events']:,}" for row in rows)])
    axes.set_ylim(0, 1.6)
    axes.set_xlabel("queued events")
    axes.set_ylabel("time of one track\n(with an empty queue = 1)")
    axes.set_title("The time of one track does not depend on the queue")


def flush_time(axes: Axes, rows: Rows) -> None:
    """Draw the times of the flush and of the bare loop, as ratios to the loop with the fewest events."""
    rows = [row for row in rows if row["what"].startswith("flush of")]
    unit = statistics.median(rows[0]["theirs"])
    counts = [row["events"] for row in rows]
    for name, label, color, above in (
        ("ours", "the upload", OURS, 10),
        ("theirs", "a bare loop of batch_post", THEIRS, -16),
    ):
        times = [statistics.median(row[name]) / unit for row in rows]
        axes.loglog(counts, times, color=color, marker="o", label=label)
        for count, time in zip(counts, times, strict=True):
            axes.annotate(
                f"{time:.3g}", (count, time), xytext=(0, above), textcoords="offset points", ha="center", color=color
            )
    axes.margins(x=0.08, y=0.15)
    axes.set_xticks(counts, [f"{count:,}" for count in counts])
    axes.set_yticks([1, 10, 100], ["1", "10", "100"])
    axes.minorticks_off()
    axes.set_xlabel("events to send")
    axes.set_ylabel(f"time (the loop\nwith {counts[0]:,} events = 1)")
    axes.set_title("The time of a flush grows with the number of events")
    axes.legend(frameon=False)


def main() -> None:
    """Read the figures, and write one SVG for each plot."""
    figures, folder = Path(sys.argv[1]), Path(sys.argv[2])
    rows = json.loads(figures.read_text())
    folder.mkdir(parents=True, exist_ok=True)
    mpl.rcParams.update(LOOK)
    for name, draw in (("track-cost", track_cost), ("flush-time", flush_time)):
        figure, axes = plt.subplots()
        draw(axes, rows)
        figure.savefig(folder / f"{name}.svg", metadata={"Date": None})
        plt.close(figure)


if __name__ == "__main__":
    main()
