"""A checkout by descriptor: nothing outside is touched, even if files are swapped meanwhile; all changes or none."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from onramp_analytics.errors import CouldNot
from onramp_analytics.integration import tree


@pytest.fixture
def root(tmp_path: Path) -> Path:
    (tmp_path / "root/make.d").mkdir(parents=True)
    (tmp_path / "outside").mkdir()
    return tmp_path / "root"


def test_a_folder_that_is_swapped_for_a_link_after_it_was_opened_is_not_followed(root: Path, tmp_path: Path) -> None:
    with tree.opened(root) as opened:
        changes = opened.changes({"make.d/one": b"1", "two": b"2"})
        (root / "make.d").rename(tmp_path / "moved")
        (root / "make.d").symlink_to(tmp_path / "outside")
        root.rename(tmp_path / "root-moved")
        root.symlink_to(tmp_path / "outside")
        opened.apply(changes)

    assert not list((tmp_path / "outside").iterdir())
    assert (tmp_path / "moved/one").read_bytes() == b"1"
    assert (tmp_path / "root-moved/two").read_bytes() == b"2"


def test_a_linked_folder_is_refused_for_reading_and_for_writing(root: Path, tmp_path: Path) -> None:
    (root / "docs").symlink_to(tmp_path / "outside")

    with tree.opened(root) as opened:
        with pytest.raises(CouldNot, match="docs is a symbolic link: replace it with a folder"):
            opened.read("docs/page")
        with pytest.raises(CouldNot, match="docs is a symbolic link: replace it with a folder"):
            opened.apply([tree.Change("docs/page", None, b"1")])

    assert not list((tmp_path / "outside").iterdir())


def test_all_changes_are_made_or_none(root: Path) -> None:
    (root / "first").write_bytes(b"old")
    (root / "third.onramp-new").mkdir()

    with tree.opened(root) as opened, pytest.raises(CouldNot, match=r"third cannot be .*; nothing was changed"):
        opened.apply(opened.changes({"first": b"new", "docs/second": b"new", "third": b"new"}))

    assert (root / "first").read_bytes() == b"old"
    assert sorted(path.name for path in root.iterdir()) == ["first", "make.d", "third.onramp-new"]


def test_a_file_keeps_its_permissions_but_never_runs_as_its_owner(root: Path) -> None:
    (root / "one").write_bytes(b"old")
    (root / "one").chmod(0o4750)

    with tree.opened(root) as opened:
        opened.apply(opened.changes({"one": b"new"}))

    assert (root / "one").stat().st_mode & 0o7777 == 0o750


def test_what_is_no_small_regular_file_is_refused_and_nothing_hangs(root: Path) -> None:
    os.mkfifo(root / "fifo")
    (root / "folder").mkdir()
    with (root / "large").open("wb") as file:
        file.truncate(tree.LIMIT + 1)

    with tree.opened(root) as opened:
        for name in ("fifo", "folder", "large"):
            with pytest.raises(CouldNot, match=f"{name} is not a small regular file"):
                opened.read(name)


def test_deleting_a_file_deletes_what_a_killed_install_left_of_it_and_the_empty_folder(root: Path) -> None:
    (root / "docs").mkdir()
    for name in ("page", "page.onramp-new"):
        (root / "docs" / name).write_bytes(b"1")

    with tree.opened(root) as opened:
        opened.apply(opened.changes({"docs/page": None}))

    assert not (root / "docs").exists()


def test_a_folder_that_is_missing_is_named() -> None:
    with pytest.raises(CouldNot, match=r"/nowhere cannot be opened \(No such file"), tree.opened(Path("/nowhere")):
        pass


def test_a_user_without_a_name_is_named_as_sudo_takes_it() -> None:
    assert tree.user_name(4_000_000_001) == "#4000000001"


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give a folder to another user")
def test_the_command_for_a_user_without_a_name_is_not_a_comment_for_a_shell(root: Path) -> None:
    os.chown(root, 54321, 54321)

    with pytest.raises(CouldNot, match="run sudo -u '#54321' onramp-analytics"), tree.opened(root):
        pass
