"""The voice: no document, message or comment contains a word that a reader of plain technical English would stop at."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).parent.parent
READ = ["README.md", "CHANGELOG.md", "SECURITY.md", "Makefile", "docs", "onramp_analytics", "tools", "noxfile.py"]

#: What is avoided -> what to write instead, and why.
AVOIDED = {
    r"\bwhat (?:waits|is pending|was told)\b": '"queued events" or "sent events": name the thing',
    r"\btells (?:its|of|the|what|whether|which|nothing)\b|\btold (?:over|that|of)\b": '"shows", "records" or "reports"',
    r"\basks (?:for consent|the host)\b": '"checks consent" or "contacts the server": a program does not ask',
    r"\bmay we\b|\bmay not\b": '"is not allowed to" or "cannot": "may not" can also mean "perhaps not"',
    r"\bleaves? the machine\b|\bnothing leaves\b": '"is sent": say what is done, not what it looks like',
    r"\bmend(?:s|ed|ing)?\b|\bput right\b": '"fix" or "correct": nobody mends software',
    r"\bthrow-away\b|\bthe whole way\b": '"temporary" and "the full workflow"',
    r"(?:made|written|makes|writes) anew\b": '"rebuilt" or "rewritten"',
    r"\bsomebody's own\b|\bfor a person\b": '"user-defined" or "for the user"',
    r"\bgoes before\b": '"overrides" or "takes precedence over"',
    r"(?<![Tt]here )\bis no (?!longer\b|more\b)\w": '"is not a valid ...": plain word order',
    r"\b(?:rooms?|house)\b(?! for)|(?<!\.)\bfloors?\b": '"module", "layer" or "architecture": no metaphors',
    r"\btorture\b|\bdoor\b": '"fault injection" and "boundary": no metaphors',
    r"\b[Cc]atalogue": '"catalog": US spelling, as in OnRamp',
    r"\bthe contract\b(?! is in `pyproject)": "name the page, for example docs/protocol.md",
}


def texts() -> dict[str, str]:
    listed = subprocess.run(
        ["git", "ls-files", *READ], cwd=REPOSITORY, capture_output=True, text=True, check=True
    ).stdout
    names = [name for name in listed.splitlines() if not name.endswith((".png", ".svg"))]
    return {name: (REPOSITORY / name).read_text() for name in names if (REPOSITORY / name).exists()}


@pytest.mark.skipif(not (REPOSITORY / ".git").exists(), reason="this is no clone, so git does not list the files")
@pytest.mark.parametrize("words", AVOIDED)
def test_words_that_a_reader_stops_at_are_avoided(words: str) -> None:
    found = [
        f"{name}:{text.count(chr(10), 0, match.start()) + 1}: {match[0]!r}"
        for name, text in texts().items()
        for match in re.finditer(words, text)
    ]

    assert not found, f"write {AVOIDED[words]}"
