"""The calculations of `make bench`: blocks, quartiles, verdicts and tables."""

from __future__ import annotations

import subprocess
from collections.abc import Sequence
from pathlib import Path

import pytest

from onramp_analytics.outbox import segments
from tests.conftest import Checkout
from tools.bench.__main__ import MARKED, PAGE, written
from tools.bench.commands import queue
from tools.bench.measuring import Row, blocks, is_steady, quartiles, rows_table, summary, table
from tools.bench.running import Command, Kernel, Subject, count_calls, race

STEADY = [10.0] * 24
WANDERING = [10.0, 20.0] * 12


def row(ours: Sequence[float], theirs: Sequence[float] = STEADY, **more: object) -> Row:
    return Row("ours", "theirs", ours, theirs, **more)  # type: ignore[arg-type]


def test_a_block_is_the_median_of_consecutive_rounds() -> None:
    assert blocks([1.0, 2.0, 9.0, 4.0, 5.0, 60.0], 2) == [2.0, 5.0]


def test_there_are_no_more_blocks_than_rounds() -> None:
    assert blocks([3.0, 1.0]) == [3.0, 1.0]


def test_half_of_the_ratios_lie_between_the_quartiles() -> None:
    assert quartiles([1.0, 2.0, 3.0, 4.0, 5.0], [1.0] * 5) == (2.0, 4.0)


def test_one_round_is_its_own_quartiles() -> None:
    assert quartiles([3.0], [2.0]) == (1.5, 1.5)


@pytest.mark.parametrize(
    ("highest", "steady"), [(1.09, True), (1.11, False)], ids=["within a tenth", "more than a tenth away"]
)
def test_a_line_is_steady_if_its_quartiles_lie_within_a_tenth_of_the_ratio(highest: float, *, steady: bool) -> None:
    ours = [1.0] * 7 + [highest] * 5  # the upper quartile of twelve blocks is the highest

    assert is_steady(ours, [1.0] * 12) == steady


def test_one_slow_round_does_not_change_a_ratio() -> None:
    assert row([*STEADY[:-1], 900.0]).ratio == 1.0


@pytest.mark.parametrize(
    ("found", "verdict"),
    [
        (row(STEADY, budget=1.0), "met"),
        (row([11.0] * 24, budget=1.05), "**not met**"),
        (row([11.0] * 24, budget=1.05, why="it writes"), "**not met**: it writes"),
        (row(STEADY, budget=1.0, why="it writes"), "met"),
        (row(STEADY), ""),
        (row(WANDERING[::2] + WANDERING[1::2]), "time not steady"),
        (row(WANDERING[::2] + WANDERING[1::2], budget=1.0, counted=(1, 2)), "**not met** (time not steady)"),
        (row(WANDERING[::2] + WANDERING[1::2], budget=2.0, counted=(5, 2)), "**not met** (time not steady)"),
        (row(WANDERING[::2] + WANDERING[1::2], budget=2.0, counted=(3, 2)), "met (time not steady)"),
        (row(WANDERING[::2] + WANDERING[1::2], budget=2.0), "met (time not steady)"),
        (row(STEADY, budget=1.0, counted=(3, 2)), "met"),
        (Row("ours", "theirs", budget=1.0, counted=(3, 2)), "**not met**"),
    ],
)
def test_the_time_decides_and_the_instructions_too_if_it_is_not_steady(found: Row, verdict: str) -> None:
    assert found.verdict == verdict


def test_a_line_shows_times_and_instructions_with_their_ratios() -> None:
    line = rows_table([row([5.0] * 24, budget=0.6, counted=(2_500_000, 500_000))]).splitlines()[-1]

    assert line == "| ours | theirs | 5 ms | 10 ms | 0.50 | 0.50 to 0.50 | 2.5 M | 500 k | 5.00 | 0.60 | met |"


def test_the_summary_counts_the_budgets_that_are_met() -> None:
    rows = [row(STEADY, budget=1.0), row([11.0] * 24, budget=1.05), row([11.0] * 24, budget=1.2)]

    assert summary(rows).startswith("2 of 3 budgets are met.")


def test_a_table_without_budgets_has_no_column_for_them() -> None:
    headings, _, line = rows_table([row(STEADY)]).splitlines()

    assert "budget" not in headings
    assert headings.count("|") == line.count("|")


def test_a_table_is_markdown() -> None:
    assert table(["a", "b"], [["1", "2"]]) == "| a | b |\n| --- | --- |\n| 1 | 2 |\n"


def test_a_measured_table_replaces_the_one_between_its_marks_and_nothing_else() -> None:
    page = "before\n<!-- written by `make bench`: day -->\nold\n<!-- end -->\nafter <!-- end -->\n"

    assert written(page, {"day": "new\n", "peers": "x\n"}) == page.replace("old", "new")
    assert written(page, {"peers": "x\n"}) == page


def test_the_page_has_a_place_for_every_table() -> None:
    names = [found[1] for found in MARKED.findall(PAGE.read_text())]

    assert sorted(names) == ["budgets", "day", "growth", "kernel", "machine", "others", "peers"]


def test_each_round_times_each_subject_once_between_its_preparation_and_its_end() -> None:
    seen: list[str] = []

    def subject(name: str) -> Subject:
        return Subject(lambda: seen.append(name), lambda: seen.append(f"{name}("), lambda: seen.append(f"{name})"))

    times = race({name: subject(name) for name in "ab"}, 0.0, [("a", "b")], least=5)

    assert len(times["a"]) == len(times["b"]) == 5
    rounds = ["".join(seen[start : start + 6]) for start in range(0, len(seen), 6)]
    assert set(rounds) == {"a(aa)b(bb)", "b(bb)a(aa)"}  # a fixed seed: both orders occur


def test_a_count_does_not_wait_for_a_process_of_somebody_else(tmp_path: Path) -> None:
    with subprocess.Popen(("sleep", "60")) as bystander:
        try:
            count_calls(Command(("sh", "-c", ":"), {"PATH": "/usr/bin:/bin"}, tmp_path))
            assert bystander.poll() is None
        finally:
            bystander.kill()


def test_system_calls_and_processes_of_the_background_are_counted_apart(tmp_path: Path) -> None:
    (tmp_path / "in-the-background").touch()
    script = "sh in-the-background & wait; sh -c :"

    whole, apart = count_calls(Command(("sh", "-c", script), {"PATH": "/usr/bin:/bin"}, tmp_path), "in-the-background")

    assert (whole.processes, apart.processes) == (3, 1)
    assert 0 < (whole - apart).calls < whole.calls
    assert whole - apart == Kernel(whole.calls - apart.calls, whole.processes - apart.processes)


@pytest.mark.parametrize("count", [0, 1_000, 10_000, 25_000])
def test_a_queue_of_any_size_has_all_its_events_and_space_in_the_spool_for_one_more(here: Checkout, count: int) -> None:
    here.track()
    line = (here.path / "onramp.spool").read_bytes()
    here.hold_back_flusher()

    queue(here.path, line, count)

    assert segments.count(here.spool) == count
    assert here.spool.append(line, lambda: "") == "stored"
