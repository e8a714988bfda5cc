"""Finding the checkout and reading its small files: each change is seen, and no file hangs or misleads the reader."""

from __future__ import annotations

import os
import posix
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace

import pytest

from onramp_analytics import checkout
from onramp_analytics.checkout import LIMIT, NAMES_LIMIT
from tests.conftest import STRANGER, obey_permissions, put, wait_until


@pytest.fixture(autouse=True)
def nothing_kept(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Keep no content from earlier tests, treat every file system as a disk, and let files settle in 50 ms."""
    checkout._kept.clear()
    monkeypatch.setattr(posix, "major", lambda _device: 1)
    monkeypatch.setattr(checkout, "SETTLED", 50_000_000)
    yield
    checkout._kept.clear()


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


OLD, NEW = b"ANALYTICS_ENABLED=1\n", b"ANALYTICS_ENABLED=0\n"  # as long as each other


@pytest.fixture
def file(tmp_path: Path) -> Path:
    """A file whose content is kept."""
    path = tmp_path / "onramp.lock"
    path.write_bytes(OLD)
    wait_until(lambda: checkout.read(bytes(path)) == OLD and checkout._kept, "a content that is kept")
    return path


def write_in_place(file: Path) -> None:
    with file.open("r+b") as opened:
        opened.write(NEW)


def write_one_byte(file: Path) -> None:
    fd = os.open(file, os.O_WRONLY)
    os.pwrite(fd, b"0", len(OLD) - 2)
    os.close(fd)


def write_in_place_and_restore_the_times(file: Path) -> None:
    before = file.stat()
    write_in_place(file)
    os.utime(file, ns=(before.st_atime_ns, before.st_mtime_ns))


def truncate_and_write(file: Path) -> None:
    file.write_bytes(NEW)


def append(file: Path) -> None:
    with file.open("ab") as opened:
        opened.write(NEW)


def rename_over(file: Path) -> None:
    other = file.with_name("other")
    other.write_bytes(NEW)
    other.replace(file)


def rename_over_with_the_same_times(file: Path) -> None:
    other, before = file.with_name("other"), file.stat()
    other.write_bytes(NEW)
    os.utime(other, ns=(before.st_atime_ns, before.st_mtime_ns))
    other.replace(file)


def move_away_and_write_another(file: Path) -> None:
    file.rename(file.with_name("onramp.lock~"))
    file.write_bytes(NEW)


def swap_hard_links(file: Path) -> None:
    other = file.with_name("other")
    other.write_bytes(NEW)
    file.unlink()
    file.hardlink_to(other)


def write_through_another_hard_link(file: Path) -> None:
    other = file.with_name("other")
    other.hardlink_to(file)
    write_in_place(other)


def copy_over(file: Path) -> None:
    other = file.with_name("other")
    other.write_bytes(NEW)
    with other.open("rb") as source, file.open("r+b") as target:
        os.copy_file_range(source.fileno(), target.fileno(), len(NEW))


EDITS: list[Callable[[Path], None]] = [
    write_in_place,
    write_one_byte,
    write_in_place_and_restore_the_times,
    truncate_and_write,
    append,
    rename_over,
    rename_over_with_the_same_times,
    move_away_and_write_another,
    swap_hard_links,
    write_through_another_hard_link,
    copy_over,
]


@pytest.mark.parametrize("edit", EDITS, ids=lambda edit: edit.__name__)
def test_the_next_call_returns_what_an_editor_wrote(file: Path, edit: Callable[[Path], None]) -> None:
    edit(file)

    assert checkout.read(bytes(file)) == file.read_bytes() != OLD


@pytest.mark.parametrize("edit", EDITS, ids=lambda edit: edit.__name__)
def test_the_next_call_returns_what_was_written_to_the_target_of_a_link(
    file: Path, edit: Callable[[Path], None]
) -> None:
    link = file.with_name("link")
    link.symlink_to(file.name)
    assert checkout.read(bytes(link), follow=True) == OLD

    edit(file)

    assert checkout.read(bytes(link), follow=True) == file.read_bytes() != OLD


@pytest.mark.parametrize("edit", EDITS, ids=lambda edit: edit.__name__)
def test_a_second_edit_right_after_the_first_is_seen_too(file: Path, edit: Callable[[Path], None]) -> None:
    edit(file)
    checkout.read(bytes(file))

    file.write_bytes(OLD)

    assert checkout.read(bytes(file)) == OLD


def delete(file: Path) -> None:
    file.unlink()


def replace_by_a_link_to_the_same_content(file: Path) -> None:
    file.rename(file.with_name("target"))
    file.symlink_to("target")


def replace_by_a_fifo(file: Path) -> None:
    file.unlink()
    os.mkfifo(file)


def replace_by_a_folder(file: Path) -> None:
    file.unlink()
    file.mkdir()


def grow_beyond_the_limit(file: Path) -> None:
    os.truncate(file, checkout.LIMIT + 1)


def move_its_folder_away(file: Path) -> None:
    file.parent.rename(file.parent.with_name("elsewhere"))


REMOVALS: list[Callable[[Path], None]] = [
    delete,
    replace_by_a_link_to_the_same_content,
    replace_by_a_fifo,
    replace_by_a_folder,
    grow_beyond_the_limit,
    move_its_folder_away,
]


@pytest.mark.parametrize("remove", REMOVALS, ids=lambda remove: remove.__name__)
def test_a_file_that_was_removed_or_replaced_is_an_error_at_once(file: Path, remove: Callable[[Path], None]) -> None:
    remove(file)

    with pytest.raises(OSError, match=r"."):
        checkout.read(bytes(file))


def test_a_file_that_became_unreadable_is_an_error_at_once(file: Path) -> None:
    file.chmod(0)
    child = os.fork()
    if not child:
        status = 1
        try:
            obey_permissions()
            os.setresuid(65534, 65534, 65534) if os.getuid() == 0 else None
            checkout.read(bytes(file))
        except PermissionError:
            status = 0
        finally:
            os._exit(status)

    assert os.waitpid(child, 0)[1] == 0


def test_the_owner_and_the_limit_hold_for_a_kept_content_too(file: Path) -> None:
    with pytest.raises(PermissionError, match="another user"):
        checkout.read(bytes(file), owner=os.getuid() + 1)
    with pytest.raises(OSError, match="not a small regular file"):
        checkout.read(bytes(file), limit=len(OLD) - 1)

    assert checkout.read(bytes(file), owner=os.getuid(), limit=len(OLD)) == OLD


def test_a_link_is_an_error_even_after_it_was_read_with_follow(file: Path) -> None:
    link = file.with_name("link")
    link.symlink_to(file.name)
    assert checkout.read(bytes(link), follow=True) == OLD

    with pytest.raises(OSError, match=r"."):
        checkout.read(bytes(link))


def test_an_unchanged_file_is_not_opened_again(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object) -> int:
        raise AssertionError("it was opened")

    monkeypatch.setattr(posix, "open", refuse)

    assert checkout.read(bytes(file)) == OLD


def test_a_file_that_has_just_changed_is_not_kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(checkout, "SETTLED", 3600 * 10**9)
    path = tmp_path / "new"
    path.write_bytes(OLD)

    assert checkout.read(bytes(path)) == OLD
    assert not checkout._kept


SECOND = 10**9
NOW = 1_790_000_000 * SECOND + 123_456_789


def settled(changed: int = NOW - 3600 * SECOND, modified: int = NOW - 3600 * SECOND, device: int = 65024) -> bool:
    found = SimpleNamespace(st_ctime_ns=changed, st_mtime_ns=modified, st_dev=device)
    return checkout.is_settled(found, NOW)  # type: ignore[arg-type]


def test_a_file_on_a_disk_that_changed_an_hour_ago_is_settled() -> None:
    assert settled()


@pytest.mark.parametrize(
    ("why", "case"),
    [
        ("it changed a moment ago", {"changed": NOW - 1}),
        ("it changed in the future", {"changed": NOW + SECOND}),
        ("its change time is in whole seconds", {"changed": (NOW // SECOND - 3600) * SECOND}),
        ("its modification time is in whole seconds", {"modified": (NOW // SECOND - 3600) * SECOND}),
        ("its change time is in whole milliseconds", {"changed": (NOW // SECOND - 3600) * SECOND + 10_000_000}),
    ],
)
def test_a_file_is_read_each_time_if(why: str, case: dict[str, int]) -> None:
    assert not settled(**case), why


def test_a_file_is_read_each_time_if_its_file_system_has_no_disk(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.undo()

    assert settled(device=os.makedev(254, 0))
    assert not settled(device=os.makedev(0, 27))


def test_the_number_of_kept_files_is_limited(tmp_path: Path) -> None:
    paths = [bytes(tmp_path / str(number)) for number in range(3 * checkout.MOST)]
    for path in paths:
        Path(os.fsdecode(path)).write_bytes(OLD)
    time.sleep(checkout.SETTLED / SECOND)
    most = 0
    for path in paths:
        checkout.read(path)
        most = max(most, len(checkout._kept))

    assert most == checkout.MOST
