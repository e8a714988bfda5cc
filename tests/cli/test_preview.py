"""`preview` shows the request that the flusher would make, and sends nothing."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

from onramp_analytics import events
from onramp_analytics.outbox import gate, segments
from onramp_analytics.receiver import Receiver
from tests.conftest import KEY, Checkout

NOTHING_LEFT = "Nothing has left this machine. phc_preview stands for the project's key.\n"


def bodies(said: str) -> list[dict[str, object]]:
    """The requests' bodies in what `preview` printed for a person."""
    return [json.loads(found) for found in re.findall(r"^\{\n.*?^\}$", said, re.MULTILINE | re.DOTALL)]


def test_what_is_shown_is_what_is_then_sent(opted_in: Checkout, receiver: Receiver) -> None:
    opted_in.hold_back_flusher()
    opted_in.track()
    opted_in.track("command_executed", "command=my-own", "success=false", "duration_ms=12")

    shown = [json.loads(line) for line in opted_in.run("preview", "--json").stdout.splitlines()]
    opted_in.run("flush")

    assert len(shown) == len(receiver.requests) == 1
    (request,) = receiver.requests
    assert shown[0]["line"] == request.line
    assert shown[0]["body"]["batch"] == request.events
    assert set(shown[0]["body"]) == set(request.json)
    apart = ("Host", "Content-Length")
    ours, theirs = shown[0]["headers"], dict(request.headers)
    assert {n: v for n, v in ours.items() if n not in apart} == {n: v for n, v in theirs.items() if n not in apart}
    assert shown[0]["bytes"] == int(ours["Content-Length"])
    assert shown[0]["bytes_decompressed"] > shown[0]["bytes"]


def test_nothing_leaves_and_everything_still_waits(opted_in: Checkout, receiver: Receiver) -> None:
    opted_in.hold_back_flusher()
    opted_in.track()
    before = {path: path.read_bytes() for path in opted_in.path.rglob("*") if path.is_file()}

    done = opted_in.run("preview", env={"HTTP_PROXY": "http://127.0.0.1:9", "http_proxy": "http://127.0.0.1:9"})

    assert receiver.requests == []
    assert {path: path.read_bytes() for path in opted_in.path.rglob("*") if path.is_file()} == before
    assert done.stdout.endswith(NOTHING_LEFT)
    assert KEY not in done.stdout + done.stderr


def test_claimed_and_spilled_events_are_shown_too(opted_in: Checkout) -> None:
    opted_in.hold_back_flusher()
    opted_in.track()
    with segments.flusher_lock(opted_in.spool):
        segments.claim(opted_in.spool)
    with segments.locked(opted_in.spool):
        opted_in.track()
    opted_in.track()

    (body,) = bodies(opted_in.run("preview").stdout)

    assert body["batch"] == opted_in.pending()
    assert len(opted_in.pending()) == 3


def test_an_event_that_is_too_old_to_be_sent_is_not_shown_as_if_it_were(opted_in: Checkout) -> None:
    opted_in.hold_back_flusher()
    opted_in.track()
    spool = opted_in.path / "onramp.spool"
    spool.write_text(re.sub(r'"timestamp":"\d{4}', '"timestamp":"2020', spool.read_text()))

    done = opted_in.run("show-pending")

    assert (done.stdout, done.stderr) == ("", "1 event left out: too old to be sent.\n")
    assert opted_in.run("preview").stdout.startswith("Nothing is waiting, so these are examples")


@pytest.mark.parametrize("env", [{}, {"DO_NOT_TRACK": "1"}, {"ONRAMP_ANALYTICS_API_KEY": ""}])
def test_with_nothing_pending_there_is_an_example_of_each_kind(checkout: Checkout, env: dict[str, str]) -> None:
    said = checkout.run("preview", env=env).stdout

    assert said.startswith("Nothing is waiting, so these are examples, one of each kind.\n\nPOST /batch/ HTTP/1.1\n")
    (body,) = bodies(said)
    batch = body["batch"]
    assert isinstance(batch, list)
    assert [event["event"] for event in batch] == list(events.EVENTS)
    lines = list(map(gate.as_line, batch))
    published = b"\ncommand start\noverride plex-nfs\nservice plex\n"
    assert [gate.admit(line, published) for line in lines] == list(zip(batch, lines, strict=True))
    assert checkout.files() == set()


def test_the_sizes_are_said(checkout: Checkout) -> None:
    said = checkout.run("preview").stdout

    assert re.search(r"^6 events: \d{3} bytes on the wire, \d,\d{3} decompressed\.$", said, re.MULTILINE)


def test_it_leaves_no_file_behind(opted_in: Checkout, tmp_path: Path) -> None:
    before = sorted(tmp_path.rglob("*"))

    opted_in.run("preview")

    assert sorted(tmp_path.rglob("*")) == before
