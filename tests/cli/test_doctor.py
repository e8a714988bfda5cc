"""`doctor` and `status` find what is wrong, and say what to do. The faults are real."""

from __future__ import annotations

import json
import os
import pty
import subprocess
import sys
import time
from collections.abc import Callable
from importlib import metadata

import pytest

from onramp_analytics import health
from onramp_analytics.integration import launcher
from onramp_analytics.outbox import segments
from onramp_analytics.receiver import CAPTIVE_PORTAL, Answer, Receiver
from onramp_analytics.spool import CAP, MOST_SPILLED, take_lock
from tests.conftest import COMMAND, KEY, Checkout


def doctor(checkout: Checkout, *words: str, env: dict[str, str] | None = None) -> dict[str, list[tuple[str, str]]]:
    """What each check says, by its name: (state, sentence)."""
    done = checkout.run("doctor", "--json", *words, check=False, env=env)
    found: dict[str, list[tuple[str, str]]] = {}
    for check in json.loads(done.stdout):
        found.setdefault(check["what"], []).append((check["state"], check["said"]))
    wrong = [state for said in found.values() for state, _ in said if state == health.WRONG]
    assert done.returncode == (1 if wrong else 0)
    return found


def test_where_all_is_well_every_check_says_so(opted_in: Checkout) -> None:
    opted_in.run("enable")
    opted_in.track()

    found = doctor(opted_in)

    assert {state for said in found.values() for state, _ in said} == {health.OK}
    assert set(found) >= {"checkout", "onramp.lock", "consent", "notice", "catalogue", "files", "disk", "key", "host"}
    assert set(found) >= {"proxy", "certificates", "last send", "clock", "versions", "program", "byte-code"}


def test_to_be_off_is_not_wrong(checkout: Checkout) -> None:
    found = doctor(checkout, env={"ONRAMP_ANALYTICS_API_KEY": ""})

    assert found["consent"] == [(health.OK, "analytics are off: there is no readable onramp.lock")]
    assert found["key"][0][0] == health.NOTE
    assert checkout.files() == set()


def lock_is_damaged(checkout: Checkout) -> None:
    checkout.lock.write_bytes(bytes(100) + checkout.lock.read_bytes())


def lock_is_a_link(checkout: Checkout) -> None:
    checkout.lock.rename(checkout.path / "elsewhere")
    checkout.lock.symlink_to("elsewhere")


def notice_is_missing(checkout: Checkout) -> None:
    checkout.lock.write_text("ANALYTICS_ENABLED=1\n")


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
    checkout.run("flush", check=False, env={"ONRAMP_ANALYTICS_HOST": "http://127.0.0.1:9"})


def clock_was_put_back(checkout: Checkout) -> None:
    checkout.track()
    os.utime(checkout.path / "onramp.spool", (time.time() + 86_400,) * 2)


def program_has_moved(checkout: Checkout) -> None:
    (checkout.path / "onramp.program").write_text(f"{sys.executable}\n{checkout.path}/gone/make_entry.py\n")


@pytest.mark.parametrize(
    ("fault", "what", "said"),
    [
        (lock_is_damaged, "onramp.lock", "is damaged"),
        (lock_is_a_link, "onramp.lock", "is not a file that can be read"),
        (notice_is_missing, "notice", "nothing is sent before you have seen the notice"),
        (spool_is_a_fifo, "files", "onramp.spool is not what we made: move it away"),
        (stamp_is_a_folder, "files", "not-before is not what we made"),
        (segment_is_a_link, "files", "1-1.0 is not what we made"),
        (log_is_a_hard_link, "files", "sent is not what we made"),
        (spool_is_full, "spool", "the spool is full"),
        (too_much_is_spilled, "spool", "1,000 events are spilled"),
        (last_send_failed, "last send", "the host refused the connection"),
        (clock_was_put_back, "clock", "onramp.spool is newer than now"),
        (program_has_moved, "program", "gone/make_entry.py, which is not there: run `onramp-analytics enable`"),
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
        ({"ONRAMP_ANALYTICS_API_KEY": ""}, "key", "no PostHog key"),
        ({"ONRAMP_ANALYTICS_API_KEY": "phx_secretsecret"}, "key", "holds a personal secret"),
        ({"ONRAMP_ANALYTICS_HOST": "http://example.com"}, "host", "must begin with https://"),
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
    held = take_lock(opted_in.spool)

    (found,) = doctor(opted_in)["spool"]

    os.close(held)
    assert found[0] == health.WRONG
    assert "onramp.spool.lock is held by a process that does not move" in found[1]
    assert "spool" not in doctor(opted_in)


def test_what_another_user_left_is_a_note_where_events_go_elsewhere_and_wrong_where_they_do_not(
    opted_in: Checkout,
) -> None:
    opted_in.may_pass_over_permissions = False
    opted_in.hold_back_flusher()
    opted_in.track()
    (opted_in.path / "onramp.spool").chmod(0o400)

    before = doctor(opted_in)["files"]
    opted_in.track()  # makes the user's own folder
    after = doctor(opted_in)["files"]
    told = opted_in.run("status").stdout

    assert [state for state, _ in before] == [health.WRONG]
    assert [state for state, _ in after] == [health.NOTE]
    assert "onramp.spool cannot be written: give it to yourself with chown; until then events go to " in after[0][1]
    assert "note         " in told
    assert "problem" not in told


def test_no_room_on_the_disk_is_wrong(monkeypatch: pytest.MonkeyPatch, opted_in: Checkout) -> None:
    """`make torture` fills a disk for real, which needs a file system of its own."""
    monkeypatch.setattr(health, "ROOM", 1 << 62)

    assert health._disk([opted_in.spool]) == health.Check(
        "disk", health.WRONG, "the disk is full, and new events are dropped: make room"
    )


def test_a_checkout_without_a_catalogue_is_told_of_it(opted_in: Checkout) -> None:
    (opted_in.path / "make.d/analytics.names").unlink()

    (found,) = doctor(opted_in)["catalogue"]

    assert found[0] == health.NOTE
    assert "every name is sent as `custom` or `other`" in found[1]


def test_a_flusher_at_work_is_seen(opted_in: Checkout) -> None:
    opted_in.hold_back_flusher()
    with segments.flusher_lock(opted_in.spool):
        assert doctor(opted_in)["last send"] == [(health.OK, "a flusher is at work")]


def test_a_proxy_is_named_without_its_password(opted_in: Checkout) -> None:
    env = {"https_proxy": "http://user:hunter2@proxy.example.com:3128", "HTTP_PROXY": "http://[nonsense"}

    (found,) = doctor(opted_in, env=env)["proxy"]

    said = "https_proxy is http://proxy.example.com:3128 with a password; HTTP_PROXY is not an address"
    assert sorted(found[1].split("; ")) == sorted(said.split("; "))


def test_byte_code_that_cannot_be_kept_is_wrong(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(health, "cache_from_source", lambda path: f"{path}-gone")
    assert health._byte_code().state == health.OK

    monkeypatch.setattr(os, "access", lambda *_: False)
    assert health._byte_code().state == health.WRONG


def test_what_make_runs_is_told(opted_in: Checkout) -> None:
    assert doctor(opted_in)["program"] == [(health.OK, "make finds onramp-analytics on the PATH")]

    launcher.remember(opted_in.root)
    assert doctor(opted_in)["program"][0][1].endswith("/make_entry.py")


@pytest.mark.parametrize(
    ("answer", "state", "said"),
    [
        (None, health.OK, "answers like PostHog"),
        (Answer(400, b"batch is empty"), health.OK, "answers like PostHog"),
        (Answer(401, b"API key is not valid"), health.WRONG, "the host answered 401: API key is not valid"),
        (CAPTIVE_PORTAL, health.WRONG, "the host does not answer like PostHog"),
        (Answer(drop=True), health.WRONG, "the connection broke"),
    ],
    ids=["PostHog", "an empty batch", "a wrong key", "a captive portal", "a reset"],
)
def test_online_asks_the_host_without_any_event(
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
def test_nobody_is_asked_online_while_analytics_are_off(
    opted_in: Checkout, receiver: Receiver, env: dict[str, str]
) -> None:
    assert doctor(opted_in, "--online", env=env)["online"] == [(health.NOTE, "not asked, since analytics are off")]
    assert receiver.requests == []


def test_without_online_nobody_is_asked(opted_in: Checkout, receiver: Receiver) -> None:
    doctor(opted_in)

    assert receiver.requests == []


def test_it_is_a_line_each_with_a_mark_and_fits_a_terminal(opted_in: Checkout) -> None:
    notice_is_missing(opted_in)

    done = opted_in.run("doctor", check=False)

    lines = done.stdout.splitlines()
    assert lines[0].startswith("✓  checkout ")
    assert any(line.startswith("✗  notice ") for line in lines)
    assert max(map(len, lines)) <= 80
    assert (done.returncode, done.stderr) == (1, "onramp-analytics: 1 thing wrong: see ✗ above\n")


@pytest.mark.parametrize("env", [{"NO_COLOR": "1"}, {}], ids=["NO_COLOR", "colours"])
def test_no_color_is_respected(opted_in: Checkout, env: dict[str, str]) -> None:
    ours, theirs = pty.openpty()
    process = subprocess.Popen(
        [COMMAND, "--root", opted_in.path, "doctor"],
        env={**opted_in.env, "TERM": "xterm-256color", "COLUMNS": "80", **env},
        stdout=theirs,
        stderr=subprocess.DEVNULL,
    )
    os.close(theirs)
    seen = b""
    while True:
        try:
            seen += os.read(ours, 65536)
        except OSError:  # the other side is closed
            break
    process.wait()
    os.close(ours)

    assert (b"\x1b[32m" in seen) == (not env)


def test_metadata_that_cannot_be_read_is_a_sentence(monkeypatch: pytest.MonkeyPatch) -> None:
    def cannot_be_found(name: str) -> str:
        raise metadata.PackageNotFoundError(name)

    monkeypatch.setattr(metadata, "version", cannot_be_found)

    found = health._versions()

    assert found.state == health.WRONG
    assert "the package posthog cannot be read" in found.said
