"""`onramp.lock`: eight keys are ours, and every other line stays as it is."""

from __future__ import annotations

import os
import stat
import sys
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from onramp_analytics import settings
from tests.conftest import STRANGER, put

ours = st.dictionaries(st.sampled_from(settings.KEYS), st.sampled_from([b"0", b"1", b"x"]), min_size=1)
#: Lines of others: no line break, no NUL, and not one of our keys.
foreign_line = (
    st.binary()
    .map(lambda b: b.replace(b"\n", b"").replace(b"\0", b""))
    .filter(lambda line: line.partition(b"=")[0] not in settings.KEYS)
)
some_of_ours = st.dictionaries(st.sampled_from(settings.KEYS), st.none() | st.sampled_from([b"0", b"1", b"x"]))
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


@given(content=st.binary() | foreign_file, before=ours, changes=some_of_ours)
def test_a_key_that_is_set_to_none_is_gone_and_the_others_are_as_they_were(
    content: bytes, before: dict[bytes, bytes], changes: dict[bytes, bytes | None]
) -> None:
    old = settings.updated(content, before)

    new = settings.updated(old, changes)

    expected = {**settings.parse(old), **changes}
    assert settings.parse(new) == {key: value for key, value in expected.items() if value is not None}
    assert settings.updated(new, changes) == new


@given(content=foreign_file, before=ours)
def test_removing_all_of_our_keys_leaves_what_was_there_before_us(content: bytes, before: dict[bytes, bytes]) -> None:
    assert settings.updated(settings.updated(content, before), dict.fromkeys(settings.KEYS)) == content


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
def test_another_users_file_says_nothing_and_a_change_makes_it_ours(tmp_path: Path) -> None:
    """The owner is the user who agreed, so `enable` replaces the file; the lines of others stay."""
    file = tmp_path / "onramp.lock"
    file.write_bytes(b"OTHER=1\nANALYTICS_ENABLED=1\n")
    os.chown(file, STRANGER, STRANGER)

    assert settings.load(bytes(tmp_path)) is None
    settings.change(bytes(tmp_path), {settings.ENABLED: b"0"})

    assert settings.load(bytes(tmp_path)) == b"OTHER=1\nANALYTICS_ENABLED=0\n"


@pytest.mark.parametrize("kind", ["folder", "fifo", "device", "dangling link", "link", "too large"])
def test_what_is_not_a_small_file_is_off_and_is_left_alone(tmp_path: Path, kind: str) -> None:
    file, victim = tmp_path / "onramp.lock", tmp_path / "victim"
    victim.write_bytes(b"ANALYTICS_ENABLED=1\n")
    if kind == "link":
        file.symlink_to(victim)
    else:
        put(file, kind)
    before = file.lstat()

    assert settings.load(bytes(tmp_path)) is None
    for change in (settings.remove, lambda root: settings.change(root, {settings.ENABLED: b"1"})):
        with pytest.raises(OSError, match=r"onramp\.lock"):
            change(bytes(tmp_path))

    assert os.path.samestat(file.lstat(), before)
    assert sorted(os.listdir(tmp_path)) == ["onramp.lock", "victim"]
    assert victim.read_bytes() == b"ANALYTICS_ENABLED=1\n"


def test_a_file_without_permission_is_off_and_is_left_alone(ordinary_user: Path) -> None:
    put(ordinary_user / "onramp.lock", "0 mode")

    assert settings.load(bytes(ordinary_user)) is None
    with pytest.raises(PermissionError):
        settings.change(bytes(ordinary_user), {settings.ENABLED: b"1"})

    assert os.listdir(ordinary_user) == ["onramp.lock"]


def test_remove_leaves_what_others_wrote_and_no_empty_file(tmp_path: Path) -> None:
    file = tmp_path / "onramp.lock"
    settings.change(bytes(tmp_path), dict.fromkeys(settings.KEYS, b"1"))
    settings.remove(bytes(tmp_path))
    assert os.listdir(tmp_path) == []

    file.write_bytes(b"OTHER=1\nANALYTICS_ID=x\n")
    settings.remove(bytes(tmp_path))
    assert file.read_bytes() == b"OTHER=1\n"
    file.unlink()
    settings.remove(bytes(tmp_path))

    assert os.listdir(tmp_path) == []


def test_a_change_that_was_overtaken_by_another_one_changes_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A process is stopped in the middle, and `disable` continues without the lock."""
    updated, file = settings.updated, tmp_path / "onramp.lock"

    def overtaken(content: bytes, changes: dict[bytes, bytes | None]) -> bytes:
        file.write_bytes(b"ANALYTICS_ENABLED=0\n")
        return updated(content, changes)

    monkeypatch.setattr(settings, "updated", overtaken)
    with pytest.raises(InterruptedError, match="changed meanwhile"):
        settings.change(bytes(tmp_path), {settings.ENABLED: b"1"})

    assert file.read_bytes() == b"ANALYTICS_ENABLED=0\n"
    assert os.listdir(tmp_path) == ["onramp.lock"]


def test_what_a_killed_writer_left_is_no_obstacle(tmp_path: Path) -> None:
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
