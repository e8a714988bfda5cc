"""The destination: only the one that the user agreed to, and keys are never quoted."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from onramp_analytics import consent, settings
from onramp_analytics.consent import AT_ONCE, DAILY, Consent
from onramp_analytics.errors import Misconfigured
from onramp_analytics.posthog import destination
from onramp_analytics.posthog.destination import Destination
from tests.conftest import ID, put

KEY = "phc_abcdefghijklmnop"
EU = "https://eu.i.posthog.com"
OWN = {"ONRAMP_ANALYTICS_API_KEY": "phc_myownproject0000", "ONRAMP_ANALYTICS_HOST": "https://ph.example"}


@pytest.fixture
def conf(tmp_path: Path) -> Path:
    (tmp_path / "make.d").mkdir()
    (tmp_path / "services-enabled").mkdir()
    file = tmp_path / "make.d" / "analytics.conf"
    file.write_text(f"# Written by install\nANALYTICS_API_KEY={KEY}\nANALYTICS_HOST={EU}\nANALYTICS_SEND=daily\n")
    return file


@pytest.fixture
def root(tmp_path: Path) -> bytes:
    return bytes(tmp_path)


def test_the_settings_of_the_checkout_are_read_and_its_comments_are_not(root: bytes, conf: Path) -> None:
    conf.write_text("# ANALYTICS_HOST=x\nANALYTICS_DOCS_URL = https://a.example/?a=b \nno pair\nA=1\nA=2\n")

    assert destination.conf(root) == {"ANALYTICS_DOCS_URL": "https://a.example/?a=b", "A": "2"}


@pytest.mark.parametrize("kind", ["missing", "folder", "fifo", "device", "dangling link", "link", "too large"])
def test_without_a_small_regular_file_there_are_no_settings(root: bytes, conf: Path, kind: str) -> None:
    if kind == "link":
        conf.rename(conf.with_name("moved"))
        conf.symlink_to("moved")
    else:
        conf.unlink()
        if kind != "missing":
            put(conf, kind)

    assert destination.conf(root) == {}
    with pytest.raises(Misconfigured, match="no PostHog project is set"):
        destination.of(root, {})


def test_settings_that_may_not_be_read_are_none(ordinary_user: Path) -> None:
    (ordinary_user / "make.d").mkdir()
    put(ordinary_user / "make.d" / "analytics.conf", "0 mode")

    assert destination.conf(bytes(ordinary_user)) == {}


def test_the_checkouts_project_is_the_destination(root: bytes, conf: Path) -> None:
    assert destination.of(root, {}) == Destination(KEY, EU)
    conf.write_text(f"ANALYTICS_API_KEY={KEY}\n")
    assert destination.of(root, {}) == Destination(KEY, "https://us.i.posthog.com")


@pytest.mark.usefixtures("conf")
def test_the_pair_of_the_environment_replaces_it_together_or_not_at_all(root: bytes) -> None:
    assert destination.of(root, OWN) == Destination("phc_myownproject0000", "https://ph.example")
    for name, other in (tuple(OWN), tuple(reversed(OWN))):
        for missing in ({}, {other: ""}, {other: "  "}):
            with pytest.raises(Misconfigured, match=f"{name} is set without {other}: set both, or neither"):
                destination.of(root, {name: OWN[name], **missing})
    assert destination.of(root, dict.fromkeys(OWN, " ")) == Destination(KEY, EU)


@pytest.mark.usefixtures("conf")
def test_the_variables_of_a_project_of_the_users_own_are_not_read(root: bytes) -> None:
    theirs = {"POSTHOG_API_KEY": "phc_employer", "POSTHOG_HOST": "https://employer.example"}

    assert destination.of(root, theirs) == Destination(KEY, EU)


@pytest.mark.usefixtures("conf")
@pytest.mark.parametrize("file", [".env", "services-enabled/.env"])
@pytest.mark.parametrize("name", list(OWN))
@pytest.mark.parametrize("environ", [OWN, {}])
def test_a_destination_that_an_env_file_names_stops_the_sending(
    root: bytes, file: str, name: str, environ: dict[str, str]
) -> None:
    Path(os.fsdecode(root), file).write_text(f"export {name} = x\n")

    with pytest.raises(Misconfigured, match=rf"\.env file of the checkout names {name}: delete that line"):
        destination.of(root, environ)


@pytest.mark.usefixtures("conf")
def test_http_is_allowed_by_the_environment_and_by_no_env_file(root: bytes) -> None:
    environ = {**OWN, "ONRAMP_ANALYTICS_HOST": "http://ph.lan", "ONRAMP_ANALYTICS_ALLOW_HTTP": "1"}
    assert destination.of(root, environ).host == "http://ph.lan"

    Path(os.fsdecode(root), ".env").write_text("ONRAMP_ANALYTICS_ALLOW_HTTP=1\n")

    with pytest.raises(Misconfigured, match="must begin with https://"):
        destination.of(root, environ)


def test_events_are_sent_daily_unless_the_checkout_says_at_once_or_the_project_is_ones_own(
    root: bytes, conf: Path
) -> None:
    assert destination.send(root, {}) == DAILY
    assert destination.send(root, OWN) == AT_ONCE
    assert destination.send(root, {"ONRAMP_ANALYTICS_API_KEY": "phc_x"}) == DAILY
    for said, how_often in (("at-once", AT_ONCE), ("hourly", DAILY), ("", DAILY), ("AT-ONCE", DAILY)):
        conf.write_text(f"ANALYTICS_SEND={said}\n")
        assert destination.send(root, {}) == how_often
    conf.unlink()
    assert destination.send(root, {}) == DAILY


def consent_to(agreed_to: str, how_often: str) -> Consent:
    found = {settings.ENABLED: b"1", settings.NOTICE_SHOWN: b"1", settings.ID: ID.encode()}
    more = {settings.AGREED_TO: agreed_to.encode(), settings.AGREED_SEND: how_often.encode()}
    return consent.decide({}, "", {**found, **more}, is_here=True)


@pytest.mark.parametrize(
    ("agreed_to", "agreed_send", "how_often", "objection"),
    [
        (f"{EU} {KEY}", DAILY, DAILY, ""),
        (f"{EU} {KEY}", AT_ONCE, AT_ONCE, ""),
        (f"{EU} {KEY}", AT_ONCE, DAILY, ""),
        (f"{EU} {KEY}", DAILY, AT_ONCE, "after each command"),
        (f"https://us.i.posthog.com {KEY}", DAILY, DAILY, f"this project at {EU}"),
        (f"{EU} phc_other", DAILY, DAILY, f"this project at {EU}"),
        ("", DAILY, DAILY, f"this project at {EU}"),
        (f"{EU} {KEY} ", DAILY, DAILY, f"this project at {EU}"),
    ],
)
def test_consent_covers_where_events_go_and_how_often(
    agreed_to: str, agreed_send: str, how_often: consent.Send, objection: str
) -> None:
    said = destination.objection(consent_to(agreed_to, agreed_send), Destination(KEY, EU), how_often)

    assert bool(said) is bool(objection)
    assert objection in said
    assert KEY not in said


@pytest.mark.parametrize(
    ("text", "host"),
    [
        (EU, EU),
        (f"{EU}/", EU),
        ("https://app.posthog.com", "https://us.i.posthog.com"),
        ("https://us.posthog.com", "https://us.i.posthog.com"),
        ("https://eu.posthog.com/", EU),
        ("http://127.0.0.1:8000", "http://127.0.0.1:8000"),
        ("http://localhost", "http://localhost"),
        ("http://[::1]:8000", "http://[::1]:8000"),
        ("https://ph.example/ingest", "https://ph.example/ingest"),
    ],
)
def test_the_host_is_what_was_chosen(text: str, host: str) -> None:
    assert destination.host_of(text, "--host", allow_http=False) == host


@pytest.mark.parametrize(
    ("host", "sentence"),
    [
        ("http://ph.lan", "must begin with https://"),
        ("http://127.0.0.1.example", "must begin with https://"),
        ("ftp://ph.example", "must begin with https://"),
        ("us.i.posthog.com", "is not a valid URL"),
        ("https://", "is not a valid URL"),
        ("https://ph.example:port", "is not a valid URL"),
        ("https://ph.example/?x=1", "is not a valid URL"),
        ("https://ph.example\nX: y", "is not a valid URL"),
        ("https://ph.exämple", "is not a valid URL"),
        ("https://alice:secret@ph.example", "contains a user name or password"),
    ],
)
def test_a_host_that_cannot_be_right_is_refused_with_one_sentence(host: str, sentence: str) -> None:
    with pytest.raises(Misconfigured, match=sentence) as raised:
        destination.host_of(host, "--host", allow_http=False)

    assert str(raised.value).startswith("--host ")
    assert "secret" not in str(raised.value)
    assert "\n" not in str(raised.value)


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("phx_bait", "contains a personal secret"),
        ("bait", "is not a valid PostHog project key"),
        ("phc_bait\nX: y", "is not a valid PostHog project key"),
        ("phc_bait ", "is not a valid PostHog project key"),
        ("phc_", "is not a valid PostHog project key"),
        ("phc_é", "is not a valid PostHog project key"),
    ],
)
def test_a_key_that_cannot_be_right_is_refused_and_not_quoted(text: str, sentence: str) -> None:
    with pytest.raises(Misconfigured, match=sentence) as raised:
        destination.key_of(text, "--api-key")

    assert str(raised.value).startswith("--api-key ")
    assert "bait" not in str(raised.value)


def test_an_error_in_the_checkouts_file_names_the_line_and_the_file(root: bytes, conf: Path) -> None:
    conf.write_text("ANALYTICS_API_KEY=bait\n")
    with pytest.raises(Misconfigured, match=r"ANALYTICS_API_KEY in make\.d/analytics\.conf is not"):
        destination.of(root, {})

    conf.write_text(f"ANALYTICS_API_KEY={KEY}\nANALYTICS_HOST=x\n")

    with pytest.raises(Misconfigured, match=r"ANALYTICS_HOST in make\.d/analytics\.conf is not"):
        destination.of(root, {})


def test_a_masked_key_shows_enough_to_recognize_it() -> None:
    assert destination.masked("phc_abcdefghijklmnop") == "phc_…mnop"
    assert destination.masked("phc_short") == "phc_…"


def test_the_application_is_beside_the_host_that_takes_events() -> None:
    assert destination.application({}) == "https://us.posthog.com"
    assert destination.application({"ONRAMP_ANALYTICS_HOST": EU}) == "https://eu.posthog.com"
    with pytest.raises(Misconfigured, match="must begin with https://"):
        destination.application({"ONRAMP_ANALYTICS_HOST": "http://ph.lan", "ONRAMP_ANALYTICS_ALLOW_HTTP": "1"})
