"""`enable`, `disable`, `show-id`, `reset-id` and the notice: their output and their effect."""

from __future__ import annotations

import shutil

import pytest

from onramp_analytics import events
from onramp_analytics.receiver import Receiver
from tests.cli.terminal import configure, enable_services
from tests.conftest import ID, KEY, Checkout

VARIABLE = "ONRAMP_ANALYTICS_ENABLED"


SCHEDULE = "Events are sent once a day, two days after they were recorded (UTC)"
SCHEDULE += ". To view them first: make analytics-show-pending."


def test_the_notice_has_its_lines_in_order(checkout: Checkout) -> None:
    configure(
        checkout,
        "https://eu.i.posthog.com",
        ANALYTICS_DOCS_URL="https://example.org/docs/analytics.md",
        ANALYTICS_CONTACT="help@example.org",
    )

    assert checkout.run("enable").stdout.splitlines() == [
        "Analytics enabled. OnRamp collects anonymous usage statistics to improve the project.",
        "No personal data or infrastructure details are collected.",
        "",
        "Recorded: each make command, and each service and override that you enable or disable.",
        "A command is recorded with its duration, whether it succeeded and, if not, the type of error.",
        'Names that OnRamp does not publish are recorded as "custom" or "other".',
        "All enabled services and overrides are recorded now, and again twice a year.",
        "Each event contains a random identifier of this installation.",
        "Events are sent to https://eu.i.posthog.com.",
        SCHEDULE,
        "Contact: help@example.org",
        "",
        "To disable: make analytics-disable",
        "To learn more: https://example.org/docs/analytics.md",
    ]


def test_without_an_address_of_the_page_the_notice_names_the_page_in_the_checkout(checkout: Checkout) -> None:
    page = checkout.path / "docs/analytics.md"
    page.parent.mkdir()
    page.touch()

    assert checkout.run("enable").stdout.endswith(f"To learn more: {page}\n")


def test_without_any_page_the_notice_names_the_command_that_shows_it(checkout: Checkout) -> None:
    assert checkout.run("enable").stdout.endswith("To learn more: make analytics-events\n")


def test_the_notice_says_at_once_where_that_is_so(checkout: Checkout, receiver: Receiver) -> None:
    configure(checkout, receiver.url, ANALYTICS_SEND="at-once")

    assert "Events are sent a few seconds after each command.\n" in checkout.run("enable").stdout


def test_enable_where_it_is_on_says_so_and_changes_nothing(checkout: Checkout) -> None:
    checkout.run("enable")
    before = checkout.lock.read_bytes()

    assert checkout.run("enable").stdout == "Analytics are already on for this checkout.\n"
    assert checkout.lock.read_bytes() == before


@pytest.mark.parametrize(
    ("changed", "sentence"),
    [
        ({"host": "https://other.example.com"}, "you have not agreed to send events to this project"),
        ({"key": "phc_anotherprojectaltogether"}, "you have not agreed to send events to this project"),
        (
            {"ANALYTICS_SEND": "at-once"},
            "you have agreed to send events once a day, but they would be sent after each command",
        ),
    ],
    ids=["another host", "another key", "at once instead of daily"],
)
def test_what_was_not_agreed_to_is_named_by_status_until_enable_agrees(
    checkout: Checkout, changed: dict[str, str], sentence: str
) -> None:
    settings = {"host": "https://eu.i.posthog.com", "key": KEY}
    configure(checkout, **settings)
    checkout.run("enable")
    assert checkout.status()["problems"] == []

    configure(checkout, **{**settings, **changed})
    (problem,) = checkout.status()["problems"]
    again = checkout.run("enable").stdout

    assert f"nothing is sent: {sentence}" in problem
    assert "to agree, run `make analytics-enable`" in problem
    assert again.startswith("Analytics enabled.")
    assert checkout.status()["problems"] == []
    assert checkout.run("enable").stdout == "Analytics are already on for this checkout.\n"


def test_daily_instead_of_at_once_needs_no_new_agreement(checkout: Checkout) -> None:
    configure(checkout, "https://eu.i.posthog.com", ANALYTICS_SEND="at-once")
    checkout.run("enable")

    configure(checkout, "https://eu.i.posthog.com", ANALYTICS_SEND="daily")

    assert checkout.status()["problems"] == []


def test_enable_refuses_with_do_not_track_and_says_what_to_do(checkout: Checkout) -> None:
    done = checkout.run("enable", env={"DO_NOT_TRACK": "1"}, check=False)

    assert done.returncode == 1
    assert "DO_NOT_TRACK is set and cannot be overridden: unset it" in done.stderr
    assert checkout.files() == set()


@pytest.mark.parametrize(
    ("env", "line", "reason"),
    [
        ({}, "DO_NOT_TRACK=1\n", "a .env file of the checkout mentions DO_NOT_TRACK"),
        ({"ONRAMP_ANALYTICS_ENABLED": "0"}, "", "ONRAMP_ANALYTICS_ENABLED turns them off"),
        ({"ONRAMP_ANALYTICS_ENABLED": ""}, "", "ONRAMP_ANALYTICS_ENABLED turns them off"),
    ],
    ids=["a .env file", "the variable", "the empty variable"],
)
def test_enable_refuses_where_analytics_would_stay_off_and_says_why(
    checkout: Checkout, env: dict[str, str], line: str, reason: str
) -> None:
    (checkout.path / ".env").write_text(line)

    done = checkout.run("enable", env=env, check=False)

    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr == f"onramp-analytics: analytics stay off because {reason}: correct that, then run this again\n"
    assert checkout.files() == {".env"}
    assert checkout.status()["turn"] == (None if line else "make analytics-enable")


def test_enable_in_a_copied_checkout_deletes_what_was_queued_and_says_how_many(opted_in: Checkout) -> None:
    opted_in.hold_back_flusher()
    opted_in.track()
    opted_in.track()
    copy = Checkout(opted_in.path.parent / "copy", opted_in.env)
    shutil.copytree(opted_in.path, copy.path)

    off = copy.run("status").stdout
    said = copy.run("enable").stdout

    assert "`make analytics-enable` and `make analytics-disable` will delete 2 events" in " ".join(off.split())
    assert said.endswith("Deleted 2 queued events of another user or another folder.\n")
    assert copy.pending() == []
    assert copy.status()["id"] not in (ID, None)
    assert opted_in.status()["on"]
    assert len(opted_in.pending()) == 2


def test_disable_says_how_many_events_and_which_identifier_are_gone(opted_in: Checkout) -> None:
    opted_in.hold_back_flusher()
    opted_in.track()
    opted_in.track()

    assert opted_in.run("disable").stdout == (
        "Analytics disabled. 2 queued events deleted. Nothing more will be sent.\n"
        f"If you want to ask for the deletion of sent events, keep your former identifier: {ID}\n"
    )
    assert ID not in opted_in.lock.read_text()
    assert opted_in.files() == {"onramp.lock"}


@pytest.mark.parametrize("was", ["never on", "on before"])
def test_disable_where_it_is_off_says_so(checkout: Checkout, was: str) -> None:
    if was == "on before":
        checkout.run("enable")
        checkout.run("disable")

    assert checkout.run("disable").stdout == "Analytics are already off.\n"
    assert checkout.files() == {"onramp.lock"}


@pytest.mark.parametrize("at_that_time", [{VARIABLE: "1"}, {}], ids=["variable set", "variable not set"])
def test_disable_before_opting_in_is_remembered_when_the_variable_is_set(
    checkout: Checkout, at_that_time: dict[str, str]
) -> None:
    on = {VARIABLE: "1"}

    checkout.run("disable", env=at_that_time)
    checkout.run("notice", env=on)

    assert "ANALYTICS_ENABLED=0" in checkout.lock.read_text()
    assert checkout.status(on)["on"] is False


def test_opting_out_without_write_access_says_so_and_analytics_are_off(opted_in: Checkout) -> None:
    opted_in.may_pass_over_permissions = False
    opted_in.path.chmod(0o555)
    try:
        done = opted_in.run("disable", check=False)
        on = opted_in.status()["on"]
    finally:
        opted_in.path.chmod(0o755)

    assert done.returncode == 1
    assert f"{opted_in.path}/onramp.lock could not be changed (Permission denied): correct that" in done.stderr
    assert "or set DO_NOT_TRACK=1 to turn analytics off for yourself" in done.stderr
    assert on is False


def test_disable_where_it_was_never_on_and_nothing_can_be_written_says_that_it_is_off(checkout: Checkout) -> None:
    checkout.may_pass_over_permissions = False
    checkout.path.chmod(0o555)
    try:
        done = checkout.run("disable")
    finally:
        checkout.path.chmod(0o755)

    assert done.stdout == "Analytics are already off.\n"


def test_show_id_prints_the_identifier_alone_or_says_that_there_is_none(checkout: Checkout) -> None:
    before = checkout.run("show-id", check=False)
    checkout.opt_in()

    assert before.returncode == 1
    assert "no identifier yet: run `make analytics-enable` to create one" in before.stderr
    assert checkout.run("show-id").stdout == f"{ID}\n"


def test_reset_id_prints_the_new_identifier_alone_and_counts_what_is_gone(opted_in: Checkout) -> None:
    opted_in.hold_back_flusher()
    opted_in.track()

    done = opted_in.run("reset-id")

    assert events.is_uuid4(done.stdout.strip())
    assert done.stdout.strip() != ID
    assert done.stderr == "Deleted 1 queued event that had the old identifier.\n"
    assert opted_in.run("show-id").stdout == done.stdout
    assert opted_in.pending() == []


def test_reset_id_while_off_says_that_there_is_none(checkout: Checkout) -> None:
    done = checkout.run("reset-id", check=False)

    assert done.returncode == 1
    assert "no identifier to replace" in done.stderr
    assert checkout.files() == set()


def test_the_variable_alone_shows_the_notice_once_and_does_what_enable_does(checkout: Checkout) -> None:
    enable_services(checkout, "plex")
    on = {VARIABLE: "1"}
    assert checkout.status(on)["on"] is False

    first, second = checkout.run("notice", env=on), checkout.run("notice", env=on)

    assert first.stdout == second.stdout == second.stderr == ""
    assert first.stderr.startswith("Analytics enabled. OnRamp collects anonymous usage statistics")
    assert checkout.status(on)["on"] is True
    assert [event["event"] for event in checkout.pending()] == ["service_enabled"]


def test_the_notice_is_silent_before_opting_in(checkout: Checkout) -> None:
    done = checkout.run("notice")

    assert (done.stdout, done.stderr) == ("", "")
    assert checkout.files() == set()


def test_enable_counts_what_is_enabled_now(checkout: Checkout) -> None:
    enable_services(checkout, "plex", "my-private-wiki")

    checkout.run("enable")

    names = sorted(event["properties"]["service_name"] for event in checkout.pending())
    assert names == ["custom", "plex"]
    assert f"ANALYTICS_AGREED={events.VERSION}\n" in checkout.lock.read_text()
