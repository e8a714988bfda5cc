"""From a wheel to a user's events: what a maintainer does once, and a user with a new machine after `git pull`."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import sysconfig
from pathlib import Path

import pytest

from onramp_analytics.receiver import Receiver
from tests.onramp_checkout import KEY, OnRamp, Terminal, build, git

REPOSITORY = Path(__file__).parent.parent.parent
#: What Debian has without anything of ours: coreutils, make, git's users need no more. No Python, uv or pipx.
TOOLS = (
    *(
        "awk",
        "cat",
        "chmod",
        "cut",
        "env",
        "grep",
        "id",
        "ln",
        "ls",
        "make",
        "mkdir",
        "mv",
        "rm",
        "sed",
        "setsid",
        "sh",
    ),
    *("sha256sum", "sleep", "sort", "stat", "tail", "touch", "tr"),
)


@pytest.fixture
def wheel(tmp_path: Path) -> Path:
    build_it = [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(tmp_path / "dist")]
    subprocess.run(build_it, cwd=REPOSITORY, capture_output=True, check=True)
    (built,) = (tmp_path / "dist").glob("*.whl")
    return built


@pytest.fixture
def python(tmp_path: Path) -> str:
    """A `python3` that makes real environments, in which the libraries of this one are there already.

    So nothing is downloaded: the wheel itself is installed by pip.
    """
    libraries = tmp_path / "libraries"
    libraries.mkdir()
    for path in Path(sysconfig.get_path("purelib")).iterdir():
        if "onramp_analytics" not in path.name and path.suffix != ".pth":
            (libraries / path.name).symlink_to(path)
    real = getattr(sys, "_base_executable", sys.executable)
    return (
        f'{real} "$@" || exit; [ "$2" = venv ] || exit 0; for last; do :; done\n'
        f'for packages in "$last"/lib/python3*/site-packages; do echo {libraries} >"$packages/libraries.pth"; done'
    )


def bare_machine(folder: Path, checkout: Path, python: str) -> OnRamp:
    """A user's clone, and a PATH that has the usual tools, docker and Python, and nothing of ours."""
    stubs, home = folder / "bin", folder / "home"
    for made in (stubs, home):
        made.mkdir(parents=True)
    for tool in TOOLS:
        (stubs / tool).symlink_to(shutil.which(tool) or f"/{tool} is not installed here")
    for name, script in (("python3", python), ("docker", 'echo "docker $*"')):
        (stubs / name).write_text(f"#!/bin/sh\n{script}\n")
        (stubs / name).chmod(0o755)
    git(folder, "clone", "-q", str(checkout), "onramp")
    return OnRamp(folder / "onramp", {"PATH": str(stubs), "HOME": str(home), "PIP_NO_DEPS": "1", "PIP_NO_INDEX": "1"})


def test_a_wheel_in_the_checkout_is_all_that_a_user_needs(
    tmp_path: Path, wheel: Path, python: str, receiver: Receiver
) -> None:
    maintainer = build(tmp_path, os.environ)
    maintainer.install("--wheel", str(wheel), "--api-key", KEY, "--host", receiver.url)
    maintainer.git("add", "-A", ":!services-available", ":!services-enabled")
    maintainer.git("commit", "-qm", "Add opt-in usage analytics")
    user = bare_machine(tmp_path / "user", maintainer.path, python)

    terminal = Terminal(user, "make", "analytics-enable")
    terminal.wait_for("Install it? [y/N] ")
    terminal.type("y\n")
    assert terminal.end() == 0, terminal.output
    enabled = user.make("enable-service", "plex")
    user.wait_for(2)
    flushed = user.make("analytics-flush")

    assert f"make.d/{wheel.name} in this checkout" in terminal.output
    assert "Analytics enabled." in terminal.output
    assert (enabled.returncode, enabled.stdout, enabled.stderr) == (0, "Enabling plex...\n", "")
    assert flushed.returncode == 0, flushed.stderr
    sent = [(event["event"], event["properties"]) for event in receiver.accepted]
    assert {name for name, _ in sent} == {"command_executed", "service_enabled"}
    recorded = dict(sent)
    assert (recorded["service_enabled"]["service_name"], recorded["service_enabled"]["has_scaffold"]) == ("plex", True)
    assert recorded["command_executed"]["command"] == "enable-service"
    program = (user.path / "onramp.program").read_text()
    assert program.startswith(f"{user.env['HOME']}/.local/share/onramp-analytics/bin/")
    assert str(REPOSITORY) not in program
    assert user.git("status", "--porcelain") == ""


def test_the_pull_request_is_the_files_that_its_text_names(tmp_path: Path, wheel: Path) -> None:
    maintainer = build(tmp_path, os.environ)

    maintainer.install("--wheel", str(wheel), "--api-key", KEY)
    maintainer.git("add", "-A", ":!services-available", ":!services-enabled")

    changed = set(maintainer.git("diff", "--cached", "--name-only").split())
    text = (REPOSITORY / "docs/pull-request.md").read_text()
    named = set(
        re.findall(r"^\| `([^`]+)` \|", text.partition("## What it adds")[2].partition("\n## ")[0], re.MULTILINE)
    )
    version = wheel.name.split("-")[1]
    assert changed == {name.replace("VERSION", version) for name in named}
    assert maintainer.git("diff", "--cached", "--name-only", "--diff-filter=M").split() == [".gitignore"]
