"""make and the shell never expand a goal, a variable or a file name because of the integration."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from tests.conftest import wait_until
from tests.onramp_checkout import OnRamp, build

EXTRA_LINE = "make: *** [GNUmakefile:"

#: Each leaves a file `executed` if anything expands it, or is a word that make or the shell could take for another.
ODD = {
    "line break": "fail\ntouch executed",
    "line break and tab": "fail\n\ttouch executed",
    "carriage return": "fail\rtouch",
    "tab": "fail\ttouch",
    "make function": "$(shell touch executed)",
    "make variable": "${MAKE}",
    "shell command": "$$(touch executed)",
    "backquotes": "`touch executed`",
    "semicolon": "x;touch executed",
    "background": "x&touch executed",
    "pipe": "x|touch executed",
    "single quote": "x';touch executed;'",
    "double quote": 'x";touch executed;"',
    "redirection": "x>executed",
    "glob": "*",
    "brackets": "[a-z]",
    "home": "~",
    "comment": "x#touch",
    "percent": "%",
    "colon": "x:y",
    "option": "-k",
    "long option": "--eval=$(shell touch executed)",
    "brace": "{a,b}",
    "backslash": "x\\",
    "not ASCII": "café",
    "no-break space": "a\u00a0b",
}


@pytest.mark.parametrize("goal", ODD)
@pytest.mark.parametrize("place", ["alone", "first", "second"])
def test_an_odd_goal_does_what_it_does_without_the_drop_in(three: list[OnRamp], goal: str, place: str) -> None:
    words = {"alone": [ODD[goal]], "first": [ODD[goal], "list"], "second": ["twice", ODD[goal]]}[place]
    outcomes = []
    for each in three:
        done = each.make("--", *words)
        output = done.stdout + done.stderr
        outcomes.append((done.returncode, output.replace(str(each.path.parent), ""), (each.path / "executed").exists()))

    assert outcomes[1] == outcomes[0]
    assert outcomes[2] == outcomes[0]


@pytest.mark.parametrize("rule", ["list\\ twice: ; @echo made\n", ""], ids=["a rule", "no rule"])
@pytest.mark.parametrize("words", [["list twice"], ["list twice", "list"]])
def test_a_first_goal_with_a_space_does_what_it_does_without_the_drop_in(
    three: list[OnRamp], words: list[str], rule: str
) -> None:
    outcomes = []
    for each in three:
        (each.path / "make.d/spaced.mk").write_text(rule)
        done = each.make(*words)
        lines = (done.stdout + done.stderr).splitlines()
        outcomes.append((done.returncode, [line for line in lines if EXTRA_LINE not in line]))

    assert outcomes[1] == outcomes[0]
    assert outcomes[2] == outcomes[0]


def test_a_later_goal_with_a_space_is_passed_on_as_words(on: OnRamp) -> None:
    (on.path / "make.d/spaced.mk").write_text("%: ; @:\n")

    done = on.make("twice", "some words")

    assert done.returncode == 0
    assert done.stdout == on.make("twice", "some", "words").stdout


VARIABLES = [
    "POSTHOG_HOST",
    "POSTHOG_API_KEY",
    "ONRAMP_ANALYTICS",
    "ONRAMP_ANALYTICS_API_KEY",
    "ONRAMP_ANALYTICS_HOST",
    "ONRAMP_ANALYTICS_PACKAGE",
    "ONRAMP_ANALYTICS_INSIDE",
    "ONRAMP_ANALYTICS_ENABLED",
    "ONRAMP_ROOT",
    "DO_NOT_TRACK",
]


@pytest.mark.parametrize("name", VARIABLES)
def test_a_variable_of_the_environment_is_never_executed(on: OnRamp, name: str) -> None:
    executed = on.path.parent / "executed"
    text = f"$(shell touch {executed})`touch {executed}`; touch {executed} ;"
    for words in (["list"], ["tell"], ["enable-service", "plex"], ["analytics-show-id"], ["analytics-status"]):
        on.make(*words, env={name: text})

    assert not executed.exists()


def test_a_word_of_the_macro_is_never_executed(on: OnRamp) -> None:
    recorded = on.path.parent / "recorded"
    on.program_is(f'printf "%s\\n" "$@" >{recorded}.new; mv {recorded}.new {recorded}')
    rule = "try:\n\t$(call onramp-track,service_enabled,service_name=$(value WORD))\n"
    (on.path / "make.d/try.mk").write_text(rule)

    done = on.make("try", env={"WORD": "`touch${IFS}executed`;'$(touch${IFS}executed)"})

    assert (done.returncode, done.stderr) == (0, "")
    wait_until(recorded.exists, "the macro's tracker ran")
    assert not (on.path / "executed").exists()


def test_a_goal_of_plain_letters_is_recorded_whatever_they_are(on: OnRamp) -> None:
    goals = ["a/b.c_d-e", "UPPER+lower@0123456789", "services-enabled/plex.yml", "x"]

    assert [EXTRA_LINE in on.make("fail", goal).stderr for goal in goals] == [True] * 4


@pytest.mark.parametrize("name", ["a folder", "it's $(touch executed)", 'q"uote', "tab\there", "a,b)c("])
def test_a_checkout_may_lie_in_a_folder_of_any_name(
    tmp_path: Path, use_machine: Callable[[OnRamp], None], name: str
) -> None:
    folder = tmp_path / name
    folder.mkdir()
    onramp = build(tmp_path, {"PATH": "/usr/local/bin:/usr/bin:/bin"}, installed=True)
    use_machine(onramp)
    onramp.path.rename(folder / "onramp")
    onramp.path = folder / "onramp"
    onramp.opt_in()

    done = onramp.make("enable-service", "plex")

    assert (done.returncode, done.stdout, done.stderr) == (0, "Enabling plex...\n", "")
    assert onramp.wait_for(1)
    assert not list(tmp_path.rglob("executed"))
