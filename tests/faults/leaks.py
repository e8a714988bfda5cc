"""7. Leaks: a home folder full of bait, and arbitrary input for `track`."""

from __future__ import annotations

import getpass
import json
import os
import platform
from functools import partial
from pathlib import Path

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from onramp_analytics import tracker
from onramp_analytics.receiver import Answer, Request
from tests.conftest import KEY, Checkout
from tests.faults import oracle
from tests.faults.children import run_command, start
from tests.faults.rig import Fault, Rig, consent_of

BAIT = {
    "AWS_SECRET_ACCESS_KEY": "bait-secret",
    "CF_DNS_API_TOKEN": "bait-token",
    "HOST_NAME": "bait.example.com",
    "HOSTNAME": "bait-host",
    "USER": "bait-user",
    "LOGNAME": "bait-user",
    "MAIL": "/var/mail/bait-user",
    "HTTP_PROXY": "http://bait-user:bait-password@127.0.0.1:9",
    "http_proxy": "http://bait-user:bait-password@127.0.0.1:9",
    "ALL_PROXY": "socks5h://bait-user:bait-password@127.0.0.1:9",
    "POSTHOG_API_KEY": "phx_baitbaitbaitbait",
    "POSTHOG_HOST": "https://bait.example.com",
}
SAID = (
    ("service_enabled", "service_name=bait-diary", "has_scaffold=true"),
    ("service_enabled", "service_name=plex\nbait", "has_scaffold=true"),
    ("service_disabled", "service_name=bait@example.com"),
    ("override_enabled", "override_name=/home/bait/override"),
    ("command_executed", "command=start --password=bait", "success=false", "duration_ms=12"),
    ("error_occurred", "command=bait", "error_type=/home/bait/error: no such file"),
    ("error_occurred", "command=start", "error_type=BaitError"),
)
PEOPLES = (("status",), ("status", "--json"), ("show-pending",), ("show-pending", "--json"), ("show-sent",))


def a_home_full_of_bait(rig: Rig) -> None:
    """No bait is in a request, a file or a message, whatever the server answers.

    The project's key is shown only in part, and is complete only in requests and in `onramp.lock`.
    """
    checkout = rig.checkout("bait-checkout")
    checkout.env.update(BAIT)
    netrc = rig.home / ".netrc"
    netrc.write_text("default login bait-login password bait-netrc\nmachine 127.0.0.1 login bait password bait\n")
    netrc.chmod(0o600)
    said = []
    for status in (400, 401, 413, 500, 302, 200):
        rig.tally.faults += 1
        rig.receiver.answer_always(partial(_answer, status))
        for words in SAID:
            rig.expect_undisturbed(start(rig.place(checkout), run_command, "track", *words))
        said += [rig.ask(checkout, *words) for words in (*PEOPLES, ("flush",), ("show-id",), *PEOPLES)]
    _look_for(rig, checkout, "".join(said))
    rig.tally.expect(len(rig.receiver.requests) > 6, "nothing was sent")
    rig.tally.recorded = rig.tally.delivered = len(rig.receiver.accepted)


def _answer(status: int, _request: Request) -> Answer | None:
    """Refuse a request, and quote it in the answer."""
    return None if status == 200 else Answer(status, f"bad key {KEY}".encode())


def _look_for(rig: Rig, checkout: Checkout, said: str) -> None:
    """Look for private data. Only messages to the user can contain the path of the checkout."""
    sent = "".join(f"{r.line} {r.headers} {r.body.decode()}" for r in rig.receiver.requests)
    kept = "".join(path.read_text(errors="replace") for path in checkout.path.glob("onramp.*") if path.is_file())
    kept += "".join(p.read_text(errors="replace") for p in checkout.path.glob("onramp.spool.d/*") if p.is_file())
    said = said.replace(str(checkout.path), "")
    names = {platform.node(), getpass.getuser()} - {"", "root", "localhost"}
    for word in ("bait", "Bait", "phx_", str(rig.folder), *names):
        for where, text in (("a request", sent), ("a file", kept), ("a message", said)):
            rig.tally.leaked += word in text
            rig.tally.expect(word not in text, f"{word} is in {where}")
    kept = kept.replace(checkout.lock.read_text(), "")  # it contains the key, since the user agreed to it
    for where, text in (("a file", kept), ("a message", said)):
        rig.tally.leaked += KEY in text
        rig.tally.expect(KEY not in text, f"the whole key is in {where}")


TEXT = st.one_of(
    st.text(),
    st.text(st.characters(categories=["Cc", "Cf", "Cs", "Co", "Zl", "Zp"])),
    st.sampled_from(
        ["plex", "custom", "start", "$(id)", "`id`", "; rm -rf ~", "'\"\\", "plex\n", "\0", "../plex", "PLEX"]
    ),
    st.text("x", min_size=1000, max_size=10_000),
    st.integers().map(str),
    st.builds("{}{}".format, st.sampled_from(["exit_", "signal_", "plex"]), st.text(max_size=4)),
)
VALUE = st.one_of(
    TEXT, st.booleans(), st.integers(), st.floats(), st.none(), st.lists(st.text(), max_size=2), st.binary()
)
NAMES = ("service_name", "override_name", "command", "has_scaffold", "success", "duration_ms", "error_type")
EVENT = st.sampled_from([*oracle.PROPERTIES, "secrets", "$identify", ""])


def whatever_is_handed_to_track(rig: Rig) -> None:
    """Arbitrary names and values either raise an error, or are stored as the catalog allows."""
    checkout = rig.checkout()
    spool = checkout.path / "onramp.spool"
    environ = {os.fsencode(name): os.fsencode(value) for name, value in checkout.env.items()}
    examples = min(40 * rig.effort.points, 20_000)

    @settings(max_examples=examples, database=None, deadline=None, suppress_health_check=list(HealthCheck))
    @given(EVENT, st.dictionaries(st.sampled_from(NAMES), VALUE, max_size=1), st.data())
    def hand_in(event: str, given_values: dict[str, object], data: st.DataObject) -> None:
        whole = {name: data.draw(VALUE) for name in oracle.PROPERTIES.get(event, ())}
        rig.tally.faults += 1
        spool.unlink(missing_ok=True)
        try:
            kept = tracker.record(checkout.root, environ, [(event, {**whole, **given_values})])
        except ValueError:
            rig.tally.expect(not spool.exists(), "an event was refused and stored all the same")
            return
        _look_at_the_spool(rig, spool, kept=kept)

    hand_in()
    _as_a_command(rig, checkout, spool)
    rig.tally.expect(consent_of(checkout)[0], "the consent changed by itself")


def _look_at_the_spool(rig: Rig, spool: Path, *, kept: bool) -> None:
    lines = spool.read_text().splitlines() if spool.exists() else []
    rig.tally.expect(kept and len(lines) == 1, f"{len(lines)} lines for one event")
    for line in lines:
        allowed = oracle.is_allowed(json.loads(line))
        rig.tally.leaked += not allowed
        rig.tally.expect(allowed, f"an event was stored that the catalog does not allow: {line[:500]}")


def _as_a_command(rig: Rig, checkout: Checkout, spool: Path) -> None:
    """Pass such values to the command `track`, as bytes without a NUL."""
    for value in (
        "bait\udcff",
        "$(touch bait)",
        "`touch bait`",
        "a'b\"c\\",
        "x" * 100_000,
        "\x1b[31m",
        "a=b",
        "",
        "\n",
    ):
        rig.tally.faults += 1
        spool.unlink(missing_ok=True)
        words = ("track", "service_disabled", f"service_name={value}")
        rig.expect_undisturbed(start(rig.place(checkout), run_command, *words))
        _look_at_the_spool(rig, spool, kept=True)
    rig.tally.expect(not (checkout.path / "bait").exists(), "a name was run as a command")


FAULTS: list[Fault] = [a_home_full_of_bait, whatever_is_handed_to_track]
