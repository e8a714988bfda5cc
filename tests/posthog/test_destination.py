"""Where events go: only where the person chose, and a key is never quoted."""

from __future__ import annotations

import pytest

from onramp_analytics.errors import Misconfigured
from onramp_analytics.posthog import destination

KEY = {"ONRAMP_ANALYTICS_API_KEY": "phc_abcdefghijklmnop"}


@pytest.mark.parametrize(
    ("environ", "host"),
    [
        ({}, "https://us.i.posthog.com"),
        ({"ONRAMP_ANALYTICS_HOST": "  "}, "https://us.i.posthog.com"),
        ({"POSTHOG_HOST": "https://eu.i.posthog.com"}, "https://eu.i.posthog.com"),
        ({"POSTHOG_HOST": "https://eu.i.posthog.com/"}, "https://eu.i.posthog.com"),
        (
            {"ONRAMP_ANALYTICS_HOST": "https://a.example", "POSTHOG_HOST": "https://b.example"},
            "https://a.example",
        ),
        ({"POSTHOG_HOST": "https://app.posthog.com"}, "https://us.i.posthog.com"),
        ({"POSTHOG_HOST": "https://us.posthog.com"}, "https://us.i.posthog.com"),
        ({"POSTHOG_HOST": "https://eu.posthog.com/"}, "https://eu.i.posthog.com"),
        ({"POSTHOG_HOST": "http://127.0.0.1:8000"}, "http://127.0.0.1:8000"),
        ({"POSTHOG_HOST": "http://localhost"}, "http://localhost"),
        ({"POSTHOG_HOST": "http://[::1]:8000"}, "http://[::1]:8000"),
        ({"POSTHOG_HOST": "http://ph.lan", "ONRAMP_ANALYTICS_ALLOW_HTTP": "1"}, "http://ph.lan"),
        ({"POSTHOG_HOST": "https://ph.example/ingest"}, "https://ph.example/ingest"),
    ],
)
def test_the_host_is_what_was_chosen(environ: dict[str, str], host: str) -> None:
    assert destination.from_environ({**KEY, **environ}).host == host


@pytest.mark.parametrize(
    ("host", "sentence"),
    [
        ("http://ph.lan", "must begin with https://"),
        ("http://127.0.0.1.example", "must begin with https://"),
        ("ftp://ph.example", "must begin with https://"),
        ("us.i.posthog.com", "is no address"),
        ("https://", "is no address"),
        ("https://ph.example:port", "is no address"),
        ("https://ph.example/?x=1", "is no address"),
        ("https://ph.example\nX: y", "is no address"),
        ("https://ph.exämple", "is no address"),
        ("https://alice:secret@ph.example", "holds a user name or password"),
    ],
)
def test_a_host_that_cannot_be_right_is_refused_with_one_sentence(host: str, sentence: str) -> None:
    with pytest.raises(Misconfigured, match=sentence) as raised:
        destination.host({"ONRAMP_ANALYTICS_HOST": host})

    assert "secret" not in str(raised.value)
    assert "\n" not in str(raised.value)


@pytest.mark.parametrize(
    ("environ", "sentence"),
    [
        ({}, "no PostHog key: set ONRAMP_ANALYTICS_API_KEY"),
        ({"ONRAMP_ANALYTICS_API_KEY": ""}, "no PostHog key"),
        ({"ONRAMP_ANALYTICS_API_KEY": "phx_bait"}, "holds a personal secret"),
        ({"POSTHOG_API_KEY": "bait"}, "POSTHOG_API_KEY is no PostHog project key"),
        ({"POSTHOG_API_KEY": "phc_bait\nX: y"}, "is no PostHog project key"),
    ],
)
def test_a_key_that_cannot_be_right_is_refused_and_not_quoted(environ: dict[str, str], sentence: str) -> None:
    with pytest.raises(Misconfigured, match=sentence) as raised:
        destination.key(environ)

    assert "bait" not in str(raised.value)


def test_the_products_own_variable_goes_before_posthogs() -> None:
    assert destination.key({**KEY, "POSTHOG_API_KEY": "phc_other"}) == "phc_abcdefghijklmnop"


def test_a_masked_key_shows_enough_to_recognise_it() -> None:
    assert destination.masked("phc_abcdefghijklmnop") == "phc_…mnop"
    assert destination.masked("phc_short") == "phc_…"
