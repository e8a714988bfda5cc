"""`results` shows the published results from the file in the checkout."""

from __future__ import annotations

import json
import re
from datetime import date
from pathlib import Path

import pytest

from onramp_analytics.cli.results import RESULTS
from onramp_analytics.dashboard import pages
from onramp_analytics.dashboard.rounding import Counts, Row
from onramp_analytics.receiver import Receiver
from tests.conftest import Checkout

COUNTS = Counts(40, 40, services=[Row("plex", 40), Row("jellyfin", 20), Row("custom", 10)], commands=[Row("start", 30)])
PAGE = pages.Page(date(2026, 6, 17), date(2026, 9, 14), date(2026, 9, 28), 5, COUNTS)
UTF8 = {"PYTHONIOENCODING": "utf-8"}


@pytest.fixture
def published(checkout: Checkout) -> Checkout:
    (checkout.path / RESULTS).write_text(json.dumps(pages.as_json(PAGE)))
    (checkout.path / "services-enabled" / "jellyfin.yml").symlink_to("../services-available/jellyfin.yml")
    return checkout


def test_services_are_listed_by_popularity_with_the_users_own_marked(published: Checkout, receiver: Receiver) -> None:
    shown = published.run("results", env=UTF8).stdout

    assert "40 installations opted in and were active from 2026-06-17 to 2026-09-14." in shown
    assert re.search(r"^ +plex +40 +100% +█{24} *$", shown, re.MULTILINE)
    assert re.search(r"^● +jellyfin +20 +50% +█{12} *$", shown, re.MULTILINE)
    assert re.search(r"^ +start +30 +75% +█{24} *$", shown, re.MULTILINE)
    assert receiver.requests == []


def test_a_terminal_that_knows_ascii_alone_gets_ascii(published: Checkout) -> None:
    shown = published.run("results", env={"PYTHONIOENCODING": "ascii"}).stdout

    assert shown.isascii()
    assert re.search(r"^\* +jellyfin +20 +50% +#{12} *$", shown, re.MULTILINE)


def test_as_json_it_is_the_file(published: Checkout) -> None:
    assert json.loads(published.run("results", "--json").stdout) == pages.as_json(PAGE)


def test_nothing_is_written_and_no_consent_is_needed(published: Checkout) -> None:
    before = published.files()

    published.run("results")

    assert published.files() == before


@pytest.mark.parametrize(
    ("content", "sentence"),
    [
        (None, "have not published results yet"),
        ("{", "cannot be read"),
        ('{"version": 2}', "it has version 2, but this program supports 1"),
        ("[]", "it is not a page of results"),
        (" " * (1 << 21), "is too large"),
    ],
    ids=["missing", "broken", "newer", "another", "huge"],
)
def test_what_cannot_be_shown_is_one_sentence(checkout: Checkout, content: str | None, sentence: str) -> None:
    if content is not None:
        (checkout.path / RESULTS).write_text(content)

    done = checkout.run("results", check=False)

    assert (done.returncode, done.stdout) == (1, "")
    assert sentence in done.stderr
    assert len(done.stderr.splitlines()) == 1


def test_a_link_is_not_followed(checkout: Checkout, tmp_path: Path) -> None:
    elsewhere = tmp_path / "elsewhere.json"
    elsewhere.write_text(json.dumps(pages.as_json(PAGE)))
    (checkout.path / RESULTS).symlink_to(elsewhere)

    assert checkout.run("results", check=False).returncode == 1
