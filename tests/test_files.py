"""Replacing a file and creating a folder: atomic, private, and never through a link."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from onramp_analytics import files
from tests.conftest import STRANGER


@pytest.fixture
def folder(tmp_path: Path) -> Iterator[int]:
    fd = os.open(tmp_path, os.O_RDONLY | os.O_DIRECTORY)
    yield fd
    os.close(fd)


def mode(path: Path) -> int:
    return path.stat().st_mode & 0o777


@pytest.fixture
def umask_000() -> Iterator[None]:
    before = os.umask(0)
    yield
    os.umask(before)


@pytest.mark.usefixtures("umask_000")
def test_a_file_is_replaced_whole_and_for_the_user_alone(folder: int, tmp_path: Path) -> None:
    for content in (b"old", b"new"):
        files.replace(folder, b"file", content)

        assert (tmp_path / "file").read_bytes() == content
        assert mode(tmp_path / "file") == 0o600
    assert os.listdir(tmp_path) == ["file"]


@pytest.mark.usefixtures("umask_000")
def test_a_file_is_for_the_user_alone_from_the_start(
    folder: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    modes, write = [], os.write

    def looked_at(fd: int, content: bytes) -> int:
        modes.append(mode(tmp_path / "file.new"))
        return write(fd, content)

    monkeypatch.setattr("posix.write", looked_at)
    files.replace(folder, b"file", b"x", 0o644)

    assert modes == [0o600]
    assert mode(tmp_path / "file") == 0o644


def test_short_writes_are_gone_on_with(folder: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write = os.write
    monkeypatch.setattr("posix.write", lambda fd, content: write(fd, bytes(content)[:3]))

    files.replace(folder, b"file", b"a longer content")

    assert (tmp_path / "file").read_bytes() == b"a longer content"


@pytest.mark.parametrize("trouble", ["write", "replace", "fsync", "fchmod"])
def test_trouble_leaves_the_old_file_and_nothing_else(
    folder: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, trouble: str
) -> None:
    (tmp_path / "file").write_bytes(b"old")

    def full(*_arguments: object, **_folders: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(f"posix.{trouble}", full)
    with pytest.raises(OSError, match="No space"):
        files.replace(folder, b"file", b"new", sync=True)

    assert (tmp_path / "file").read_bytes() == b"old"
    assert os.listdir(tmp_path) == ["file"]


def test_a_check_that_says_no_leaves_the_old_file(folder: int, tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"old")

    with pytest.raises(InterruptedError, match="changed meanwhile"):
        files.replace(folder, b"file", b"new", check=lambda: False)

    assert (tmp_path / "file").read_bytes() == b"old"
    assert os.listdir(tmp_path) == ["file"]


def test_a_file_system_that_cannot_sync_a_folder_is_no_obstacle(
    folder: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    fsync = os.fsync

    def only_files(fd: int) -> None:
        if fd == folder:
            raise OSError(22, "Invalid argument")
        fsync(fd)

    monkeypatch.setattr("posix.fsync", only_files)
    files.replace(folder, b"file", b"new", sync=True)

    assert (tmp_path / "file").read_bytes() == b"new"


@pytest.mark.parametrize("name", ["file", "file.new"])
def test_a_link_is_replaced_and_not_written_through(folder: int, tmp_path: Path, name: str) -> None:
    (tmp_path / "victim").write_bytes(b"precious")
    (tmp_path / name).symlink_to("victim")

    files.replace(folder, b"file", b"new")

    assert (tmp_path / "victim").read_bytes() == b"precious"
    assert (tmp_path / "file").read_bytes() == b"new"
    assert not (tmp_path / "file").is_symlink()


def test_what_a_killed_writer_left_is_no_obstacle(folder: int, tmp_path: Path) -> None:
    (tmp_path / "file.new").write_bytes(b"half")

    files.replace(folder, b"file", b"whole")

    assert os.listdir(tmp_path) == ["file"]


def test_remove_deletes_what_is_there_and_only_says_what_it_cannot(folder: int, tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    (tmp_path / "folder").mkdir()

    files.remove(folder, b"file")
    files.remove(folder, b"file")
    with pytest.raises(OSError, match="folder"):
        files.remove(folder, b"folder")

    assert os.listdir(tmp_path) == ["folder"]


@pytest.mark.usefixtures("umask_000")
def test_each_missing_level_of_a_private_folder_is_for_the_user_alone(tmp_path: Path) -> None:
    fd = files.make_private_folder(bytes(tmp_path / "a" / "b" / "c"))

    assert os.path.samestat(os.fstat(fd), os.stat(tmp_path / "a" / "b" / "c"))
    os.close(fd)
    assert [mode(tmp_path / level) for level in ("a", "a/b", "a/b/c")] == [0o700] * 3


def test_a_private_folder_that_is_there_stays_as_it_is(tmp_path: Path) -> None:
    (tmp_path / "a").mkdir(mode=0o755)

    os.close(files.make_private_folder(bytes(tmp_path / "a")))

    assert mode(tmp_path / "a") == 0o755


@pytest.mark.parametrize("level", ["a", "a/b"])
def test_a_link_that_leads_nowhere_is_no_level_of_a_private_folder(tmp_path: Path, level: str) -> None:
    (tmp_path / level).parent.mkdir(exist_ok=True)
    (tmp_path / level).symlink_to(tmp_path / "elsewhere")

    with pytest.raises(OSError, match=r"directory|symbolic"):
        files.make_private_folder(bytes(tmp_path / "a" / "b"))

    assert not (tmp_path / "elsewhere").exists()


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give files away")
def test_another_users_folder_is_not_a_private_one(tmp_path: Path) -> None:
    (tmp_path / "hers").mkdir()
    os.chown(tmp_path / "hers", STRANGER, STRANGER)

    with pytest.raises(PermissionError, match="another user") as raised:
        files.make_private_folder(bytes(tmp_path / "hers"))

    assert raised.value.filename == bytes(tmp_path / "hers")
