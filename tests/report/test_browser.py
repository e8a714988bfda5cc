"""Both pages in a real browser: axe finds no violation at any width, in any color scheme or medium."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from onramp_analytics.cli.dashboard import links
from onramp_analytics.dashboard import pages, rounding
from onramp_analytics.dashboard.publish import made_from
from onramp_analytics.report import page, summary
from tests.report.recorded import RECORDED
from tools.results.browser import FOUND, Browser
from tools.results.sample import AXE, sample_history

pytestmark = pytest.mark.skipif(not FOUND, reason="no Chromium here: apt-get install chromium")


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with Browser() as running:
        yield running


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    folder = tmp_path_factory.mktemp("pages")
    history = sample_history()
    found = {"results": folder / "index.html", "report": folder / "report.html", "first": folder / "first.html"}
    found["results"].write_text(made_from(history, "- Kept **plex**\n", links(None))["index.html"])
    first = pages.Page(history[0].first, history[0].last, history[0].made, 5, rounding.Counts())
    found["first"].write_text(made_from([first], "", links(None))["index.html"])
    found["report"].write_text(
        page.page(summary.summary(RECORDED), RECORDED[:4], RECORDED[4:], "https://eu.i.posthog.com")
    )
    return found


MEDIA = {
    "light": {"prefers_color_scheme": "light"},
    "dark": {"prefers_color_scheme": "dark"},
    "forced colors": {"forced_colors": "active"},
    "print": {"kind": "print"},
}


@pytest.mark.parametrize("name", ["results", "report", "first"])
def test_axe_finds_nothing_wrong_at_any_width_and_in_any_medium(
    browser: Browser, files: dict[str, Path], name: str
) -> None:
    if not AXE.exists():
        pytest.skip("no axe-core here: make axe")
    for width in (1100, 360):
        browser.open(files[name], width)
        browser.run("document.querySelectorAll('details').forEach(d => d.open = true)")
        browser.run(AXE.read_text() + "; 0")
        for medium, features in MEDIA.items():
            browser.media(**features)
            found = browser.run(
                "axe.run(document, {resultTypes: ['violations']})"
                ".then(r => r.violations.map(v => v.id + ': ' + v.nodes.map(n => n.target).join(' ')))"
            )
            assert found == [], f"{name} at {width} in {medium}"
    browser.media()


@pytest.mark.parametrize("name", ["results", "report", "first"])
def test_no_page_is_wider_than_the_screen_asks_for_anything_or_makes_the_console_complain(
    browser: Browser, files: dict[str, Path], name: str
) -> None:
    browser.asked.clear()
    browser.complaints.clear()

    for width in (1100, 768, 360):
        browser.open(files[name], width)
        assert browser.run("document.documentElement.scrollWidth") <= width

    assert set(browser.asked) == {files[name].as_uri()}
    assert browser.complaints == []


def test_bars_stay_visible_in_print_and_in_forced_colors(browser: Browser, files: dict[str, Path]) -> None:
    bar = "document.querySelector('.bar rect')"
    for features in (MEDIA["print"], MEDIA["forced colors"]):
        browser.open(files["results"], 1100)
        browser.media(**features)
        fill, paper = browser.run(f"[getComputedStyle({bar}).fill, getComputedStyle(document.body).backgroundColor]")
        assert fill not in (paper, "none")
        assert browser.run(f"{bar}.getBoundingClientRect().width") > 100
    browser.media()
    assert browser.pages() >= 1


def test_a_keyboard_reaches_every_link_and_the_anchor_of_a_service_leads_to_it(
    browser: Browser, files: dict[str, Path]
) -> None:
    browser.open(files["results"], 1100)

    assert browser.run("document.getElementById('plex').querySelector('th').textContent") == "plex"
    assert browser.run("[...document.querySelectorAll('a')].every(a => a.tabIndex === 0)") is True
