"""Finding the checkout and reading its small files, which never hangs and never follows a link."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from onramp_analytics import checkout
from onramp_analytics.checkout import LIMIT, NAMES_LIMIT
from tests.conftest import STRANGER, put


def test_a_named_folder_is_taken_as_it_is_whether_it_exists_or_not(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir("/usr")

    assert checkout.find(b"/nowhere", {checkout.VARIABLE: b"/other"}) == b"/nowhere"
    assert checkout.find(b"nowhere", {}) == b"/usr/nowhere"
    assert checkout.find(None, {checkout.VARIABLE: b"/other"}) == b"/other"
    assert checkout.find(b"", {checkout.VARIABLE: b"lib"}) == b"/usr/lib"


@pytest.mark.parametrize(
    ("present", "is_one"),
    [
        (["onramp.lock"], True),
        (["Makefile", "services-available"], True),
        (["Makefile"], False),
        (["services-available"], False),
        ([], False),
    ],
)
def test_a_checkout_is_known_by_what_is_in_it(tmp_path: Path, present: list[str], *, is_one: bool) -> None:
    for name in present:
        (tmp_path / name).touch()

    assert checkout.is_checkout(bytes(tmp_path)) is is_one


def test_the_first_checkout_from_the_working_directory_up_is_the_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    inner = tmp_path / "outer" / "inner" / "deep"
    inner.mkdir(parents=True)
    monkeypatch.chdir(inner)
    assert checkout.find(None, {}) is None

    (tmp_path / "outer" / "onramp.lock").touch()
    assert checkout.find(None, {}) == bytes(tmp_path / "outer")
    (tmp_path / "outer" / "inner" / "onramp.lock").touch()

    assert checkout.find(None, {}) == bytes(tmp_path / "outer" / "inner")


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give files away")
def test_another_users_lock_file_ends_the_walk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    inner = tmp_path / "inner"
    inner.mkdir()
    for folder in (tmp_path, inner):
        (folder / "onramp.lock").touch()
    os.chown(inner / "onramp.lock", STRANGER, STRANGER)
    monkeypatch.chdir(inner)

    assert checkout.find(None, {}) == bytes(inner)


def test_a_working_directory_that_was_deleted_is_no_checkout(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "gone").mkdir()
    monkeypatch.chdir(tmp_path / "gone")
    (tmp_path / "gone").rmdir()

    assert checkout.find(None, {}) is None


@pytest.mark.parametrize("kind", ["folder", "fifo", "device", "dangling link", "too large"])
@pytest.mark.parametrize("follow", [False, True])
def test_what_is_not_a_small_regular_file_is_not_read(tmp_path: Path, kind: str, *, follow: bool) -> None:
    put(tmp_path / "file", kind)

    with pytest.raises(OSError, match="file"):
        checkout.read(bytes(tmp_path / "file"), follow=follow)


def test_a_file_without_permission_is_not_read(ordinary_user: Path) -> None:
    put(ordinary_user / "file", "0 mode")

    with pytest.raises(PermissionError):
        checkout.read(bytes(ordinary_user / "file"))


def test_a_link_is_followed_only_where_that_is_asked_for(tmp_path: Path) -> None:
    (tmp_path / "real").write_bytes(b"content")
    (tmp_path / "link").symlink_to("real")

    assert checkout.read(bytes(tmp_path / "link"), follow=True) == b"content"
    with pytest.raises(OSError, match="symbolic links"):
        checkout.read(bytes(tmp_path / "link"))


def test_a_file_of_exactly_the_limit_is_read_whole(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"x" * LIMIT)

    assert len(checkout.read(bytes(tmp_path / "file"))) == LIMIT


def test_only_the_owner_that_is_asked_for_counts(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"content")

    assert checkout.read(bytes(tmp_path / "file"), owner=os.geteuid()) == b"content"
    with pytest.raises(PermissionError, match="another user"):
        checkout.read(bytes(tmp_path / "file"), owner=os.geteuid() + 1)


@pytest.fixture
def names(tmp_path: Path) -> Path:
    (tmp_path / "make.d").mkdir()
    return tmp_path / "make.d" / "analytics.names"


def test_the_published_names_are_one_block_of_lines(tmp_path: Path, names: Path) -> None:
    names.write_bytes(b"# ours\nservice plex\n")

    assert checkout.published(bytes(tmp_path)) == b"\n# ours\nservice plex\n"


def test_a_last_line_that_breaks_off_publishes_no_half_name(tmp_path: Path, names: Path) -> None:
    names.write_bytes(b"service plex\nservice my-wiki")

    assert checkout.published(bytes(tmp_path)) == b"\nservice plex\n"


@pytest.mark.parametrize("kind", ["folder", "fifo", "device", "dangling link", "link", "too large", "missing"])
def test_without_a_small_regular_file_nothing_is_published(tmp_path: Path, names: Path, kind: str) -> None:
    if kind == "link":
        (tmp_path / "elsewhere").write_bytes(b"service plex\n")
        names.symlink_to(tmp_path / "elsewhere")
    elif kind == "too large":
        names.write_bytes(b"service plex\n" + b"#" * NAMES_LIMIT)
    elif kind != "missing":
        put(names, kind)

    assert checkout.published(bytes(tmp_path)) == b""


def test_names_that_may_not_be_read_publish_nothing(ordinary_user: Path) -> None:
    (ordinary_user / "make.d").mkdir()
    put(ordinary_user / "make.d" / "analytics.names", "0 mode")

    assert checkout.published(bytes(ordinary_user)) == b""
