"""4. Damaged and hostile files: truncated, filled with garbage, or with events that the program cannot have written."""

from __future__ import annotations

import copy
import json
import time
from collections.abc import Callable
from typing import Any

from onramp_analytics import events
from tests.conftest import Checkout
from tests.faults.children import EVENT
from tests.faults.rig import Fault, Rig, consent_of

COMMANDS = (("status",), ("show-pending",), ("show-sent",), ("flush",), ("show-id",))
LOGS = ("onramp.spool.d/state.json", "onramp.spool.d/sent", "onramp.spool.d/refused", "onramp.spool.d/not-before")


def a_spool_cut_at_each_byte(rig: Rig) -> None:
    """Every event before the cut arrives, and so does one that is recorded afterwards."""
    checkout = rig.checkout()
    rig.track(checkout, 3)
    spool = checkout.path / "onramp.spool"
    whole = spool.read_bytes()
    for cut in rig.sample(range(len(whole))):
        rig.tally.faults += 1
        rig.receiver.accepted.clear()
        spool.write_bytes(whole[:cut])
        kept = rig.track(checkout)
        rig.flush(checkout)
        # An event is whole without its line break, too.
        expected = sum(cut >= end for end in _ends(whole)) + kept
        rig.tally.expect(len(rig.receiver.accepted) == expected, f"cut at {cut}: {len(rig.receiver.accepted)} arrived")
    rig.forget_recorded()


def _ends(content: bytes) -> list[int]:
    return [i for i, byte in enumerate(content) if byte == ord("\n")]


def a_segment_cut_at_each_byte(rig: Rig) -> None:
    """A segment whose first event was sent is cut: that event can arrive again, and no other one is lost."""
    checkout = rig.checkout()
    rig.track(checkout, 3)
    whole = (checkout.path / "onramp.spool").read_bytes()
    (checkout.path / "onramp.spool").unlink()
    done, *_ = (end + 1 for end in _ends(whole))
    for cut in rig.sample(range(len(whole))):
        rig.tally.faults += 1
        rig.receiver.accepted.clear()
        (checkout.path / "onramp.spool.d" / f"{10**18}-1.{done}").write_bytes(whole[:cut])
        rig.track(checkout)
        rig.flush(checkout)
        there = {event["uuid"] for event in rig.receiver.accepted}
        expected = {event["uuid"] for event in _events(whole[done:cut])}
        rig.tally.expect(expected <= there, f"a segment cut at {cut} lost an event before the cut")
        rig.tally.expect(not rig.pending(checkout), f"a segment cut at {cut} is never done")
    rig.forget_recorded()


def _events(content: bytes) -> list[dict[str, Any]]:
    found = []
    for line in content.split(b"\n"):
        try:
            found.append(json.loads(line))
        except ValueError:
            continue
    return found


def damage(rig: Rig) -> dict[str, bytes]:
    """Return kinds of damage, and their bytes."""
    return {
        "nothing": b"",
        "zeros": bytes(5000),
        "random bytes": rig.random.randbytes(5000),
        "invalid UTF-8": b'{"event":"\xff\xfe\xc3("}\n' * 10,
        "a line without an end": b"x" * (100_000_000 if rig.effort.points > 100 else 1_000_000),
        "brackets": b"[" * 100_000,
        "half a number": b'{"a":' + b"9" * 100_000 + b"}\n",
        "not a number": b'{"at":NaN,"failures":1e999,"last_sent_at":-Infinity}\n',
        "line ends": b"\r\n" * 1000,
        "another shape": b'[{"event":1}]\n"text"\nnull\n{}\n',
    }


def damage_between_good_events(rig: Rig) -> None:
    """Damage between two valid events in the spool: both arrive, and each command prints one error at most."""
    checkout = rig.checkout()
    for name, bad in damage(rig).items():
        rig.tally.faults += 1
        rig.track(checkout)
        with (checkout.path / "onramp.spool").open("ab") as file:
            file.write(bad)
        rig.track(checkout) if len(bad) < 5 << 20 else _append_by_hand(rig, checkout)
        before = len(rig.receiver.accepted)
        for words in COMMANDS:
            rig.ask(checkout, *words)
        rig.tally.expect(len(rig.receiver.accepted) == before + 2, f"{name} between two events: not both have arrived")
    rig.settle(checkout)


def _append_by_hand(rig: Rig, checkout: Checkout) -> None:
    """Append a valid event without `track`, which drops its event because the damage exceeds the spool's cap."""
    number = rig.numbers()
    event, values = EVENT
    random = number.to_bytes(4, "big") + bytes(12)
    line = events.build(event, values, consent_of(checkout)[1], time.time(), random)  # type: ignore[arg-type]
    with (checkout.path / "onramp.spool").open("ab") as file:
        file.write(b"\n" + line)


def damaged_logs(rig: Rig) -> None:
    """The files about past uploads are damaged: no event is lost, and no command fails."""
    checkout = rig.checkout()
    for name, bad in rig.sample([(name, bad) for name in LOGS for bad in damage(rig).values()]):
        rig.tally.faults += 1
        rig.track(checkout)
        (checkout.path / name).write_bytes(bad)
        for words in COMMANDS:
            rig.ask(checkout, *words)
        (checkout.path / name).unlink(missing_ok=True)
    rig.settle(checkout)


def a_damaged_lock_file(rig: Rig) -> None:
    """`onramp.lock` is cut at each byte or damaged: analytics are on only if it is complete. No command changes it."""
    checkout = rig.checkout()
    whole = b"# others\nA=b\n" + checkout.lock.read_bytes()
    cuts = [whole[:cut] for cut in rig.sample(range(len(whole)))]
    spoilt = [bad + whole for bad in damage(rig).values() if b"\0" in bad or len(bad) > 1 << 16]
    for content in (*cuts, *spoilt):
        rig.tally.faults += 1
        checkout.lock.write_bytes(content)
        may = content.rstrip(b"\n") == whole.rstrip(b"\n")
        kept = rig.track_undisturbed(checkout)
        rig.tally.expect(kept == may, f"`track` was {kept} with {content[:80]!r}")
        if not may:
            rig.tally.expect(checkout.lock.read_bytes() == content, "the damaged lock file was changed by itself")
        for words in COMMANDS:
            rig.ask(checkout, *words)
    checkout.lock.write_bytes(whole)
    rig.settle(checkout)


def a_damaged_catalogue(rig: Rig) -> None:
    """The published names are cut at each byte or damaged: a name is sent only if it is complete and published."""
    checkout = rig.checkout()
    names = checkout.path / "make.d/analytics.names"
    whole = names.read_bytes() + b"service plex-of-mine\n"
    for content in rig.sample([*damage(rig).values(), *(whole[:cut] for cut in range(len(whole)))]):
        rig.tally.faults += 1
        names.write_bytes(content)
        rig.track_undisturbed(checkout)
        for words in (("track", "service_disabled", "service_name=plex-of-min"), *COMMANDS):
            rig.ask(checkout, *words)
    rig.settle(checkout)


def hostile_events(rig: Rig) -> None:
    """Events that no version of the program could have written are not sent; the valid ones around them are."""
    checkout = rig.checkout()
    rig.track(checkout)
    (good,) = rig.pending(checkout)
    for name, change in HOSTILE.items():
        rig.tally.faults += 1
        bad = copy.deepcopy(good)
        text = change(bad) or _text(bad)
        rig.track(checkout)
        with (checkout.path / "onramp.spool").open("a", encoding="utf-8", errors="surrogatepass") as file:
            file.write(text + "\n")
        rig.track(checkout)
        before = len(rig.receiver.accepted)
        shown = _events(rig.ask(checkout, "show-pending").encode())
        rig.flush(checkout)
        arrived = rig.receiver.accepted[before:]
        rig.tally.expect(arrived == shown, f"{name}: what arrived is not what was shown")
        rig.tally.expect(len(arrived) - (before == 0) == 2, f"{name}: {len(arrived)} events arrived")
    rig.settle(checkout)


def a_private_name_in_the_spool(rig: Rig) -> None:
    """An event has a name that was never published, or is not published any more: it is sent without the name."""
    checkout = rig.checkout()
    rig.track(checkout)
    (good,) = rig.pending(checkout)
    for name in ("alices-diary", "start2", "x" * 100):
        bad = {**good, "properties": {**good["properties"], "command": name}}
        with (checkout.path / "onramp.spool").open("a") as file:
            file.write(_text(bad) + "\n")
        _arrives_without_name(rig, checkout, name)
    rig.track(checkout)
    names = checkout.path / "make.d/analytics.names"
    names.write_bytes(names.read_bytes().replace(b"command start\n", b""))
    _arrives_without_name(rig, checkout, "start")
    rig.settle(checkout)


def _arrives_without_name(rig: Rig, checkout: Checkout, name: str) -> None:
    rig.tally.faults += 1
    rig.flush(checkout)
    rig.tally.expect(rig.receiver.accepted[-1]["properties"]["command"] == "other", f"the name {name} was sent")


def _set(**changes: object) -> Callable[[dict[str, Any]], None]:
    return lambda event: event.update(changes)


def _own(**changes: object) -> Callable[[dict[str, Any]], None]:
    return lambda event: event["properties"].update(changes)


def _text(event: dict[str, Any]) -> str:
    """Return the event in the form of the program, so that only the change makes it invalid."""
    return json.dumps(event, separators=(",", ":"))


HOSTILE: dict[str, Callable[[dict[str, Any]], str | None]] = {
    "an unknown event": _set(event="secrets"),
    "an event of PostHog's": _set(event="$identify"),
    "no event": _set(event=None),
    "an extra key": _set(token="phc_other"),
    "a set of the person": _set(**{"$set": {"email": "a@example.com"}}),
    "an extra property": _own(host="nas.example.com"),
    "groups": _own(**{"$groups": {"a": "b"}}),
    "another address": _own(**{"$ip": "192.0.2.1"}),
    "a profile": _own(**{"$process_person_profile": True}),
    "a profile of 0": _own(**{"$process_person_profile": 0}),
    "the place": _own(**{"$geoip_disable": False}),
    "another library": _own(**{"$lib": "web"}),
    "a version that tells": _own(**{"$lib_version": "1.0 alice"}),
    "a huge number": _own(duration_ms=10**400),
    "a fraction": _own(duration_ms=1.5),
    "a number as a text": _own(duration_ms="1"),
    "a truth as a text": _own(success="true"),
    "a truth as a number": _own(success=1),
    "a list": _own(command=["start"]),
    "no properties": _set(properties=[]),
    "another's identifier": _set(distinct_id="alice"),
    "an identifier in capitals": lambda event: event.update(distinct_id=event["distinct_id"].upper()),
    "an object as an identifier": _set(distinct_id={"$ne": 1}),
    "a uuid of none": _set(uuid="1"),
    "a time of none": _set(timestamp="yesterday"),
    "a time of another shape": _set(timestamp="2026-01-03T12:00:00Z"),
    "an exact time": lambda event: event.update(timestamp=event["timestamp"].replace("12:00:00", "12:34:56")),
    "an exact duration": _own(duration_ms=412),
    "a shifted time": _own(**{"$ignore_sent_at": False}),
    "digits of another script": lambda event: event.update(timestamp=event["timestamp"].replace("2", "\u0662")),
    "the same key twice": lambda event: _text(event)[:-1] + ',"event":"secrets"}',
    "a key with an escape": lambda event: _text(event)[:-1] + ',"\\u0024set":{}}',
    "half a character": lambda event: _text(event)[:-1] + ',"\ud800":1}',
    "a space": lambda event: _text(event).replace(",", ", ", 1),
    "two events in a line": lambda event: _text(event) * 2,
    "a list of events": lambda event: f"[{_text(event)}]",
}

FAULTS: list[Fault] = [
    a_spool_cut_at_each_byte,
    a_segment_cut_at_each_byte,
    damage_between_good_events,
    damaged_logs,
    a_damaged_lock_file,
    a_damaged_catalogue,
    hostile_events,
    a_private_name_in_the_spool,
]
