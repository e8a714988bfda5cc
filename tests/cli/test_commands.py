"""The command line as a person uses it: what it prints, where, and with which exit status."""

from __future__ import annotations

import json
import os
import pty
import re
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import click
import pytest

from onramp_analytics import __version__, events, optin, userspool
from onramp_analytics import spool as spools
from onramp_analytics.cli.main import commands
from onramp_analytics.outbox import segments
from onramp_analytics.receiver import Answer, Receiver
from onramp_analytics.spool import CAP, Spool
from tests.conftest import COMMAND, KEY, Checkout, wait_until


def on_a_terminal(checkout: Checkout, *arguments: str, columns: int = 80) -> str:
    """Run the command on a pseudo-terminal and return what a person sees."""
    parent, child = pty.openpty()
    process = subprocess.Popen(
        [COMMAND, "--root", str(checkout.path), *arguments],
        env={**checkout.env, "TERM": "xterm", "COLUMNS": str(columns)},
        stdin=child,
        stdout=child,
        stderr=child,
    )
    os.close(child)
    seen = b""
    try:
        while more := os.read(parent, 4096):
            seen += more
    except OSError:  # the other end is closed
        pass
    process.wait()
    os.close(parent)
    return re.sub(r"\x1b\[[0-9;?]*[a-zA-Z]", "", seen.decode().replace("\r\n", "\n"))


# -- track -------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["plex_enabled"], "unknown event 'plex_enabled': known are service_enabled,"),
        (["service_disabled", "name=plex"], "has no property 'name': its properties are service_name"),
        (["service_disabled"], "needs the property 'service_name'"),
        (["service_disabled", "plex"], "'plex' is not KEY=VALUE"),
        (["service_disabled", "service_name=a", "service_name=b"], "service_name is given twice"),
        (["command_executed", "command=start", "success=perhaps", "duration_ms=1"], "success must be true or false"),
        ([], "usage: onramp-analytics"),
    ],
)
@pytest.mark.parametrize("state", ["on", "off"])
def test_a_programmers_error_is_exit_2_with_one_line_whether_on_or_off(
    checkout: Checkout, state: str, arguments: list[str], sentence: str
) -> None:
    if state == "on":
        checkout.opt_in()

    done = checkout.run("track", *arguments, check=False)

    assert (done.returncode, done.stdout) == (2, "")
    assert sentence in done.stderr
    assert done.stderr.count("\n") == 1
    assert not os.path.exists(checkout.spool.file)


def test_trouble_with_the_machine_is_silent_and_status_0_and_shows_up_in_status(opted_in: Checkout) -> None:
    place = Path(os.fsdecode(opted_in.spool.file))
    place.mkdir()

    opted_in.track()

    assert any("onramp.spool is not what we made" in problem for problem in opted_in.status()["problems"])


def test_a_full_spool_is_named_in_status(opted_in: Checkout) -> None:
    opted_in.hold_back_flusher()
    Path(os.fsdecode(opted_in.spool.file)).write_bytes(b"\n" * CAP)

    opted_in.track()

    assert any("the spool is full" in problem for problem in opted_in.status()["problems"])


@pytest.mark.parametrize("where", ["outside any checkout", "a folder that is not there"])
def test_without_a_checkout_track_does_nothing(tmp_path: Path, environment: dict[str, str], where: str) -> None:
    root = [] if where.startswith("outside") else ["--root", str(tmp_path / "gone")]
    before = sorted(tmp_path.rglob("*"))

    done = subprocess.run(
        [COMMAND, *root, "track", "service_disabled", "service_name=plex"],
        env={**environment, "ONRAMP_ANALYTICS_ENABLED": "1"},
        cwd=tmp_path,
        capture_output=True,
        check=False,
    )

    assert (done.returncode, done.stdout, done.stderr) == (0, b"", b"")
    assert sorted(tmp_path.rglob("*")) == before


def test_the_checkout_is_found_from_below(opted_in: Checkout) -> None:
    opted_in.hold_back_flusher()
    ways: list[tuple[dict[str, str], str]] = [
        ({}, "services-available"),
        ({"ONRAMP_ROOT": str(opted_in.path)}, "/"),
        ({"ONRAMP_ROOT": "."}, ""),
    ]
    for extra, cwd in ways:
        subprocess.run(
            [COMMAND, "track", "service_disabled", "service_name=plex"],
            env={**opted_in.env, **extra},
            cwd=opted_in.path / cwd,
            check=True,
        )

    assert len(opted_in.pending()) == 3


@pytest.fixture
def read_only(opted_in: Checkout) -> Iterator[Checkout]:
    """A checkout in which the person may not write, root neither (`run` drops its right to pass over permissions)."""
    opted_in.path.chmod(0o555)
    opted_in.may_pass_over_permissions = False
    yield opted_in
    opted_in.path.chmod(0o755)


def test_who_may_not_write_in_the_checkout_has_a_spool_of_their_own_and_it_is_sent(
    read_only: Checkout, receiver: Receiver
) -> None:
    read_only.track()
    shown = read_only.pending()
    status = read_only.status()

    assert receiver.wait_for(1)
    assert receiver.accepted == shown
    assert len(shown) == status["pending"] == 1
    assert read_only.files() == {"onramp.lock"}
    wait_until(lambda: read_only.sent() == shown, "the log of what was sent is written")


def test_who_may_not_write_in_the_checkout_is_told_so_when_opting_out(read_only: Checkout) -> None:
    done = read_only.run("disable", check=False)

    assert done.returncode == 1
    assert done.stderr == (
        f"onramp-analytics: onramp.lock in {read_only.path} could not be written (Permission denied): "
        "mend that, then run the command again, or set DO_NOT_TRACK=1 to turn analytics off for yourself\n"
    )


def test_disable_deletes_the_users_own_spool_too(opted_in: Checkout, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", opted_in.env["HOME"])
    monkeypatch.delenv("XDG_STATE_HOME", raising=False)
    own = Spool(userspool.make_home(opted_in.root))
    spools.append(own, b"{}\n", lambda: True)

    opted_in.run("disable")

    assert os.listdir(own.home) == []


def test_who_may_not_look_into_the_flushers_folder_is_told_nothing_wrong(read_only: Checkout) -> None:
    folder = read_only.path / "onramp.spool.d"
    read_only.path.chmod(0o755)
    folder.mkdir(mode=0o000)
    read_only.path.chmod(0o555)
    read_only.track()

    assert len(read_only.pending()) == 1
    assert read_only.status()["pending"] == 1
    done = read_only.run("disable", check=False)

    assert (done.returncode, len(done.stderr.splitlines())) == (1, 1)
    assert read_only.pending() == []
    folder.chmod(0o700)


@pytest.mark.parametrize("arguments", [["track", "service_disabled", "-h"], []])
def test_help_is_given_where_it_is_meant(checkout: Checkout, arguments: list[str]) -> None:
    done = subprocess.run([COMMAND, *arguments], env=checkout.env, capture_output=True, text=True, check=False)

    assert "Usage: onramp-analytics" in done.stdout + done.stderr
    assert "Traceback" not in done.stderr


def test_disable_says_when_the_environment_keeps_analytics_on(opted_in: Checkout) -> None:
    done = opted_in.run("disable", env={"ONRAMP_ANALYTICS_ENABLED": "1"}, check=False)

    assert (done.returncode, done.stdout) == (1, "")
    assert "ONRAMP_ANALYTICS_ENABLED says on: unset it" in done.stderr
    assert "ANALYTICS_ENABLED=0" in opted_in.lock.read_text()


# -- showing -----------------------------------------------------------------------------------------------------------


def test_show_pending_shows_claimed_and_spilled_events_too(opted_in: Checkout) -> None:
    opted_in.hold_back_flusher()
    opted_in.track()
    segments.claim(opted_in.spool)
    opted_in.track("override_enabled", "override_name=plex-nfs")

    assert [event["event"] for event in opted_in.pending()] == ["service_enabled", "override_enabled"]


def test_show_pending_in_a_pipe_is_json_lines(opted_in: Checkout) -> None:
    opted_in.hold_back_flusher()
    opted_in.track()

    assert opted_in.run("show-pending").stdout == opted_in.run("show-pending", "--json").stdout
    assert json.loads(opted_in.run("show-pending").stdout)["event"] == "service_enabled"


def test_show_pending_counts_the_damaged_lines_that_it_skipped(opted_in: Checkout) -> None:
    opted_in.hold_back_flusher()
    opted_in.track()
    with open(opted_in.spool.file, "ab") as spool:
        spool.write(b"half a li\n\0\0\n")

    done = opted_in.run("show-pending")

    assert len(done.stdout.splitlines()) == 1
    assert done.stderr == "2 damaged lines skipped.\n"


def test_on_a_terminal_events_are_a_table(opted_in: Checkout) -> None:
    opted_in.hold_back_flusher()
    opted_in.track()

    seen = on_a_terminal(opted_in, "show-pending")

    assert re.search(
        r"^(just now|\d+ seconds? ago) +service_enabled +service_name=\"plex\" +has_scaffold=true", seen, re.MULTILINE
    )
    assert '$ip="0.0.0.0"' in seen
    assert max(map(len, seen.splitlines())) <= 80


@pytest.mark.parametrize(
    ("command", "sentence"), [("show-pending", "Nothing is waiting.\n"), ("show-sent", "Nothing was sent yet.\n")]
)
def test_on_a_terminal_nothing_is_a_sentence_and_in_a_pipe_it_is_nothing(
    opted_in: Checkout, command: str, sentence: str
) -> None:
    assert on_a_terminal(opted_in, command) == sentence
    assert opted_in.run(command).stdout == ""


def test_a_reader_that_has_seen_enough_is_no_error(opted_in: Checkout) -> None:
    values = {"service_name": "plex"}
    line = events.build("service_disabled", values, "550e8400-e29b-41d4-a716-446655440000", time.time_ns(), bytes(16))
    Path(os.fsdecode(opted_in.spool.file)).write_bytes(line * 5000)

    done = subprocess.run(
        ["bash", "-o", "pipefail", "-c", f"{COMMAND} --root {opted_in.path} show-pending | head -1"],
        env=opted_in.env,
        capture_output=True,
        text=True,
        check=False,
    )

    assert (done.returncode, done.stderr) == (0, "")
    assert len(done.stdout.splitlines()) == 1


def test_status_says_first_whether_and_why_and_last_how_to_change_it(opted_in: Checkout) -> None:
    lines = opted_in.run("status").stdout.splitlines()

    assert lines[0] == "Analytics are on: onramp.lock says ANALYTICS_ENABLED=1."
    assert lines[-1] == "To turn them off: make analytics-disable (or `onramp-analytics disable`)"


@pytest.mark.parametrize(
    ("environ", "why"),
    [
        ({"DO_NOT_TRACK": "1"}, "DO_NOT_TRACK is set"),
        ({"ONRAMP_ANALYTICS_ENABLED": "0"}, "ONRAMP_ANALYTICS_ENABLED says off"),
    ],
)
def test_status_names_what_turned_analytics_off(opted_in: Checkout, environ: dict[str, str], why: str) -> None:
    assert opted_in.run("status", env=environ).stdout.startswith(f"Analytics are off: {why}.\n")


def test_status_as_json_has_everything_and_no_whole_key(opted_in: Checkout, receiver: Receiver) -> None:
    opted_in.hold_back_flusher()
    opted_in.track()

    found = opted_in.status()

    assert found["on"] is True
    assert found["id"] == "550e8400-e29b-41d4-a716-446655440000"
    assert found["destination"] == receiver.url
    assert found["key"] == "phc_…cdef"
    assert (found["pending"], found["oldest"]) == (1, opted_in.pending()[0]["timestamp"])
    assert found["problems"] == []
    assert KEY not in opted_in.run("status").stdout


def test_status_tells_of_the_last_send_and_the_next_try(opted_in: Checkout, receiver: Receiver) -> None:
    opted_in.hold_back_flusher()
    opted_in.track()
    receiver.answer_next(Answer(429, b"slow down", (("Retry-After", "7200"),)))
    opted_in.run("flush", check=False)

    said = opted_in.run("status").stdout

    assert re.search(r"last send    (just now|\d+ seconds? ago): not reached, 0 events sent", said)
    assert re.search(r"next try     with the next event, in \d hours? at the earliest", said)
    assert "problem      the last send did not work: the host answered 429: slow down" in said


def test_status_tells_of_a_flusher_that_waits_for_more_events(opted_in: Checkout) -> None:
    opted_in.hold_back_flusher()
    opted_in.track()

    said = opted_in.run("status").stdout

    assert "next try     in a few seconds, or else with the next event in 9 minutes" in said


@pytest.mark.parametrize(
    ("name", "kind"),
    [
        *[(name, kind) for name in ("onramp.spool", "onramp.spool.lock") for kind in ("symlink", "folder", "fifo")],
        ("onramp.spool.d", "symlink"),
        ("onramp.spool.d", "fifo"),
    ],
)
def test_what_stands_in_the_way_is_named_by_status_and_outlives_every_command(
    opted_in: Checkout, tmp_path: Path, name: str, kind: str
) -> None:
    place, victim = opted_in.path / name, tmp_path / "victim"
    victim.mkdir()
    (victim / "precious").write_text("precious")
    if kind == "symlink":
        place.symlink_to(victim)
    elif kind == "folder":
        place.mkdir()
    else:
        os.mkfifo(place)

    opted_in.track()
    problems = opted_in.status()["problems"]
    assert any(f"{name} is not what we made" in problem for problem in problems)
    for command in ("show-pending", "flush", "show-sent", "status", "reset-id", "disable"):
        done = opted_in.run(command, check=False)
        assert done.returncode in (0, 1)
        assert "Traceback" not in done.stderr
        assert len(done.stderr.splitlines()) <= 1

    assert os.listdir(victim) == ["precious"]
    assert (victim / "precious").read_text() == "precious"


@pytest.mark.parametrize("name", ["1-1.99999999999999999999", "1-1.0"])
def test_a_segment_that_is_none_breaks_no_command(opted_in: Checkout, name: str) -> None:
    opted_in.hold_back_flusher()
    odd = opted_in.path / "onramp.spool.d" / name
    if name == "1-1.0":
        odd.symlink_to("/etc/hostname")
    else:
        odd.write_text("x\n")
    opted_in.track()

    assert len(opted_in.pending()) == 1
    assert opted_in.status()["pending"] == 1
    assert opted_in.run("flush", check=False).stdout == "Sent 1 event.\n"


def test_flush_says_so_when_something_is_left_that_cannot_be_read(opted_in: Checkout) -> None:
    opted_in.hold_back_flusher()
    (opted_in.path / "onramp.spool.d/1-1.0").symlink_to("/etc/hostname")

    done = opted_in.run("flush", check=False)

    said = "onramp-analytics: something is left that cannot be read: `onramp-analytics doctor` names it\n"
    assert (done.returncode, done.stdout, done.stderr) == (1, "Sent 0 events.\n", said)


NEVER = ("2026-13-45T25:61:61.000000Z", "0000-01-01T00:00:00.000000Z", "2026-02-31T00:00:00.000000Z")


@pytest.mark.parametrize("when", NEVER)
def test_a_time_that_never_was_breaks_no_command(opted_in: Checkout, when: str) -> None:
    values = {"service_name": "plex"}
    line = events.build("service_disabled", values, "550e8400-e29b-41d4-a716-446655440000", time.time_ns(), bytes(16))
    damaged = re.sub(rb'"timestamp":"[^"]+"', f'"timestamp":"{when}"'.encode(), line)
    Path(os.fsdecode(opted_in.spool.file)).write_bytes(damaged)
    folder = opted_in.path / "onramp.spool.d"
    folder.mkdir()
    (folder / "sent").write_bytes(damaged + b'{}\n{"uuid": []}\n')
    (folder / "state.json").write_text('{"at": Infinity, "outcome": "accepted"}')

    for command in ("status", "show-pending", "show-sent"):
        assert "Traceback" not in on_a_terminal(opted_in, command)


def test_an_event_without_a_line_break_waits_too(opted_in: Checkout, receiver: Receiver) -> None:
    opted_in.hold_back_flusher()
    opted_in.track()
    place = Path(os.fsdecode(opted_in.spool.file))
    place.write_bytes(place.read_bytes().rstrip(b"\n"))

    assert opted_in.status()["pending"] == 1
    assert opted_in.run("flush").stdout == "Sent 1 event.\n"
    assert len(receiver.accepted) == 1


@pytest.mark.parametrize("streams", [">&-", "2>&-", ">/dev/full", "2>/dev/full", ">&- 2>&-"])
@pytest.mark.parametrize(("command", "statuses"), [("status", {0, 1}), ("show-id", {0, 1}), ("track nonsense", {2})])
def test_closed_and_full_streams_are_no_reason_for_a_traceback(
    opted_in: Checkout, command: str, statuses: set[int], streams: str
) -> None:
    done = subprocess.run(
        ["sh", "-c", f"{COMMAND} --root {opted_in.path} {command} {streams}"],
        env=opted_in.env,
        capture_output=True,
        text=True,
        check=False,
    )

    assert done.returncode in statuses
    assert "Traceback" not in done.stderr
    assert len(done.stderr.splitlines()) <= 1


def test_enable_does_not_reach_through_a_link_in_place_of_the_folder(opted_in: Checkout, tmp_path: Path) -> None:
    victim = tmp_path / "victim"
    victim.mkdir()
    (victim / "not-before").write_text("precious")
    (opted_in.path / "onramp.spool.d").symlink_to(victim)

    opted_in.run("enable")

    assert (victim / "not-before").read_text() == "precious"


@pytest.mark.parametrize("name", ["sent", "state.json.part", "not-before"])
def test_a_hard_link_in_the_place_of_a_file_of_ours_is_not_written_to(
    opted_in: Checkout, tmp_path: Path, name: str
) -> None:
    victim = tmp_path / "victim"
    victim.write_text("precious")
    os.utime(victim, (1, 1))
    opted_in.hold_back_flusher()
    opted_in.track()
    (opted_in.path / "onramp.spool.d" / name).unlink(missing_ok=True)
    (opted_in.path / "onramp.spool.d" / name).hardlink_to(victim)

    opted_in.run("flush", check=False)

    assert victim.read_text() == "precious"
    assert victim.stat().st_mtime == 1


def test_events_of_a_time_without_permission_are_sent_with_the_next_ones(
    read_only: Checkout, receiver: Receiver
) -> None:
    read_only.env["ONRAMP_ANALYTICS_HOST"] = "http://127.0.0.1:9"
    read_only.track()
    wait_until(lambda: read_only.status()["last_run"], "the host was not reached")
    read_only.path.chmod(0o755)
    read_only.env["ONRAMP_ANALYTICS_HOST"] = receiver.url
    (own,) = (Path(read_only.env["HOME"]) / ".local/state/onramp-analytics").iterdir()
    (own / "onramp.spool.d" / "not-before").unlink()

    read_only.track()

    assert receiver.wait_for(2)


def test_a_user_without_a_home_is_no_reason_for_a_traceback(read_only: Checkout) -> None:
    read_only.env["HOME"] = "relative"

    read_only.track()

    assert read_only.run("status").returncode == 0
    assert "Traceback" not in read_only.run("disable", check=False).stderr


def test_ctrl_c_at_track_prints_nothing(opted_in: Checkout) -> None:
    code = (
        "import sys\n"
        "from onramp_analytics import __main__, tracker\n"
        "def pressed(*_): raise KeyboardInterrupt\n"
        "tracker.main = pressed\n"
        "sys.argv[1:] = ['track', 'x']\n"
        "sys.exit(__main__.main())\n"
    )
    done = subprocess.run([sys.executable, "-c", code], env=opted_in.env, capture_output=True, check=False)

    assert (done.returncode, done.stdout, done.stderr) == (130, b"", b"")


def test_events_is_the_catalogue(checkout: Checkout) -> None:
    said = checkout.run("events").stdout

    for event, (_, properties) in events.EVENTS.items():
        assert f"| `{event}` |" in said
        assert all(f"| `{p.name}` | {p.rule} |" in said for p in properties)


# -- the rest ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["enabel"], "No such command 'enabel'"),
        (["status", "--jsn"], "No such option"),
        (["flush", "--timeout", "soon"], "is not a valid float"),
        (["--rot", "."], "No such option"),
    ],
)
def test_a_wrong_use_is_exit_2_with_one_line_that_says_where_to_look(
    checkout: Checkout, arguments: list[str], sentence: str
) -> None:
    done = subprocess.run([COMMAND, *arguments], env=checkout.env, capture_output=True, text=True, check=False)

    assert (done.returncode, done.stdout) == (2, "")
    assert sentence in done.stderr
    assert "--help" in done.stderr
    assert done.stderr.count("\n") == 1


def test_outside_a_checkout_a_command_says_what_to_do(tmp_path: Path, environment: dict[str, str]) -> None:
    done = subprocess.run(
        [COMMAND, "status"], env=environment, cwd=tmp_path, capture_output=True, text=True, check=False
    )

    assert done.returncode == 1
    assert done.stderr == ("onramp-analytics: this is no OnRamp checkout: go to one, or name it with --root DIR\n")


def test_every_command_explains_itself() -> None:

    for name, command in commands.commands.items():
        assert command.help, name
        assert command.get_short_help_str(limit=100)
        for parameter in command.params:
            assert not isinstance(parameter, click.Option) or parameter.help, f"{name} {parameter.name}"


def test_help_of_track_is_there_although_track_goes_round_it(checkout: Checkout) -> None:
    said = checkout.run("track", "--help").stdout

    assert "EVENT [KEY=VALUE]..." in said
    assert "service_enabled" in said


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_the_shell_completes_commands(checkout: Checkout, shell: str) -> None:
    source = checkout.run(env={"_ONRAMP_ANALYTICS_COMPLETE": f"{shell}_source"}).stdout
    completed = subprocess.run(
        [COMMAND],
        env={
            **checkout.env,
            "_ONRAMP_ANALYTICS_COMPLETE": f"{shell}_complete",
            "COMP_WORDS": "onramp-analytics show-" if shell != "fish" else "onramp-analytics",
            "COMP_CWORD": "1" if shell != "fish" else "show-",
        },
        capture_output=True,
        text=True,
        check=False,
    ).stdout

    assert "onramp-analytics" in source
    assert "show-pending" in completed
    assert "show-sent" in completed


def test_the_version_is_said(checkout: Checkout) -> None:
    assert checkout.run("--version").stdout == f"onramp-analytics, version {__version__}\n"


def test_the_root_may_be_given_with_an_equals_sign(opted_in: Checkout) -> None:
    opted_in.hold_back_flusher()
    subprocess.run(
        [COMMAND, f"--root={opted_in.path}", "track", "service_disabled", "service_name=plex"],
        env=opted_in.env,
        cwd="/",
        check=True,
    )

    assert len(opted_in.pending()) == 1


def test_the_flusher_is_seen_alive_by_the_one_who_looks(opted_in: Checkout) -> None:
    opted_in.hold_back_flusher()
    code = (
        "import sys; from onramp_analytics import spool; from onramp_analytics.outbox import segments\n"
        "with segments.flusher_lock(spool.Spool(sys.argv[1].encode())): print(flush=True); sys.stdin.read()\n"
    )
    with subprocess.Popen(
        [sys.executable, "-c", code, str(opted_in.path)], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as holder:
        assert holder.stdout
        holder.stdout.readline()
        alive = optin.flusher_is_alive(opted_in.spool), opted_in.status()["flusher_alive"]
        holder.kill()

    assert alive == (True, True)
    assert not optin.flusher_is_alive(opted_in.spool)
