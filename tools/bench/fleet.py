"""`make fleet`: simulate what many hosts that opted in send to one PostHog, with the product's own rules.

The pauses, tries, limits and the linger are imported; the clock and the network are simulated. Hosts do not depend on
each other, so each is simulated alone from its first command to its last, and a million are simulated exactly.
The assumptions about users are the constants below, which docs/scale.md explains.
"""

from __future__ import annotations

import argparse
import math
import multiprocessing
from bisect import bisect_right
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from random import Random

from rich import box
from rich.console import Console
from rich.table import Table

from onramp_analytics import flush
from onramp_analytics.detached import LINGER
from onramp_analytics.outbox.overview import MOST_EVENTS
from onramp_analytics.posthog import retry
from onramp_analytics.posthog.outcome import UNREACHED, Outcome

DAY, DAYS, HOUR = 86_400, 2, 3600
SESSION = 3  # commands in a row, once a day
GAP = 30.0  # seconds between two of them, on average
BUSIEST_HOUR = 20  # sessions are most frequent then, at twice the average, and least frequent twelve hours later
NIGHTLY = 3 * HOUR  # the time of the nightly job; all hosts are in one time zone
CLOCK = 0.1  # seconds: the standard deviation of the hosts' clocks
ANSWER = 0.2  # seconds per request, also if it fails; an outage that answers at once causes the most requests
EVENTS = SESSION + 1  # per day: one per command, and one for a service that was enabled or disabled, or a failure

FLEETS = (1_000, 100_000, 1_000_000)
SHARE = 1_000  # hosts that are simulated together, with one seed
FREE = 1_000_000  # events per month that PostHog accepts for free


@dataclass(frozen=True)
class World:
    """What is the same for all hosts: whether they have the nightly job, when the server fails, and the linger."""

    nightly: bool = False
    outage: tuple[float, float] | None = None
    linger: tuple[float, float] = LINGER

    def is_down(self, moment: float) -> bool:
        return self.outage is not None and self.outage[0] <= moment < self.outage[1]

    @property
    def run(self) -> float:
        """For how many seconds a run may start requests: what the linger leaves of the flusher's longest life."""
        return flush.RUN + LINGER[1] - self.linger[1]


def around(middle: float) -> tuple[float, float]:
    """Return the hour around a moment."""
    return middle - HOUR / 2, middle + HOUR / 2


WORLDS = (
    QUIET := World(),
    EVENING := World(outage=around(BUSIEST_HOUR * HOUR)),
    NIGHT := World(nightly=True),
    WORST := World(nightly=True, outage=around(NIGHTLY)),
    LONGER := World(nightly=True, linger=(2.0, 10.0)),
    LONGEST := World(nightly=True, linger=(2.0, 60.0)),
)


def requests(commands: Sequence[float], world: World, jitter: Callable[[], float]) -> list[float]:
    """Simulate one host: return the seconds at which it makes requests, from those at which it tracks an event.

    There is no daemon: a flusher starts when an event is tracked and the stored time has come, and at no other moment.
    It first sends the segment that a failed run left, then claims the spool; the two never share a batch.
    """
    made: list[float] = []
    claimed = sent = failures = 0  # the first two count events
    not_before = 0.0
    shortest, longest = world.linger
    for tracked, command in enumerate(commands, 1):
        if tracked <= claimed or command < not_before:
            continue
        now = command + shortest + (longest - shortest) * jitter()
        until, tries = now + world.run, 0
        while True:
            if sent == claimed:
                claimed = bisect_right(commands, now)
            if sent == claimed:
                not_before, failures = 0.0, 0
                break
            made.append(now)
            failed = world.is_down(now)
            now += ANSWER
            if not failed:
                sent, tries = min(sent + MOST_EVENTS, claimed), 0
                continue
            outcome, tries = Outcome(UNREACHED), tries + 1
            pause = retry.pause_before_retry(outcome, tries, jitter())
            if tries == retry.TRIES or now + pause > until:
                failures += 1
                not_before = retry.next_try(outcome, failures, now, jitter())
                break
            now += pause
    return made


def people(random: Random) -> list[float]:
    """Return when the users of one host run commands, in seconds."""
    found = []
    for day in range(DAYS):
        moment = day * DAY + _time_of_day(random)
        for _ in range(SESSION):
            found.append(moment)
            moment += random.expovariate(1 / GAP)
    return found


def _time_of_day(random: Random) -> float:
    while True:
        hour = 24 * random.random()
        if 2 * random.random() < 1 + math.cos((hour - BUSIEST_HOUR) * math.pi / 12):
            return hour * HOUR


Counts = dict[World, Counter[int]]  # the second, and how many requests fall into it


def play(share: int) -> Counts:
    """Simulate a thousand hosts in each world; their users do the same in all of them."""
    random = Random(share)
    counts: Counts = {world: Counter() for world in WORLDS}
    for _ in range(SHARE):
        by_day = people(random)
        nightly = sorted(by_day + [day * DAY + NIGHTLY + random.gauss(0, CLOCK) for day in range(DAYS)])
        for world, count in counts.items():
            count.update(map(int, requests(nightly if world.nightly else by_day, world, random.random)))
    return counts


def play_fleets(sizes: Sequence[int]) -> dict[int, Counts]:
    """Simulate the largest number of hosts on all cores; the smaller numbers are its first hosts."""
    total: Counts = {world: Counter() for world in WORLDS}
    found = {}
    with multiprocessing.Pool() as pool:
        for share, counts in enumerate(pool.imap(play, range(max(sizes) // SHARE)), 1):
            for world, count in counts.items():
                total[world].update(count)
            if share * SHARE in sizes:
                found[share * SHARE] = {world: Counter(count) for world, count in total.items()}
    return found


def busiest(count: Counter[int], seconds: int = 1, span: tuple[float, float] = (0, math.inf)) -> tuple[float, int]:
    """Return the requests per second in the busiest stretch of so many seconds, and when it begins."""
    stretches: Counter[int] = Counter()
    for second, number in count.items():
        if span[0] <= second < span[1]:
            stretches[second - second % seconds] += number
    when = max(stretches, key=lambda begin: (stretches[begin], -begin), default=0)
    return stretches[when] / seconds, when


def clock(second: int) -> str:
    return f"{second % DAY // HOUR:02}:{second % HOUR // 60:02}:{second % 60:02}"


def rate(value: float) -> str:
    return f"{value:,.0f}" if value >= 10 else f"{value:.1f}"


def within(count: Counter[int], world: World) -> int:
    """Return the requests during the outage of a world."""
    return sum(number for second, number in count.items() if world.is_down(second))


def fleet_row(size: int, world: World, count: Counter[int]) -> list[str]:
    """Return one line of the first table."""
    peak, when = busiest(count)
    line = [
        f"{size:,}",
        "yes" if world.nightly else "no",
        "none",
        f"{count.total() / DAYS:,.0f}",
        f"{within(count, world):,}",
        f"{rate(peak)} at {clock(when)}",
        rate(busiest(count, 60)[0]),
        "",
    ]
    if world.outage:
        begin, end = world.outage
        line[2] = f"{clock(int(begin))[:5]} to {clock(int(end))[:5]}"
        line[-1] = rate(busiest(count, span=(end, end + HOUR))[0])
    return line


def show(fleets: dict[int, Counts]) -> None:
    """Print the tables of docs/scale.md, and the figures of its text."""
    console, largest = Console(width=160), fleets[max(fleets)]
    heads = "hosts", "nightly job", "outage", "requests per day", "failed", "busiest second"
    table = Table(*heads, "busiest minute, per second", "busiest second of the hour after", box=box.MARKDOWN)
    for size, counts in fleets.items():
        for world in (QUIET, EVENING, NIGHT, WORST):
            table.add_row(*fleet_row(size, world, counts[world]))
    console.print(table)

    sizes = [f"{size:,} hosts" for size in fleets]
    per_day = f"requests per day ({max(fleets):,} hosts)"
    title = "The busiest second of the nightly job"
    table = Table("batching delay", "time for requests", per_day, *sizes, title=title, box=box.MARKDOWN)
    for world in (NIGHT, LONGER, LONGEST):
        peaks = [rate(busiest(counts[world])[0]) for counts in fleets.values()]
        linger = "{:.0f} to {:.0f} s".format(*world.linger)
        table.add_row(linger, f"{world.run:.0f} s", f"{largest[world].total() / DAYS:,.0f}", *peaks)
    console.print(table)

    for events, job in ((EVENTS, "without"), (EVENTS + 1, "with")):
        console.print(
            f"{job} the nightly job: {30 * events} events per month, free for {FREE // (30 * events):,} hosts"
        )
    failed, unheld = within(largest[EVENING], EVENING), within(largest[QUIET], EVENING) * retry.TRIES
    console.print(f"evening outage: {failed:,} tries fail; without the back-off it would be {unheld:,} at most")


def draw(counts: Counts, size: int, file: Path) -> None:
    """Draw the nightly peak second by second, and the evening of an outage minute by minute."""
    import matplotlib as mpl  # of the dependency group `plots`, which the tests do without
    from matplotlib import pyplot as plt

    mpl.rcParams.update(
        {
            "axes.spines.right": False,
            "axes.spines.top": False,
            "axes.titlelocation": "left",
            "font.size": 10,
            "svg.fonttype": "none",  # text stays text
            "svg.hashsalt": "onramp-analytics",  # the same figures give the same file
        }
    )
    lines = (
        (WORST, "#b0413a", "delay 2 to 4 s, in an outage"),
        (NIGHT, "#0b6e99", "delay 2 to 4 s"),
        (LONGER, "#8a8a8a", "delay 2 to 10 s"),
        (LONGEST, "#2f8f4e", "delay 2 to 60 s"),
    )
    figure, (night, evening) = plt.subplots(2, 1, figsize=(8, 7), layout="constrained")
    for world, colour, label in lines:
        values = [counts[world][NIGHTLY + second] or math.nan for second in range(70)]
        night.stairs(values, range(71), color=colour, label=label, linewidth=1.8, baseline=None)
    night.set(yscale="log", xlim=(0, 70), ylim=(size / 1000, 2 * size), xlabel="seconds after 03:00:00")
    night.set(ylabel="requests per second", title=f"{size:,} hosts with a nightly job at 03:00:00")
    night.yaxis.set_major_formatter("{x:,.0f}")
    night.legend(frameon=False, ncols=2, loc="upper right")

    begin, minutes = 18 * HOUR, 240
    for world, colour, label in ((EVENING, "#b0413a", "an outage of an hour"), (QUIET, "#0b6e99", "no outage")):
        sums = [sum(counts[world][begin + 60 * m + s] for s in range(60)) / 60 for m in range(minutes)]
        evening.plot([18 + m / 60 for m in range(minutes)], sums, color=colour, label=label, linewidth=1.8)
    evening.axvspan(*(edge / HOUR for edge in around(BUSIEST_HOUR * HOUR)), color="#f3e3e1", zorder=0)
    evening.set(xlim=(18, 22), ylim=(0, None), xticks=range(18, 23), xticklabels=[f"{h}:00" for h in range(18, 23)])
    evening.set(ylabel="requests per second", title=f"{size:,} hosts in the evening, and an outage of an hour")
    evening.legend(frameon=False, loc="upper right")
    file.parent.mkdir(exist_ok=True)
    figure.savefig(file, metadata={"Date": None})


def main() -> None:
    parser = argparse.ArgumentParser(prog="make fleet", description=__doc__)
    parser.add_argument("plot", type=Path, help="the file to draw, .svg or .png")
    parser.add_argument("--hosts", type=int, nargs="+", default=FLEETS, help="the sizes, in whole thousands")
    options = parser.parse_args()
    fleets = play_fleets(options.hosts)
    show(fleets)
    draw(fleets[max(fleets)], max(fleets), options.plot)


if __name__ == "__main__":
    main()
