"""The integration in the real OnRamp: set ONRAMP_CLONE to a clone of github.com/traefikturkey/onramp to run these."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from onramp_analytics.integration import page
from onramp_analytics.integration.install import Options, install
from tests.onramp_checkout import COMMAND, KEY, PACKAGE, git

CLONE = os.environ.get("ONRAMP_CLONE", "")
pytestmark = pytest.mark.skipif(not CLONE, reason="ONRAMP_CLONE does not name a clone of OnRamp")
#: Prints the services that OnRamp itself would scaffold. (Its script is written for Python 3.14.)
ASK = """
import re, sys, types
from pathlib import Path
sys.modules["logging_config"] = types.SimpleNamespace(get_logger=lambda name: None, setup_logging=None)
source = Path("sietch/scripts/scaffold.py").read_text()
names = {"__name__": "scaffold"}
exec(re.sub(r"except (\\w+), (\\w+):", r"except (\\1, \\2):", source), names)
scaffolder = names["Scaffolder"](".", executor=object())
for file in [*Path("services-available").glob("*.yml"), *Path("services-available/games").glob("*.yml")]:
    print(file.stem, scaffolder.has_scaffold(file.stem))
"""


@pytest.fixture
def onramp(tmp_path: Path) -> Path:
    git(tmp_path, "clone", "-q", CLONE, "onramp")
    install(tmp_path / "onramp", Options(upstream="origin/main", package=PACKAGE, settings={"--api-key": KEY}))
    return tmp_path / "onramp"


def test_has_scaffold_is_what_onramp_itself_says(onramp: Path) -> None:
    git(onramp, "checkout", "-q", "origin/main")
    asked = subprocess.run([sys.executable, "-c", ASK], cwd=onramp, capture_output=True, text=True, check=True)
    expected = {line.split()[0]: line.endswith("True") for line in asked.stdout.splitlines()}

    lines = (onramp / "make.d/analytics.names").read_text().splitlines()

    assert len(expected) > 200
    services = [line.split()[1:] for line in lines if line.startswith("service ")]
    assert {name: rest == ["scaffold"] for name, *rest in services} == expected


def test_nothing_but_the_block_in_gitignore_is_edited(onramp: Path) -> None:
    git(onramp, "add", "-A")

    assert git(onramp, "diff", "--cached", "--name-only", "--diff-filter=M").split() == [".gitignore"]
    assert git(onramp, "diff", "--cached", "--numstat", "--", ".gitignore") == "9\t0\t.gitignore\n"


def test_check_finds_nothing_in_a_fresh_clone_of_what_was_committed(onramp: Path, tmp_path: Path) -> None:
    git(onramp, "add", "-A")
    git(onramp, "commit", "-qm", "Add opt-in usage analytics")
    git(tmp_path, "clone", "-q", "--depth=1", f"file://{onramp}", "shallow")  # as a workflow has it

    words: list[str | Path] = [COMMAND, "install", "--check", "--upstream", "origin/HEAD", str(tmp_path / "shallow")]
    done = subprocess.run(words, capture_output=True, text=True, check=False)

    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.endswith("Everything is up to date.\n")


@pytest.mark.skipif(not shutil.which("gawk"), reason="OnRamp's `make help` needs gawk")
def test_make_help_shows_every_target_under_a_heading_of_its_own(onramp: Path) -> None:
    done = subprocess.run(["make", "-s", "help"], cwd=onramp, capture_output=True, text=True, check=False)

    section = done.stdout.partition("Analytics (opt-in)\n\n")[2].partition("\n\n")[0]
    shown = re.findall(r"make \S*?(analytics-[a-z-]+)", section)
    assert sorted(shown) == sorted(re.findall(r"^(analytics-[a-z-]+):", page.part("analytics.mk"), re.MULTILINE))
