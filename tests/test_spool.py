"""The spool on disk: nothing that was stored is lost, and nothing else is touched. Real files, real locks."""

from __future__ import annotations

import fcntl
import os
import resource
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from filelock import FileLock, Timeout
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from onramp_analytics import events
from onramp_analytics import spool as spools
from onramp_analytics.errors import CouldNot
from onramp_analytics.outbox import segments
from onramp_analytics.outbox.segments import Segment
from onramp_analytics.spool import Spool

PUBLISHED = b"\nservice plex\n"
ID = "550e8400-e29b-41d4-a716-446655440000"


def line(number: int = 0) -> bytes:
    """An event that can be told from others by its uuid."""
    values = {"service_name": "plex"}
    return events.build("service_disabled", values, ID, 1_767_441_600 * 10**9, number.to_bytes(16, "big"))


def uuid_of(number: int) -> str:
    return events.uuid4(number.to_bytes(16, "big"))


def yes() -> bool:
    return True


def uuids(spool: Spool) -> list[str]:
    found = (p for file in segments.pending_files(spool) for p in segments.read(file, PUBLISHED))
    return [p.event["uuid"] for p in found if p]


@pytest.fixture
def spool(tmp_path: Path) -> Spool:
    return Spool(bytes(tmp_path))


@pytest.fixture
def stopped_holder(spool: Spool) -> Iterator[None]:
    """A process that holds the spool's lock and does not move."""
    code = (
        "import fcntl, os, signal, sys\n"
        "file = open(sys.argv[1], 'w')\n"
        "fcntl.flock(file, fcntl.LOCK_EX)\n"
        "print(flush=True)\n"
        "os.kill(os.getpid(), signal.SIGSTOP)\n"
    )
    command = [sys.executable, "-c", code, os.fsdecode(spool.lock)]
    with subprocess.Popen(command, stdout=subprocess.PIPE) as holder:
        assert holder.stdout
        holder.stdout.readline()
        yield
        holder.kill()


def test_lines_are_appended_in_order_to_a_file_for_the_user_alone(spool: Spool) -> None:
    for number in range(3):
        assert spools.append(spool, line(number), yes) == "stored"

    assert Path(os.fsdecode(spool.file)).read_bytes() == line(0) + line(1) + line(2)
    assert [os.stat(p).st_mode & 0o777 for p in (spool.file, spool.lock)] == [0o600, 0o600]


def test_a_line_after_half_a_line_of_a_killed_tracker_is_whole(spool: Spool) -> None:
    spools.append(spool, line(1)[:40], yes)

    spools.append(spool, line(2), yes)

    assert uuids(spool) == [uuid_of(2)]


def test_at_the_cap_nothing_is_appended(spool: Spool) -> None:
    full = b"x" * (spools.CAP - 10) + b"\n"
    Path(os.fsdecode(spool.file)).write_bytes(full)

    assert spools.append(spool, line(), yes) == "full"
    assert Path(os.fsdecode(spool.file)).read_bytes() == full


@pytest.mark.parametrize("kind", ["symlink", "dangling symlink", "fifo", "folder", "hard link"])
def test_what_is_not_our_spool_is_not_written_to(spool: Spool, tmp_path: Path, kind: str) -> None:
    victim, place = tmp_path / "victim", Path(os.fsdecode(spool.file))
    if kind != "dangling symlink":
        victim.write_text("precious")
    if kind.endswith("symlink"):
        place.symlink_to(victim)
    elif kind == "fifo":
        os.mkfifo(place)
    elif kind == "folder":
        place.mkdir()
    else:
        place.hardlink_to(victim)
    started = time.monotonic()
    try:
        outcome = spools.append(spool, line(), yes)
    except OSError:
        outcome = "refused"

    assert outcome in ("foreign", "refused")
    assert time.monotonic() - started < 1
    assert not victim.exists() or victim.read_text() == "precious"
    assert segments.claim(spool) is None


def test_a_full_disk_leaves_whole_lines_only(spool: Spool) -> None:
    """RLIMIT_FSIZE cuts a write short exactly as a disk that fills up does."""
    code = (
        "import resource, sys; from onramp_analytics import spool as s\n"
        f"resource.setrlimit(resource.RLIMIT_FSIZE, ({len(line()) * 2 + 50},) * 2)\n"
        "for n in range(4):\n"
        "    try: print(s.append(s.Spool(sys.argv[1].encode()), sys.argv[2].encode() + b'\\n', lambda: True))\n"
        "    except OSError as error: print(error.errno)\n"
    )
    text = line().decode().rstrip("\n")

    done = subprocess.run(
        [sys.executable, "-c", code, os.fsdecode(spool.home), text], capture_output=True, text=True, check=True
    )

    assert done.stdout.split("\n")[:4] == ["stored", "stored", "disk full", "disk full"]
    assert Path(os.fsdecode(spool.file)).read_bytes() == line() * 2
    assert resource.getrlimit(resource.RLIMIT_FSIZE)[0] == resource.RLIM_INFINITY


def test_filelock_and_the_hot_paths_flock_exclude_each_other(spool: Spool) -> None:
    held = spools.take_lock(spool)
    with pytest.raises(Timeout):
        FileLock(os.fsdecode(spool.lock), timeout=0).acquire()
    os.close(held)

    with segments.locked(spool) as ours:
        assert ours
        assert spools.take_lock(spool, wait=0) == -1
    fd = spools.take_lock(spool, wait=0)
    assert fd >= 0
    os.close(fd)


@pytest.mark.usefixtures("stopped_holder")
def test_with_the_lock_held_by_a_stopped_process_an_event_is_spilled_in_time(spool: Spool) -> None:
    started = time.monotonic()
    outcome = spools.append(spool, line(7), yes)
    took = time.monotonic() - started

    assert outcome == "stored"
    assert took < 0.5  # the budget is 60 ms; the machine may be busy
    assert not os.path.exists(spool.file)
    assert uuids(spool) == [uuid_of(7)]
    assert [s.offset for s in segments.waiting(spool)] == [0]


@pytest.mark.usefixtures("stopped_holder")
def test_no_more_than_a_thousand_events_are_spilled(spool: Spool) -> None:
    folder = Path(os.fsdecode(spool.folder))
    folder.mkdir()
    for number in range(spools.MOST_SPILLED + 1):
        (folder / f"{number:020}-1.0").touch()

    assert spools.append(spool, line(), yes) == "full"


@pytest.mark.usefixtures("stopped_holder")
def test_a_spool_folder_that_is_a_link_is_not_followed(spool: Spool, tmp_path: Path) -> None:
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    (elsewhere / "00000000000000000001-1.0").write_bytes(line())
    Path(os.fsdecode(spool.folder)).symlink_to(elsewhere)

    with pytest.raises(NotADirectoryError):
        spools.append(spool, line(), yes)

    assert segments.waiting(spool) == []
    segments.purge(spool)
    assert os.listdir(elsewhere) == ["00000000000000000001-1.0"]


def test_consent_that_went_while_we_waited_for_the_lock_leaves_no_file(spool: Spool) -> None:
    assert spools.append(spool, line(), lambda: False) == "off"

    assert os.listdir(spool.home) == []


@pytest.mark.usefixtures("stopped_holder")
def test_consent_that_goes_while_an_event_is_spilled_takes_it_back(spool: Spool) -> None:
    answers = iter([True, False])

    assert spools.append(spool, line(), lambda: next(answers)) == "off"

    assert not os.path.exists(spool.folder)


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

    fd = spools.take_lock(spool)

    assert os.path.samestat(os.fstat(fd), os.stat(spool.lock))
    os.close(fd)


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give files away")
def test_what_root_creates_in_a_users_checkout_belongs_to_the_user(spool: Spool) -> None:
    os.chown(spool.home, 1234, 1235)

    spools.append(spool, line(), yes)
    spools.make_folder(spool)
    spools.set_not_before(spool, 1)
    with segments.flusher_lock(spool):
        pass

    owners = {os.stat(p).st_uid for p in (spool.file, spool.lock, spool.folder, spool.not_before)}
    assert owners == {1234}
    assert os.stat(segments.flusher_lock_path(spool)).st_uid == 1234


def test_root_does_not_give_away_a_file_that_was_there(spool: Spool) -> None:
    if os.geteuid() == 0:
        os.chown(spool.home, 1234, 1235)
    place = Path(os.fsdecode(spool.file))
    place.write_bytes(line())
    before = place.stat().st_uid

    spools.append(spool, line(), yes)

    assert place.stat().st_uid == before


# -- claim, read, acknowledge ------------------------------------------------------------------------------------------


def test_a_claim_takes_the_spool_and_trackers_start_a_new_one(spool: Spool) -> None:
    spools.append(spool, line(1), yes)
    spools.make_folder(spool)

    segment = segments.claim(spool)
    spools.append(spool, line(2), yes)

    assert segment
    assert Path(os.fsdecode(segment.path)).read_bytes() == line(1)
    assert Path(os.fsdecode(spool.file)).read_bytes() == line(2)
    assert uuids(spool) == [uuid_of(1), uuid_of(2)]


def test_nothing_is_claimed_while_somebody_else_holds_the_lock(spool: Spool) -> None:
    spools.append(spool, line(1), yes)
    spools.make_folder(spool)
    held = spools.take_lock(spool)

    with pytest.raises(CouldNot, match="locked by a process that does not move"):
        segments.claim(spool)

    os.close(held)
    assert segments.waiting(spool) == []
    assert uuids(spool) == [uuid_of(1)]


def test_what_is_acknowledged_is_done_and_the_rest_is_not(spool: Spool) -> None:
    for number in range(3):
        spools.append(spool, line(number), yes)
    spools.make_folder(spool)
    segment = segments.claim(spool)
    assert segment

    segment = segments.acknowledge(segment, len(line()) * 2)

    assert uuids(spool) == [uuid_of(2)]
    assert segments.waiting(spool) == [segment]
    segments.discard(segment)
    assert uuids(spool) == []


def test_segments_are_taken_up_oldest_first(spool: Spool) -> None:
    folder = Path(os.fsdecode(spool.folder))
    folder.mkdir()
    for name in ("00000000000000000003-9.0", "00000000000000000001-9.0", "00000000000000000002-8.12", "sent", "x.0"):
        (folder / name).touch()

    assert [s.stem[-3:] for s in segments.waiting(spool)] == [b"1-9", b"2-8", b"3-9"]
    assert [s.offset for s in segments.waiting(spool)] == [0, 12, 0]


@pytest.mark.parametrize("offset", [5, 10_000_000])
def test_an_offset_at_which_no_line_ends_means_the_start(spool: Spool, offset: int) -> None:
    """A repeat is folded by its uuid; a loss is not."""
    spools.make_folder(spool)
    segment = Segment(spools.segment_name(spool), offset)
    Path(os.fsdecode(segment.path)).write_bytes(line(1) + line(2))

    assert uuids(spool) == [uuid_of(1), uuid_of(2)]


def read_bytes(content: bytes, tmp_path: Path) -> list[Any]:
    file = tmp_path / "segment"
    file.write_bytes(content)
    with segments.open_segment(bytes(file), 0) as opened:
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
def test_no_good_event_is_lost_to_a_bad_neighbour(tmp_path: Path, garbage: bytes) -> None:
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
        spools.append(spool, line(number), yes)
    spools.make_folder(spool)
    look = segments.waiting

    def claimed_just_before_the_look(spool: Spool) -> list[Segment]:
        segment = segments.claim(spool)
        if segment:
            segments.acknowledge(segment, len(line()))
        return look(spool)

    monkeypatch.setattr(segments, "waiting", claimed_just_before_the_look)

    assert uuids(spool) == [uuid_of(0), uuid_of(1)]


def test_count_tells_how_many_lines_wait(spool: Spool) -> None:
    for number in range(5):
        spools.append(spool, line(number), yes)

    assert segments.count(spool) == 5


def test_only_what_was_left_half_made_long_ago_is_swept(spool: Spool) -> None:
    spools.make_folder(spool)
    folder = Path(os.fsdecode(spool.folder))
    for name in ("1-1.new", "sent.part", "1-1.0"):
        (folder / name).touch()
    now = time.time()

    segments.remove_abandoned(spool, now + 1)
    assert len(os.listdir(folder)) == 3
    segments.remove_abandoned(spool, now + segments.ABANDONED + 5)

    assert os.listdir(folder) == ["1-1.0"]


def test_eight_processes_and_a_claimer_lose_no_event(spool: Spool) -> None:
    code = (
        "import sys; from onramp_analytics import events, spool as s\n"
        "spool, first = s.Spool(sys.argv[1].encode()), int(sys.argv[2])\n"
        "v = {'service_name': 'plex'}\n"
        "for n in range(first, first + 200):\n"
        "    l = events.build('service_disabled', v, sys.argv[3], 1767441600 * 10**9, n.to_bytes(16, 'big'))\n"
        "    assert s.append(spool, l, lambda: True) == 'stored'\n"
    )
    spools.make_folder(spool)
    writers = [
        subprocess.Popen([sys.executable, "-c", code, os.fsdecode(spool.home), str(n * 1000), ID]) for n in range(8)
    ]
    while any(w.poll() is None for w in writers):
        segments.claim(spool)
    assert [w.returncode for w in writers] == [0] * 8

    assert sorted(uuids(spool)) == sorted(uuid_of(n * 1000 + k) for n in range(8) for k in range(200))


def test_a_writer_killed_at_any_moment_costs_nobody_elses_event(spool: Spool) -> None:
    code = (
        "import sys; from onramp_analytics import events, spool as s\n"
        "spool, n = s.Spool(sys.argv[1].encode()), int(sys.argv[2])\n"
        "v = {'service_name': 'plex'}\n"
        "while True:\n"
        "    l = events.build('service_disabled', v, sys.argv[3], 1767441600 * 10**9, n.to_bytes(16, 'big'))\n"
        "    if s.append(spool, l, lambda: True) == 'stored': print(n, flush=True)\n"
        "    n += 1\n"
    )
    stored: list[int] = []
    for round_ in range(10):
        writer = subprocess.Popen(
            [sys.executable, "-c", code, os.fsdecode(spool.home), str(round_ * 100_000), ID], stdout=subprocess.PIPE
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
    [(None, True), (-1, True), (60, False), (spools.LONGEST_WAIT - 60, False), (spools.LONGEST_WAIT + 60, True)],
    ids=["no stamp", "passed", "alive or backing off", "longest back-off", "a clock that jumped"],
)
def test_a_flusher_is_due_unless_the_stamp_is_ahead(spool: Spool, ahead: float | None, *, due: bool) -> None:
    now = time.time()
    if ahead is not None:
        spools.make_folder(spool)
        spools.set_not_before(spool, now + ahead)

    assert spools.flusher_is_due(spool, now) is due
