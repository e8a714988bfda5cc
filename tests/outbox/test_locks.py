"""The two locks, and ending flushers: only those of this user and this checkout."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from filelock import FileLock, Timeout

from onramp_analytics.outbox import locks
from onramp_analytics.spool import Spool
from tests.conftest import STRANGER, put, wait_until

SLEEP = "import sys, time; print(flush=True); time.sleep(60)"


@pytest.fixture
def folder(spool: Spool) -> Path:
    os.close(spool.make_folder())
    return Path(os.fsdecode(spool.folder))


def test_filelock_and_the_hot_paths_flock_exclude_each_other(spool: Spool) -> None:
    held = spool.take_lock()
    with pytest.raises(Timeout):
        FileLock(os.fsdecode(spool.lock), timeout=0).acquire()
    os.close(held)

    with locks.locked(spool) as ours:
        assert ours
        assert spool.take_lock(wait=0) == -1
    fd = spool.take_lock(wait=0)
    assert fd >= 0
    os.close(fd)


@pytest.mark.usefixtures("stopped_holder")
def test_a_busy_lock_is_not_held(spool: Spool) -> None:
    with locks.locked(spool, timeout=0) as held:
        assert not held


def test_there_is_one_flusher_at_a_time(spool: Spool, folder: Path) -> None:
    with locks.flusher_lock(spool) as first:
        with locks.flusher_lock(spool, timeout=0) as second:
            assert (first, second) == (True, False)
        assert locks.flusher_is_alive(spool)

    assert (folder / "flusher.lock").stat().st_mode & 0o777 == 0o600
    assert not locks.flusher_is_alive(spool)


def test_asking_whether_a_flusher_lives_makes_no_file(spool: Spool, tmp_path: Path) -> None:
    assert not locks.flusher_is_alive(spool)
    assert os.listdir(tmp_path) == []

    os.close(spool.make_folder())

    assert not locks.flusher_is_alive(spool)
    assert os.listdir(spool.folder) == []


@pytest.mark.parametrize("kind", ["folder", "fifo", "device", "dangling link"])
def test_what_is_in_the_place_of_the_flushers_lock_is_refused(spool: Spool, folder: Path, kind: str) -> None:
    put(folder / "flusher.lock", kind)

    with pytest.raises(FileExistsError, match="not a file of ours"), locks.flusher_lock(spool, timeout=0):
        pass
    assert not locks.flusher_is_alive(spool)


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give files away")
def test_another_users_flusher_lock_is_refused(spool: Spool, folder: Path) -> None:
    (folder / "flusher.lock").touch()
    os.chown(folder / "flusher.lock", STRANGER, STRANGER)

    with pytest.raises(FileExistsError, match="not a file of ours"), locks.flusher_lock(spool, timeout=0):
        pass


def test_without_a_folder_there_is_no_lock_to_hold(spool: Spool) -> None:
    with pytest.raises(FileNotFoundError), locks.flusher_lock(spool):
        pass


@pytest.mark.parametrize(
    ("words", "ours"),
    [
        ([b"python", b"-IS", b"/x/onramp_analytics/detached.py", b"/srv/onramp", b""], True),
        ([b"python", b"-E", b"-m", b"onramp_analytics.flush", b"/srv/onramp", b""], True),
        ([b"python", b"-IS", b"/x/onramp_analytics/detached.py", b"/srv/other", b""], False),
        ([b"python", b"-E", b"-m", b"onramp_analytics.flush", b"/srv/onramp2", b""], False),
        ([b"vi", b"/x/onramp_analytics/detached.py", b"/srv/onramp", b""], False),
        ([b"tail", b"-f", b"/srv/onramp/onramp.spool.d/flusher.lock", b""], False),
        ([b"python", b"-IS", b"/x/make_entry.py", b"/srv/onramp", b""], False),
        ([b"python", b"-m", b"onramp_analytics.flush", b"/srv/onramp", b""], False),
        ([b""], False),
        ([], False),
    ],
)
def test_a_flusher_is_known_by_its_command_line(words: list[bytes], *, ours: bool) -> None:
    assert locks.is_flusher(words, b"/srv/onramp") is ours


@contextmanager
def a_process(spool: Spool, folder: Path) -> Iterator[subprocess.Popen[bytes]]:
    """A process with the command line of a flusher."""
    script = folder / "detached.py"
    script.write_text(SLEEP)
    command = [sys.executable, "-IS", str(script), os.fsdecode(spool.root)]
    with subprocess.Popen(command, stdout=subprocess.PIPE) as process:
        assert process.stdout
        process.stdout.readline()
        try:
            yield process
        finally:
            process.kill()


def test_a_flusher_is_found_and_ended_though_its_folder_is_gone(spool: Spool, tmp_path: Path) -> None:
    with a_process(spool, tmp_path) as process:
        assert list(locks.flushers(spool)) == [process.pid]
        assert list(locks.flushers(Spool(spool.root + b"2"))) == []

        ended = wait_for_the_end(spool, process)

    assert ended
    assert list(locks.flushers(spool)) == []


def test_a_flusher_is_found_by_any_path_of_its_checkout(spool: Spool, tmp_path: Path) -> None:
    folder = tmp_path / "elsewhere"
    folder.mkdir()
    (folder / "link").symlink_to(tmp_path)
    with a_process(Spool(os.fsencode(folder / "link")), tmp_path) as process:
        assert list(locks.flushers(spool)) == [process.pid]
        assert list(locks.flushers(Spool(os.fsencode(folder)))) == []


def wait_for_the_end(spool: Spool, process: subprocess.Popen[bytes]) -> bool:
    """End it and collect it, as its parent would; a zombie has no command line."""
    ended = locks.end_flushers(spool)
    wait_until(lambda: process.poll() is not None, "the process has ended")
    return ended


def test_another_users_flusher_is_not_ended(spool: Spool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with a_process(spool, tmp_path) as process:
        monkeypatch.setattr(os, "geteuid", lambda: STRANGER)
        assert locks.end_flushers(spool)
        assert process.poll() is None


def test_a_process_is_not_ended_for_holding_the_flushers_lock(spool: Spool, folder: Path) -> None:
    code = "import fcntl, sys; f = open(sys.argv[1], 'w'); fcntl.flock(f, 2); print(flush=True); sys.stdin.read()"
    with subprocess.Popen(
        [sys.executable, "-c", code, str(folder / "flusher.lock")], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as holder:
        assert holder.stdout
        holder.stdout.readline()

        assert locks.flusher_is_alive(spool)
        assert locks.end_flushers(spool)

        assert holder.poll() is None
        holder.kill()
