"""Opting in and out: what is written and deleted, and which processes are ended."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

from onramp_analytics import consent, events, make_events, optin, settings
from onramp_analytics.errors import CouldNot
from onramp_analytics.outbox import locks, segments
from tests.cli.terminal import enable_services
from tests.conftest import ID, Checkout, wait_until


def state_files(checkout: Checkout) -> list[Path]:
    return sorted(Path(checkout.env["HOME"], ".local/state/onramp-analytics").glob("*"))


def test_enable_writes_what_was_agreed_to_and_the_file_that_leads_back(checkout: Checkout) -> None:
    checkout.lock.write_text("# mine\nOTHER=x\n")

    checkout.run("enable")

    found = settings.parse(checkout.lock.read_bytes())
    (state,) = state_files(checkout)
    host, key = checkout.env["ONRAMP_ANALYTICS_HOST"], checkout.env["ONRAMP_ANALYTICS_API_KEY"]
    assert checkout.lock.read_text().startswith("# mine\nOTHER=x\n")
    assert found[settings.AGREED_TO] == f"{host} {key}".encode()
    assert (found[settings.AGREED], found[settings.AGREED_SEND]) == (b"%d" % events.VERSION, b"at-once")
    assert found[settings.CHECKOUT] == state.name.encode()
    assert state.read_bytes() == checkout.root + b"\n"
    assert (state.stat().st_mode & 0o777, state.parent.stat().st_mode & 0o777) == (0o600, 0o700)


def test_the_consent_counts_only_after_the_notice_was_shown(here: Checkout) -> None:
    here.lock.unlink()

    optin.enable(here.root)
    assert not consent.ask(os.environb, here.root).on

    assert optin.notice_was_shown(here.root).on


def test_disable_deletes_everything_but_the_choice_and_the_lines_of_others(checkout: Checkout) -> None:
    checkout.lock.write_text("OTHER=x\n")
    enable_services(checkout, "plex")
    before = checkout.files()
    checkout.run("enable")
    checkout.hold_back_flusher()
    checkout.track()

    checkout.run("disable")

    assert checkout.lock.read_text() == "OTHER=x\nANALYTICS_ENABLED=0\n"
    assert checkout.files() == before
    assert state_files(checkout) == []


def test_reset_id_leaves_nothing_of_the_old_identifier_and_keeps_the_list(checkout: Checkout) -> None:
    enable_services(checkout, "plex")
    checkout.run("enable")
    old, (state,) = checkout.status()["id"], state_files(checkout)
    checkout.run("flush")
    checkout.hold_back_flusher()
    checkout.track()

    checkout.run("reset-id")

    files = [path for path in checkout.path.rglob("*") if path.is_file()]
    assert [path for path in files if old.encode() in path.read_bytes()] == []
    assert checkout.status()["on"]
    assert len(state_files(checkout)) == 1
    assert state_files(checkout) != [state]
    assert (checkout.path / "onramp.spool.d/enabled").read_text() == f"{make_events.NEVER}\nservice plex\n"


def test_a_change_that_was_overtaken_by_disable_does_not_turn_analytics_on_again(
    here: Checkout, monkeypatch: pytest.MonkeyPatch
) -> None:
    updated = settings.updated

    def overtaken(content: bytes, changes: dict[bytes, bytes | None]) -> bytes:
        here.lock.write_text("ANALYTICS_ENABLED=0\n")
        return updated(content, changes)

    monkeypatch.setattr(settings, "updated", overtaken)

    with pytest.raises(CouldNot, match="changed meanwhile"):
        optin.reset_id(here.root)

    assert here.lock.read_text() == "ANALYTICS_ENABLED=0\n"


def test_only_disable_goes_on_without_the_lock(opted_in: Checkout) -> None:
    before = opted_in.lock.read_text()
    (opted_in.path / "onramp.spool.lock").mkdir()

    assert opted_in.run("reset-id", check=False).returncode == 1
    assert opted_in.lock.read_text() == before
    opted_in.run("disable", check=False)

    assert "ANALYTICS_ENABLED=0" in opted_in.lock.read_text()


def test_disable_deletes_what_a_killed_change_left(opted_in: Checkout) -> None:
    opted_in.lock.write_text("ANALYTICS_ENABLED=0\n")
    (opted_in.path / "onramp.lock.new").write_text(f"ANALYTICS_ID={ID}\n")

    opted_in.run("disable")

    assert opted_in.files() == {"onramp.lock"}


HOLD = (
    "import fcntl, os, sys, time\n"
    "fd = os.open(sys.argv[1], os.O_RDWR | os.O_CREAT, 0o600)\n"
    "if sys.argv[2] == 'locked': fcntl.flock(fd, fcntl.LOCK_EX)\n"
    "print(flush=True)\n"
    "time.sleep(300)\n"
)


@pytest.mark.parametrize("how", ["locked", "open"])
def test_disable_ends_no_process_that_merely_holds_the_lock(
    here: Checkout, monkeypatch: pytest.MonkeyPatch, how: str
) -> None:
    monkeypatch.setattr(locks, "LONGEST_END", 0.5)
    here.hold_back_flusher()
    path = os.fsdecode(locks.flusher_path(here.spool))
    with subprocess.Popen([sys.executable, "-c", HOLD, path, how], stdout=subprocess.PIPE) as holder:
        assert holder.stdout
        holder.stdout.readline()
        try:
            if how == "locked":
                with pytest.raises(CouldNot, match=r"analytics are off, but a process holds .*flusher\.lock"):
                    optin.disable(here.root)
            else:
                optin.disable(here.root)
            is_alive = holder.poll() is None
        finally:
            holder.kill()

    assert is_alive
    assert not consent.ask(os.environb, here.root).on


def test_disable_ends_a_process_whose_command_line_is_an_uploaders_and_no_other(
    opted_in: Checkout, tmp_path: Path
) -> None:
    script = tmp_path / "detached.py"
    script.write_text("import time\ntime.sleep(300)\n")
    command = [sys.executable, "-IS", str(script)]
    ours = subprocess.Popen([*command, str(opted_in.path)])
    others = [
        subprocess.Popen([*command, str(tmp_path)]),
        subprocess.Popen([sys.executable, "-c", "import time; time.sleep(300)", str(script), str(opted_in.path)]),
    ]
    try:
        wait_until(lambda: list(locks.flushers(opted_in.spool)) == [ours.pid], "the flusher is found")

        opted_in.run("disable")

        assert ours.wait(10) == -9
        assert [other.poll() for other in others] == [None, None]
    finally:
        for process in (ours, *others):
            process.kill()
            process.wait()


def test_disable_in_a_copy_leaves_the_original_on(opted_in: Checkout) -> None:
    copy = Checkout(opted_in.path.parent / "copy", opted_in.env)
    subprocess.run(["cp", "-a", opted_in.path, copy.path], check=True)

    copy.run("disable")

    assert opted_in.status()["on"]
    assert not copy.status()["on"]


def test_after_disable_no_older_onramp_lock_brings_consent_back(checkout: Checkout) -> None:
    checkout.run("enable")
    older = checkout.lock.read_bytes()
    checkout.lock.unlink()
    checkout.run("enable")

    checkout.run("disable")
    checkout.lock.write_bytes(older)

    assert not checkout.status()["on"]
    assert state_files(checkout) == []


def test_reset_id_that_is_killed_halfway_never_counts_everything_again(
    here: Checkout, monkeypatch: pytest.MonkeyPatch
) -> None:
    here.hold_back_flusher()
    make_events.compare(here.root, os.environb)

    def killed(*_given: object, **_more: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(segments, "purge", killed)
    with pytest.raises(KeyboardInterrupt):
        optin.reset_id(here.root)

    assert consent.ask(os.environb, here.root).id != ID
    assert (here.path / "onramp.spool.d/enabled").read_text().startswith(make_events.NEVER)


def test_enable_clears_the_back_off_of_a_failure(here: Checkout) -> None:
    here.hold_back_flusher()
    (here.path / "onramp.spool.d/state.json").write_text('{"at": 1.0, "outcome": "misconfigured", "failures": 3}')
    here.lock.write_text(here.lock.read_text().replace("NOTICE_SHOWN=1", "NOTICE_SHOWN=0"))

    here.run("enable")

    assert here.spool.flusher_is_due(time.time())


def test_the_identifier_is_made_of_the_kernels_random_numbers(here: Checkout, monkeypatch: pytest.MonkeyPatch) -> None:
    here.lock.unlink()
    monkeypatch.setattr(os, "urandom", lambda size: bytes(range(size)))

    optin.enable(here.root)

    assert settings.parse(here.lock.read_bytes())[settings.ID] == events.uuid4(bytes(range(16))).encode()
