"""install and uninstall: what a maintainer of OnRamp runs; and how the program comes to a user's machine."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from onramp_analytics.integration import published_names
from onramp_analytics.integration.install import IGNORED, signed
from tests.onramp_checkout import COMMAND, KEY, PRIVATE, OnRamp, Terminal, build

WRITTEN = {"GNUmakefile", "make.d/analytics.mk", "make.d/analytics.sh", "make.d/analytics.names", ".gitignore"}


@pytest.fixture
def onramp(tmp_path: Path) -> OnRamp:
    return build(tmp_path, os.environ)


def everything(onramp: OnRamp) -> dict[str, bytes]:
    files = (path for path in onramp.path.rglob("*") if path.is_file() and ".git" not in path.parts)
    return {str(path.relative_to(onramp.path)): path.read_bytes() for path in files}


def test_install_says_what_it_wrote_and_edits_nothing_of_onramps(onramp: OnRamp) -> None:
    before = everything(onramp)

    said = onramp.install()

    after = everything(onramp)
    assert {name for name in after if after[name] != before.get(name)} == WRITTEN
    assert all(f" {name}\n" in said for name in WRITTEN)
    assert "names more, 0 names less" in said
    assert onramp.git("status", "--porcelain", "--", "Makefile", "make.d/services.mk") == ""


def test_a_second_install_changes_nothing(onramp: OnRamp) -> None:
    onramp.install("--api-key", KEY, "--host", "https://eu.posthog.com")
    before = everything(onramp)

    said = onramp.install()

    assert said == "Everything is up to date.\n"
    assert everything(onramp) == before
    assert f"onramp-analytics-key := {KEY}\n" in before["make.d/analytics.mk"].decode()
    assert b"onramp-analytics-host := https://eu.i.posthog.com\n" in before["make.d/analytics.mk"]


def test_install_brings_an_older_drop_in_up_to_date_and_keeps_the_key(onramp: OnRamp) -> None:
    onramp.install("--api-key", KEY)
    now = everything(onramp)
    (onramp.path / "GNUmakefile").write_text(signed("# of an older version\ninclude Makefile\n"))
    old = "# of an older version\nonramp-analytics-key := " + KEY + "\n"
    (onramp.path / "make.d/analytics.mk").write_text(signed(old))

    onramp.install()

    assert everything(onramp) == now


@pytest.mark.parametrize("purge", [[], ["--purge"]], ids=["", "purge"])
def test_uninstall_leaves_git_status_clean(onramp: OnRamp, purge: list[str]) -> None:
    before, status = everything(onramp), onramp.status()
    onramp.install()

    said = onramp.command("uninstall", str(onramp.path), *purge)

    assert all(f" {name}\n" in said for name in WRITTEN)
    assert everything(onramp) == before
    assert onramp.status() == status
    assert onramp.command("uninstall", str(onramp.path), *purge) == "There was nothing to take out.\n"


@pytest.mark.parametrize("content", ["", "no line end", "one\n", "one\n\n", None], ids=repr)
def test_uninstall_gives_back_the_gitignore_to_the_byte(onramp: OnRamp, content: str | None) -> None:
    file = onramp.path / ".gitignore"
    file.unlink()
    if content is not None:
        file.write_text(content)

    onramp.install()
    ignored = onramp.git("check-ignore", *IGNORED).split()
    onramp.command("uninstall", str(onramp.path))

    assert ignored == list(IGNORED)
    assert (file.read_text() if file.exists() else None) == content


def test_lines_that_were_added_around_the_block_stay(onramp: OnRamp) -> None:
    file = onramp.path / ".gitignore"
    file.write_text("first")
    onramp.install()
    file.write_text(file.read_text() + "last\n")

    onramp.install()
    onramp.command("uninstall", str(onramp.path))

    assert file.read_text() == "first\nlast\n"


def test_uninstall_keeps_pending_events_and_consent_unless_asked(onramp: OnRamp) -> None:
    onramp.install()
    before = onramp.status()
    onramp.opt_in()
    onramp.make("list")
    onramp.wait_for(1)
    onramp.lock.write_text("OTHERS=1\n" + onramp.lock.read_text())

    said = onramp.command("uninstall", str(onramp.path))
    kept = onramp.status()
    onramp.command("uninstall", str(onramp.path), "--purge")

    assert "Kept: onramp.lock, onramp.program, onramp.spool," in said
    assert "?? onramp.spool\n" in kept
    assert "onramp." not in before
    assert {path.name for path in onramp.path.glob("onramp.*")} == {"onramp.lock"}
    assert onramp.lock.read_text() == "OTHERS=1\n"


def someone_elses(onramp: OnRamp) -> None:
    (onramp.path / "GNUmakefile").write_text("include Makefile\n")


def changed_by_hand(onramp: OnRamp) -> None:
    onramp.install()
    file = onramp.path / "make.d/analytics.mk"
    file.write_text(file.read_text() + "# mine\n")


def a_link(onramp: OnRamp) -> None:
    (onramp.path / "make.d/analytics.names").symlink_to("elsewhere")


def no_checkout(onramp: OnRamp) -> None:
    (onramp.path / "Makefile").unlink()


def no_git(onramp: OnRamp) -> None:
    (onramp.path / ".git").rename(onramp.path.parent / "git")


def no_includes(onramp: OnRamp) -> None:
    (onramp.path / "Makefile").write_text("start:\n")


def torn_block(onramp: OnRamp) -> None:
    (onramp.path / ".gitignore").write_text("# onramp-analytics: begin\n")


@pytest.mark.parametrize(
    ("prepare", "reason"),
    [
        (someone_elses, "GNUmakefile is not ours"),
        (changed_by_hand, "make.d/analytics.mk was changed by hand"),
        (a_link, "is a symbolic link"),
        (no_checkout, "is no OnRamp checkout"),
        (no_git, "name a clone of OnRamp"),
        (no_includes, "does not include make.d/*.mk"),
        (torn_block, "has no end"),
    ],
    ids=lambda value: getattr(value, "__name__", ""),
)
def test_install_refuses_with_the_reason_and_changes_nothing(onramp: OnRamp, prepare: object, reason: str) -> None:
    assert callable(prepare)
    prepare(onramp)
    before = everything(onramp)

    said = onramp.install(check=False)

    assert said.startswith("1: onramp-analytics: ")
    assert said.count("\n") == 1
    assert reason in said
    assert everything(onramp) == before


@pytest.mark.parametrize("prepare", [changed_by_hand, someone_elses])
def test_uninstall_deletes_nothing_that_is_not_ours_alone(onramp: OnRamp, prepare: object) -> None:
    assert callable(prepare)
    prepare(onramp)
    before = everything(onramp)

    assert onramp.command("uninstall", str(onramp.path), check=False).startswith("1: onramp-analytics: ")
    assert everything(onramp) == before


@pytest.mark.parametrize(
    ("words", "reason"),
    [
        (["--api-key", "phx_secret123"], "--api-key holds a personal secret"),
        (["--api-key", "nonsense"], "--api-key is no PostHog project key"),
        (["--host", "http://example.com"], "--host must begin with https://"),
        (["--host", "https://example.com/$(shell id)"], "--host"),
        (["--host", "https://example.com/a'b"], "--host"),
    ],
    ids=lambda value: value[1] if isinstance(value, list) else "",
)
def test_a_key_or_host_that_cannot_be_right_is_refused(onramp: OnRamp, words: list[str], reason: str) -> None:
    before = everything(onramp)

    said = onramp.install(*words, check=False)

    assert reason in said
    assert "phx_secret123" not in said
    assert everything(onramp) == before


def test_where_one_file_cannot_be_written_none_is(onramp: OnRamp) -> None:
    (onramp.path / "make.d/analytics.names.onramp-new").mkdir()  # also in root's way
    before = everything(onramp)

    said = onramp.install(check=False)

    assert "cannot be written" in said
    assert everything(onramp) == before


class TestTheCatalogue:
    def test_holds_what_the_upstream_commit_publishes_and_nothing_of_this_machine(self, onramp: OnRamp) -> None:
        (onramp.path / "services-available/committed-here.yml").write_text("x\n")
        (onramp.path / "make.d/mine.mk").write_text("my-target:\n")
        onramp.git("add", "services-available/committed-here.yml", "make.d/mine.mk")
        onramp.git("commit", "-qm", "only here")

        names = published_names.make(os.fsencode(onramp.path)).splitlines()

        assert [name for name in names if not name.startswith("command ")] == [
            "override plex-nfs",
            "service jellyfin",
            "service plex",
            "service valheim",
        ]
        assert {"command start", "command enable-service", "command twice", "command one"} <= set(names)
        assert not {f"service {PRIVATE}", "service committed-here", "command my-target", "command first"} & set(names)

    def test_is_the_same_before_and_after_the_drop_in_was_published(self, onramp: OnRamp) -> None:
        onramp.install()
        onramp.git("add", "-A", ".gitignore", "GNUmakefile", "make.d")
        onramp.git("commit", "-qm", "the drop-in")
        onramp.git("update-ref", "refs/remotes/origin/main", "HEAD")

        assert onramp.install() == "Everything is up to date.\n"

    def test_comes_from_head_where_there_is_no_upstream(self, onramp: OnRamp) -> None:
        onramp.git("checkout", "-q", "--detach")

        assert "service plex\n" in published_names.make(os.fsencode(onramp.path))

    def test_shows_what_changed_in_it(self, onramp: OnRamp) -> None:
        onramp.install()
        for words in (
            ["mv", "services-available/jellyfin.yml", "services-available/emby.yml"],
            ["commit", "-qm", "renamed"],
            ["update-ref", "refs/remotes/origin/main", "HEAD"],
        ):
            onramp.git(*words)

        said = onramp.install()

        assert "1 name more, 1 name less" in said
        assert "  - service jellyfin\n" in said
        assert "  + service emby\n" in said

    @pytest.mark.parametrize(
        ("line", "expected"),
        [
            ("start: build", {"start"}),
            ("one two: three", {"one", "two"}),
            ("double:: x", {"double"}),
            ("spaced : x", {"spaced"}),
            ("help: ## Say: what", {"help"}),
            ("variable := x", set()),
            ("export variable := x", set()),
            ("variable ::= x", set()),
            ("older ?= a:b", set()),
            (".PHONY: start", set()),
            ("%.o: %.c", set()),
            ("$(name): x", set()),
            ("etc/file.conf: x", set()),
            ("\trecipe: x", set()),
            ("# comment: x", set()),
            ("endif\nnext:", {"next"}),
            ("one \\\n  two: x", {"one", "two"}),
        ],
    )
    def test_takes_the_explicit_targets_of_a_make_file(self, line: str, expected: set[str]) -> None:
        assert published_names.targets(f"{line}\n") == expected


class TestGettingTheProgram:
    """`make analytics-enable` on a machine that has OnRamp, and not yet our program."""

    @pytest.fixture
    def bare(self, tmp_path: Path) -> OnRamp:
        """An OnRamp whose PATH has make and the usual tools, and no Python."""
        made = build(tmp_path, os.environ, installed=True)
        for tool in ("make", "sh", "setsid", "cat", "rm", "ln", "mkdir", "chmod", "tr", "ls"):
            found = subprocess.run(["sh", "-c", f"command -v {tool}"], capture_output=True, text=True, check=True)
            (tmp_path / "bin" / tool).symlink_to(found.stdout.strip())
        made.env["PATH"] = str(tmp_path / "bin")
        return made

    def stub(self, onramp: OnRamp, name: str, script: str) -> None:
        file = onramp.path.parent / "bin" / name
        file.write_text(f"#!/bin/sh\n{script}\n")
        file.chmod(0o755)

    INSTALLS = f'd="$HOME/.local/bin"; mkdir -p "$d"; ln -s {COMMAND} "$d/onramp-analytics"; echo "$@" >"$HOME/words"'

    @pytest.mark.parametrize(
        ("tool", "words"),
        [("uv", "tool install --quiet a-wheel\n"), ("pipx", "install a-wheel\n")],
        ids=["uv", "pipx"],
    )
    def test_installs_it_with_what_is_there_and_enables(self, bare: OnRamp, tool: str, words: str) -> None:
        self.stub(bare, tool, self.INSTALLS)

        done = bare.make("analytics-enable", "ONRAMP_ANALYTICS_PACKAGE=a-wheel")

        assert done.returncode == 0, done.stderr
        assert "would be installed for you alone, with " + tool in done.stderr
        assert "Analytics enabled." in done.stdout
        assert (Path(bare.env["HOME"]) / "words").read_text() == words
        assert "ANALYTICS_ENABLED=1" in bare.lock.read_text()

    def test_makes_a_private_environment_where_there_is_neither(self, bare: OnRamp) -> None:
        self.stub(
            bare,
            "python3",
            f'[ "$2" = venv ] || exit 0; mkdir -p "$3/bin"; ln -s {COMMAND} "$3/bin/onramp-analytics"; '
            'printf \'#!/bin/sh\\necho "$@" >"$HOME/words"\\n\' >"$3/bin/python"; chmod +x "$3/bin/python"',
        )

        done = bare.make("analytics-enable")

        assert done.returncode == 0, done.stderr
        assert "Analytics enabled." in done.stdout
        assert (Path(bare.env["HOME"]) / "words").read_text().endswith(" onramp-analytics\n")
        assert (Path(bare.env["HOME"]) / ".local/share/onramp-analytics/bin").is_dir()

    def test_leaves_no_half_of_a_private_environment(self, bare: OnRamp) -> None:
        self.stub(bare, "python3", '[ "$2" = venv ] && mkdir -p "$3/bin"; exit 0')  # and then there is no pip in it

        done = bare.make("analytics-enable")

        assert done.returncode == 2
        assert "it could not be installed, analytics stay off" in done.stderr
        assert not (Path(bare.env["HOME"]) / ".local/share/onramp-analytics").exists()

    def test_asks_first_on_a_terminal_and_takes_no_for_an_answer(self, bare: OnRamp) -> None:
        self.stub(bare, "uv", self.INSTALLS)
        terminal = Terminal(bare, "make", "analytics-enable")

        terminal.wait_for("Install it? [y/N] ")
        terminal.type("n\n")

        assert terminal.end() == 2  # make's status for a recipe that failed
        assert "nothing was installed, analytics stay off" in terminal.output
        assert not (Path(bare.env["HOME"]) / "words").exists()
        assert not bare.lock.exists()

    def test_installs_it_after_a_yes(self, bare: OnRamp) -> None:
        self.stub(bare, "uv", self.INSTALLS)
        terminal = Terminal(bare, "make", "analytics-enable")

        terminal.wait_for("Install it? [y/N] ")
        terminal.type("y\n")

        assert terminal.end() == 0
        assert "Analytics enabled." in terminal.output

    @pytest.mark.parametrize("tool", ["uv", None])
    def test_leaves_analytics_off_where_that_fails(self, bare: OnRamp, tool: str | None) -> None:
        if tool:
            self.stub(bare, tool, "echo no network >&2; exit 7")

        done = bare.make("analytics-enable")
        after = bare.make("enable-service", "plex")

        assert done.returncode == 2
        assert "run this again" in done.stderr
        assert not bare.lock.exists()
        assert (after.returncode, after.stdout, after.stderr) == (0, "Enabling plex...\n", "")

    def test_the_other_targets_say_how_to_get_it(self, bare: OnRamp) -> None:
        done = bare.make("analytics-status")

        assert done.returncode == 2
        assert "make analytics-enable installs it" in done.stderr.splitlines()[0]

    def test_the_program_that_make_knows_is_found_off_the_path(self, bare: OnRamp) -> None:
        bare.opt_in()

        done = bare.make("analytics-status")

        assert (bare.path / "onramp.program").read_text().startswith(sys.executable)
        assert "Analytics are on" in done.stdout
