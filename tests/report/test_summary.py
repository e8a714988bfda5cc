"""The numbers of the report, counted by hand."""

from __future__ import annotations

from onramp_analytics.report import summary
from onramp_analytics.report.summary import Command, Switched
from tests.report.recorded import RECORDED, event, ran


def test_the_figures_are_those_counted_by_hand() -> None:
    found = summary.summary([*RECORDED, RECORDED[0]])  # one was sent twice

    assert (found.events, found.first, found.last) == (9, "2026-01-01", "2026-01-03")
    assert found.days == [("2026-01-01", 3, 0), ("2026-01-02", 0, 0), ("2026-01-03", 6, 1)]
    assert found.services == [Switched("plex", 2, 1), Switched("custom", 1, 0)]
    assert found.overrides == [Switched("plex-nfs", 1, 0)]
    assert found.commands == [Command("start", 2, 1, 200), Command("enable-service", 1, 0, 50)]
    assert found.failures == [("exit_2", 1)]


def test_a_service_that_was_only_disabled_is_listed() -> None:
    assert summary.summary([event("service_disabled", 0, service_name="plex")]).services == [Switched("plex", 0, 1)]


def test_no_more_than_sixty_days_and_ten_names_are_listed() -> None:
    recorded = [event("error_occurred", day, command="start", error_type=f"exit_{day}") for day in range(12)]

    found = summary.summary([*recorded, ran("start", 400, 1)])

    assert len(found.days) == 60
    assert found.days[-1] == ("2027-02-05", 1, 0)
    assert (found.first, found.last) == ("2026-01-01", "2027-02-05")
    assert len(found.failures) == 10


def test_an_impossible_date_breaks_nothing() -> None:
    odd = {**RECORDED[0], "timestamp": "2026-02-30T12:00:00.000000Z"}

    assert summary.summary([odd]).days == []
