"""`track` is silent about the machine, and prints one line if its arguments are wrong."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest

from onramp_analytics.spool import CAP
from tests.conftest import COMMAND, Checkout


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["plex_enabled"], "unknown event 'plex_enabled': use one of service_enabled,"),
        (["service_disabled", "name=plex"], "has no property 'name': its properties are service_name"),
        (["service_disabled"], "needs the property 'service_name'"),
        (["service_disabled", "plex"], "'plex' is not KEY=VALUE"),
        (["service_disabled", "service_name=a", "service_name=b"], "service_name is given twice"),
        (["command_executed", "command=start", "success=perhaps", "duration_ms=1"], "success must be true or false"),
        ([], "usage: onramp-analytics"),
    ],
)
@pytest.mark.parametrize("state", ["on", "off"])
def test_a_programmers_error_is_exit_2_with_one_line_whether_on_or_off(
    checkout: Checkout, state: str, arguments: list[str], sentence: str
) -> None:
    if state == "on":
        checkout.opt_in()

    done = checkout.run("track", *arguments, check=False)

    assert (done.returncode, done.stdout) == (2, "")
    assert sentence in done.stderr
    assert done.stderr.count("\n") == 1
    assert not os.path.exists(checkout.spool.file)


def test_trouble_with_the_machine_is_silent_and_status_0_and_shows_up_in_status(opted_in: Checkout) -> None:
    Path(os.fsdecode(opted_in.spool.file)).mkdir()

    opted_in.track()

    assert any("onramp.spool has an unexpected type" in problem for problem in opted_in.status()["problems"])


def test_a_full_spool_is_named_in_status(opted_in: Checkout) -> None:
    opted_in.hold_back_flusher()
    Path(os.fsdecode(opted_in.spool.file)).write_bytes(b"\n" * CAP)

    opted_in.track()

    assert any("the spool is full" in problem for problem in opted_in.status()["problems"])


@pytest.mark.parametrize("where", ["outside any checkout", "a folder that does not exist"])
def test_without_a_checkout_track_does_nothing(tmp_path: Path, environment: dict[str, str], where: str) -> None:
    root = [] if where.startswith("outside") else ["--root", str(tmp_path / "gone")]
    before = sorted(tmp_path.rglob("*"))

    done = subprocess.run(
        [COMMAND, *root, "track", "service_disabled", "service_name=plex"],
        env={**environment, "ONRAMP_ANALYTICS_ENABLED": "1"},
        cwd=tmp_path,
        capture_output=True,
        check=False,
    )

    assert (done.returncode, done.stdout, done.stderr) == (0, b"", b"")
    assert sorted(tmp_path.rglob("*")) == before


def test_the_checkout_is_found_from_below(opted_in: Checkout) -> None:
    opted_in.hold_back_flusher()
    ways: list[tuple[dict[str, str], str]] = [
        ({}, "services-available"),
        ({"ONRAMP_ROOT": str(opted_in.path)}, "/"),
        ({"ONRAMP_ROOT": "."}, ""),
    ]
    for extra, cwd in ways:
        subprocess.run(
            [COMMAND, "track", "service_disabled", "service_name=plex"],
            env={**opted_in.env, **extra},
            cwd=opted_in.path / cwd,
            check=True,
        )

    assert len(opted_in.pending()) == 3


def test_who_cannot_write_in_the_checkout_records_nothing_and_status_says_so(opted_in: Checkout) -> None:
    opted_in.may_pass_over_permissions = False
    opted_in.path.chmod(0o555)
    try:
        opted_in.track()
        problems = opted_in.status()["problems"]
    finally:
        opted_in.path.chmod(0o755)

    said = f"you cannot write in {opted_in.path}, so the spool cannot be created or sent"
    assert any(said in problem for problem in problems)
    assert opted_in.files() == {"onramp.lock"}


def test_help_is_there_although_track_bypasses_click(checkout: Checkout) -> None:
    said = checkout.run("track", "--help").stdout

    assert "EVENT [KEY=VALUE]..." in said
    assert "service_enabled" in said
