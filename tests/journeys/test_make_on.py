"""With analytics on, the right events are recorded, and nothing else changes."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any, ClassVar

import pytest

from onramp_analytics.events import VERSION
from tests.onramp_checkout import PRIVATE, SECRET, OnRamp, Terminal, without_the_program


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
    on.wait_for(2)
    on.make("disable-service", PRIVATE)
    on.wait_for(4)
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


@pytest.mark.parametrize("broken", ["no file", "empty", "not there", "fails", "crashes"])
def test_a_missing_or_broken_program_changes_nothing(on: OnRamp, broken: str) -> None:
    on.env = without_the_program(on.env)
    program = on.path / "onramp.program"
    if broken == "no file":
        program.unlink()
    elif broken == "empty":
        program.write_text("")
    elif broken == "not there":
        program.write_text("/no/such/python\n/no/such/file\n")
    else:
        on.program_is("echo oh no; echo oh no >&2; " + ("exit 3" if broken == "fails" else "kill -SEGV $$"))

    done = on.make("enable-service", "plex")

    assert (done.returncode, done.stdout, done.stderr) == (0, "Enabling plex...\n", "")


def test_an_outdated_program_file_is_rewritten_by_the_program_on_the_path(on: OnRamp) -> None:
    program = on.path / "onramp.program"
    right = program.read_text()
    program.write_text("/no/such/python\n/no/such/file\n")

    on.make("list")

    assert [p["command"] for _, p in on.wait_for(1)] == ["list"]
    assert program.read_text() == right


def test_opting_out_takes_away_what_make_knew_of_the_program(on: OnRamp) -> None:
    on.command("disable")

    assert not (on.path / "onramp.program").exists()


class TestTheNotice:
    """Where the environment alone turned analytics on."""

    ON: ClassVar = {"ONRAMP_ANALYTICS_ENABLED": "1"}

    def test_is_shown_once_on_a_terminal_after_the_commands_own_output(self, onramp: OnRamp) -> None:
        first = Terminal(onramp, *onramp.make_command, "list", env=self.ON)
        assert first.end() == 0
        second = Terminal(onramp, *onramp.make_command, "enable-service", "plex", env=self.ON)
        assert second.end() == 0

        assert first.output.startswith("Analytics enabled.")
        assert "No events are sent yet" in first.output
        assert second.output == "Enabling plex...\n"
        assert "ANALYTICS_NOTICE_SHOWN=1" in onramp.lock.read_text()

    def test_costs_nothing_once_it_was_shown(self, on: OnRamp) -> None:
        terminal = Terminal(on, *on.make_command, "list", "ONRAMP_ANALYTICS=touch asked;")

        assert terminal.end() == 0
        assert len(on.wait_for(1)) == 1
        assert not (on.path / "asked").exists()

    def test_is_not_shown_where_no_terminal_is_and_nothing_is_recorded(self, onramp: OnRamp) -> None:
        done = onramp.make("enable-service", "plex", env=self.ON)

        assert (done.returncode, done.stdout, done.stderr) == (0, "Enabling plex...\n", "")
        onramp.wait_for_the_background()
        assert not list(onramp.path.glob("onramp.*"))

    @pytest.mark.parametrize(
        ("catalog", "lines", "shown"),
        [
            (1, ["ANALYTICS_NOTICE_SHOWN=1", "ANALYTICS_AGREED=1"], False),
            (1, ["ANALYTICS_AGREED=1"], True),
            (2, ["ANALYTICS_NOTICE_SHOWN=1", "ANALYTICS_AGREED=1"], True),
            (2, ["ANALYTICS_NOTICE_SHOWN=1"], True),
            (2, ["ANALYTICS_NOTICE_SHOWN=1", "ANALYTICS_AGREED=1", "ANALYTICS_TOLD=1"], True),
            (2, ["ANALYTICS_NOTICE_SHOWN=1", "ANALYTICS_AGREED=1", "ANALYTICS_TOLD=2"], False),
            (2, ["ANALYTICS_NOTICE_SHOWN=1", "ANALYTICS_AGREED=2"], False),
            (2, ["ANALYTICS_NOTICE_SHOWN=1", "ANALYTICS_AGREED=10"], False),
            (3, ["ANALYTICS_NOTICE_SHOWN=1", "ANALYTICS_AGREED=1", "ANALYTICS_TOLD=2"], True),
            (11, ["ANALYTICS_NOTICE_SHOWN=1", "ANALYTICS_AGREED=10"], True),
            (11, ["ANALYTICS_NOTICE_SHOWN=1", "ANALYTICS_AGREED=11"], False),
            (99, ["ANALYTICS_NOTICE_SHOWN=1", "ANALYTICS_AGREED=98"], True),
        ],
    )
    def test_comes_once_for_each_newer_catalog(
        self, onramp: OnRamp, catalog: int, lines: list[str], *, shown: bool
    ) -> None:
        makefile = onramp.path / "GNUmakefile"
        text = makefile.read_text()
        known = f"onramp-analytics-catalog := {VERSION}\n"
        assert known in text
        makefile.write_text(text.replace(known, f"onramp-analytics-catalog := {catalog}\n"))
        onramp.lock.write_text("".join(f"{line}\n" for line in ["ANALYTICS_ENABLED=1", *lines]))
        words = [*onramp.make_command, "list", "ONRAMP_ANALYTICS=touch called;:"]

        assert Terminal(onramp, *words).end() == 0
        assert (onramp.path / "called").exists() == shown
        (onramp.path / "called").unlink(missing_ok=True)
        onramp.make("list", "ONRAMP_ANALYTICS=touch called;:")
        assert not (onramp.path / "called").exists()

    def test_of_a_newer_catalog_comes_once_even_if_the_program_is_older(self, onramp: OnRamp) -> None:
        onramp.command("enable")
        makefile = onramp.path / "GNUmakefile"
        newer = VERSION + 1
        makefile.write_text(makefile.read_text().replace(f"catalog := {VERSION}\n", f"catalog := {newer}\n"))

        first = Terminal(onramp, *onramp.make_command, "list")
        assert first.end() == 0
        second = Terminal(onramp, *onramp.make_command, "list", "ONRAMP_ANALYTICS=touch called;:")
        assert second.end() == 0

        assert "run `make analytics-upgrade` and then `sh make.d/analytics.sh events --new`" in first.output
        assert not (onramp.path / "called").exists()
        assert f"ANALYTICS_TOLD={newer}\n" in onramp.lock.read_text()
        assert f"ANALYTICS_AGREED={VERSION}\n" in onramp.lock.read_text()

    def test_is_for_those_who_are_on_and_have_not_seen_it(self, onramp: OnRamp) -> None:
        assert onramp.command("notice") == ""  # off

        assert onramp.command("notice", env=self.ON).startswith("Analytics enabled.")
        assert onramp.command("notice", env=self.ON) == ""

    def test_is_left_out_in_silence_where_there_is_no_program(self, onramp: OnRamp) -> None:
        onramp.env = without_the_program(onramp.env)

        terminal = Terminal(onramp, *onramp.make_command, "enable-service", "plex", env=self.ON)

        assert (terminal.end(), terminal.output) == (0, "Enabling plex...\n")

    @pytest.mark.parametrize("file", [".env", "services-enabled/.env", None])
    def test_does_not_start_the_program_where_nobody_decided_and_a_dotenv_file_names_the_variable(
        self, onramp: OnRamp, file: str | None
    ) -> None:
        if file:
            (onramp.path / file).write_text("export ONRAMP_ANALYTICS_ENABLED=1\n")

        assert self._starts_the_program(onramp, self.ON) == (file is None)

    @pytest.mark.parametrize(
        ("what", "starts"),
        [
            ("on", True),
            ("ONRAMP_ANALYTICS_ENABLED=1", True),
            ("DO_NOT_TRACK=0", True),
            ("ONRAMP_ANALYTICS_ENABLED = off", False),
            ("DO_NOT_TRACK=1", False),
            ("copied", False),
            ("enable was killed", False),
        ],
    )
    def test_of_a_newer_catalog_does_not_start_the_program_where_analytics_are_off(
        self, onramp: OnRamp, what: str, *, starts: bool
    ) -> None:
        onramp.command("enable")
        makefile = onramp.path / "GNUmakefile"
        makefile.write_text(makefile.read_text().replace(f"catalog := {VERSION}\n", f"catalog := {VERSION + 1}\n"))
        if what == "copied":
            shutil.rmtree(Path(onramp.env["HOME"], ".local/state"))
        elif what == "enable was killed":
            onramp.lock.write_text(onramp.lock.read_text().replace("ANALYTICS_NOTICE_SHOWN=1\n", ""))
        elif what != "on":
            (onramp.path / ".env").write_text(f"{what}\n")

        assert self._starts_the_program(onramp, {}) == starts

    def _starts_the_program(self, onramp: OnRamp, env: dict[str, str]) -> bool:
        onramp.stub("onramp-analytics", f"touch {onramp.path}/started")
        assert Terminal(onramp, *onramp.make_command, "list", env=env).end() == 0
        return (onramp.path / "started").exists()

    def test_comes_after_the_command_and_on_standard_error(self, onramp: OnRamp) -> None:
        out = onramp.path.parent / "out"
        terminal = Terminal(onramp, "sh", "-c", f"make enable-service plex >{out}", env=self.ON)

        assert terminal.end() == 0
        assert out.read_text() == "Enabling plex...\n"
        assert terminal.output.startswith("Analytics enabled.")
