"""Sentences about failed requests: the cause, and what to do."""

from __future__ import annotations

import socket

import pytest
import requests

from onramp_analytics.posthog.wording import blocked_reason, network_reason


@pytest.fixture(autouse=True)
def no_proxy(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("http_proxy", "https_proxy", "all_proxy", "no_proxy"):
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.upper(), raising=False)


def answer_dns(monkeypatch: pytest.MonkeyPatch, *addresses: str) -> None:
    found = [(socket.AF_INET6 if ":" in a else socket.AF_INET, socket.SOCK_STREAM, 6, "", (a, 0)) for a in addresses]
    monkeypatch.setattr(socket, "getaddrinfo", lambda *_args, **_how: found)


@pytest.mark.parametrize("address", ["0.0.0.0", "::", "127.0.0.1", "127.0.0.2", "::1"])
def test_a_name_that_leads_to_this_machine_is_blocked(monkeypatch: pytest.MonkeyPatch, address: str) -> None:
    answer_dns(monkeypatch, address)

    reason = blocked_reason("https://eu.i.posthog.com")

    assert reason.startswith(f"eu.i.posthog.com resolves to {address}, this machine: a DNS blocker")
    assert reason.endswith("allow it there")


@pytest.mark.parametrize("host", ["http://localhost:8000", "http://127.0.0.1:8000", "http://[::1]:8000"])
def test_this_machine_named_on_purpose_is_not_blocked(monkeypatch: pytest.MonkeyPatch, host: str) -> None:
    answer_dns(monkeypatch, "::1" if "[" in host else "127.0.0.1")

    assert blocked_reason(host) == ""


def test_a_name_that_leads_elsewhere_or_nowhere_is_not_blocked(monkeypatch: pytest.MonkeyPatch) -> None:
    answer_dns(monkeypatch, "192.0.2.7", "2001:db8::7")
    assert blocked_reason("https://eu.i.posthog.com") == ""

    answer_dns(monkeypatch)
    assert blocked_reason("https://eu.i.posthog.com") == ""


def test_a_name_that_the_proxy_resolves_is_not_looked_up_here(monkeypatch: pytest.MonkeyPatch) -> None:
    answer_dns(monkeypatch, "0.0.0.0")
    monkeypatch.setenv("https_proxy", "http://192.0.2.7:3128")

    assert blocked_reason("https://eu.i.posthog.com") == ""


@pytest.mark.parametrize(
    "error",
    [
        requests.exceptions.SSLError(),
        requests.exceptions.ProxyError("http://name:password@proxy"),
        requests.Timeout(),
        requests.ConnectionError("NameResolutionError"),
        requests.ConnectionError("Connection refused"),
        requests.ConnectionError("else"),
    ],
)
def test_every_reason_says_what_to_do(error: requests.RequestException) -> None:
    assert ": check " in network_reason(error)
    assert "password" not in network_reason(error)
