"""When a flusher is started, with which environment, and that no zombie process stays."""

from __future__ import annotations

import os
import sys
import time
from pathlib import Path

import pytest

from onramp_analytics import consent, spawn
from onramp_analytics.posthog import destination
from tests.conftest import Checkout, wait_until


@pytest.fixture
def started(monkeypatch: pytest.MonkeyPatch) -> list[tuple[list[str | bytes], dict[bytes, bytes]]]:
    """The command that would be started, and its environment."""
    found: list[tuple[list[str | bytes], dict[bytes, bytes]]] = []

    def noted(command: list[str | bytes], environ: dict[bytes, bytes]) -> int:
        found.append((command, environ))
        return 0

    monkeypatch.setattr(spawn, "_spawn", noted)
    monkeypatch.setattr(spawn, "_started", set())
    return found


Started = list[tuple[list[str | bytes], dict[bytes, bytes]]]


def test_the_command_names_the_checkout_and_keeps_only_what_the_flusher_needs(
    checkout: Checkout, started: Started
) -> None:
    environ = {b"HOME": b"/home/me", b"AWS_SECRET_ACCESS_KEY": b"bait", b"https_proxy": b"http://proxy"}

    spawn.start_flusher(checkout.spool, environ)

    ((command, kept),) = started
    script = str(Path(spawn.__file__).with_name("detached.py"))
    assert command == [sys.executable, "-IS", script, checkout.root]
    assert kept == {b"HOME": b"/home/me", b"https_proxy": b"http://proxy"}


def test_it_keeps_each_variable_that_decides_about_consent_and_destination() -> None:
    needed = {consent.DO_NOT_TRACK, consent.ENABLED_VARIABLE}
    needed |= {n.encode() for n in (destination.KEY_VARIABLE, destination.HOST_VARIABLE, destination.ALLOW_HTTP)}

    assert needed | {b"HOME", b"XDG_STATE_HOME"} <= set(spawn.KEPT)


@pytest.mark.parametrize(("ahead", "count"), [(600, 0), (-1, 1), (2 * 86_400, 1)], ids=["later", "due", "clock jumped"])
def test_none_is_started_before_its_time(checkout: Checkout, started: Started, ahead: int, count: int) -> None:
    checkout.hold_back_flusher()
    checkout.spool.set_not_before(time.time() + ahead)

    spawn.start_flusher(checkout.spool, {})

    assert len(started) == count


def test_none_is_started_where_python_does_not_know_itself(
    checkout: Checkout, started: Started, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "executable", "")

    spawn.start_flusher(checkout.spool, {})

    assert started == []


def test_none_is_started_in_onramps_tool_container(
    checkout: Checkout, started: Started, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(spawn, "_SIETCH_ROOT", checkout.root)
    monkeypatch.setattr(spawn, "_IN_DOCKER", os.fsencode(tmp_path))
    spawn.start_flusher(checkout.spool, {})
    assert started == []

    monkeypatch.setattr(spawn, "_IN_DOCKER", os.fsencode(tmp_path / "gone"))
    spawn.start_flusher(checkout.spool, {})
    assert len(started) == 1


def test_a_long_lived_caller_keeps_no_zombie(here: Checkout, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(spawn, "_started", set())
    monkeypatch.setenv("DO_NOT_TRACK", "1")  # the child ends at once, and sends nothing
    spawn.start_flusher(here.spool, os.environb)
    (pid,) = spawn._started
    wait_until(
        lambda: Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] == "Z", "the child has ended"
    )

    spawn._collect()

    assert spawn._started == set()
    assert not Path(f"/proc/{pid}").exists()
