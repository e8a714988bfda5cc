"""install and uninstall: what a maintainer of OnRamp runs; and how the program comes to a user's machine."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from onramp_analytics.integration import published_names
from onramp_analytics.integration.install import IGNORED, signed
from tests.onramp_checkout import KEY, PRIVATE, OnRamp, build

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
