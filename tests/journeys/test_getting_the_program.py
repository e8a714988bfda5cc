"""`make analytics-enable` on a machine that has OnRamp but not the program."""

from __future__ import annotations

import hashlib
import os
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.journeys.test_opt_out_without_program import TOOLS
from tests.onramp_checkout import COMMAND, OnRamp, Terminal, build

WHEEL = "onramp_analytics-0.2.0-py3-none-any.whl"
#: What `uv` and `pipx` do here: note their words, and put the program into ~/.local/bin.
INSTALLS = f'd="$HOME/.local/bin"; mkdir -p "$d"; ln -sf {COMMAND} "$d/onramp-analytics"; echo "$@" >"$HOME/words"'


@pytest.fixture
def bare(tmp_path: Path, use_machine: Callable[[OnRamp], None]) -> OnRamp:
    """An OnRamp whose maintainer chose a wheel, on a machine with the usual tools, and without Python."""
    made = build(tmp_path, os.environ, installed=True)
    use_machine(made)
    made.use_only(TOOLS)
    (made.path / "make.d" / WHEEL).write_bytes(b"a wheel")
    choose(made, wheel=WHEEL, sha256=hashlib.sha256(b"a wheel").hexdigest())
    return made


def choose(onramp: OnRamp, **values: str) -> None:
    """Fill in the assignments of analytics.sh, as `install` does."""
    file = onramp.path / "make.d/analytics.sh"
    lines = file.read_text().splitlines()
    for name, value in values.items():
        [at] = [number for number, line in enumerate(lines) if line.startswith(f"{name}='")]
        lines[at] = f"{name}='{value}'"
    file.write_text("\n".join(lines) + "\n")


def enable(onramp: OnRamp, answer: str, target: str = "enable") -> tuple[int, str]:
    """Run `make analytics-…` on a terminal, answer the question, and return the status and what was printed."""
    terminal = Terminal(onramp, *onramp.make_command, f"analytics-{target}")
    terminal.wait_for("Install it? [y/N] ")
    terminal.type(f"{answer}\n")
    return terminal.end(), terminal.output


def words(onramp: OnRamp) -> str | None:
    file = Path(onramp.env["HOME"]) / "words"
    return file.read_text() if file.exists() else None


@pytest.mark.parametrize(
    ("tool", "expected"),
    [("uv", f"tool install --force ./make.d/{WHEEL}\n"), ("pipx", f"install --force ./make.d/{WHEEL}\n")],
)
def test_says_what_from_where_and_with_what_asks_installs_and_enables(bare: OnRamp, tool: str, expected: str) -> None:
    bare.stub(tool, INSTALLS)

    status, output = enable(bare, "y")

    assert status == 0, output
    assert "onramp-analytics is not installed." in output
    assert f"It can be installed from make.d/{WHEEL} in this checkout" in output
    assert f"for your user only, with {tool}" in output
    assert words(bare) == expected
    assert "Analytics enabled." in output
    assert "ANALYTICS_ENABLED=1" in bare.lock.read_text()


def test_a_package_is_installed_by_its_requirement(bare: OnRamp) -> None:
    choose(bare, wheel="", package="onramp-analytics==0.2.0")
    bare.stub("uv", INSTALLS)

    status, output = enable(bare, "yes")

    assert status == 0, output
    assert "It can be installed from the Python package index (onramp-analytics==0.2.0), for your user only" in output
    assert words(bare) == "tool install --force onramp-analytics==0.2.0\n"


def test_preview_offers_it_too(bare: OnRamp) -> None:
    bare.stub("uv", INSTALLS)

    _status, output = enable(bare, "y", "preview")

    assert words(bare)
    assert "is installed." in output


@pytest.mark.parametrize("target", ["enable", "preview", "upgrade"])
def test_without_a_terminal_nothing_is_installed(bare: OnRamp, target: str) -> None:
    bare.stub("uv", INSTALLS)

    done = bare.make(f"analytics-{target}")

    assert done.returncode == 2
    assert "To install it, run this again on a terminal." in done.stderr
    assert words(bare) is None
    assert not bare.lock.exists()


@pytest.mark.parametrize("answer", ["n", "", "nonsense", "\x04"])
def test_anything_but_yes_installs_nothing(bare: OnRamp, answer: str) -> None:
    bare.stub("uv", INSTALLS)

    status, output = enable(bare, answer)

    assert status == 2  # make's status for a recipe that failed
    assert "nothing was installed, so nothing is recorded" in output
    assert words(bare) is None
    assert not bare.lock.exists()


@pytest.mark.parametrize("fault", ["other content", "missing", "link", "no hash"])
def test_a_wheel_that_is_not_the_chosen_one_is_refused_before_the_user_is_asked(bare: OnRamp, fault: str) -> None:
    bare.stub("uv", INSTALLS)
    wheel = bare.path / "make.d" / WHEEL
    if fault == "other content":
        wheel.write_bytes(b"another wheel")
    elif fault == "no hash":
        choose(bare, sha256="")
    else:
        wheel.rename(bare.path.parent / "elsewhere")
        if fault == "link":
            wheel.symlink_to(bare.path.parent / "elsewhere")

    terminal = Terminal(bare, *bare.make_command, "analytics-enable")

    assert terminal.end() == 2
    assert f"onramp-analytics: make.d/{WHEEL} " in terminal.output
    assert "Install it?" not in terminal.output
    assert words(bare) is None


def test_the_hash_is_checked_with_busyboxs_sha256sum_too(bare: OnRamp) -> None:
    busybox = shutil.which("busybox")
    if not busybox:
        pytest.skip("this machine lacks busybox: apt install busybox")
    (bare.path.parent / "bin/sha256sum").unlink()
    (bare.path.parent / "bin/sha256sum").symlink_to(busybox)
    bare.stub("uv", INSTALLS)

    status, output = enable(bare, "y")

    assert status == 0, output


def test_where_nothing_was_chosen_it_says_whom_to_ask(bare: OnRamp) -> None:
    choose(bare, package="", wheel="", sha256="")
    bare.stub("uv", INSTALLS)

    done = bare.make("analytics-enable")

    assert done.returncode == 2
    assert "ask its maintainers to run onramp-analytics install" in done.stderr


REMEDIES = [
    ("Error: ensurepip is not available", "run sudo apt install python3-venv"),
    ("/usr/bin/python3: No module named venv", "run sudo apt install python3-venv"),
    ("error: externally-managed-environment", "run sudo apt install pipx"),
    ("ERROR: Package requires a different Python: 3.9.2 not in >=3.10", "is older than 3.10: install a newer one"),
    ("could not resolve host", "fix the error reported above"),
]


@pytest.mark.parametrize(("report", "remedy"), REMEDIES, ids=[report for report, _ in REMEDIES])
def test_a_failure_is_explained_in_one_sentence_with_its_remedy(bare: OnRamp, report: str, remedy: str) -> None:
    bare.stub("pipx", f"echo '{report}' >&2; exit 1")

    status, output = enable(bare, "y")

    assert status == 2
    assert report in output
    [sentence] = [line for line in output.splitlines() if line.startswith("onramp-analytics: ")]
    assert remedy in sentence
    assert sentence.endswith("then run this again")
    assert not bare.lock.exists()
    after = bare.make("enable-service", "plex")
    assert (after.returncode, after.stdout, after.stderr) == (0, "Enabling plex...\n", "")


@pytest.mark.parametrize("python", [None, "exit 1"], ids=["no Python", "an old Python"])
def test_without_anything_to_install_with_it_says_what_is_needed(bare: OnRamp, python: str | None) -> None:
    if python:
        bare.stub("python3", python)

    done = bare.make("analytics-enable")

    assert "Python 3.10 or later, uv or pipx is needed: install one of them" in done.stderr


def test_a_private_environment_that_failed_leaves_nothing(bare: OnRamp) -> None:
    bare.stub("python3", '[ "$2" != venv ] || mkdir -p "$4/bin"; exit 0')  # and then there is no pip in it

    status, output = enable(bare, "y")

    assert status == 2
    assert "run this again" in output
    assert not (Path(bare.env["HOME"]) / ".local/share/onramp-analytics").exists()


def test_the_program_that_make_knows_is_found_off_the_path(bare: OnRamp) -> None:
    bare.opt_in()

    done = bare.make("analytics-status")

    assert "Analytics are on" in done.stdout


OLDER = [
    ("0.1.0", "0.2.0", True),
    ("0.9.0", "0.10.0", True),
    ("0.10.0", "0.9.0", False),
    ("0.2.0", "0.2.0", False),
    ("0.2.0.dev0", "0.2.0", True),
    ("0.2.0", "0.2.0.dev0", False),
    ("0.2.0rc1", "0.2.0rc2", True),
    ("0.2.0rc1", "0.2.0", True),
    ("0.2.0", "0.2.0rc1", False),
    ("0.2.0", "0.2.0.post1", True),
    ("0.2.0.post1", "0.2.0", False),
    ("1.0", "1.0.0", False),
    ("0.2.0", "", False),
]


@pytest.mark.parametrize(("have", "want", "older"), OLDER)
def test_versions_are_compared_as_python_does(bare: OnRamp, have: str, want: str, *, older: bool) -> None:
    choose(bare, version=want)
    bare.stub("onramp-analytics", f'[ "$1" = --version ] && echo "onramp-analytics, version {have}" || echo ran "$@"')

    done = bare.make("analytics-status")
    other = bare.make("analytics-show-id")

    assert done.stdout == f"ran --root {bare.path} status\n"
    assert ("make analytics-upgrade" in done.stderr) == older
    assert other.stderr == ""  # it is not said with every command


def test_a_command_that_an_older_program_does_not_know_says_what_to_do(bare: OnRamp) -> None:
    choose(bare, version="0.3.0")
    bare.stub("onramp-analytics", '[ "$1" = --version ] && echo "onramp-analytics, version 0.2.0" || exit 2')

    done = bare.make("analytics-results")

    assert done.returncode == 2
    assert "onramp-analytics 0.2.0 is older than version 0.3.0, which this checkout requires" in done.stderr
