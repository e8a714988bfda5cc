"""The program that users install: which ones are accepted, and how `analytics.sh` stores them."""

from __future__ import annotations

import hashlib
import shlex
import zipfile
from pathlib import Path

import pytest

from onramp_analytics.errors import CouldNot
from onramp_analytics.integration import page, program
from onramp_analytics.integration.program import Program

SCRIPT = "package=''\nwheel=''\nsha256=''\nversion=''\n# what it does\nown=1\n"


def wheel(folder: Path, version: str, name: str = "onramp-analytics", metadata: str = "METADATA") -> Path:
    path = folder / f"onramp_analytics-{version}-py3-none-any.whl"
    with zipfile.ZipFile(path, "w") as file:
        file.writestr(f"onramp_analytics-{version}.dist-info/{metadata}", f"Name: {name}\nVersion: {version}\n")
    return path


@pytest.mark.parametrize("version", ["0.2.0", "0.2.0rc1", "1!2.0", "0.2.0.dev0", "0.2.0+local.1"])
def test_a_pinned_version_is_read_as_it_was_written(version: str) -> None:
    chosen = program.pinned(f"onramp-analytics=={version}")

    filled = chosen.fill(SCRIPT)

    assert filled.splitlines()[:4] == [
        f"package='onramp-analytics=={version}'",
        "wheel=''",
        "sha256=''",
        f"version='{version}'",
    ]
    assert filled.endswith("\n# what it does\nown=1\n")
    assert program.parse(filled) == chosen


def test_the_assignments_of_the_real_script_come_before_everything_else() -> None:
    chosen = program.pinned("onramp-analytics==0.2.0")

    filled = chosen.fill(page.part("analytics.sh"))

    lines = [line for line in filled.splitlines() if line and not line.startswith("#")]
    assert lines[:4] == ["package='onramp-analytics==0.2.0'", "wheel=''", "sha256=''", "version='0.2.0'"]
    assert program.parse(filled) == chosen


@pytest.mark.parametrize(
    "spec", ["onramp-analytics", "onramp-analytics>=0.2", "other==1", "onramp-analytics==1;id", "x onramp-analytics==1"]
)
def test_a_requirement_that_pins_no_version_of_ours_is_refused(spec: str) -> None:
    with pytest.raises(CouldNot, match="--package must name one version"):
        program.pinned(spec)


def test_a_wheel_is_known_by_its_hash(tmp_path: Path) -> None:
    path = wheel(tmp_path, "0.2.0")

    chosen, content = program.bundled(path)

    assert content == path.read_bytes()
    assert chosen == Program(wheel=path.name, sha256=hashlib.sha256(content).hexdigest(), version="0.2.0")
    assert chosen.path == f"make.d/{path.name}"
    assert program.is_the_wheel(chosen, content)
    assert not program.is_the_wheel(chosen, content + b"x")
    assert not program.is_the_wheel(chosen, None)


def test_another_file_is_not_a_wheel_of_ours(tmp_path: Path) -> None:
    renamed = wheel(tmp_path, "0.2.0").rename(tmp_path / "mine.whl")
    text = tmp_path / "onramp_analytics-0.3.0-py3-none-any.whl"
    text.write_text("not a zip")
    others = [wheel(tmp_path, "0.4.0", name="other"), wheel(tmp_path, "0.5.0", metadata="RECORD")]

    for path in (renamed, text, *others, tmp_path / "onramp_analytics-0.6.0-py3-none-any.whl"):
        with pytest.raises(CouldNot, match="--wheel: "):
            program.bundled(path)


def test_what_a_script_says_is_read_only_in_the_form_in_which_it_is_written() -> None:
    for line in ('package="x"', "package=$(id)", "package='a b'", "package='$(id)'", " package='x'", "# package='x'"):
        assert program.parse(f"{line}\n") == Program()
    assert program.parse(None) == Program()


def test_every_value_is_plain_for_a_shell() -> None:
    filled = program.pinned("onramp-analytics==1!2.0+a").fill(SCRIPT)

    for line in filled.splitlines()[:4]:
        _, _, value = line.partition("=")
        assert len(shlex.split(value)) == 1
