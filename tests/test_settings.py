"""`onramp.lock`: ours are three keys, everything else is somebody else's and stays as it is."""

from __future__ import annotations

import os
import stat
import sys
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from onramp_analytics import settings

ours = st.dictionaries(st.sampled_from(settings.KEYS), st.sampled_from([b"0", b"1", b"x"]), min_size=1)
#: Lines of others: no line break, no NUL, and not one of our keys.
foreign_line = (
    st.binary()
    .map(lambda b: b.replace(b"\n", b"").replace(b"\0", b""))
    .filter(lambda line: line.partition(b"=")[0] not in settings.KEYS)
)
foreign_file = st.lists(foreign_line).map(lambda lines: b"".join(line + b"\n" for line in lines))


@given(content=foreign_file, changes=ours)
def test_lines_of_others_are_kept_byte_for_byte(content: bytes, changes: dict[bytes, bytes]) -> None:
    once = settings.updated(content, changes)

    assert once.startswith(content)
    assert settings.parse(once) == changes
    assert settings.updated(once, changes) == once


@given(content=st.binary(), changes=ours)
def test_what_was_set_is_what_is_read_whatever_was_there(content: bytes, changes: dict[bytes, bytes]) -> None:
    found = settings.parse(settings.updated(content, changes))

    assert {key: found[key] for key in changes} == changes


def test_a_key_keeps_its_place_and_its_repeats_go() -> None:
    content = b"# mine\nANALYTICS_ENABLED=0\nOTHER=1\nANALYTICS_ENABLED=0\nlast"

    assert settings.updated(content, {settings.ENABLED: b"1"}) == b"# mine\nANALYTICS_ENABLED=1\nOTHER=1\nlast\n"


def test_the_last_of_two_values_counts_as_in_make_and_shells() -> None:
    assert settings.parse(b"ANALYTICS_ENABLED=1\nANALYTICS_ENABLED=0\n") == {settings.ENABLED: b"0"}


@pytest.mark.parametrize("content", [None, b"ANALYTICS_ENABLED=1\n\0\0", b"", b"ANALYTICS_ENABLED", b"\xff\xfe"])
def test_a_missing_or_damaged_file_says_nothing(content: bytes | None) -> None:
    assert settings.parse(content) == {}


def test_a_new_file_is_readable_by_all_and_an_old_one_keeps_its_mode(tmp_path: Path) -> None:
    file = tmp_path / "onramp.lock"
    settings.change(bytes(tmp_path), {settings.ENABLED: b"1"})
    assert stat.S_IMODE(file.stat().st_mode) == 0o644

    file.chmod(0o600)
    settings.change(bytes(tmp_path), {settings.ENABLED: b"0"})

    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert os.listdir(tmp_path) == ["onramp.lock"]


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give files away")
def test_a_file_that_root_writes_belongs_to_the_owner_of_the_folder(tmp_path: Path) -> None:
    os.chown(tmp_path, 1234, 1235)

    settings.change(bytes(tmp_path), {settings.ENABLED: b"1"})

    found = (tmp_path / "onramp.lock").stat()
    assert (found.st_uid, found.st_gid) == (1234, 1235)


def test_a_symbolic_link_is_neither_read_nor_replaced(tmp_path: Path) -> None:
    elsewhere = tmp_path / "elsewhere"
    elsewhere.write_bytes(b"ANALYTICS_ENABLED=1\n")
    root = tmp_path / "root"
    root.mkdir()
    (root / "onramp.lock").symlink_to(elsewhere)

    assert settings.read(bytes(root)) is None
    with pytest.raises(OSError, match="move it away"):
        settings.change(bytes(root), {settings.ENABLED: b"0"})
    assert elsewhere.read_bytes() == b"ANALYTICS_ENABLED=1\n"


@pytest.mark.parametrize("kind", ["folder", "fifo", "too large"])
def test_what_is_no_text_file_is_off_and_is_left_alone(tmp_path: Path, kind: str) -> None:
    file = tmp_path / "onramp.lock"
    if kind == "folder":
        file.mkdir()
    elif kind == "fifo":
        os.mkfifo(file)
    else:
        file.write_bytes(b"ANALYTICS_ENABLED=1\n" * 10_000)
    before = file.lstat()

    if kind != "fifo":  # an empty FIFO reads as an empty file, which says nothing either
        assert settings.read(bytes(tmp_path)) is None
    assert settings.parse(settings.read(bytes(tmp_path))) == {}
    with pytest.raises(OSError, match="move it away"):
        settings.change(bytes(tmp_path), {settings.ENABLED: b"1"})
    assert file.lstat() == before


def test_what_a_killed_writer_left_half_made_is_no_obstacle(tmp_path: Path) -> None:
    (tmp_path / "onramp.lock.new").write_bytes(b"half")

    settings.change(bytes(tmp_path), {settings.ENABLED: b"1"})

    assert (tmp_path / "onramp.lock").read_bytes() == b"ANALYTICS_ENABLED=1\n"
    assert os.listdir(tmp_path) == ["onramp.lock"]


@pytest.mark.skipif(sys.platform != "linux", reason="needs /dev/full")
def test_a_full_disk_leaves_the_old_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    settings.change(bytes(tmp_path), {settings.ENABLED: b"1"})

    def full(_fd: int, _content: bytes) -> int:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("posix.write", full)
    with pytest.raises(OSError, match="No space"):
        settings.change(bytes(tmp_path), {settings.ENABLED: b"0"})

    assert (tmp_path / "onramp.lock").read_bytes() == b"ANALYTICS_ENABLED=1\n"
    assert os.listdir(tmp_path) == ["onramp.lock"]
