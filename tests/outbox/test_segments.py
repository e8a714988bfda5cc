"""Claim, read and acknowledge: each event stays until it is done, whatever else is in the folder or the files."""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from onramp_analytics.errors import CouldNot
from onramp_analytics.outbox import locks, segments
from onramp_analytics.outbox.segments import Segment
from onramp_analytics.spool import Spool, segment_name
from tests.conftest import STRANGER, line, put, uuid_of, uuids

PUBLISHED = b"\nservice plex\n"

if TYPE_CHECKING:
    from onramp_analytics.consent import Change


def unchanged() -> Change:
    return ""


@pytest.fixture
def folder(spool: Spool) -> Path:
    os.close(spool.make_folder())
    return Path(os.fsdecode(spool.folder))


@pytest.fixture
def file(spool: Spool) -> Path:
    return Path(os.fsdecode(spool.file))


def test_a_claim_takes_the_spool_and_trackers_start_a_new_one(spool: Spool, folder: Path, file: Path) -> None:
    spool.append(line(1), unchanged)

    segment = segments.claim(spool)
    spool.append(line(2), unchanged)

    assert segment
    assert (folder / os.fsdecode(segment.name)).read_bytes() == line(1)
    assert file.read_bytes() == line(2)
    assert uuids(spool) == [uuid_of(1), uuid_of(2)]


def test_where_nothing_is_queued_nothing_is_claimed(spool: Spool, folder: Path) -> None:
    assert segments.claim(spool) is None
    assert os.listdir(folder) == []


def test_nothing_is_claimed_while_somebody_else_holds_the_lock(spool: Spool, folder: Path) -> None:
    spool.append(line(1), unchanged)
    held = spool.take_lock()

    with pytest.raises(CouldNot, match="a stuck process holds"):
        segments.claim(spool)

    os.close(held)
    assert os.listdir(folder) == []
    assert uuids(spool) == [uuid_of(1)]


@pytest.mark.usefixtures("folder")
@pytest.mark.parametrize("kind", ["folder", "fifo", "device", "dangling link"])
def test_what_is_not_our_spool_is_not_claimed(spool: Spool, file: Path, kind: str) -> None:
    put(file, kind)

    assert segments.claim(spool) is None
    assert os.path.lexists(file)


@pytest.mark.usefixtures("folder")
def test_a_spool_that_has_another_name_too_is_not_claimed(spool: Spool, file: Path, tmp_path: Path) -> None:
    (tmp_path / "victim").write_bytes(line(1))
    file.hardlink_to(tmp_path / "victim")

    assert segments.claim(spool) is None


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give files away")
def test_another_users_spool_is_neither_claimed_nor_read(spool: Spool, folder: Path, file: Path) -> None:
    for place in (file, folder / "1-1.0"):
        place.write_bytes(line(1))
        os.chown(place, STRANGER, STRANGER)

    assert segments.claim(spool) is None
    assert uuids(spool) == []


def test_a_claim_without_a_folder_leaves_the_spool_where_it_is(
    spool: Spool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The folder is deleted by hand while the flusher runs: no file is created in the working directory."""
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir(tmp_path / "elsewhere")
    spool.append(line(1), unchanged)

    assert segments.claim(spool) is None

    assert os.listdir(".") == []
    assert uuids(spool) == [uuid_of(1)]


@pytest.mark.usefixtures("folder")
def test_a_claim_whose_lock_file_was_deleted_waits_for_the_writer_that_has_the_spool_open(
    spool: Spool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Race 7 for a claim: its lock file is deleted, and a tracker holds the new one."""
    spool.append(line(1), unchanged)
    rename, held = os.rename, []

    def after_the_lock_was_deleted(*names: Any, **folders: Any) -> None:
        os.unlink(spool.lock)
        held.append(spool.take_lock())
        rename(*names, **folders)

    def let_go(timeout: float) -> int:
        with pytest.raises(AssertionError):  # it stays busy while the tracker writes
            assert take(spool, 0) >= 0
        os.close(held.pop())
        return take(spool, timeout)

    take: Callable[[Spool, float], int] = Spool.take_lock
    calls: list[float] = []

    def take_lock(spool: Spool, wait: float = 0.05) -> int:
        calls.append(wait)
        return let_go(wait) if held else take(spool, wait)

    monkeypatch.setattr(os, "rename", after_the_lock_was_deleted)
    monkeypatch.setattr(Spool, "take_lock", take_lock)

    assert segments.claim(spool)

    assert held == []  # it waited for the new lock before it continued
    assert len(calls) == 3


def test_what_is_acknowledged_is_done_and_the_rest_is_not(spool: Spool, folder: Path) -> None:
    for number in range(3):
        spool.append(line(number), unchanged)
    segment = segments.claim(spool)
    assert segment

    segment = segments.acknowledge(spool, segment, len(line()) * 2)

    assert uuids(spool) == [uuid_of(2)]
    assert segments.waiting(spool) == [segment]
    segments.discard(spool, segment)
    assert os.listdir(folder) == []


def test_segments_are_taken_up_oldest_first(spool: Spool, folder: Path) -> None:
    for name in ("00000000000000000003-9.0", "00000000000000000001-9.0", "00000000000000000002-8.12", "sent", "x.0"):
        (folder / name).touch()
    (folder / f"1-1.{'9' * 19}").touch()

    assert [s.stem[-3:] for s in segments.waiting(spool)] == [b"1-9", b"2-8", b"3-9"]
    assert [s.offset for s in segments.waiting(spool)] == [0, 12, 0]


@pytest.mark.parametrize("offset", [5, 10_000_000])
def test_an_offset_at_which_no_line_ends_means_the_start(spool: Spool, folder: Path, offset: int) -> None:
    """PostHog drops a repeat by its uuid, but a lost event is gone."""
    segment = Segment(segment_name(), offset)
    (folder / os.fsdecode(segment.name)).write_bytes(line(1) + line(2))

    assert uuids(spool) == [uuid_of(1), uuid_of(2)]


@pytest.mark.parametrize("kind", ["folder", "fifo", "device", "dangling link"])
def test_what_is_not_a_segment_of_ours_is_passed_over(spool: Spool, folder: Path, kind: str) -> None:
    put(folder / "00000000000000000001-1.0", kind)
    (folder / "00000000000000000002-1.0").write_bytes(line(2))

    assert uuids(spool) == [uuid_of(2)]
    with pytest.raises(OSError, match=r"regular|symbolic|directory"):
        segments.open_file(spool, b"00000000000000000001-1.0")


def test_nothing_is_read_through_a_linked_folder(spool: Spool, tmp_path: Path) -> None:
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    (elsewhere / "00000000000000000001-1.0").write_bytes(line())
    Path(os.fsdecode(spool.folder)).symlink_to(elsewhere)

    assert segments.waiting(spool) == []
    assert uuids(spool) == []
    segments.purge(spool)
    assert not os.path.lexists(spool.folder)
    assert os.listdir(elsewhere) == ["00000000000000000001-1.0"]


def read_bytes(content: bytes, tmp_path: Path) -> list[Any]:
    (tmp_path / "segment").write_bytes(content)
    with (tmp_path / "segment").open("rb") as opened:
        return list(segments.read(opened, PUBLISHED))


def test_a_file_cut_at_any_byte_loses_no_event_before_the_cut(tmp_path: Path) -> None:
    content = line(1) + line(2)
    for cut in range(len(content)):
        found = read_bytes(content[:cut], tmp_path)

        whole = [p.event["uuid"] for p in found if p]
        expected = (cut >= len(line()) - 1) + (cut >= len(content) - 1)
        assert whole == [uuid_of(1), uuid_of(2)][:expected]


@settings(max_examples=200, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    garbage=st.binary(max_size=200) | st.sampled_from([b"\0" * 5000, b"[" * 50_000, b"x" * 200_000, b'{"a":1}', b"NaN"])
)
def test_no_good_event_is_lost_to_a_bad_neighbor(tmp_path: Path, garbage: bytes) -> None:
    content = line(1) + garbage + b"\n" + line(2)

    found = read_bytes(content, tmp_path)

    assert [p.event["uuid"] for p in found if p] == [uuid_of(1), uuid_of(2)]
    assert [p.end for p in found if p] == [len(line()), len(content)]


def test_damaged_lines_are_counted_and_blank_ones_are_not(tmp_path: Path) -> None:
    found = read_bytes(b"\n\n" + line(1) + b"half\n" + b"x" * 200_000 + b"\n\n" + line(2)[:50], tmp_path)

    assert found.count(None) == 3
    assert len(found) == 4


def test_a_reader_sees_each_event_once_while_it_is_claimed_and_acknowledged(
    spool: Spool, monkeypatch: pytest.MonkeyPatch
) -> None:
    for number in range(2):
        spool.append(line(number), unchanged)
    os.close(spool.make_folder())
    look = segments.waiting

    def claimed_just_before_the_look(spool: Spool) -> list[Segment]:
        segment = segments.claim(spool)
        if segment:
            segments.acknowledge(spool, segment, len(line()))
        return look(spool)

    monkeypatch.setattr(segments, "waiting", claimed_just_before_the_look)

    assert uuids(spool) == [uuid_of(0), uuid_of(1)]


def test_count_says_how_many_lines_are_queued_half_a_line_too(spool: Spool) -> None:
    for number in range(5):
        spool.append(line(number), unchanged)
    spool.append(line(6)[:40], unchanged)

    assert segments.count(spool) == 6


def test_only_what_was_left_unfinished_long_ago_is_deleted(spool: Spool, folder: Path) -> None:
    for name in ("1-1.new", "sent.new", "1-1.0"):
        (folder / name).touch()
    now = time.time()

    segments.remove_abandoned(spool, now + 1)
    assert len(os.listdir(folder)) == 3
    segments.remove_abandoned(spool, now + segments.ABANDONED + 5)

    assert os.listdir(folder) == ["1-1.0"]


def test_without_a_folder_nothing_is_deleted_from_the_working_directory(
    spool: Spool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "mine.new").touch()
    monkeypatch.chdir(tmp_path)

    segments.remove_abandoned(spool, time.time() + 1_000)
    segments.leave(spool)
    segments.purge(spool)

    assert os.listdir(tmp_path) == ["mine.new"]


def test_leave_removes_a_folder_with_nothing_of_worth_and_no_other(spool: Spool, folder: Path) -> None:
    with locks.flusher_lock(spool):
        spool.set_not_before(1)
        (folder / "sent").touch()
        segments.leave(spool)
        assert len(os.listdir(folder)) == 3

        (folder / "sent").unlink()
        segments.leave(spool)

    assert not folder.exists()


def test_purge_deletes_everything_but_what_is_kept(spool: Spool, folder: Path, file: Path) -> None:
    for name in ("1-1.0", "sent", "enabled", "2-2.new"):
        (folder / name).touch()
    spool.append(line(1), unchanged)

    segments.purge(spool, keep=(b"enabled",))
    assert (file.exists(), os.listdir(folder)) == (False, ["enabled"])
    segments.purge(spool)

    assert not folder.exists()


def test_purge_says_what_it_cannot_delete(spool: Spool, folder: Path) -> None:
    (folder / "1-1.0").mkdir()

    with pytest.raises(OSError, match=r"1-1\.0"):
        segments.purge(spool)
