"""`report`: what was told, counted, as bars and as a page."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest

from onramp_analytics import events
from onramp_analytics.outbox import history
from onramp_analytics.outbox.gate import as_line
from onramp_analytics.outbox.segments import Pending
from onramp_analytics.report import page, summary
from onramp_analytics.report.summary import Command
from tests.conftest import Checkout

ID = "550e8400-e29b-41d4-a716-446655440000"
PUBLISHED = b"\ncommand start\ncommand enable-service\nservice plex\n"
DAY = 86_400 * 10**9
START = 1_767_225_600 * 10**9  # 2026-01-01 00:00 UTC


def event(name: str, day: int, **properties: object) -> dict[str, Any]:
    values = events.clean(name, properties, PUBLISHED)
    found: dict[str, Any] = json.loads(events.build(name, values, ID, START + day * DAY, os.urandom(16)))
    return found


def ran(command: str, day: int, milliseconds: int, *, success: bool = True) -> dict[str, Any]:
    return event("command_executed", day, command=command, success=success, duration_ms=milliseconds)


TOLD = [
    event("service_enabled", 0, service_name="plex", has_scaffold=True),
    event("service_enabled", 0, service_name="my-diary", has_scaffold=False),
    event("service_enabled", 2, service_name="plex", has_scaffold=True),
    ran("start", 0, 100),
    ran("start", 2, 300, success=False),
    ran("enable-service", 2, 50),
    event("error_occurred", 2, command="start", error_type="exit_2"),
]


def test_the_figures_are_those_counted_by_hand() -> None:
    found = summary.summary([*TOLD, TOLD[0]])  # one was sent twice

    assert found.events == 7
    assert found.days == [("2026-01-01", 3, 0), ("2026-01-02", 0, 0), ("2026-01-03", 4, 1)]
    assert found.services == [("plex", 2), ("custom", 1)]
    assert found.commands == [Command("start", 2, 1, 200), Command("enable-service", 1, 0, 50)]
    assert found.failures == [("exit_2", 1)]


def test_no_more_than_sixty_days_and_ten_names_are_listed() -> None:
    told = [event("error_occurred", day, command="start", error_type=f"exit_{day}") for day in range(12)]

    found = summary.summary([*told, ran("start", 400, 1)])

    assert len(found.days) == 60
    assert found.days[-1] == ("2027-02-05", 1, 0)
    assert len(found.failures) == 10


def test_a_day_that_never_was_breaks_nothing() -> None:
    odd = {**TOLD[0], "timestamp": "2026-02-30T00:00:00.000000Z"}

    assert summary.summary([odd]).days == []


@pytest.fixture
def told(opted_in: Checkout) -> Checkout:
    """A checkout that has sent three days of events, and has one that waits."""
    opted_in.hold_back_flusher()
    history.log_sent(opted_in.spool, [Pending(each, as_line(each), 0) for each in TOLD])
    opted_in.track("service_disabled", "service_name=plex")
    return opted_in


def test_in_the_terminal_it_is_bars(told: Checkout) -> None:
    said = told.run("report").stdout

    assert said.startswith("8 events: 7 sent, 1 waiting.\n\nDay by day ")
    assert re.search(r"^plex +2 +█{30} *$", said, re.MULTILINE)
    assert re.search(r"^custom +1 +█{15} *$", said, re.MULTILINE)
    assert re.search(r"^start +2 +1 +200 ms +█{15}▒{15} *$", said, re.MULTILINE)
    assert max(map(len, said.splitlines())) <= 80


def test_as_json_it_is_the_figures(told: Checkout) -> None:
    found = json.loads(told.run("report", "--json").stdout)

    assert found["services"] == [["plex", 2], ["custom", 1]]
    assert found["events"] == 8


def test_with_nothing_recorded_it_says_so(checkout: Checkout) -> None:
    assert checkout.run("report").stdout == "Nothing was recorded yet.\n"
    assert checkout.files() == set()


class Page(HTMLParser):
    """The words of a page, and everything in it that could ask for something elsewhere."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.words: list[str] = []
        self.asks: list[tuple[str, str | None]] = []
        self.tags: set[str] = set()
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.add(tag)
        self.asks += [(name, value) for name, value in attrs if name in ("src", "href", "action", "srcset", "data")]

    def handle_data(self, data: str) -> None:
        self.words += data.split()


def test_the_page_has_the_same_and_every_event_and_needs_nothing_else(told: Checkout, tmp_path: Path) -> None:
    file = tmp_path / "report.html"

    said = told.run("report", "--html", str(file)).stdout

    text = file.read_text()
    page = Page(text)
    assert said == f"Wrote {file}. It needs no network: open it in a browser.\n"
    assert page.asks == []
    assert page.tags.isdisjoint({"script", "link", "img", "iframe", "object", "embed", "form", "base"})
    assert "default-src 'none'" in text
    assert "url(" not in text
    assert "@import" not in text
    for each in [*TOLD, *told.pending()]:
        assert each["uuid"] in text
    assert {"plex", "custom", "200", "exit_2"} <= set(page.words)
    assert [path.name for path in tmp_path.iterdir() if "tmp" in path.name] == []


def test_nothing_in_an_event_can_become_markup() -> None:
    evil = "</pre><script>alert(1)</script>"
    odd = {**TOLD[0], "properties": {**TOLD[0]["properties"], "service_name": evil}}

    text = page.page(summary.summary([odd]), [odd], [])

    assert "<script" not in text
    assert text.count("&lt;script&gt;") == 2


def test_the_page_is_not_written_through_a_link_or_over_a_folder(told: Checkout, tmp_path: Path) -> None:
    precious, link = tmp_path / "precious", tmp_path / "link.html"
    precious.write_text("precious")
    link.symlink_to(precious)
    folder = told.run("report", "--html", str(tmp_path), check=False)
    nowhere = told.run("report", "--html", str(tmp_path / "gone" / "x.html"), check=False)

    told.run("report", "--html", str(link))

    assert precious.read_text() == "precious"
    assert not link.is_symlink()
    assert (folder.returncode, folder.stderr) == (1, f"onramp-analytics: {tmp_path} is a folder: name a file\n")
    assert nowhere.returncode == 1
    assert "could not be written (No such file or directory): name another file" in nowhere.stderr


BROWSER = shutil.which("chromium") or shutil.which("chromium-browser")
QUIETLY = ("--headless", "--no-sandbox", "--disable-gpu", "--disable-background-networking", "--no-first-run")


@pytest.mark.skipif(not BROWSER, reason="no Chromium here")
def test_a_real_browser_shows_the_page_without_a_complaint(told: Checkout, tmp_path: Path) -> None:
    file = tmp_path / "report.html"
    told.run("report", "--html", str(file))
    assert BROWSER

    done = subprocess.run(
        [BROWSER, *QUIETLY, "--enable-logging=stderr", "--dump-dom", f"--user-data-dir={tmp_path}/p", f"file://{file}"],
        capture_output=True,
        text=True,
        timeout=100,
        check=True,
    )

    page = Page(done.stdout)
    assert {"plex", "custom", "exit_2"} <= set(page.words)
    assert "CONSOLE" not in done.stderr  # where the policy would complain about anything that it blocked
