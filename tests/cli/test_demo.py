"""`demo` shows the full workflow, and reports a failure."""

from __future__ import annotations

import subprocess
from pathlib import Path

from tests.conftest import COMMAND


def demo(environment: dict[str, str], tmp_path: Path, **more: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [COMMAND, "demo"],
        env={**environment, "TMPDIR": str(tmp_path), **more},
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )


def test_the_demo_shows_the_full_workflow_and_leaves_nothing_behind(
    environment: dict[str, str], tmp_path: Path
) -> None:
    before = sorted(tmp_path.rglob("*"))

    done = demo(environment, tmp_path)

    assert done.returncode == 0, done.stderr
    assert done.stderr == ""
    for step in ("Analytics enabled.", "ms  track service_enabled", "POST /batch/ HTTP/1.1", "Analytics disabled."):
        assert step in done.stdout
    assert "In OnRamp, events are sent once a day, two days after they were recorded (UTC)" in done.stdout
    last = done.stdout.splitlines()[-1]
    assert last.startswith("It works. 5 events were recorded in ")
    assert last.endswith("the background process had sent them in 1 request.")
    assert sorted(tmp_path.rglob("*")) == before


def test_the_users_own_settings_do_not_change_the_demo(environment: dict[str, str], tmp_path: Path) -> None:
    mine = {"ONRAMP_ANALYTICS_ENABLED": "0", "ONRAMP_ROOT": "/nowhere", "XDG_STATE_HOME": "/nowhere"}

    assert demo(environment, tmp_path, **mine, ONRAMP_ANALYTICS_HOST="https://example.invalid").returncode == 0


def test_the_demo_respects_do_not_track(environment: dict[str, str], tmp_path: Path) -> None:
    done = demo(environment, tmp_path, DO_NOT_TRACK="1")

    assert done.returncode == 1
    assert done.stderr.startswith("onramp-analytics: DO_NOT_TRACK is set")
