"""The names that OnRamp publishes, and no other names."""

from __future__ import annotations

import os

import pytest

from onramp_analytics.integration import published_names, upstream
from tests.onramp_checkout import PRIVATE, OnRamp, build


@pytest.fixture
def onramp(tmp_path_factory: pytest.TempPathFactory) -> OnRamp:
    return build(tmp_path_factory.mktemp("names"), os.environ)


def names(onramp: OnRamp) -> list[str]:
    root = os.fsencode(onramp.path)
    return published_names.of(root, upstream.find(root, "origin/main").id).splitlines()


def test_are_those_of_the_upstream_commit_and_nothing_of_this_machine(onramp: OnRamp) -> None:
    (onramp.path / "services-available/committed-here.yml").write_text("x\n")
    (onramp.path / "make.d/mine.mk").write_text("my-target:\n")
    onramp.git("add", "services-available/committed-here.yml", "make.d/mine.mk")
    onramp.git("commit", "-qm", "only here")

    found = names(onramp)

    assert [name for name in found if not name.startswith("command ")] == [
        "override plex-nfs",
        "service jellyfin",
        "service plex scaffold",
        "service valheim",
    ]
    assert {"command start", "command enable-service", "command twice", "command one"} <= set(found)
    assert not {f"service {PRIVATE}", "service committed-here", "command my-target", "command first"} & set(found)


def test_a_folder_of_game_services_is_not_a_service(onramp: OnRamp) -> None:
    assert "service games" not in names(onramp)


class TestUnpublished:
    def found(self, onramp: OnRamp) -> list[str]:
        root = os.fsencode(onramp.path)
        return published_names.unpublished(root, upstream.find(root, "origin/main").id)

    def commit(self, onramp: OnRamp, name: str) -> None:
        (onramp.path / name).write_text("x\n")
        onramp.git("add", name)
        onramp.git("commit", "-qm", "one more")

    def test_are_names_that_were_committed_here_and_not_pushed(self, onramp: OnRamp) -> None:
        self.commit(onramp, "services-available/emby.yml")
        self.commit(onramp, "overrides-available/emby-nfs.yml")

        assert self.found(onramp) == ["override emby-nfs", "service emby"]

    def test_are_none_if_this_clone_is_only_behind(self, onramp: OnRamp) -> None:
        onramp.git("rm", "-q", "services-available/plex.yml")
        onramp.git("commit", "-qm", "upstream removed it")
        onramp.git("update-ref", "refs/remotes/origin/main", "HEAD")
        onramp.git("reset", "-q", "--hard", "HEAD^")

        assert self.found(onramp) == []

    def test_leave_out_what_upstream_removed_since(self, onramp: OnRamp) -> None:
        onramp.git("rm", "-q", "services-available/plex.yml")
        onramp.git("commit", "-qm", "upstream removed it")
        onramp.git("update-ref", "refs/remotes/origin/main", "HEAD")
        onramp.git("reset", "-q", "--hard", "HEAD^")
        self.commit(onramp, "services-available/emby.yml")

        assert self.found(onramp) == ["service emby"]


@pytest.mark.parametrize(
    ("path", "counts"),
    [
        ("plex/env.template", True),
        ("plex/config/deep/app.conf", True),
        ("plex/scaffold.yml", True),
        ("plex/README.md.template", True),
        ("plex/README.md", False),
        ("plex/docs/notes.md", False),
        ("plex/.gitkeep", False),
        ("plex/config/.gitkeep", False),
        ("plex/MESSAGE.txt", False),
        ("plex/config/scaffold.yml", False),
        ("a-file-beside-the-folders.md", False),
        ("a-file-beside-the-folders.txt", False),
    ],
)
def test_a_scaffold_is_what_onramp_calls_one(path: str, counts: bool) -> None:  # noqa: FBT001  (pytest names it)
    assert published_names.scaffolded([path]) == ({"plex"} if counts else set())


def test_the_difference_has_a_line_for_each_name() -> None:
    before = "# a comment\ncommand start\nservice plex\n"

    assert published_names.difference(before, "command start\nservice plex scaffold\n") == [
        "- service plex",
        "+ service plex scaffold",
    ]


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
def test_the_commands_are_the_explicit_targets_of_a_make_file(line: str, expected: set[str]) -> None:
    assert published_names.targets(f"{line}\n") == expected
