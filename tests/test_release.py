"""What is released: the generated files are those of the code, and the wheel holds what it promises."""

from __future__ import annotations

import importlib.metadata
import re
import shutil
import subprocess
import sys
import tarfile
import zipfile
from pathlib import Path

import pytest

import onramp_analytics
from tests.conftest import COMMAND
from tools.generate import COMPLETIONS, PROGRAM, generated

REPOSITORY = Path(__file__).parent.parent
PACKAGE = REPOSITORY / "onramp_analytics"
ASKED = ["show-id", "show-pending", "show-sent"]  # what `onramp-analytics sh` may become


@pytest.mark.parametrize("path", ["docs/analytics.md", f"docs/man/{PROGRAM}.1", *COMPLETIONS])
def test_what_is_generated_is_as_the_code_has_it(path: str) -> None:
    assert (REPOSITORY / path).read_text() == generated()[path], "run `make docs` and commit what it writes"


@pytest.mark.skipif(not shutil.which("man"), reason="no man here")
def test_man_reads_the_page_without_a_warning() -> None:
    done = subprocess.run(
        ["man", "--warnings", "-E", "UTF-8", "-l", REPOSITORY / f"docs/man/{PROGRAM}.1"],
        env={"PATH": "/usr/bin:/bin", "MANWIDTH": "80", "LC_ALL": "C.UTF-8"},
        capture_output=True,
        text=True,
        check=True,
    )

    assert done.stderr == ""
    assert "onramp-analytics track [OPTIONS] EVENT [KEY=VALUE]..." in done.stdout


def complete(shell: str, script: str) -> list[str]:
    """Let a shell complete `onramp-analytics sh`, and return what it offers."""
    done = subprocess.run(
        [shell, "-c", script],
        env={"PATH": f"{Path(COMMAND).parent}:/usr/bin:/bin", "HOME": "/nonexistent"},
        cwd=REPOSITORY,
        capture_output=True,
        text=True,
        check=True,
    )
    return [line.split("\t")[0] for line in done.stdout.splitlines()]


def test_bash_completes_the_commands() -> None:
    words = "COMP_WORDS=(onramp-analytics sh); COMP_CWORD=1"
    ask = "_onramp_analytics_completion onramp-analytics; printf '%s\\n' \"${COMPREPLY[@]}\""

    assert complete("bash", f"source docs/completions/bash/{PROGRAM}; {words}; {ask}") == ASKED


@pytest.mark.skipif(not shutil.which("fish"), reason="no fish here")
def test_fish_completes_the_commands() -> None:
    assert complete("fish", f"source docs/completions/fish/{PROGRAM}.fish; complete -C '{PROGRAM} sh'") == ASKED


@pytest.mark.skipif(not shutil.which("zsh"), reason="no zsh here")
def test_zsh_completes_the_commands() -> None:
    stubs = "compdef() {}; _describe() { print -l ${${(P)3}%%:*} }"  # completion itself needs a terminal
    ask = "words=(onramp-analytics sh); CURRENT=2; _onramp_analytics_completion"

    assert complete("zsh", f"{stubs}; source docs/completions/zsh/_{PROGRAM}; {ask}") == ASKED


@pytest.fixture(scope="module")
def dist(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("dist")
    build = [sys.executable, "-m", "hatchling", "build", "-d", str(folder)]
    subprocess.run(build, cwd=REPOSITORY, capture_output=True, check=True)
    return folder


def test_the_wheel_holds_the_package_the_queries_and_what_man_and_the_shells_read(dist: Path) -> None:
    (wheel,) = dist.glob("*.whl")
    version = onramp_analytics.__version__
    inside = set(zipfile.ZipFile(wheel).namelist())

    package = {str(file.relative_to(REPOSITORY)) for file in PACKAGE.rglob("*") if file.is_file()}
    package = {name for name in package if "__pycache__" not in name}
    share = {
        f"man/man1/{PROGRAM}.1",
        f"bash-completion/completions/{PROGRAM}",
        f"zsh/site-functions/_{PROGRAM}",
        f"fish/vendor_completions.d/{PROGRAM}.fish",
    }
    data = {f"onramp_analytics-{version}.data/data/share/{name}" for name in share}
    rest = {name for name in inside if name.startswith(f"onramp_analytics-{version}.dist-info/")}
    assert inside - rest == package | data
    assert f"onramp_analytics-{version}.dist-info/licenses/LICENSE" in rest


def test_the_sdist_holds_everything_that_git_has(dist: Path) -> None:
    (sdist,) = dist.glob("*.tar.gz")
    with tarfile.open(sdist) as archive:
        inside = {name.partition("/")[2] for name in archive.getnames()}

    listed = subprocess.run(["git", "ls-files"], cwd=REPOSITORY, capture_output=True, text=True, check=False)
    assert set(listed.stdout.split()) - inside == set()


def test_the_version_is_written_in_one_place() -> None:
    assert importlib.metadata.version(PROGRAM) == onramp_analytics.__version__
    assert re.search(r'^dynamic = \["version"\]$', (REPOSITORY / "pyproject.toml").read_text(), re.MULTILINE)


def test_the_changelog_has_a_section_for_what_is_not_released_or_for_this_version() -> None:
    sections = re.findall(r"^## \[(.+?)\]", (REPOSITORY / "CHANGELOG.md").read_text(), re.MULTILINE)

    assert sections[0] in ("Unreleased", onramp_analytics.__version__)
