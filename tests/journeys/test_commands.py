"""A make command does the same with the integration as without it, with analytics off and on."""

from __future__ import annotations

import os
import re
import subprocess
import time
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path

import pytest

from tests.conftest import wait_until
from tests.onramp_checkout import PRIVATE, OnRamp, Terminal

EXTRA_LINE = "make: *** [GNUmakefile:"


def seen(onramp: OnRamp, done: subprocess.CompletedProcess[str]) -> tuple[int, str, str, Mapping[str, str]]:
    """What a user can observe, except the line and the file in MAKEFILE_LIST that the documentation names."""
    errors = "".join(line for line in done.stderr.splitlines(keepends=True) if not line.startswith(EXTRA_LINE))
    output = done.stdout.replace(f" SHELL={onramp.path.parent}/bin/sh", "")  # make reverses the order of variables
    output = re.sub(r"^SHLVL=\d+\n", "", output, flags=re.MULTILINE)  # bash and busybox count another shell
    output = output.replace(str(onramp.path.parent), "").replace(" make.d/analytics.mk", "")
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


def test_a_duration_is_the_true_one(on: OnRamp) -> None:
    began = time.monotonic()
    on.make("slow")
    took = (time.monotonic() - began) * 1000

    [(_, properties)] = on.wait_for(1)

    assert 290 <= properties["duration_ms"] <= took + 10  # /proc/uptime has hundredths


def test_the_tracker_holds_nothing_of_makes(on: OnRamp) -> None:
    pid_file = on.path.parent / "pid"
    on.program_is(f"echo $$ >{pid_file}.new; mv {pid_file}.new {pid_file}; exec sleep 60")
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
    """The open descriptors of a process below 10, which a shell can pass on."""
    found = set()
    for number in filter(lambda n: int(n) < 10, os.listdir(f"/proc/{pid}/fd")):
        with suppress(FileNotFoundError):  # closed meanwhile
            found.add(os.readlink(f"/proc/{pid}/fd/{number}"))
    return found


def test_a_prompt_is_answered_on_the_terminal(on: OnRamp) -> None:
    on.make("enable-service", "plex")
    on.wait_for(2)
    terminal = Terminal(on, *on.make_command, "nuke-service", "plex")

    terminal.wait_for("Really remove plex? ")
    terminal.type("yes\n")

    assert terminal.end() == 0
    assert "rm services-enabled/plex.yml" in terminal.output
    assert ("service_disabled", {"service_name": "plex"}) in on.wait_for(4)


def test_ctrl_c_ends_the_command_as_it_does_without_the_drop_in(three: list[OnRamp]) -> None:
    outcomes = []
    for onramp in three:
        terminal = Terminal(onramp, *onramp.make_command, "logs")
        terminal.wait_for("following")
        terminal.type("\x03")
        status = terminal.end()
        # What make prints about it varies, since it checks its children in the signal handler.
        outcomes.append((status, [line for line in terminal.output.splitlines() if "make: ***" not in line]))

    assert outcomes[0][0] == 130
    assert outcomes[1] == outcomes[0]
    assert outcomes[2] == outcomes[0]
    assert three[2].wait_for(2)[1] == ("error_occurred", {"command": "logs", "error_type": "signal_INT"})
