"""The page in OnRamp's docs/, and the lines for its other pages."""

from __future__ import annotations

import re

from onramp_analytics.integration import conf, page
from tests.conftest import KEY

SETTINGS = conf.chosen({}, {"--api-key": KEY, "--host": "https://eu.i.posthog.com", "--contact": "privacy@example.org"})


def section(text: str, heading: str) -> str:
    return text.partition(f"{heading}\n")[2].partition("\n## ")[0]


def test_says_where_onramps_events_go_and_how_to_reach_who_runs_it() -> None:
    said = section(page.text(SETTINGS), "## Where it goes")

    assert "OnRamp's events are sent to https://eu.i.posthog.com (project `phc_…cdef`), once a day.\n" in said
    assert "Contact: privacy@example.org\n" in said
    assert KEY not in said


def test_says_so_if_no_project_is_set_or_events_are_sent_at_once() -> None:
    assert "so nothing is sent." in section(page.text(conf.chosen({}, {})), "## Where it goes")
    at_once = conf.chosen(SETTINGS, {"--send": "at-once"})
    assert "a few seconds after a command" in section(page.text(at_once), "## Where it goes")


def test_says_when_events_are_sent_in_this_checkout() -> None:
    daily, at_once = page.text(SETTINGS), page.text(conf.chosen(SETTINGS, {"--send": "at-once"}))

    assert "on the second day after the day on which it was recorded" in section(daily, "## When it is sent")
    assert "In this checkout, an event is sent a few seconds after" in section(at_once, "## When it is sent")
    assert "24 hours" not in at_once
    assert re.findall("^## .*", at_once, re.MULTILINE) == re.findall("^## .*", daily, re.MULTILINE)


def test_is_the_packages_own_page_without_links_that_lead_nowhere_in_onramp() -> None:
    text = page.text(SETTINGS)

    assert text.startswith(page.part("analytics.md").splitlines()[0])
    assert "`service_enabled`" in text
    assert "<!--" not in text
    assert not re.findall(r"\]\((?!https?://|#)[^)]*\)", text)


def test_every_target_of_ours_is_in_the_lines_for_onramps_list_of_commands() -> None:
    lines = page.additions(lambda _name: None)["docs/commands.md"]

    targets = re.findall(r"^(analytics-[a-z-]+):", page.part("analytics.mk"), re.MULTILINE)
    assert targets
    assert re.findall(r"`make (analytics-[a-z-]+)`", lines) == targets


def test_lines_that_are_there_are_not_asked_for_again() -> None:
    found = {name: lines for name, lines in page.additions(lambda _name: None).items() if name != "README.md"}

    assert list(page.additions(found.get)) == ["README.md"]
