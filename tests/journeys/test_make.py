"""Make with the drop-in: nobody who is off pays, nobody notices, and what happened is what is recorded."""

from __future__ import annotations

import os
import shutil
import subprocess
import time
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any, ClassVar

import pytest

from onramp_analytics import consent
from tests.conftest import wait_until
from tests.onramp_checkout import COMMAND, KEY, PRIVATE, SECRET, OnRamp, Terminal, build

EXTRA_LINE = "make: *** [GNUmakefile:"


@pytest.fixture
def onramp(tmp_path: Path) -> OnRamp:
    """An OnRamp with the drop-in, and analytics off."""
    return build(tmp_path, os.environ, installed=True)


@pytest.fixture
def on(onramp: OnRamp) -> OnRamp:
    """An OnRamp with the drop-in, and analytics on."""
    onramp.opt_in()
    return onramp


@pytest.fixture
def three(tmp_path: Path) -> list[OnRamp]:
    """Three alike: without the drop-in, with it and off, with it and on. All at paths of the same length."""
    made = [build(tmp_path / name, os.environ, installed=name != "bare") for name in ("bare", "off_", "on__")]
    made[2].opt_in()
    return made


def seen(onramp: OnRamp, done: subprocess.CompletedProcess[str]) -> tuple[int, str, str, Mapping[str, str]]:
    """What a person can tell, without the one line, and the one file in MAKEFILE_LIST, that the documentation names."""
    errors = "".join(line for line in done.stderr.splitlines(keepends=True) if not line.startswith(EXTRA_LINE))
    output = done.stdout.replace(str(onramp.path.parent), "").replace(" make.d/analytics.mk", "")
    return done.returncode, output, errors.replace(str(onramp.path.parent), ""), onramp.tree()


COMMANDS = [
    ["enable-service", "plex"],
    ["enable-service", PRIVATE],
    ["enable-service", "no-such"],
    ["start-service", "plex"],
    ["services-enabled/plex.yml"],
    ["enable-override", "plex-nfs"],
    ["disable-service", "never-enabled"],
    ["start"],
    [],
    ["no-such-target"],
    ["fail"],
    ["fail-later"],
    ["-k", "fail", "twice"],
    ["-i", "fail"],
    ["-i", "no-such-target"],
    ["-s", "recurse", "plex"],
    ["recurse", "plex"],
    ["-j4", "twice"],
    ["-j4", "recurse", "plex"],
    ["-j2", "meet"],
    ["-w", "list"],
    ["-kw", "fail"],
    ["--no-print-directory", "recurse", "plex"],
    ["-B", "twice"],
    ["twice", "list", "list"],
    ["count"],
    ["env"],
    ["env", "A=b c"],
    ["env", "QUOTE=it's"],
    ["secret", "TOKEN=mine $HOME"],
    ["-n", "enable-service", "plex"],
    ["-q", "twice"],
    ["-t", "etc/made.conf"],
    ["--trace", "twice"],
    ["--eval=more: ; @echo evaluated", "more"],
    ["-f", "Makefile", "list"],
    ["list", "ONRAMP_ANALYTICS_INSIDE="],
    ["odd:goal"],
    ["odd$goal"],
    ["tell"],
]


@pytest.mark.parametrize("words", COMMANDS, ids=" ".join)
def test_a_command_does_the_same_without_the_drop_in_with_it_off_and_with_it_on(
    three: list[OnRamp], words: list[str]
) -> None:
    bare, off, on = (seen(each, each.make(*words)) for each in three)

    if words != ["tell"]:  # its recipe calls the macro, which is empty without the drop-in
        assert off == bare
    assert on == off


def test_the_same_holds_from_another_folder_with_dash_c(three: list[OnRamp], tmp_path: Path) -> None:
    bare, off, on = (seen(each, each.make("-C", str(each.path), "recurse", "plex", cwd=tmp_path)) for each in three)

    assert "Entering directory" in bare[1]
    assert off == bare
    assert on == bare


def test_a_command_that_fails_has_one_more_line_of_makes(on: OnRamp) -> None:
    lines = on.make("fail").stderr.splitlines()

    assert [line for line in lines if line.startswith(EXTRA_LINE)] == [lines[-1]]
    assert lines[:-1] == ["trouble", "make: *** [make.d/tools.mk:3: fail] Error 3"]


def processes(onramp: OnRamp, *words: str, env: dict[str, str] | None = None) -> list[str]:
    """Every fork and every program of a make command, make itself among them."""
    log = onramp.path.parent / "strace"
    calls = ["-e", "trace=execve,clone,clone3,fork,vfork", "-e", "status=successful"]
    onramp.make_with(["strace", "-f", "-qq", *calls, "-o", str(log)], words, env)
    return sorted(
        line.split('"')[1] if "execve(" in line else "fork"
        for line in log.read_text().splitlines()
        if "execve(" in line or "clone" in line or "fork(" in line
    )


@pytest.mark.skipif(not shutil.which("strace"), reason="counted with strace, which is not on this machine")
@pytest.mark.parametrize(
    ("consent_is", "words", "env"),
    [
        ("never asked", ["recurse", "plex"], {}),
        ("no", ["recurse", "plex"], {}),
        ("yes", ["recurse", "plex"], {"DO_NOT_TRACK": "1"}),
        ("yes", ["recurse", "plex"], {"ONRAMP_ANALYTICS_ENABLED": "0"}),
        ("yes", ["-n", "recurse", "plex"], {}),
        ("yes", ["tell"], {"DO_NOT_TRACK": "1"}),
    ],
    ids=["never asked", "opted out", "DO_NOT_TRACK", "off for this shell", "dry run", "the macro"],
)
def test_off_starts_no_process(onramp: OnRamp, consent_is: str, words: list[str], env: dict[str, str]) -> None:
    if consent_is != "never asked":
        onramp.lock.write_text(f"ANALYTICS_ENABLED={'1' if consent_is == 'yes' else '0'}\n")

    with_it = processes(onramp, *words, env=env)
    for name in ("services-enabled/plex.yml", "etc"):
        shutil.rmtree(onramp.path / name, ignore_errors=True)
        (onramp.path / name).unlink(missing_ok=True)
    without_it = processes(onramp, "-f", "Makefile", *words, env=env)

    assert with_it == without_it
    assert not (onramp.path / "onramp.spool.lock").exists()


def test_off_is_counted_by_a_stub_too(onramp: OnRamp) -> None:
    ran = onramp.path.parent / "ran"
    program_is(onramp, f"echo ran >>{ran}")
    onramp.lock.write_text("ANALYTICS_ENABLED=1\nANALYTICS_NOTICE_SHOWN=1\n")

    onramp.make("list", env={"DO_NOT_TRACK": "1"})
    onramp.make("list", env={"ONRAMP_ANALYTICS_ENABLED": "no"})
    onramp.make("-n", "list")
    onramp.make("list")  # the only one that counts, and the last

    wait_until(ran.exists, "the stub ran")
    assert ran.read_text() == "ran\n"


def program_is(onramp: OnRamp, script: str) -> None:
    """Put a script in the place of the interpreter."""
    stub = onramp.path.parent / "interpreter"
    stub.write_text(f"#!/bin/sh\n{script}\n")
    stub.chmod(0o755)
    (onramp.path / "onramp.program").write_text(f"{stub}\n{stub}\n")


LOCKS: dict[str, bytes | None] = {
    "none": None,
    "on": b"ANALYTICS_ENABLED=1\n",
    "off": b"ANALYTICS_ENABLED=0\n",
    "last counts": b"ANALYTICS_ENABLED=1\nANALYTICS_ENABLED=0\n",
    "last counts, on": b"ANALYTICS_ENABLED=0\nother=1\nANALYTICS_ENABLED=1",
    "comment": b"# ANALYTICS_ENABLED=1\n#ANALYTICS_ENABLED=1\nX ANALYTICS_ENABLED=1\nX\tANALYTICS_ENABLED=1\n",
    "space": b" ANALYTICS_ENABLED=1\nANALYTICS_ENABLED=1 \n",
    "make syntax": b"$(shell touch executed)\n$(error no)\nANALYTICS_ENABLED=$(shell touch executed)1\nendif\n",
}
ENVIRONMENTS: list[dict[str, str]] = [
    {},
    {"DO_NOT_TRACK": "1"},
    {"DO_NOT_TRACK": " "},
    {"DO_NOT_TRACK": "x 0"},
    {"DO_NOT_TRACK": "0", "ONRAMP_ANALYTICS_ENABLED": "yes"},
    {"DO_NOT_TRACK": "", "ONRAMP_ANALYTICS_ENABLED": "1"},
    {"DO_NOT_TRACK": "$(shell touch executed)"},
    {"ONRAMP_ANALYTICS_ENABLED": ""},
    {"ONRAMP_ANALYTICS_ENABLED": "0"},
    {"ONRAMP_ANALYTICS_ENABLED": "True"},
    {"ONRAMP_ANALYTICS_ENABLED": "1 1"},
]


@pytest.mark.parametrize("lock", LOCKS)
def test_make_reads_consent_as_the_contract_says(onramp: OnRamp, lock: str) -> None:
    ran = onramp.path.parent / "ran"
    program_is(onramp, f'echo "$4" >>{ran}')
    content = LOCKS[lock]
    if content is not None:
        onramp.lock.write_bytes(content)
    expected = []

    for number, env in enumerate([*ENVIRONMENTS, {"ONRAMP_ANALYTICS_ENABLED": "1"}]):
        done = onramp.make(f"goal{number}", env=env)
        assert "No rule to make target" in done.stderr
        decided = consent.decide({k.encode(): v.encode() for k, v in env.items()}, content)
        expected += [f"goal{number}"] if decided.on else []

    wait_until(lambda: ran.exists() and expected[-1] in ran.read_text().split(), "the last stub ran")
    assert sorted(ran.read_text().split()) == sorted(expected)
    assert not (onramp.path / "executed").exists()


@pytest.mark.parametrize(
    ("line", "lock", "on"),
    [
        ("DO_NOT_TRACK=1", "1", False),
        ("DO_NOT_TRACK = 1", "1", False),
        ("export DO_NOT_TRACK=1", "1", False),
        ("ONRAMP_ANALYTICS_ENABLED=0", "1", False),
        ("ONRAMP_ANALYTICS_ENABLED = 0", "1", False),
        ("# ONRAMP_ANALYTICS_ENABLED=1", "0", False),
        ("ONRAMP_ANALYTICS_ENABLED=1", "0", True),
        ("ONRAMP_ANALYTICS_ENABLED=1\nDO_NOT_TRACK=1", "0", False),
        ("ONRAMP_ANALYTICS_ENABLED=1\nONRAMP_ANALYTICS_ENABLED=0", "1", False),
        ("OTHER=1", "1", True),
    ],
)
@pytest.mark.parametrize("file", [".env", "services-enabled/.env"])
def test_what_onramps_own_environment_file_says_counts(
    onramp: OnRamp, file: str, line: str, lock: str, *, on: bool
) -> None:
    onramp.lock.write_text(f"ANALYTICS_ENABLED={lock}\nANALYTICS_NOTICE_SHOWN=1\n")
    (onramp.path / file).write_text(f"{line}\n")

    failed = onramp.make("fail")

    assert (EXTRA_LINE in failed.stderr) == on
    if on:
        assert len(onramp.wait_for(2)) == 2  # the tracker asked again, and was told the same


@pytest.mark.parametrize("kind", ["folder", "link", "dangling link"])
def test_a_lock_file_of_a_wrong_kind_is_off_and_breaks_nothing(onramp: OnRamp, kind: str) -> None:
    if kind == "folder":
        onramp.lock.mkdir()
    else:
        onramp.lock.symlink_to("elsewhere")
    if kind == "link":
        (onramp.path / "elsewhere").write_text("ANALYTICS_ENABLED=1\n")
    ran = onramp.path.parent / "ran"
    program_is(onramp, f"touch {ran}")

    done = onramp.make("list")

    assert (done.returncode, done.stderr) == (0, "")
    assert EXTRA_LINE not in onramp.make("fail").stderr  # the drop-in steps aside


def test_the_story_of_a_service_is_recorded_as_it_happened(on: OnRamp) -> None:
    before = 0
    for words, events in STORY:
        on.make(*words)
        found = on.wait_for(before + len(events))[before:]
        before += len(found)
        for _event, properties in found:
            if "duration_ms" in properties:
                properties["duration_ms"] = 0
        assert sorted(found, key=str) == sorted(events, key=str)  # the macro's tracker is another process


def ran(command: str, *, success: bool = True) -> tuple[str, dict[str, Any]]:
    return ("command_executed", {"command": command, "success": success, "duration_ms": 0})


STORY: list[tuple[list[str], list[tuple[str, dict[str, Any]]]]] = [
    (
        ["enable-service", "plex"],
        [("service_enabled", {"service_name": "plex", "has_scaffold": True}), ran("enable-service")],
    ),
    (["start-service", "plex"], [ran("start-service")]),
    (
        ["start-service", "jellyfin"],
        [("service_enabled", {"service_name": "jellyfin", "has_scaffold": False}), ran("start-service")],
    ),
    (["enable-override", "plex-nfs"], [("override_enabled", {"override_name": "plex-nfs"}), ran("enable-override")]),
    (
        ["disable-service", "plex"],
        [
            ("override_disabled", {"override_name": "plex-nfs"}),
            ("service_disabled", {"service_name": "plex"}),
            ran("disable-service"),
        ],
    ),
    (["enable-service", "no-such"], [ran("enable-service")]),
    (["fail"], [ran("fail", success=False), ("error_occurred", {"command": "fail", "error_type": "exit_2"})]),
    ([], [ran("start")]),
    (["recurse", "jellyfin"], [ran("recurse")]),
    (["count"], [ran("count")]),
    (["-j4", "twice", "list"], [ran("twice")]),
    (["etc/made.conf"], [ran("other")]),
    (
        ["tell"],
        [("service_enabled", {"service_name": "plex", "has_scaffold": False}), ran("tell")],
    ),
]


def test_a_private_name_is_nowhere(on: OnRamp) -> None:
    on.make("enable-service", PRIVATE)
    on.make("disable-service", PRIVATE)
    on.make(PRIVATE)

    found = on.wait_for(6)

    assert ("service_enabled", {"service_name": "custom", "has_scaffold": False}) in found
    assert ("service_disabled", {"service_name": "custom"}) in found
    assert ("error_occurred", {"command": "other", "error_type": "exit_2"}) in found
    kept = b"".join(path.read_bytes() for path in on.path.rglob("onramp.*") if path.is_file())
    assert PRIVATE.encode() not in kept
    assert SECRET.encode() not in kept


def test_what_does_not_run_recipes_or_is_about_analytics_is_not_recorded(on: OnRamp) -> None:
    for words in (["-n"], ["-q"], ["-t"], ["-pq"], ["-f", "Makefile"]):
        on.make(*words, "list")
    on.make("analytics-status")
    on.make("odd:goal")
    on.make("list")

    assert [p["command"] for _, p in on.wait_for(1)] == ["list"]


def test_a_duration_is_the_true_one(on: OnRamp) -> None:
    began = time.monotonic()
    on.make("slow")
    took = (time.monotonic() - began) * 1000

    [(_, properties)] = on.wait_for(1)

    assert 290 <= properties["duration_ms"] <= took + 10  # /proc/uptime tells hundredths


@pytest.mark.parametrize("broken", ["no file", "empty", "not there", "fails", "crashes"])
def test_a_missing_or_broken_program_changes_nothing(on: OnRamp, broken: str) -> None:
    on.env = {**on.env, "PATH": on.env["PATH"].replace(str(COMMAND.parent), "/nowhere")}
    program = on.path / "onramp.program"
    if broken == "no file":
        program.unlink()
    elif broken == "empty":
        program.write_text("")
    elif broken == "not there":
        program.write_text("/no/such/python\n/no/such/file\n")
    else:
        program_is(on, "echo oh no; echo oh no >&2; " + ("exit 3" if broken == "fails" else "kill -SEGV $$"))

    done = on.make("enable-service", "plex")

    assert (done.returncode, done.stdout, done.stderr) == (0, "Enabling plex...\n", "")


def test_an_outdated_program_file_is_written_anew_by_the_program_on_the_path(on: OnRamp) -> None:
    program = on.path / "onramp.program"
    right = program.read_text()
    program.write_text("/no/such/python\n/no/such/file\n")

    on.make("list")

    assert [p["command"] for _, p in on.wait_for(1)] == ["list"]
    assert program.read_text() == right


def test_opting_out_takes_away_what_make_knew_of_the_program(on: OnRamp) -> None:
    on.command("disable")

    assert not (on.path / "onramp.program").exists()


def test_the_tracker_holds_nothing_of_makes(on: OnRamp) -> None:
    pid_file = on.path.parent / "pid"
    program_is(on, f"echo $$ >{pid_file}.new; mv {pid_file}.new {pid_file}; exec sleep 60")
    script = f"exec 3>&1 5>&1; make -j3 twice 2>&1 | cat; x=$(make 3>&1 list); echo {'{'}done{'}'}"

    done = subprocess.run(
        ["sh", "-c", script], cwd=on.path, env=on.env, capture_output=True, text=True, timeout=20, check=True
    )

    assert done.stdout == "one\ntwo\n{done}\n"
    wait_until(pid_file.exists, "the tracker runs")
    pid = pid_file.read_text().strip()
    allowed = {"/dev/null", str(on.path.parent / "interpreter")}
    try:  # while `sleep` is being loaded it has files of its own open, for a moment
        wait_until(lambda: low_descriptors(pid) <= allowed, "nothing of make's is open", seconds=10)
    finally:
        subprocess.run(["kill", pid], check=True)


def low_descriptors(pid: str) -> set[str]:
    """What a process has open below 10: those that a shell can pass on."""
    found = set()
    for number in filter(lambda n: int(n) < 10, os.listdir(f"/proc/{pid}/fd")):
        with suppress(FileNotFoundError):  # closed meanwhile
            found.add(os.readlink(f"/proc/{pid}/fd/{number}"))
    return found


def test_a_prompt_is_answered_on_the_terminal(on: OnRamp) -> None:
    on.make("enable-service", "plex")
    terminal = Terminal(on, "make", "nuke-service", "plex")

    terminal.wait_for("Really remove plex? ")
    terminal.type("yes\n")

    assert terminal.end() == 0
    assert "rm services-enabled/plex.yml" in terminal.output
    assert on.wait_for(4)[2] == ("service_disabled", {"service_name": "plex"})


def test_ctrl_c_ends_the_command_as_it_does_without_the_drop_in(three: list[OnRamp]) -> None:
    outcomes = []
    for onramp in three:
        terminal = Terminal(onramp, "make", "logs")
        terminal.wait_for("following")
        terminal.type("\x03")
        status = terminal.end()
        # What make says about it is not the same twice: it looks at its children within the signal's handler.
        outcomes.append((status, [line for line in terminal.output.splitlines() if "make: ***" not in line]))

    assert outcomes[0][0] == 130
    assert outcomes[1] == outcomes[0]
    assert outcomes[2] == outcomes[0]
    assert three[2].wait_for(2)[1] == ("error_occurred", {"command": "logs", "error_type": "signal_INT"})


class TestTheNotice:
    """Where the environment alone turned analytics on."""

    ON: ClassVar = {"ONRAMP_ANALYTICS_ENABLED": "1"}

    def test_is_shown_once_on_a_terminal_after_the_commands_own_output(self, onramp: OnRamp) -> None:
        first = Terminal(onramp, "make", "list", env=self.ON)
        assert first.end() == 0
        second = Terminal(onramp, "make", "enable-service", "plex", env=self.ON)
        assert second.end() == 0

        assert first.output.startswith("Analytics enabled.")
        assert "Events go to:" in first.output
        assert second.output == "Enabling plex...\n"
        assert "ANALYTICS_NOTICE_SHOWN=1" in onramp.lock.read_text()

    def test_costs_nothing_once_it_was_shown(self, on: OnRamp) -> None:
        terminal = Terminal(on, "make", "list", env={"ONRAMP_ANALYTICS": "touch asked;"})

        assert terminal.end() == 0
        assert len(on.wait_for(1)) == 1
        assert not (on.path / "asked").exists()

    def test_is_not_shown_where_no_terminal_is(self, onramp: OnRamp) -> None:
        done = onramp.make("enable-service", "plex", env=self.ON)

        assert (done.stdout, done.stderr) == ("Enabling plex...\n", "")
        assert len(onramp.wait_for(2)) == 2
        assert "ANALYTICS_NOTICE_SHOWN" not in onramp.lock.read_text()
        assert not (onramp.path / "onramp.spool.d").exists()  # no flusher, so nothing is sent before the notice

    def test_is_for_those_who_are_on_and_have_not_seen_it(self, onramp: OnRamp) -> None:
        assert onramp.command("notice") == ""  # off

        assert onramp.command("notice", env=self.ON).startswith("Analytics enabled.")
        assert onramp.command("notice", env=self.ON) == ""

    def test_is_left_out_in_silence_where_there_is_no_program(self, onramp: OnRamp) -> None:
        without = {"PATH": onramp.env["PATH"].replace(str(COMMAND.parent), "/nowhere")}

        terminal = Terminal(onramp, "make", "enable-service", "plex", env={**self.ON, **without})

        assert (terminal.end(), terminal.output) == (0, "Enabling plex...\n")

    def test_comes_after_the_command_and_on_standard_error(self, onramp: OnRamp) -> None:
        out = onramp.path.parent / "out"
        terminal = Terminal(onramp, "sh", "-c", f"make enable-service plex >{out}", env=self.ON)

        assert terminal.end() == 0
        assert out.read_text() == "Enabling plex...\n"
        assert terminal.output.startswith("Analytics enabled.")


def test_the_key_and_the_host_reach_our_processes_and_no_recipe(onramp: OnRamp) -> None:
    onramp.install("--api-key", KEY, "--host", "http://127.0.0.1:9")
    onramp.opt_in()
    settings = onramp.path.parent / "settings"
    program_is(onramp, f"env >{settings}.new; mv {settings}.new {settings}")

    plain = onramp.make("env")
    wait_until(settings.exists, "the stub ran")
    enabled = onramp.make("analytics-status").stdout
    own = onramp.make("analytics-status", env={"POSTHOG_HOST": "http://127.0.0.1:8"}).stdout

    assert "ONRAMP" not in plain.stdout
    assert f"ONRAMP_ANALYTICS_API_KEY={KEY}\n" in settings.read_text()
    assert "ONRAMP_ANALYTICS_HOST=http://127.0.0.1:9\n" in settings.read_text()
    assert "http://127.0.0.1:9" in enabled
    assert "http://127.0.0.1:8" in own
