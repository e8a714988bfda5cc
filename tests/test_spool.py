"""The spool on disk: no stored event is lost, and no other file is touched. Real files, real locks."""

from __future__ import annotations

import fcntl
import os
import resource
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from onramp_analytics.outbox import segments
from onramp_analytics.spool import CAP, LONGEST_WAIT, MOST_SPILLED, STAMP, Spool, segment_name
from tests.conftest import ID, NOON, STRANGER, line, uuid_of, uuids

if TYPE_CHECKING:
    from collections.abc import Iterator

    from onramp_analytics.consent import Change


def unchanged() -> Change:
    return ""


@pytest.fixture
def file(spool: Spool) -> Path:
    return Path(os.fsdecode(spool.file))


@pytest.fixture
def folder(spool: Spool) -> Path:
    return Path(os.fsdecode(spool.folder))


def test_lines_are_appended_in_order_to_a_file_for_the_user_alone(spool: Spool, file: Path) -> None:
    for number in range(3):
        assert spool.append(line(number), unchanged) == "stored"

    assert file.read_bytes() == line(0) + line(1) + line(2)
    assert [os.stat(p).st_mode & 0o777 for p in (spool.file, spool.lock)] == [0o600, 0o600]


def test_with_umask_000_everything_is_still_for_the_user_alone(spool: Spool, folder: Path) -> None:
    before = os.umask(0)
    try:
        spool.append(line(), unchanged)
        os.close(spool.make_folder())
        spool.set_not_before(1)
        lock = spool.take_lock()
        spool.append(line(), unchanged)  # spilled
        os.close(lock)
    finally:
        os.umask(before)

    modes = {p: p.stat().st_mode & 0o777 for p in folder.parent.rglob("*")}
    assert modes.pop(folder) == 0o700
    assert set(modes.values()) == {0o600}
    assert len(modes) == 4


def test_several_lines_are_stored_together(spool: Spool) -> None:
    assert spool.append(line(1) + line(2), unchanged) == "stored"

    assert uuids(spool) == [uuid_of(1), uuid_of(2)]


def test_a_line_after_half_a_line_of_a_killed_tracker_is_whole(spool: Spool) -> None:
    spool.append(line(1)[:40], unchanged)

    spool.append(line(2), unchanged)

    assert uuids(spool) == [uuid_of(2)]


def test_at_the_cap_nothing_is_appended(spool: Spool, file: Path) -> None:
    full = b"x" * (CAP - 10) + b"\n"
    file.write_bytes(full)

    assert spool.append(line(), unchanged) == "full"
    assert file.read_bytes() == full


@pytest.mark.parametrize("kind", ["symlink", "dangling symlink", "fifo", "folder", "hard link"])
def test_what_is_not_our_spool_is_not_written_to(spool: Spool, file: Path, tmp_path: Path, kind: str) -> None:
    victim = tmp_path / "victim"
    if kind != "dangling symlink":
        victim.write_text("precious")
    if kind.endswith("symlink"):
        file.symlink_to(victim)
    elif kind == "fifo":
        os.mkfifo(file)
    elif kind == "folder":
        file.mkdir()
    else:
        file.hardlink_to(victim)
    started = time.monotonic()
    try:
        outcome: str = spool.append(line(), unchanged)
    except OSError:
        outcome = "refused"

    assert outcome in ("foreign", "refused")
    assert time.monotonic() - started < 1
    assert not victim.exists() or victim.read_text() == "precious"


def test_a_full_disk_leaves_whole_lines_only(spool: Spool, file: Path) -> None:
    """RLIMIT_FSIZE shortens a write exactly as a full disk does."""
    code = (
        "import resource, sys; from onramp_analytics.spool import Spool\n"
        f"resource.setrlimit(resource.RLIMIT_FSIZE, ({len(line()) * 2 + 50},) * 2)\n"
        "for n in range(4):\n"
        "    try: print(Spool(sys.argv[1].encode()).append(sys.argv[2].encode() + b'\\n', lambda: ''))\n"
        "    except OSError as error: print(error.errno)\n"
    )
    text = line().decode().rstrip("\n")

    done = subprocess.run(
        [sys.executable, "-c", code, os.fsdecode(spool.root), text], capture_output=True, text=True, check=True
    )

    assert done.stdout.split("\n")[:4] == ["stored", "stored", "disk full", "disk full"]
    assert file.read_bytes() == line() * 2
    assert resource.getrlimit(resource.RLIMIT_FSIZE)[0] == resource.RLIM_INFINITY


# -- files of other users ----------------------------------------------------------------------------------------------


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give files away")
@pytest.mark.parametrize("name", ["onramp.spool", "onramp.spool.lock", "onramp.spool.d"])
def test_a_file_that_belongs_to_another_user_is_not_ours(tmp_path: Path, spool: Spool, name: str) -> None:
    place = tmp_path / name
    place.mkdir() if name.endswith(".d") else place.touch()
    os.chown(place, STRANGER, STRANGER)

    if name == "onramp.spool":
        assert spool.append(line(), unchanged) == "foreign"
        assert place.stat().st_size == 0
    elif name == "onramp.spool.lock":
        with pytest.raises(PermissionError, match="another user"):
            spool.append(line(), unchanged)
        assert os.listdir(tmp_path) == [name]
    else:
        for use in (spool.make_folder, spool.open_folder, lambda: spool.set_not_before(1)):
            with pytest.raises(PermissionError, match="another user"):
                use()
        spool.clear_not_before()
        assert os.listdir(place) == []


@pytest.mark.parametrize("name", ["onramp.spool.lock", "onramp.spool.d"])
def test_a_link_in_the_place_of_a_file_of_ours_is_not_followed(tmp_path: Path, spool: Spool, name: str) -> None:
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir() if name.endswith(".d") else elsewhere.touch()
    (tmp_path / name).symlink_to(elsewhere)

    with pytest.raises(OSError, match=name):
        spool.append(line(), unchanged) if name.endswith(".lock") else spool.make_folder()

    assert not os.path.exists(spool.file)


def test_a_stamp_behind_a_link_is_neither_set_nor_believed(tmp_path: Path, spool: Spool, folder: Path) -> None:
    elsewhere = tmp_path / "elsewhere"
    elsewhere.touch()
    os.close(spool.make_folder())
    (folder / os.fsdecode(STAMP)).symlink_to(elsewhere)
    ahead = time.time() + 600
    os.utime(elsewhere, (ahead, ahead))

    with pytest.raises(OSError, match="symbolic links"):
        spool.set_not_before(1)

    assert elsewhere.stat().st_mtime == ahead
    assert spool.flusher_is_due(time.time())


def test_a_stamp_that_is_a_hard_link_is_not_set(tmp_path: Path, spool: Spool, folder: Path) -> None:
    victim = tmp_path / "victim"
    victim.touch()
    before = victim.stat().st_mtime
    os.close(spool.make_folder())
    (folder / os.fsdecode(STAMP)).hardlink_to(victim)

    with pytest.raises(FileExistsError, match="not a file of ours"):
        spool.set_not_before(1)

    assert victim.stat().st_mtime == before


# -- the lock, while it is free and while it is busy -------------------------------------------------------------------


def test_the_lock_excludes_and_is_free_again_when_its_descriptor_is_closed(spool: Spool) -> None:
    held = spool.take_lock()

    assert spool.take_lock(wait=0) == -1
    os.close(held)
    again = spool.take_lock(wait=0)
    assert again >= 0
    os.close(again)


def test_a_fifo_in_the_place_of_the_lock_hangs_no_command(spool: Spool) -> None:
    os.mkfifo(spool.lock)

    assert spool.append(line(), unchanged) == "stored"


@pytest.mark.usefixtures("stopped_holder")
def test_with_the_lock_held_by_a_stopped_process_an_event_is_spilled_in_time(spool: Spool) -> None:
    started = time.monotonic()
    outcome = spool.append(line(7), unchanged)
    took = time.monotonic() - started

    assert outcome == "stored"
    assert took < 0.5  # the budget is 60 ms; the machine may be busy
    assert not os.path.exists(spool.file)
    assert uuids(spool) == [uuid_of(7)]
    assert [s.offset for s in segments.waiting(spool)] == [0]


@pytest.mark.usefixtures("stopped_holder")
def test_no_more_than_a_thousand_events_are_spilled(spool: Spool, folder: Path) -> None:
    folder.mkdir()
    for number in range(MOST_SPILLED + 1):
        (folder / f"{number:020}-1.0").touch()

    assert spool.append(line(), unchanged) == "full"


@pytest.mark.usefixtures("stopped_holder")
def test_nothing_is_spilled_through_a_link(spool: Spool, folder: Path, tmp_path: Path) -> None:
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    folder.symlink_to(elsewhere)

    with pytest.raises(NotADirectoryError):
        spool.append(line(), unchanged)

    assert os.listdir(elsewhere) == []


# -- the races of spool.py ---------------------------------------------------------------------------------------------


def test_a_lock_file_that_disable_removed_is_not_the_lock_any_more(
    spool: Spool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Race 2: `disable` removes the file while a tracker waits for it."""
    flock, calls = fcntl.flock, []

    def removed_meanwhile(fd: int, how: int) -> None:
        flock(fd, how)
        calls.append(fd)
        if len(calls) == 1:
            os.unlink(spool.lock)

    monkeypatch.setattr(fcntl, "flock", removed_meanwhile)

    fd = spool.take_lock()

    assert os.path.samestat(os.fstat(fd), os.stat(spool.lock))
    os.close(fd)


def test_consent_that_went_while_we_waited_for_the_lock_leaves_no_file(spool: Spool) -> None:
    """Race 3."""
    assert spool.append(line(), lambda: "withdrawn") == "off"

    assert os.listdir(spool.root) == []


@pytest.mark.usefixtures("stopped_holder")
def test_consent_that_goes_while_an_event_is_spilled_takes_it_back(spool: Spool) -> None:
    """Race 3."""
    answers: Iterator[Change] = iter(["", "withdrawn"])

    assert spool.append(line(), lambda: next(answers)) == "off"

    assert not os.path.exists(spool.folder)


def test_a_tracker_that_was_stopped_under_the_lock_takes_its_event_back_after_disable(
    spool: Spool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Race 3: a tracker is stopped just before its write, and `disable` continues without the lock."""
    write = Spool.write
    answers: Iterator[Change] = iter(["", "withdrawn"])

    def disabled_meanwhile(spool: Spool, lines: bytes) -> str:
        os.unlink(spool.lock)
        return write(spool, lines)

    monkeypatch.setattr(Spool, "write", disabled_meanwhile)

    assert spool.append(line(), lambda: next(answers)) == "off"
    assert os.listdir(spool.root) == []


def test_events_of_a_new_identifier_stay_if_a_tracker_was_stopped_before_it(
    spool: Spool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Race 3: `disable` continues without the lock of a stopped tracker, and `enable` begins a new spool."""
    write = Spool.write
    answers: Iterator[Change] = iter(["", "replaced"])

    def begun_anew(stopped: Spool, lines: bytes) -> str:
        monkeypatch.setattr(Spool, "write", write)
        os.unlink(stopped.lock)
        assert spool.append(line(2), unchanged) == "stored"
        return write(stopped, lines)

    monkeypatch.setattr(Spool, "write", begun_anew)

    assert spool.append(line(1), lambda: next(answers)) == "off"
    assert uuid_of(2) in uuids(spool)


def test_a_lock_file_deleted_by_hand_during_a_write_loses_no_event(
    spool: Spool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Race 7: a flusher takes a new lock, claims and finishes the spool in the middle of the write."""
    opened, calls = os.pread, []
    os.close(spool.make_folder())
    spool.append(line(1), unchanged)
    finished: list[str] = []

    def deleted_and_claimed(fd: int, size: int, at: int) -> bytes:
        calls.append(fd)
        if len(calls) == 1:  # the spool is open, and nothing is written
            os.unlink(spool.lock)
            segment = segments.claim(spool)
            assert segment
            finished.extend(uuids(spool))
            segments.discard(spool, segment)
        return opened(fd, size, at)

    monkeypatch.setattr("posix.pread", deleted_and_claimed)

    assert spool.append(line(2), unchanged) == "stored"

    assert finished == [uuid_of(1)]
    assert uuids(spool) == [uuid_of(2)]


def test_eight_processes_and_a_claimer_lose_no_event(spool: Spool) -> None:
    """Race 1."""
    code = (
        "import sys; from onramp_analytics import events; from onramp_analytics.spool import Spool\n"
        "spool, first = Spool(sys.argv[1].encode()), int(sys.argv[2])\n"
        "v = {'service_name': 'plex'}\n"
        "for n in range(first, first + 200):\n"
        f"    l = events.build('service_disabled', v, sys.argv[3], {NOON}, n.to_bytes(16, 'big'))\n"
        "    assert spool.append(l, lambda: '') == 'stored'\n"
    )
    os.close(spool.make_folder())
    writers = [
        subprocess.Popen([sys.executable, "-c", code, os.fsdecode(spool.root), str(n * 1000), ID]) for n in range(8)
    ]
    while any(w.poll() is None for w in writers):
        segments.claim(spool)
    assert [w.returncode for w in writers] == [0] * 8

    assert sorted(uuids(spool)) == sorted(uuid_of(n * 1000 + k) for n in range(8) for k in range(200))


def test_a_writer_killed_at_any_moment_loses_no_event_of_others(spool: Spool) -> None:
    """Race 4."""
    code = (
        "import sys; from onramp_analytics import events; from onramp_analytics.spool import Spool\n"
        "spool, n = Spool(sys.argv[1].encode()), int(sys.argv[2])\n"
        "v = {'service_name': 'plex'}\n"
        "while True:\n"
        f"    l = events.build('service_disabled', v, sys.argv[3], {NOON}, n.to_bytes(16, 'big'))\n"
        "    if spool.append(l, lambda: '') == 'stored': print(n, flush=True)\n"
        "    n += 1\n"
    )
    stored: list[int] = []
    for round_ in range(10):
        writer = subprocess.Popen(
            [sys.executable, "-c", code, os.fsdecode(spool.root), str(round_ * 100_000), ID], stdout=subprocess.PIPE
        )
        assert writer.stdout
        writer.stdout.readline()
        writer.send_signal(signal.SIGKILL)
        stored += [round_ * 100_000, *map(int, writer.stdout.read().split())]
        writer.wait()
        writer.stdout.close()

    assert {uuid_of(n) for n in stored} <= set(uuids(spool))


# -- starting the flusher ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("ahead", "due"),
    [(None, True), (-1, True), (60, False), (LONGEST_WAIT - 60, False), (LONGEST_WAIT + 60, True)],
    ids=["no stamp", "passed", "alive or backing off", "longest back-off", "a clock that jumped"],
)
def test_a_flusher_is_due_unless_the_stamp_is_ahead(spool: Spool, ahead: float | None, *, due: bool) -> None:
    now = time.time()
    if ahead is not None:
        os.close(spool.make_folder())
        spool.set_not_before(now + ahead)

    assert spool.flusher_is_due(now) is due


def test_release_makes_a_flusher_due_and_leaves_no_empty_folder(spool: Spool) -> None:
    os.close(spool.make_folder())
    spool.set_not_before(time.time() + 60)

    spool.clear_not_before()

    assert spool.not_before() == 0
    assert spool.flusher_is_due(time.time())
    assert os.listdir(spool.root) == []
    spool.clear_not_before()


def test_names_of_segments_sort_by_time() -> None:
    names = [segment_name() for _ in range(100)]

    assert names == sorted(names)
