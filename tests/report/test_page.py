"""The page of the report: it loads no other file, and no event can add markup."""

from __future__ import annotations

from html.parser import HTMLParser

from onramp_analytics.report import look, page, summary
from tests.report.recorded import RECORDED


class Page(HTMLParser):
    """The text of a page, and everything in it that could load something."""

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


def made(where: str = "https://eu.i.posthog.com") -> str:
    return page.page(summary.summary(RECORDED), RECORDED[:4], RECORDED[4:], where)


def test_the_page_needs_no_network_no_script_and_no_file_beside_it() -> None:
    found = Page(made())

    assert found.asks == []
    assert found.tags.isdisjoint({"script", "link", "img", "iframe", "object", "embed", "form", "base"})
    assert "default-src 'none'" in made()
    assert "url(" not in made()
    assert "@import" not in made()


def test_the_page_has_the_figures_the_days_the_destination_and_every_event() -> None:
    words = Page(made()).words

    assert {"plex", "plex-nfs", "custom", "200", "exit_2", "2026-01-01", "https://eu.i.posthog.com."} <= set(words)
    for event in RECORDED:
        assert event["uuid"] in words
    assert words.count("queued") == len(RECORDED[4:])


def test_nothing_in_an_event_can_become_markup() -> None:
    evil = "</td><script>alert(1)</script>"
    odd = {**RECORDED[0], "properties": {**RECORDED[0]["properties"], "service_name": evil}}

    text = page.page(summary.summary([odd]), [odd], [], evil)

    assert "<script" not in text
    assert text.count("&lt;script&gt;") == 3


def test_an_axis_ends_at_an_even_number_above_the_largest() -> None:
    assert [look.nice(n) for n in (1, 3, 9, 290, 301, 1001)] == [2, 4, 10, 400, 400, 2000]
