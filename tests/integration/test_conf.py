"""`make.d/analytics.conf`: what is written, kept and refused, and that the program reads the same settings."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from onramp_analytics.errors import Misconfigured
from onramp_analytics.integration import conf, mark
from onramp_analytics.posthog import destination

KEY = "phc_test0123456789abcdef"
EVERYTHING = {
    "--api-key": KEY,
    "--host": "https://eu.i.posthog.com/",
    "--send": "at-once",
    "--docs-url": "https://example.org/onramp/analytics.md#see-it",
    "--contact": "Anaïs, anais@example.org or https://example.org/issues",
}


def test_what_is_written_is_what_the_program_reads(tmp_path: Path) -> None:
    settings = conf.chosen({}, EVERYTHING)
    (tmp_path / "make.d").mkdir()
    (tmp_path / conf.FILE).write_text(mark.signed(conf.text(settings)))
    root = os.fsencode(tmp_path)

    assert destination.conf(root) == settings == conf.parse(conf.text(settings))
    assert destination.of(root, {}) == destination.Destination(KEY, "https://eu.i.posthog.com")
    assert destination.send(root, {}) == "at-once"


def test_events_are_sent_daily_unless_the_maintainer_says_otherwise() -> None:
    assert conf.chosen({}, {})["ANALYTICS_SEND"] == "daily"


def test_a_project_without_a_host_is_in_the_us_cloud_and_the_file_says_so() -> None:
    assert "ANALYTICS_HOST=https://us.i.posthog.com\n" in conf.text(conf.chosen({}, {"--api-key": KEY}))


def test_an_option_that_is_not_given_keeps_what_is_there() -> None:
    known = conf.chosen({}, EVERYTHING)

    assert conf.chosen(known, dict.fromkeys(conf.OPTIONS)) == known


@pytest.mark.parametrize(
    ("option", "value"),
    [
        ("--api-key", "phx_secret"),
        ("--api-key", f"{KEY}\nANALYTICS_HOST=x"),
        ("--host", "http://example.org"),
        ("--host", "https://example.org/<b>"),
        ("--send", "DAILY"),
        ("--docs-url", "http://example.org"),
        ("--docs-url", "https://example.org/\x1b[2J"),
        ("--docs-url", "https://user@example.org"),
        ("--contact", ""),
        ("--contact", "x" * 201),
        ("--contact", "a\nb"),
        ("--contact", "\x1b[2J"),
        ("--contact", "[click](javascript:x)"),
    ],
)
def test_a_value_that_is_not_valid_is_refused_by_the_name_of_its_option(option: str, value: str) -> None:
    with pytest.raises(Misconfigured, match=option) as caught:
        conf.chosen({}, {option: value})

    assert "phx_secret" not in str(caught.value)
    assert "\x1b" not in str(caught.value)


def test_a_key_that_is_not_ours_is_not_kept() -> None:
    assert conf.parse("OTHER=1\n# ANALYTICS_SEND=at-once\nANALYTICS_SEND=daily\n") == {"ANALYTICS_SEND": "daily"}
