"""The block in `.gitignore`: what it ignores, and that removing it restores the file."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from onramp_analytics.errors import CouldNot
from onramp_analytics.integration import gitignore
from tests.onramp_checkout import build


@pytest.mark.parametrize("content", ["", "no line end", "one\n", "one\n\n", "a\r\nb", None], ids=repr)
def test_removing_it_gives_back_the_file_to_the_byte(content: str | None) -> None:
    with_it = gitignore.with_block(content)

    assert gitignore.with_block(with_it) == with_it
    assert gitignore.without_block(with_it) == content


def test_lines_that_were_added_around_it_stay() -> None:
    once = gitignore.with_block("first") + "last\n"

    again = gitignore.with_block(once)

    assert again == once
    assert gitignore.without_block(again) == "first\nlast\n"


def test_a_block_that_was_cut_is_refused() -> None:
    for function in (gitignore.with_block, gitignore.without_block):
        with pytest.raises(CouldNot, match="has no end"):
            function("# onramp-analytics: begin\n")


def test_git_ignores_every_file_of_ours_and_only_in_the_root(tmp_path: Path) -> None:
    onramp = build(tmp_path, os.environ)
    file = onramp.path / ".gitignore"
    file.write_text(gitignore.with_block(file.read_text()))

    ignored = onramp.git("check-ignore", *gitignore.IGNORED).split()

    assert ignored == list(gitignore.IGNORED)
    (onramp.path / "deeper").mkdir()
    (onramp.path / "deeper/onramp.lock").touch()
    assert "?? deeper/\n" in onramp.status()
