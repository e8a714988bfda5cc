"""The documents say what the code does: tables, commands, variables and links are compared."""

from __future__ import annotations

import json
import os
import re
import shlex
import subprocess
from pathlib import Path

import pytest

from onramp_analytics import checkout, consent
from onramp_analytics.cli.events import markdown
from onramp_analytics.cli.main import commands
from onramp_analytics.outbox import gate
from onramp_analytics.posthog import destination
from onramp_analytics.spawn import KEPT
from tests.conftest import COMMAND, Checkout
from tests.faults.kinds import KINDS
from tools.reference import page

REPOSITORY = Path(__file__).parent.parent
DOCUMENTS = [*(REPOSITORY / f"{name}.md" for name in ("README", "CHANGELOG", "SECURITY"))]
DOCUMENTS += sorted((REPOSITORY / "docs").rglob("*.md"))
README = (REPOSITORY / "README.md").read_text()
MAKEFILES = ["Makefile", "onramp_analytics/integration/analytics.mk"]


def test_the_page_for_users_has_the_catalogue_as_the_code_has_it() -> None:
    page = (REPOSITORY / "docs" / "analytics.md").read_text()

    assert f"<!-- made by `onramp-analytics events`; a test compares -->\n{markdown()}\n<!-- end -->" in page


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: str(path.relative_to(REPOSITORY)))
def test_every_relative_link_leads_somewhere(document: Path) -> None:
    for target in re.findall(r"\]\(([^)#]+)[^)]*\)", document.read_text()):
        assert target.startswith("https://") or (document.parent / target).exists(), target


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: str(path.relative_to(REPOSITORY)))
def test_every_test_that_a_document_names_exists(document: Path) -> None:
    tests = "".join(path.read_text() for path in (REPOSITORY / "tests").rglob("test_*.py"))

    for name in re.findall(r"`(test_\w+)`", document.read_text()):
        assert f"def {name}(" in tests, name


def test_every_fault_that_is_tried_is_in_the_page_about_reliability_and_the_other_way_round() -> None:
    page = (REPOSITORY / "docs" / "reliability.md").read_text()
    tried = {fault.__name__ for faults in KINDS.values() for fault in faults}

    assert tried == {name for name in re.findall(r"`([a-z_]{8,})`", page) if not name.startswith("test_")}


def test_every_command_is_in_the_readme() -> None:

    for name in (name for name, command in commands.commands.items() if not command.hidden):
        assert re.search(rf"^\| `{name}` \|", README, re.MULTILINE), name


def test_every_variable_that_is_read_is_in_the_readme() -> None:
    ours = {consent.DO_NOT_TRACK, consent.ENABLED_VARIABLE, checkout.VARIABLE, destination.ALLOW_HTTP.encode()}
    ours |= {destination.KEY_VARIABLE.encode(), destination.HOST_VARIABLE.encode()}

    for name in ours:
        assert f"`{name.decode()}`" in README
    assert ours - {checkout.VARIABLE} <= set(KEPT), "the flusher does not get what it reads"


def targets() -> dict[str, str]:
    found: dict[str, str] = {}
    for makefile in MAKEFILES:
        found.update(re.findall(r"^([a-z-]+):[^\n]*?## (.+)$", (REPOSITORY / makefile).read_text(), re.MULTILINE))
    return found


def test_every_target_is_in_make_help() -> None:
    said = subprocess.run(["make", "-s", "help"], cwd=REPOSITORY, capture_output=True, text=True, check=True).stdout

    for target, text in targets().items():
        assert re.search(rf"^{target} +{re.escape(text)}$", said, re.MULTILINE), target


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: str(path.relative_to(REPOSITORY)))
def test_every_code_block_is_code(document: Path) -> None:
    for language, block in re.findall(r"^```(\w+)\n(.*?)^```", document.read_text(), re.MULTILINE | re.DOTALL):
        if language == "sh":
            subprocess.run(["sh", "-n"], input=block, text=True, check=True)
            for line in block.splitlines():
                assert_is_a_command(shlex.split(line, comments=True))
        elif language == "python":
            compile(block, str(document), "exec")
        elif language == "json":
            json.loads(block)
        else:
            assert language in ("text", "make", "makefile", "mermaid", "yaml"), f"{document}: who checks {language}?"


def assert_is_a_command(words: list[str]) -> None:
    """Of make and of ours the target, the command and its options are known; of others only that they are words."""
    while words and re.fullmatch(r"[A-Z_]+=.*", words[0]):
        words = words[1:]
    if words[:1] == ["make"]:
        goals = [word for word in words[1:] if "=" not in word and not word.startswith("-")]
        assert set(goals[:1]) <= set(targets()) | {"enable-service"}, words
    elif words[:1] == ["onramp-analytics"] and not words[1].startswith("-"):
        command = commands.commands[words[1]]
        known = {option for parameter in command.params for option in parameter.opts} | {"--help"}
        assert {word for word in words[2:] if word.startswith("--")} <= known, words


def test_every_make_target_in_the_documents_exists() -> None:
    known = set(targets()) | {"enable-service"}
    for document in DOCUMENTS:
        for target in re.findall(r"`make (?:-s )?([a-z-]+)", document.read_text()):
            assert target in known, f"{document}: make {target}"


SHOWN = ["show-id", "status", "show-pending", "show-sent", "events", "report"]
DONE = ["preview", "doctor", "flush", "reset-id", "disable"]  # they say something new each time


@pytest.mark.parametrize("name", [*SHOWN, *DONE])
def test_the_make_targets_run_the_commands(opted_in: Checkout, name: str) -> None:
    (opted_in.path / "Makefile").write_text(f"include {REPOSITORY}/{MAKEFILES[1]}\n")

    done = subprocess.run(
        ["make", "-s", f"analytics-{name}"],
        env={**opted_in.env, "PATH": f"{Path(COMMAND).parent}:{os.environ['PATH']}"},
        cwd=opted_in.path,
        capture_output=True,
        text=True,
        check=True,
    )

    assert done.stderr == ""
    if name in SHOWN:
        assert done.stdout == opted_in.run(name).stdout


def test_the_example_is_an_event_that_may_leave() -> None:

    page = (REPOSITORY / "docs" / "analytics.md").read_text()
    (example,) = re.findall(r"```json\n(.+?)```", page, re.DOTALL)

    line = gate.as_line(json.loads(example))
    assert gate.admit(line, b"\nservice plex\n") == (json.loads(example), line)


def test_the_command_reference_is_what_the_commands_print() -> None:
    assert (REPOSITORY / "docs/cli.md").read_text() == page(), "run `make docs` and commit what it writes"
