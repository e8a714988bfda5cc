"""`doctor` and `status` find real faults, and suggest a fix for each."""

from __future__ import annotations

import errno
import fcntl
import json
import os
import sys
import time
from collections.abc import Callable
from importlib import metadata

import pytest

from onramp_analytics import consent, health
from onramp_analytics.health import checkout as checks_of
from onramp_analytics.health import machine
from onramp_analytics.integration import launcher
from onramp_analytics.outbox import locks
from onramp_analytics.receiver import CAPTIVE_PORTAL, Answer, Receiver
from onramp_analytics.spool import CAP, MOST_SPILLED
from tests.cli.terminal import bytes_of, configure
from tests.conftest import KEY, Checkout


def doctor(checkout: Checkout, *words: str, env: dict[str, str] | None = None) -> dict[str, list[tuple[str, str]]]:
    """The result of each check by its name: (state, sentence)."""
    done = checkout.run("doctor", "--json", *words, check=False, env=env)
    found: dict[str, list[tuple[str, str]]] = {}
    for check in json.loads(done.stdout)["checks"]:
        found.setdefault(check["what"], []).append((check["state"], check["result"]))
    wrong = [state for said in found.values() for state, _ in said if state == health.WRONG]
    assert done.returncode == (1 if wrong else 0)
    return found


def test_where_all_is_well_every_check_says_so(opted_in: Checkout) -> None:
    opted_in.run("enable")
    opted_in.track()

    found = doctor(opted_in)

    assert {state for said in found.values() for state, _ in said} == {health.OK}
    assert set(found) >= {"checkout", "onramp.lock", "consent", "agreement", "published names", "files", "disk"}
    assert set(found) >= {
        "key",
        "destination",
        "proxy",
        "certificates",
        "last send",
        "clock",
        "versions",
        "program",
        "Python cache",
    }


def test_to_be_off_is_not_wrong(checkout: Checkout) -> None:
    configure(checkout, "nonsense")
    (checkout.path / "onramp.spool").mkdir()

    found = doctor(checkout, env={"REQUESTS_CA_BUNDLE": "/nowhere/ca.pem"})

    assert found["consent"] == [(health.OK, "analytics are off: you have not opted in")]
    assert [found[what][0][0] for what in ("destination", "files", "certificates")] == [health.NOTE] * 3
    assert checkout.files() == {"make.d/analytics.conf", "onramp.spool"}
    assert "No problems found." in checkout.run("doctor").stdout


def lock_is_damaged(checkout: Checkout) -> None:
    checkout.lock.write_bytes(bytes(100) + checkout.lock.read_bytes())


def lock_is_a_link(checkout: Checkout) -> None:
    checkout.lock.rename(checkout.path / "elsewhere")
    checkout.lock.symlink_to("elsewhere")


def spool_is_a_fifo(checkout: Checkout) -> None:
    os.mkfifo(checkout.path / "onramp.spool")


def stamp_is_a_folder(checkout: Checkout) -> None:
    (checkout.path / "onramp.spool.d/not-before").unlink()
    (checkout.path / "onramp.spool.d/not-before").mkdir()


def segment_is_a_link(checkout: Checkout) -> None:
    (checkout.path / "onramp.spool.d/1-1.0").symlink_to("/etc/hostname")


def log_is_a_hard_link(checkout: Checkout) -> None:
    (checkout.path / "mine").write_text("mine")
    os.link(checkout.path / "mine", checkout.path / "onramp.spool.d/sent")


def spool_is_full(checkout: Checkout) -> None:
    (checkout.path / "onramp.spool").write_bytes(b"\n" * CAP)


def too_much_is_spilled(checkout: Checkout) -> None:
    for number in range(MOST_SPILLED):
        (checkout.path / f"onramp.spool.d/{number}-1.0").touch()


def last_send_failed(checkout: Checkout) -> None:
    checkout.track()
    checkout.env["ONRAMP_ANALYTICS_HOST"] = "http://127.0.0.1:9"
    checkout.opt_in()
    checkout.run("flush", check=False)


def clock_was_put_back(checkout: Checkout) -> None:
    checkout.track()
    os.utime(checkout.path / "onramp.spool", (time.time() + 86_400,) * 2)


def program_has_moved(checkout: Checkout) -> None:
    (checkout.path / "onramp.program").write_text(f"{sys.executable}\n{checkout.path}/gone/make_entry.py\n")


@pytest.mark.parametrize(
    ("fault", "what", "said"),
    [
        (lock_is_damaged, "onramp.lock", "is damaged"),
        (lock_is_a_link, "onramp.lock", "is not a readable file: move it away"),
        (spool_is_a_fifo, "files", "onramp.spool has an unexpected type or is a hard link: move it away"),
        (stamp_is_a_folder, "files", "not-before has an unexpected type or is a hard link"),
        (segment_is_a_link, "files", "1-1.0 has an unexpected type or is a hard link"),
        (log_is_a_hard_link, "files", "sent has an unexpected type or is a hard link"),
        (spool_is_full, "spool", "the spool is full"),
        (too_much_is_spilled, "spool", "1,000 events are in separate files"),
        (last_send_failed, "last send", "refused the connection"),
        (clock_was_put_back, "clock", "onramp.spool has a modification time in the future"),
        (program_has_moved, "program", "gone/make_entry.py, which does not exist: run `make analytics-enable`"),
    ],
    ids=lambda each: each.__name__ if callable(each) else "",
)
def test_what_is_wrong_is_named_by_doctor_and_by_status(
    opted_in: Checkout, fault: Callable[[Checkout], None], what: str, said: str
) -> None:
    opted_in.hold_back_flusher()
    fault(opted_in)

    assert any(state == health.WRONG and said in sentence for state, sentence in doctor(opted_in)[what])
    assert any(said in problem for problem in opted_in.status()["problems"])


@pytest.mark.parametrize(
    ("env", "what", "said"),
    [
        ({"ONRAMP_ANALYTICS_API_KEY": ""}, "destination", "is set without ONRAMP_ANALYTICS_API_KEY"),
        ({"ONRAMP_ANALYTICS_API_KEY": "phx_secretsecret"}, "destination", "contains a personal secret"),
        ({"ONRAMP_ANALYTICS_HOST": "http://example.com"}, "destination", "must begin with https://"),
        ({"REQUESTS_CA_BUNDLE": "/nowhere/ca.pem"}, "certificates", "REQUESTS_CA_BUNDLE names a file"),
    ],
)
def test_what_is_wrong_in_the_environment_is_named(
    opted_in: Checkout, env: dict[str, str], what: str, said: str
) -> None:
    (found,) = doctor(opted_in, env=env)[what]

    assert found[0] == health.WRONG
    assert said in found[1]
    assert "secretsecret" not in found[1]


def test_a_stopped_process_that_holds_the_lock_is_named(opted_in: Checkout) -> None:
    opted_in.hold_back_flusher()
    held = opted_in.spool.take_lock()

    (found,) = doctor(opted_in)["lock"]

    os.close(held)
    assert found[0] == health.WRONG
    assert "onramp.spool.lock is held by a stuck process" in found[1]
    assert "lock" not in doctor(opted_in)


def test_a_file_system_without_locks_is_named(here: Checkout, monkeypatch: pytest.MonkeyPatch) -> None:
    here.hold_back_flusher()
    here.track()

    def refused(_fd: int, _how: int) -> None:
        raise OSError(errno.ENOLCK, os.strerror(errno.ENOLCK))

    monkeypatch.setattr(fcntl, "flock", refused)

    said = health.problems(health.checks(here.root, consent.ask(os.environb, here.root), os.environ))

    path = f"{here.path}/onramp.spool.lock"
    assert said == [f"{path} cannot be locked (No locks available), so nothing is recorded: {checks_of._REMEDY}"]


def test_a_folder_that_takes_no_file_is_named(opted_in: Checkout) -> None:
    opted_in.may_pass_over_permissions = False
    opted_in.hold_back_flusher()
    folder = opted_in.path / "onramp.spool.d"
    folder.chmod(0o500)

    (found,) = doctor(opted_in)["write"]

    folder.chmod(0o700)
    assert found[0] == health.WRONG
    assert f"no file can be written in {folder} (Permission denied), so nothing is recorded" in found[1]


def test_doctor_leaves_no_file_behind(opted_in: Checkout) -> None:
    opted_in.hold_back_flusher()
    opted_in.track()
    before = opted_in.files()

    doctor(opted_in)

    assert opted_in.files() == before


def test_a_folder_that_is_not_compared_is_a_note(opted_in: Checkout) -> None:
    opted_in.hold_back_flusher()
    (opted_in.path / "services-enabled/.keep").unlink()

    (found,) = doctor(opted_in)["enabled"]

    said = "services-enabled/ is not counted: it is missing, unreadable, too large or without a .keep file"
    assert found == (health.NOTE, said)
    assert said in " ".join(opted_in.run("status").stdout.split())


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give a file to another user")
def test_a_file_of_another_user_is_named(opted_in: Checkout) -> None:
    opted_in.hold_back_flusher()
    opted_in.track()
    os.chown(opted_in.path / "onramp.spool", 65534, 65534)

    (found,) = doctor(opted_in)["files"]

    assert found[0] == health.WRONG
    assert "onramp.spool belongs to another user: move it away" in found[1]


def test_a_full_disk_is_wrong(monkeypatch: pytest.MonkeyPatch, opted_in: Checkout) -> None:
    """`make faults` fills a disk for real, which needs a file system of its own."""
    monkeypatch.setattr(checks_of, "SPACE", 1 << 62)

    assert checks_of._disk(opted_in.root) == health.Check(
        "disk", health.WRONG, "the disk is full, and new events are dropped: free some space"
    )


def test_a_checkout_without_published_names_is_a_note(opted_in: Checkout) -> None:
    (opted_in.path / "make.d/analytics.names").unlink()

    (found,) = doctor(opted_in)["published names"]

    assert found[0] == health.NOTE
    assert "every name is recorded as `custom` or `other`" in found[1]


def test_a_flusher_at_work_is_seen(opted_in: Checkout) -> None:
    opted_in.hold_back_flusher()
    with locks.flusher_lock(opted_in.spool):
        assert doctor(opted_in)["last send"] == [(health.OK, "events are being sent in the background")]


def test_a_proxy_is_named_without_its_password(opted_in: Checkout) -> None:
    env = {"https_proxy": "http://user:hunter2@proxy.example.com:3128", "HTTP_PROXY": "http://[nonsense"}

    (found,) = doctor(opted_in, env=env)["proxy"]

    said = "https_proxy is http://proxy.example.com:3128 with a password; HTTP_PROXY is not a valid URL"
    assert sorted(found[1].split("; ")) == sorted(said.split("; "))


def test_byte_code_that_cannot_be_kept_is_wrong(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(machine, "cache_from_source", lambda path: f"{path}-gone")
    assert machine.byte_code().state == health.OK

    monkeypatch.setattr(os, "access", lambda *_: False)
    assert machine.byte_code().state == health.WRONG


def test_what_make_runs_is_shown(opted_in: Checkout) -> None:
    assert doctor(opted_in)["program"] == [(health.OK, "make looks for onramp-analytics each time")]

    launcher.remember(opted_in.root)
    assert doctor(opted_in)["program"][0][1].endswith("/make_entry.py")


@pytest.mark.parametrize(
    ("answer", "state", "said"),
    [
        (None, health.OK, "responds like PostHog"),
        (Answer(400, b"batch is empty"), health.OK, "responds like PostHog"),
        (Answer(401, b"API key is not valid"), health.WRONG, "401: API key is not valid"),
        (CAPTIVE_PORTAL, health.WRONG, "not respond like PostHog"),
        (Answer(drop=True), health.WRONG, "the connection failed"),
    ],
    ids=["PostHog", "an empty batch", "a wrong key", "a captive portal", "a reset"],
)
def test_online_contacts_the_server_without_any_event(
    opted_in: Checkout, receiver: Receiver, answer: Answer | None, state: str, said: str
) -> None:
    opted_in.hold_back_flusher()
    opted_in.track()
    receiver.answer_always(lambda _request: answer)

    (found,) = doctor(opted_in, "--online")["online"]

    assert found[0] == state
    assert said in found[1]
    assert [request.events for request in receiver.requests] == [[]]
    assert len(opted_in.pending()) == 1
    assert KEY not in found[1]


@pytest.mark.parametrize("env", [{"DO_NOT_TRACK": "1"}, {"ONRAMP_ANALYTICS_ENABLED": "0"}])
def test_the_server_is_not_contacted_while_analytics_are_off(
    opted_in: Checkout, receiver: Receiver, env: dict[str, str]
) -> None:
    said = "the server was not contacted, because analytics are off"
    assert doctor(opted_in, "--online", env=env)["online"] == [(health.NOTE, said)]
    assert receiver.requests == []


def test_without_online_the_server_is_not_contacted(opted_in: Checkout, receiver: Receiver) -> None:
    doctor(opted_in)

    assert receiver.requests == []


def test_it_ends_with_a_verdict_and_explains_its_marks(opted_in: Checkout) -> None:
    opted_in.hold_back_flusher()
    well = opted_in.run("doctor")
    spool_is_a_fifo(opted_in)

    done = opted_in.run("doctor", check=False)

    lines = done.stdout.splitlines()
    assert lines[0].startswith("✓  checkout ")
    assert any(line.startswith("✗  files ") for line in lines)
    assert max(map(len, lines)) <= 80
    assert lines[-1] == "1 problem found. (✓ OK, · note, ✗ problem)"
    assert well.stdout.splitlines()[-1] == "No problems found. (✓ OK, · note, ✗ problem)"
    assert (well.returncode, done.returncode, done.stderr) == (0, 1, "")


def test_an_ascii_terminal_gets_ascii_marks(opted_in: Checkout) -> None:
    opted_in.hold_back_flusher()
    spool_is_a_fifo(opted_in)

    done = opted_in.run("doctor", env={"PYTHONIOENCODING": "ascii"}, check=False)

    assert done.stdout.isascii()
    assert done.stdout.startswith("ok  checkout ")
    assert "!!  files " in done.stdout
    assert done.stdout.endswith("1 problem found. (ok OK, -- note, !! problem)\n")


def test_a_long_path_is_shown_whole(opted_in: Checkout) -> None:
    said = "".join(line.strip() for line in opted_in.run("doctor").stdout.splitlines())

    assert len(str(opted_in.path)) > 60
    assert str(opted_in.path) in said


@pytest.mark.parametrize("env", [{"NO_COLOR": "1"}, {}], ids=["NO_COLOR", "colors"])
def test_no_color_is_respected(opted_in: Checkout, env: dict[str, str]) -> None:
    assert ("\x1b[32m" in bytes_of(opted_in, "doctor", env=env)) == (not env)


def test_metadata_that_cannot_be_read_is_a_sentence(monkeypatch: pytest.MonkeyPatch) -> None:
    def cannot_be_found(name: str) -> str:
        raise metadata.PackageNotFoundError(name)

    monkeypatch.setattr(metadata, "version", cannot_be_found)

    found = machine.versions()

    assert found.state == health.WRONG
    assert "the package posthog cannot be read" in found.result


def test_enable_corrects_the_path_of_a_program_that_has_moved(opted_in: Checkout) -> None:
    program_has_moved(opted_in)
    assert doctor(opted_in)["program"][0][0] == health.WRONG

    opted_in.run("enable")

    assert doctor(opted_in)["program"][0][0] == health.OK
