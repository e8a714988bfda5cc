"""The program with the integration of another version, and the reverse, with two wheels."""

from __future__ import annotations

import hashlib
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from onramp_analytics import __version__
from tests.journeys.test_getting_the_program import choose, enable
from tests.journeys.test_opt_out_without_program import TOOLS
from tests.onramp_checkout import OnRamp, build

REPOSITORY = Path(__file__).parents[2]
LATER = "99.0.0"

pytestmark = pytest.mark.timeout(600)  # wheels are built, and libraries come from the package index


@pytest.fixture(scope="module")
def wheels(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """The wheel of today's version, and one of a later version."""
    folder = tmp_path_factory.mktemp("wheels")
    return {version: _wheel(folder / version, version) for version in (__version__, LATER)}


def _wheel(folder: Path, version: str) -> Path:
    skipped = shutil.ignore_patterns(".*", "dist", "__pycache__")
    shutil.copytree(REPOSITORY, folder / "source", ignore=skipped)
    init = folder / "source/onramp_analytics/__init__.py"
    init.write_text(re.sub(r'__version__ = ".*"', f'__version__ = "{version}"', init.read_text()))
    words = [
        sys.executable,
        "-m",
        "build",
        "--no-isolation",
        "--wheel",
        "--outdir",
        str(folder),
        str(folder / "source"),
    ]
    done = subprocess.run(words, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    [wheel] = folder.glob("*.whl")
    return wheel


@pytest.fixture
def bare(tmp_path: Path) -> OnRamp:
    """An OnRamp on a machine with Python and the usual tools, without uv, pipx and our program."""
    made = build(tmp_path, os.environ, installed=True)
    made.use_only(("sh", *TOOLS))
    made.stub("python3", f'exec {Path(sys.executable).resolve()} "$@"')
    made.env.update({name: value for name, value in os.environ.items() if name.startswith("PIP_")})
    for name in ("pip", ".pip"):  # where this machine says which package index is used
        config = Path.home() / (".config/pip" if name == "pip" else ".pip")
        if config.exists():
            shutil.copytree(config, Path(made.env["HOME"]) / config.relative_to(Path.home()))
    return made


def put(onramp: OnRamp, wheel: Path, version: str) -> None:
    """Do what `install --wheel` does: the wheel into make.d/, its name, hash and version into analytics.sh."""
    for old in onramp.path.glob("make.d/*.whl"):
        old.unlink()
    shutil.copy(wheel, onramp.path / "make.d")
    choose(onramp, wheel=wheel.name, sha256=hashlib.sha256(wheel.read_bytes()).hexdigest(), version=version)


def installed(onramp: OnRamp) -> str:
    program = Path(onramp.env["HOME"]) / ".local/share/onramp-analytics/bin/onramp-analytics"
    return subprocess.run([program, "--version"], capture_output=True, text=True, check=True).stdout.split()[-1]


def recorded(onramp: OnRamp, goal: str) -> bool:
    """Run a command, and wait for its event."""
    before = len(onramp.events())
    assert onramp.make(goal).returncode == 0
    return any(properties.get("command") == goal for _, properties in onramp.wait_for(before + 1)[before:])


def test_the_program_follows_the_checkout(bare: OnRamp, wheels: dict[str, Path]) -> None:
    put(bare, wheels[__version__], __version__)
    status, output = enable(bare, "y")
    assert status == 0, output
    assert f"onramp-analytics {__version__} is installed." in output
    bare.hold_back_flusher()
    assert recorded(bare, "list")

    # The maintainer runs `install` again, and the user pulls: an older program with a newer drop-in.
    put(bare, wheels[LATER], LATER)
    assert recorded(bare, "count")
    assert f"is older than version {LATER}, which this checkout requires: run make analytics-upgrade" in (
        bare.make("analytics-status").stderr
    )
    status, output = enable(bare, "n", "upgrade")
    assert (status, installed(bare)) == (2, __version__)
    status, output = enable(bare, "y", "upgrade")
    assert status == 0, output
    assert installed(bare) == LATER
    assert f"onramp-analytics {LATER} is up to date." in output
    assert f"onramp-analytics {LATER} is up to date." in bare.make("analytics-upgrade").stdout
    assert bare.make("analytics-status").stderr == ""
    assert recorded(bare, "list")
    assert (bare.path / "onramp.program").exists()  # written again by that command

    # Another checkout, or this one after a `git checkout` of an older commit: a newer program with an older drop-in.
    put(bare, wheels[__version__], __version__)
    assert recorded(bare, "count")
    for target in ("status", "enable", "disable"):
        done = bare.make(f"analytics-{target}")
        assert (done.returncode, done.stderr) == (0, ""), target
    assert installed(bare) == LATER


def test_enable_brings_an_older_program_up_to_date_and_does_without_if_the_answer_is_no(
    bare: OnRamp, wheels: dict[str, Path]
) -> None:
    put(bare, wheels[__version__], __version__)
    assert enable(bare, "y")[0] == 0
    put(bare, wheels[LATER], LATER)

    status, output = enable(bare, "n")
    assert (status, installed(bare)) == (0, __version__)
    assert "Nothing was installed." in output
    status, output = enable(bare, "y")
    assert (status, installed(bare)) == (0, LATER)


def test_a_private_environment_whose_python_is_gone_is_made_again(bare: OnRamp, wheels: dict[str, Path]) -> None:
    put(bare, wheels[__version__], __version__)
    assert enable(bare, "y")[0] == 0
    bare.hold_back_flusher()
    own = Path(bare.env["HOME"]) / ".local/share/onramp-analytics/bin"
    for python in own.glob("python*"):
        python.unlink()

    assert bare.make("list").returncode == 0  # onramp.program names what is gone
    status, output = enable(bare, "y")

    assert status == 0, output
    assert recorded(bare, "list")
    assert (bare.path / "onramp.program").read_text().startswith(str(own))


def test_a_program_file_that_names_what_is_gone_is_healed_from_the_private_environment(
    bare: OnRamp, wheels: dict[str, Path]
) -> None:
    put(bare, wheels[__version__], __version__)
    assert enable(bare, "y")[0] == 0
    bare.hold_back_flusher()
    program = bare.path / "onramp.program"
    right = program.read_text()

    for wrong in ("/no/such/python\n/no/such/file\n", "", f"{sys.executable}\n/no/such/file\n"):
        program.write_text(wrong)
        assert recorded(bare, "list")
        assert program.read_text() == right
