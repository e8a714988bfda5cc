"""`onramp_analytics.track` as a program calls it: from threads, from asyncio and after a fork."""

from __future__ import annotations

import asyncio
import json
import os
import subprocess
import sys
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

import onramp_analytics
from onramp_analytics import consent, events, optin, settings, spawn, tracker
from onramp_analytics.receiver import Receiver
from onramp_analytics.spool import Spool
from tests.conftest import ID, STRANGER, Checkout, flushers_of, line, put, uuids, wait_until


def track(number: int = 1) -> bool:
    return onramp_analytics.track("command_executed", command="start", success=True, duration_ms=number)


def test_it_stores_the_event_and_says_so(here: Checkout) -> None:
    here.hold_back_flusher()

    assert onramp_analytics.track("service_enabled", service_name="plex", has_scaffold=False) is True

    (event,) = here.pending()
    assert event["event"] == "service_enabled"
    assert event["properties"]["service_name"] == "plex"
    assert event["properties"]["has_scaffold"] is False


def test_it_says_no_when_analytics_are_off(here: Checkout) -> None:
    here.lock.write_text("")

    assert track() is False
    assert here.files() == {"onramp.lock"}


@pytest.mark.parametrize("meanwhile", [optin.disable, optin.reset_id])
def test_a_choice_between_the_question_and_the_lock_leaves_nothing_of_the_old_identifier(
    here: Checkout, monkeypatch: pytest.MonkeyPatch, meanwhile: Callable[[bytes], object]
) -> None:
    """Race 3."""
    here.hold_back_flusher()
    taken = Spool.take_lock

    def chosen_first(spool: Spool) -> int:
        monkeypatch.setattr(Spool, "take_lock", taken)
        meanwhile(here.root)
        return taken(spool)

    monkeypatch.setattr(Spool, "take_lock", chosen_first)

    assert track() is False
    assert not os.path.exists(here.spool.file)
    assert not any(ID.encode() in file.read_bytes() for file in here.path.rglob("*") if file.is_file())


def test_a_change_of_onramp_lock_that_is_no_choice_loses_no_event(
    here: Checkout, monkeypatch: pytest.MonkeyPatch
) -> None:
    here.hold_back_flusher()
    taken = Spool.take_lock

    def changed_first(spool: Spool) -> int:
        here.lock.write_text(here.lock.read_text() + "OTHER=1\n")
        return taken(spool)

    monkeypatch.setattr(Spool, "take_lock", changed_first)

    assert track() is True
    assert len(here.pending()) == 1


@pytest.mark.usefixtures("here")
def test_a_variable_that_the_program_set_counts(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(os.environ, "DO_NOT_TRACK", "1")

    assert track() is False


def test_a_programmers_error_is_raised_on_and_off(here: Checkout) -> None:
    for content in (here.lock.read_text(), ""):
        here.lock.write_text(content)
        with pytest.raises(ValueError, match="unknown event"):
            onramp_analytics.track("nonsense")


@pytest.mark.parametrize("trouble", ["no checkout", "folder in the way", "read-only"])
def test_trouble_with_the_machine_is_never_raised(
    here: Checkout, monkeypatch: pytest.MonkeyPatch, trouble: str
) -> None:
    if trouble == "no checkout":
        monkeypatch.delenv("ONRAMP_ROOT")
        monkeypatch.chdir("/")
    elif trouble == "folder in the way":
        Path(os.fsdecode(here.spool.file)).mkdir()
    else:
        monkeypatch.setattr("posix.write", no_space)

    assert track() is False


def no_space(_fd: int, _content: bytes) -> int:
    raise OSError(28, "No space left on device")


def test_eight_threads_lose_nothing(here: Checkout) -> None:
    here.hold_back_flusher()

    with ThreadPoolExecutor(8) as pool:
        assert all(pool.map(track, range(800)))

    durations = [event["properties"]["duration_ms"] for event in here.pending()]
    assert sorted(durations) == sorted(events.coarse(n) for n in range(800))
    assert len({event["uuid"] for event in here.pending()}) == 800


def test_it_may_be_called_from_asyncio(here: Checkout) -> None:
    here.hold_back_flusher()

    async def many() -> list[bool]:
        return await asyncio.gather(*(asyncio.to_thread(track, n) for n in range(20)), say_one())

    async def say_one() -> bool:
        return track(20)

    assert all(asyncio.run(many()))
    assert len(here.pending()) == 21


def test_it_may_be_called_after_a_fork(here: Checkout) -> None:
    here.hold_back_flusher()
    track(10)
    code = (
        "import os, onramp_analytics as o\n"
        "def t(n): return o.track('command_executed', command='start', success=True, duration_ms=n)\n"
        "t(10)\n"
        "pid = os.fork()\n"
        "ok = t(20)\n"
        "if pid == 0: os._exit(not ok)\n"
        "assert os.waitpid(pid, 0)[1] == 0 and ok\n"
    )

    subprocess.run([sys.executable, "-c", code], env=dict(os.environ), check=True)

    assert [e["properties"]["duration_ms"] for e in here.pending()] == [10, 10, 20, 20]


def test_a_program_that_goes_on_keeps_no_zombies(here: Checkout, receiver: Receiver) -> None:
    assert track()
    assert len(spawn._started) == 1
    (pid,) = spawn._started
    wait_until(lambda: state_of(pid) in ("Z", ""), "the first half of the flusher has ended")

    track()

    assert pid not in spawn._started
    assert state_of(pid) == ""
    assert receiver.wait_for(2)
    wait_until(lambda: not flushers_of(here), "the flusher has ended")


def state_of(pid: int) -> str:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except OSError:
        return ""


def test_it_costs_little_whatever_is_pending(here: Checkout) -> None:
    """No budget is checked here (times wander), only that nothing grows with the spool."""
    here.hold_back_flusher()

    def fastest() -> float:
        times = []
        for _ in range(300):
            started = time.perf_counter()
            track()
            times.append(time.perf_counter() - started)
        return min(times)

    empty = fastest()
    Path(os.fsdecode(here.spool.file)).write_bytes(b"{}\n" * 1_000_000)

    assert fastest() < 3 * empty


def test_only_the_day_is_recorded_whatever_the_hour(here: Checkout) -> None:
    here.hold_back_flusher()
    before = events.timestamp(time.time())

    track()

    (event,) = here.pending()
    assert before <= event["timestamp"] <= events.timestamp(time.time())
    assert event["timestamp"].endswith("T12:00:00.000000Z")


# -- versions of the catalog -------------------------------------------------------------------------------------------

DISABLED = ("service_disabled", {"service_name": "plex", "for_good": True})
BACKUP = ("backup_made", {"service_name": "plex"})


def agreed_to(version: int) -> consent.Consent:
    found = {settings.ENABLED: b"1", settings.NOTICE_SHOWN: b"1", settings.ID: line().split(b'"')[11]}
    return consent.decide({}, "", {**found, settings.AGREED: b"%d" % version}, is_here=True)


@pytest.mark.usefixtures("version_2")
@pytest.mark.parametrize(("version", "names"), [(1, ["service_disabled"]), (2, ["service_disabled", "backup_made"])])
def test_an_older_consent_goes_on_with_exactly_what_it_agreed_to(version: int, names: list[str]) -> None:
    lines = tracker.compose([DISABLED, BACKUP], agreed_to(version), b"").splitlines()

    assert [json.loads(line)["event"] for line in lines] == names
    assert (b"for_good" in lines[0]) is (version == 2)


@pytest.mark.usefixtures("version_2")
def test_a_new_event_under_an_older_consent_is_not_stored_and_starts_nothing(here: Checkout) -> None:
    here.opt_in(ANALYTICS_AGREED="1")

    assert onramp_analytics.track("backup_made", service_name="plex") is False

    assert here.files() == {"onramp.lock"}
    assert onramp_analytics.track("service_disabled", service_name="plex", for_good=True) is True
    assert b"for_good" not in Path(os.fsdecode(here.spool.file)).read_bytes()


@pytest.mark.usefixtures("version_2")
def test_a_programmers_error_in_a_new_event_is_raised_while_analytics_are_off() -> None:
    with pytest.raises(ValueError, match="needs the property 'for_good'"):
        tracker.compose([("service_disabled", {"service_name": "plex"})], None, b"")

    assert tracker.compose([DISABLED, BACKUP], None, b"") == b""


# -- whose files these are ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["onramp.spool", "onramp.spool.lock", "make.d/analytics.names"])
@pytest.mark.parametrize("kind", ["folder", "fifo", "device", "dangling link"])
def test_nothing_in_the_place_of_a_file_of_ours_hangs_or_is_written_to(here: Checkout, name: str, kind: str) -> None:
    here.hold_back_flusher()
    place = here.path / name
    place.unlink(missing_ok=True)
    put(place, kind)
    started = time.monotonic()

    track()

    assert time.monotonic() - started < 1
    assert place.is_symlink() == (kind in ("device", "dangling link"))
    assert not (here.path / "nowhere").exists()


def test_without_published_names_every_name_is_replaced(here: Checkout) -> None:
    here.hold_back_flusher()
    (here.path / "make.d/analytics.names").unlink()

    track()

    (event,) = here.pending()
    assert event["properties"]["command"] == "other"


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can work in the checkout of another user")
def test_root_touches_nothing_in_the_checkout_of_another_user(here: Checkout) -> None:
    os.chown(here.path, STRANGER, STRANGER)

    assert track() is False
    assert here.files() == {"onramp.lock"}


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give files away")
def test_another_users_spool_gets_no_event(here: Checkout) -> None:
    here.hold_back_flusher()
    place = Path(os.fsdecode(here.spool.file))
    place.touch()
    os.chown(place, STRANGER, STRANGER)

    assert track() is False
    assert place.read_bytes() == b""
    assert uuids(here.spool) == []
