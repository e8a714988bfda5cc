"""A later version can record something new: it does not for a person who agreed to less, and says so once."""

from __future__ import annotations

import json
import subprocess
import sys

from onramp_analytics import events
from onramp_analytics.receiver import Receiver
from tests.conftest import ID, Checkout

NEXT = events.VERSION + 1
#: The real command, with the next version of the catalog: one more event, and one more property.
NEXT_VERSION = """
import sys
import onramp_analytics
onramp_analytics.__version__ = "99.0"
from onramp_analytics import consent, events
from onramp_analytics.events import Event, Property

events.VERSION = consent.VERSION = events.VERSION + 1
for_good = Property("for_good", "true or false", events._boolean, since=events.VERSION)
events.EVENTS["service_disabled"] = Event("Who gives up", events._SERVICE, for_good)
events.EVENTS["backup_made"] = Event("Who backs up", events._SERVICE, since=events.VERSION)

from onramp_analytics.__main__ import main
sys.argv[0] = "onramp-analytics"
sys.exit(main())
"""
BACKUP = ("track", "backup_made", "service_name=plex")
DISABLED = ("track", "service_disabled", "service_name=plex", "for_good=true")


def upgraded(checkout: Checkout, *words: str) -> subprocess.CompletedProcess[str]:
    """Run a command of the later version in the checkout."""
    return subprocess.run(
        [sys.executable, "-c", NEXT_VERSION, "--root", str(checkout.path), *words],
        env=checkout.env,
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )


def recorded(checkout: Checkout) -> list[tuple[str, list[str]]]:
    """The queued events: their names, and the names of their own properties."""
    lines = upgraded(checkout, "show-pending", "--json").stdout.splitlines()
    return [(e["event"], [p for p in e["properties"] if p[0] != "$"]) for e in map(json.loads, lines)]


def test_an_older_consent_goes_on_as_it_was_until_enable_agrees_to_more(opted_in: Checkout) -> None:
    opted_in.hold_back_flusher()

    for words in (BACKUP, DISABLED, DISABLED[:-1]):
        done = upgraded(opted_in, *words)
        assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
    assert recorded(opted_in) == [("service_disabled", ["service_name"])] * 2

    assert any("events --new" in note for note in json.loads(upgraded(opted_in, "status", "--json").stdout)["notes"])
    shown = upgraded(opted_in, "events", "--new").stdout
    assert "backup_made" in shown
    assert "for_good" in shown
    assert "has_scaffold" not in shown

    assert "Analytics enabled." in upgraded(opted_in, "enable").stdout
    assert f"ANALYTICS_ID={ID}\n" in opted_in.lock.read_text()
    assert f"ANALYTICS_AGREED={NEXT}\n" in opted_in.lock.read_text()
    for words in (BACKUP, DISABLED):
        upgraded(opted_in, *words)
    assert recorded(opted_in)[2:] == [
        ("backup_made", ["service_name"]),
        ("service_disabled", ["service_name", "for_good"]),
    ]
    assert "Nothing new" in upgraded(opted_in, "events", "--new").stdout


def test_one_line_says_once_that_there_is_something_new(opted_in: Checkout) -> None:
    first, second = upgraded(opted_in, "notice"), upgraded(opted_in, "notice")

    assert (first.returncode, first.stdout, len(first.stderr.splitlines())) == (0, "", 1)
    assert "`sh make.d/analytics.sh events --new`" in first.stderr
    assert "make analytics-enable" in first.stderr
    assert (second.returncode, second.stdout, second.stderr) == (0, "", "")
    assert f"ANALYTICS_TOLD={NEXT}\n" in opted_in.lock.read_text()
    assert f"ANALYTICS_AGREED={events.VERSION}\n" in opted_in.lock.read_text()


def test_a_downgrade_keeps_what_only_the_later_version_knows(opted_in: Checkout, receiver: Receiver) -> None:
    opted_in.hold_back_flusher()
    upgraded(opted_in, "enable")
    upgraded(opted_in, *DISABLED)

    done = opted_in.run("flush", check=False)
    assert (done.returncode, receiver.accepted) == (1, [])
    assert "some queued events need a newer version of this program" in done.stderr

    assert upgraded(opted_in, "flush").stdout == "Sent 1 event.\n"
    assert receiver.accepted[0]["properties"]["for_good"] is True
