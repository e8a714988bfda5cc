"""`onramp.program`: when it counts, how it is written, and that it repairs itself."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from onramp_analytics.integration import launcher
from tests.conftest import COMMAND, Checkout

HERE = (sys.executable, str(Path(launcher.__file__).parent.parent / "make_entry.py"))


def program(checkout: Checkout) -> Path:
    return checkout.path / "onramp.program"


def from_make(checkout: Checkout, path: Path | None = None) -> subprocess.CompletedProcess[bytes]:
    words = [COMMAND, "from-make", "ran", "start", "0", "1.00", "1.50"]
    return subprocess.run(words, cwd=path or checkout.path, env=checkout.env, capture_output=True, check=False)


def test_names_the_interpreter_and_the_file_that_it_runs_to_this_user_alone(checkout: Checkout) -> None:
    launcher.remember(checkout.root)

    assert program(checkout).read_text().splitlines() == list(HERE)
    assert launcher.remembered(checkout.root) == HERE
    assert program(checkout).stat().st_mode & 0o777 == 0o600


def test_is_written_in_place_of_a_link_and_never_through_it(checkout: Checkout, tmp_path: Path) -> None:
    for name in ("onramp.program", "onramp.program.new"):
        (tmp_path / f"theirs of {name}").write_text("theirs\n")
        (checkout.path / name).symlink_to(tmp_path / f"theirs of {name}")

    launcher.remember(checkout.root)

    assert not program(checkout).is_symlink()
    assert {path.read_text() for path in tmp_path.glob("theirs*")} == {"theirs\n"}


def a_link(file: Path) -> None:
    file.rename(file.with_name("elsewhere"))
    file.symlink_to("elsewhere")


def a_fifo(file: Path) -> None:
    file.unlink()
    os.mkfifo(file)


def a_folder(file: Path) -> None:
    file.unlink()
    file.mkdir()


def damaged(file: Path) -> None:
    file.write_bytes(b"\0" * 100)


def another_users(file: Path) -> None:
    if os.geteuid():
        pytest.skip("only root can give a file to another user")
    os.chown(file, 65534, 65534)


@pytest.mark.parametrize("spoil", [a_link, a_fifo, a_folder, damaged, another_users], ids=lambda f: f.__name__)
def test_does_not_count_if_it_is_no_regular_file_of_this_user(checkout: Checkout, spoil: object) -> None:
    launcher.remember(checkout.root)
    assert callable(spoil)
    spoil(program(checkout))

    assert launcher.remembered(checkout.root) == ()


def test_heals_itself_if_what_it_names_is_gone(opted_in: Checkout) -> None:
    opted_in.hold_back_flusher()
    program(opted_in).write_text("/gone/bin/python3\n/gone/onramp_analytics/frommake.py\n")

    done = from_make(opted_in)

    assert (done.returncode, done.stdout, done.stderr) == (0, b"", b"")
    assert launcher.remembered(opted_in.root) == HERE


def test_is_not_written_where_analytics_are_off(checkout: Checkout) -> None:
    from_make(checkout)

    assert not program(checkout).exists()


def test_is_not_written_into_a_copy_of_a_checkout_that_opted_in(opted_in: Checkout, tmp_path: Path) -> None:
    shutil.copytree(opted_in.path, tmp_path / "copy")

    from_make(opted_in, tmp_path / "copy")

    assert not (tmp_path / "copy/onramp.program").exists()


def test_goes_with_what_a_killed_writer_left(checkout: Checkout) -> None:
    launcher.remember(checkout.root)
    (checkout.path / "onramp.program.new").touch()

    launcher.forget(checkout.root)

    assert not list(checkout.path.glob("onramp.program*"))
