"""`report`: in the terminal, as JSON, and as a page."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

from onramp_analytics.outbox import history
from onramp_analytics.outbox.gate import as_line
from onramp_analytics.outbox.segments import Pending
from tests.conftest import Checkout
from tests.report.recorded import RECORDED


@pytest.fixture
def used(opted_in: Checkout) -> Checkout:
    """A checkout that has sent three days of events, and has one queued."""
    opted_in.hold_back_flusher()
    history.log_sent(opted_in.spool, [Pending(each, as_line(each), 0) for each in RECORDED])
    opted_in.track("service_disabled", "service_name=plex")
    return opted_in


def test_in_the_terminal_it_is_bars(used: Checkout) -> None:
    shown = used.run("report", env={"PYTHONIOENCODING": "utf-8"}).stdout

    assert shown.startswith("10 events: 9 sent, 1 queued. 2026-01-01 to ")
    assert f"\nDestination: {used.env['ONRAMP_ANALYTICS_HOST']}.\n" in shown
    assert re.search(r"^plex +2 +2 +█{30} *$", shown, re.MULTILINE)
    assert re.search(r"^plex-nfs +1 +0 +█{30} *$", shown, re.MULTILINE)
    assert re.search(r"^start +2 +1 +200 ms +█{15}▒{15} *$", shown, re.MULTILINE)
    assert max(map(len, shown.splitlines())) <= 80


def test_a_terminal_that_knows_ascii_alone_gets_ascii(used: Checkout) -> None:
    shown = used.run("report", env={"PYTHONIOENCODING": "ascii"}).stdout

    assert shown.isascii()
    assert re.search(r"^start +2 +1 +200 ms +#{15}-{15} *$", shown, re.MULTILINE)


def test_as_json_it_is_the_figures(used: Checkout) -> None:
    found = json.loads(used.run("report", "--json").stdout)

    assert found["services"][0] == {"name": "plex", "enabled": 2, "disabled": 2}
    assert (found["events"], found["destination"]) == (10, used.env["ONRAMP_ANALYTICS_HOST"])


def test_json_and_a_page_can_be_had_at_once(used: Checkout, tmp_path: Path) -> None:
    file = tmp_path / "report.html"

    done = used.run("report", "--json", "--html", str(file))

    assert json.loads(done.stdout)["events"] == 10
    assert done.stderr == f"Wrote {file}. Open it in a browser; it works offline.\n"
    assert file.stat().st_mode & 0o777 == 0o600
    for each in [*RECORDED, *used.pending()]:
        assert each["uuid"] in file.read_text()


def test_with_nothing_recorded_it_says_so(checkout: Checkout) -> None:
    assert checkout.run("report").stdout == "No events have been recorded yet.\n"
    assert checkout.files() == set()


def test_the_page_is_not_written_through_a_link_or_over_a_folder(used: Checkout, tmp_path: Path) -> None:
    precious, link = tmp_path / "precious", tmp_path / "link.html"
    precious.write_text("precious")
    link.symlink_to(precious)
    folder = used.run("report", "--html", str(tmp_path), check=False)
    nowhere = used.run("report", "--html", str(tmp_path / "gone" / "x.html"), check=False)

    used.run("report", "--html", str(link))

    assert precious.read_text() == "precious"
    assert not link.is_symlink()
    assert (folder.returncode, folder.stderr) == (1, f"onramp-analytics: {tmp_path} is a folder: choose a file\n")
    assert nowhere.returncode == 1
    assert "cannot be written (No such file or directory): choose another file" in nowhere.stderr
