"""The rules of the checks that need no command: what is a problem, and when."""

from __future__ import annotations

import os

import pytest

from onramp_analytics import consent, health
from onramp_analytics.health import NOTE, OK, WRONG, Check, machine
from tests.conftest import Checkout


def test_each_problem_is_named_once() -> None:
    found = [Check("key", WRONG, "no key"), Check("host", WRONG, "no key"), Check("disk", NOTE, "x")]

    assert health.problems(found) == ["no key"]


def test_only_the_choice_itself_can_be_wrong_while_off(here: Checkout) -> None:
    (here.path / "onramp.spool").mkdir()
    here.lock.write_bytes(here.lock.read_bytes() + bytes(3))

    found = health.checks(here.root, consent.ask(os.environb, here.root), {"REQUESTS_CA_BUNDLE": "/nowhere"})

    assert [check.what for check in found if check.state == WRONG] == ["onramp.lock"]
    assert {check.what for check in found if check.state == NOTE} >= {"files", "certificates", "destination"}


@pytest.mark.parametrize(
    ("url", "shown"),
    [
        ("http://proxy.example.com:3128", "http://proxy.example.com:3128"),
        ("http://user:hunter2@proxy.example.com", "http://proxy.example.com with a password"),
        ("http://[nonsense", "not a valid URL"),
    ],
)
def test_the_password_of_a_proxy_is_never_shown(url: str, shown: str) -> None:
    assert machine._without_password(url) == shown


def test_without_a_proxy_there_is_none() -> None:
    assert machine.proxy({}) == Check("proxy", OK, "none")
