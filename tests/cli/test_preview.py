"""`preview` shows the request that the flusher would make, and sends nothing."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

from onramp_analytics import events
from onramp_analytics.cli.preview import NOBODY
from onramp_analytics.outbox import gate, locks, segments
from onramp_analytics.receiver import Receiver
from tests.cli.terminal import configure, enable_services
from tests.conftest import ID, KEY, Checkout

NOTHING_SENT = "Nothing was sent to PostHog: the request went only to a temporary server on this machine.\n"


def bodies(said: str) -> list[dict[str, object]]:
    """The bodies of the requests in the output of `preview`."""
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


def test_nothing_is_sent_and_everything_stays_queued(opted_in: Checkout, receiver: Receiver) -> None:
    opted_in.hold_back_flusher()
    opted_in.track()
    before = {path: path.read_bytes() for path in opted_in.path.rglob("*") if path.is_file()}

    done = opted_in.run("preview", env={"HTTP_PROXY": "http://127.0.0.1:9", "http_proxy": "http://127.0.0.1:9"})

    assert receiver.requests == []
    assert {path: path.read_bytes() for path in opted_in.path.rglob("*") if path.is_file()} == before
    assert done.stdout.endswith(f"{NOTHING_SENT}The request is complete, except that api_key is shortened here.\n")
    assert KEY not in done.stdout + done.stderr


def test_claimed_and_spilled_events_are_shown_too(opted_in: Checkout) -> None:
    opted_in.hold_back_flusher()
    opted_in.track()
    with locks.flusher_lock(opted_in.spool):
        segments.claim(opted_in.spool)
    with locks.locked(opted_in.spool):
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

    assert (done.stdout, done.stderr) == ("", "1 event older than 90 days skipped.\n")
    assert opted_in.run("preview").stdout.startswith("No events are queued. These are examples")


@pytest.mark.parametrize("env", [{}, {"DO_NOT_TRACK": "1"}])
def test_with_nothing_to_show_there_is_an_example_of_each_kind(
    checkout: Checkout, receiver: Receiver, env: dict[str, str]
) -> None:
    said = checkout.run("preview", env=env).stdout

    first = "No events are queued. These are examples, one of each event:"
    assert said.startswith(f"{first}\n\nPOST {receiver.url}/batch/ HTTP/1.1\n")
    (body,) = bodies(said)
    batch = body["batch"]
    assert isinstance(batch, list)
    assert [event["event"] for event in batch] == list(events.EVENTS)
    published = b"\ncommand start\noverride plex-nfs\nservice plex\n"
    for event in batch:
        assert event["distinct_id"] == NOBODY
        line = gate.as_line({**event, "distinct_id": ID})
        assert gate.admit(line, published) == ({**event, "distinct_id": ID}, line)
    assert checkout.files() == set()


@pytest.mark.parametrize("where", ["the environment", "the checkout"])
def test_before_opting_in_it_shows_exactly_what_enable_then_queues(
    checkout: Checkout, receiver: Receiver, where: str
) -> None:
    if where == "the checkout":
        configure(checkout, "https://eu.i.posthog.com")
    enable_services(checkout, "plex", "jellyfin", "my-private-wiki")
    (checkout.path / "overrides-enabled/plex-nfs.yml").touch()
    before = checkout.files()

    (shown,) = (json.loads(line) for line in checkout.run("preview", "--json").stdout.splitlines())
    text = checkout.run("preview").stdout
    after = checkout.files()
    checkout.run("enable")

    host = receiver.url if where == "the environment" else "https://eu.i.posthog.com"
    own = [{**event, "uuid": "", "distinct_id": ""} for event in shown["body"]["batch"]]
    assert own == [{**event, "uuid": "", "distinct_id": ""} for event in checkout.pending()]
    assert {event["distinct_id"] for event in shown["body"]["batch"]} == {NOBODY}
    assert text.startswith("Analytics are off. These are the events that `enable` would queue now:\n")
    assert f"\nPOST {host}/batch/ HTTP/1.1\n" in text
    assert f"\nHost: {host.partition('//')[2]}\n" in text
    assert (shown["url"], shown["headers"]["Host"]) == (f"{host}/batch/", host.partition("//")[2])
    assert "my-private-wiki" not in text
    assert after == before
    assert receiver.requests == []


def test_it_connects_to_this_machine_and_to_nothing_else(checkout: Checkout, tmp_path: Path) -> None:
    configure(checkout, "https://eu.i.posthog.com")
    enable_services(checkout, "plex")
    seen = tmp_path / "seen"
    (tmp_path / "sitecustomize.py").write_text(
        "import sys\n"
        "def hook(name, args):\n"
        "    if name in ('socket.connect', 'socket.getaddrinfo', 'socket.sendto'):\n"
        "        said = repr((name, args[-1] if name == 'socket.connect' else args))\n"
        f"        open({str(seen)!r}, 'a').write(said + '\\n')\n"
        "sys.addaudithook(hook)\n"
    )

    checkout.run("preview", env={"PYTHONPATH": str(tmp_path)})

    lines = seen.read_text().splitlines()
    assert lines
    assert all("'127.0.0.1'" in line for line in lines), lines


def test_without_a_destination_it_says_that_the_address_is_an_example(checkout: Checkout) -> None:
    del checkout.env["ONRAMP_ANALYTICS_API_KEY"], checkout.env["ONRAMP_ANALYTICS_HOST"]

    said = checkout.run("preview").stdout

    assert "No events can be sent yet, because no PostHog project is set: " in said
    assert "The address and the api_key below are examples.\n" in said
    assert said.endswith(NOTHING_SENT)
    assert "POST https://us.i.posthog.com/batch/ HTTP/1.1\n" in said


def test_the_sizes_are_shown(checkout: Checkout) -> None:
    said = checkout.run("preview").stdout

    assert re.search(rf"^{len(events.EVENTS)} events: [\d,]+ bytes, [\d,]+ before compression\.$", said, re.MULTILINE)


def test_it_leaves_no_file_behind(opted_in: Checkout, tmp_path: Path) -> None:
    before = sorted(tmp_path.rglob("*"))

    opted_in.run("preview")

    assert sorted(tmp_path.rglob("*")) == before
