"""The rules of every command: exit statuses, streams, another user's checkout, and output on a terminal."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import time
from itertools import chain
from pathlib import Path

import click
import pytest

from onramp_analytics import __version__, events
from onramp_analytics.cli.main import commands
from onramp_analytics.receiver import Answer, Receiver
from tests.cli.terminal import CONTROL, configure, enable_services
from tests.conftest import COMMAND, ID, Checkout, make_checkout

#: Each command that is about a checkout, with its words; `disable` comes last, since it deletes everything.
ABOUT_A_CHECKOUT = [
    *(["status"], ["doctor"], ["show-pending"], ["show-sent"], ["show-id"], ["preview"], ["events", "--new"]),
    *(["report"], ["flush", "--timeout", "5"], ["reset-id"], ["enable"], ["disable"]),
]


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
    assert done.stderr == ("onramp-analytics: not an OnRamp checkout: change to one, or use --root DIR\n")


def test_a_folder_that_does_not_exist_is_named(tmp_path: Path, environment: dict[str, str]) -> None:
    done = Checkout(tmp_path, environment).run("--root", str(tmp_path / "gone"), "status", check=False)

    assert done.returncode == 1
    assert f"the folder {tmp_path}/gone does not exist" in done.stderr


def test_every_command_explains_itself() -> None:
    for name, command in commands.commands.items():
        assert command.help, name
        summary = command.get_short_help_str()  # as the help and the completions show it
        assert len(summary) <= 45, name
        assert summary.endswith("."), name
        assert not summary.endswith("..."), name
        for parameter in command.params:
            assert not isinstance(parameter, click.Option) or parameter.help, f"{name} {parameter.name}"


def test_the_help_lists_every_command_in_a_section(checkout: Checkout) -> None:
    sections = re.findall(r"^(\w+):\n((?:  .*\n)+)", checkout.run("--help").stdout, re.MULTILINE)
    listed = {title: re.findall(r"^  (\S+)", lines, re.MULTILINE) for title, lines in sections if title != "Options"}

    assert list(listed) == ["Consent", "Look", "Send", "Maintain"]
    assert sorted(chain(*listed.values())) == sorted(n for n, c in commands.commands.items() if not c.hidden)


@pytest.mark.parametrize("arguments", [["track", "service_disabled", "-h"], []])
def test_help_is_given_where_it_is_meant(checkout: Checkout, arguments: list[str]) -> None:
    done = subprocess.run([COMMAND, *arguments], env=checkout.env, capture_output=True, text=True, check=False)

    assert "Usage: onramp-analytics" in done.stdout + done.stderr
    assert "Traceback" not in done.stderr


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


def test_the_version_is_shown(checkout: Checkout) -> None:
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


@pytest.mark.parametrize("streams", [">&-", "2>&-", ">/dev/full", "2>/dev/full", ">&- 2>&-"])
@pytest.mark.parametrize(("command", "statuses"), [("status", {0, 1}), ("show-id", {0, 1}), ("track nonsense", {2})])
def test_closed_and_full_streams_end_no_command_with_a_traceback(
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


def test_a_reader_that_has_seen_enough_is_not_an_error(opted_in: Checkout) -> None:
    line = events.build("service_disabled", {"service_name": "plex"}, ID, time.time(), bytes(16))
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


@pytest.mark.parametrize("words", [["status"], ["doctor"], ["show-pending"], ["preview"], ["events", "--json"]])
def test_each_json_object_has_a_version_and_an_event_has_none(opted_in: Checkout, words: list[str]) -> None:
    opted_in.hold_back_flusher()
    opted_in.track()

    found = json.loads(opted_in.run(*words, *([] if "--json" in words else ["--json"]), check=False).stdout)

    assert found.get("version") == (None if words == ["show-pending"] else 1)


def test_an_ascii_terminal_gets_ascii(checkout: Checkout) -> None:
    accented = make_checkout(checkout.path.parent / "onrämp", checkout.env)
    accented.opt_in()
    accented.hold_back_flusher()
    accented.track()
    ascii_only = {"PYTHONIOENCODING": "ascii"}

    for words in (*ABOUT_A_CHECKOUT, ["events"], ["--help"]):
        done = accented.run(*words, env=ascii_only, check=False)

        assert "Traceback" not in done.stderr, words
        assert (done.stdout + done.stderr).isascii(), words


def test_no_control_character_reaches_a_terminal(tmp_path: Path, checkout: Checkout, receiver: Receiver) -> None:
    evil = "\x1b]0;owned\x07\x9b31m"
    place = make_checkout(tmp_path / f"on{evil}ramp", checkout.env)
    enable_services(place, "plex")
    configure(place, receiver.url, ANALYTICS_CONTACT=evil, ANALYTICS_DOCS_URL=evil)
    place.run("enable")
    place.hold_back_flusher()
    reason = json.dumps({"at": 1.0, "outcome": "not reached", "reason": evil, "failures": 1})
    (place.path / "onramp.spool.d/state.json").write_text(reason)
    (place.path / "onramp.spool.d/sent").mkdir()
    receiver.answer_always(lambda _request: Answer(503, evil.encode()))

    for words in (["track", f"e{evil}"], *ABOUT_A_CHECKOUT[:8], ["doctor", "--online"], *ABOUT_A_CHECKOUT[8:]):
        done = place.run(*words, check=False)

        assert not CONTROL.search(done.stdout + done.stderr), words


FIFOS = [
    *("onramp.lock", ".env", "services-enabled/.env", "onramp.program", "onramp.program.new", "onramp.lock.new"),
    *("make.d/analytics.conf", "make.d/analytics.names", "docs/analytics.md", "services-enabled", "overrides-enabled"),
    *("onramp.spool", "onramp.spool.lock", "onramp.spool.d"),
    *(f"onramp.spool.d/{name}" for name in ("not-before", "flusher.lock", "enabled", "state.json", "sent", "refused")),
    *("onramp.spool.d/1-1.0", "onramp.spool.d/1-1.new", "onramp.spool.d/doctor", "the file in the state folder"),
]


@pytest.mark.parametrize("name", FIFOS)
def test_a_fifo_in_the_place_of_a_file_of_ours_hangs_no_command(opted_in: Checkout, name: str) -> None:
    opted_in.hold_back_flusher()
    opted_in.track()
    place = opted_in.path / name
    if name.startswith("the file"):
        (place,) = Path(opted_in.env["HOME"], ".local/state/onramp-analytics").iterdir()
    if place.is_dir():
        place.rename(opted_in.path / "moved-away")
    place.unlink(missing_ok=True)
    place.parent.mkdir(exist_ok=True)
    os.mkfifo(place)

    for words in (["track", "service_disabled", "service_name=plex"], *ABOUT_A_CHECKOUT):
        done = opted_in.run(*words, check=False)  # ends within its time limit

        assert done.returncode in (0, 1), words
        assert "Traceback" not in done.stderr, words
        assert len(done.stderr.splitlines()) <= 2, words


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


@pytest.fixture
def anothers(opted_in: Checkout) -> Checkout:
    """A checkout with events that belongs to another user; the test runs as root."""
    if os.geteuid():
        pytest.skip("only root can give a checkout to another user")
    opted_in.hold_back_flusher()
    opted_in.track()
    for path in (opted_in.path, *opted_in.path.rglob("*")):
        os.chown(path, 65534, 65534, follow_symlinks=False)
    return opted_in


def everything(folder: Path) -> dict[str, tuple[int, int, int, bytes]]:
    found = {}
    for path in (folder, *folder.rglob("*")):
        seen = path.lstat()
        content = path.read_bytes() if path.is_file() else b""
        found[str(path)] = (seen.st_uid, seen.st_mode, seen.st_mtime_ns, content)
    return found


@pytest.mark.parametrize("words", ABOUT_A_CHECKOUT, ids=lambda words: words[0])
def test_root_in_another_users_checkout_learns_whose_it_is_and_touches_nothing(
    anothers: Checkout, receiver: Receiver, words: list[str]
) -> None:
    before = everything(anothers.path)

    done = anothers.run(*words, check=False)

    said = "this checkout belongs to nobody, so root does not change it: run `sudo -u nobody make ...` instead\n"
    assert (done.returncode, done.stdout, done.stderr) == (1, "", f"onramp-analytics: {said}")
    assert everything(anothers.path) == before
    assert receiver.requests == []


@pytest.mark.parametrize("words", [["notice"], ["track", "service_disabled", "service_name=plex"]])
def test_what_make_runs_is_silent_for_root_in_another_users_checkout(anothers: Checkout, words: list[str]) -> None:
    before = everything(anothers.path)

    done = anothers.run(*words, env={"ONRAMP_ANALYTICS_ENABLED": "1"})

    assert (done.stdout, done.stderr) == ("", "")
    assert everything(anothers.path) == before


def test_an_owner_without_a_name_is_named_so_that_a_shell_takes_it(anothers: Checkout) -> None:
    os.chown(anothers.path, 54321, 54321)

    assert "belongs to #54321," in anothers.run("status", check=False).stderr
    assert "sudo -u '#54321' make" in anothers.run("status", check=False).stderr
