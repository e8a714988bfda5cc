"""Find OnRamp's newest commit, and read it with git.

Published names come from one commit of OnRamp's repository. No local setting is reliable: a remote with OnRamp's URL
can hold a fork's branch in four ways (a push URL, a URL that was changed after the clone, a second remote that is
fetched into the same names, `insteadOf`). So git contacts the repository itself, without any configuration.
"""

from __future__ import annotations

import os
import re
import subprocess
from collections.abc import Mapping
from dataclasses import dataclass

from onramp_analytics.errors import CouldNot

REPOSITORY = "https://github.com/traefikturkey/onramp"
BRANCH = "main"
LONGEST_ANSWER = 60  # seconds
_COMMIT = re.compile(r"[0-9a-f]{40}|[0-9a-f]{64}")
_TRACKING = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*(/[A-Za-z0-9][A-Za-z0-9._-]*)+")
#: HOME is for git before 2.32, which does not support GIT_CONFIG_GLOBAL.
_ASKING = {
    "GIT_CONFIG_GLOBAL": "/dev/null",
    "GIT_CONFIG_NOSYSTEM": "1",
    "GIT_TERMINAL_PROMPT": "0",
    "HOME": "/dev/null",
    "XDG_CONFIG_HOME": "/dev/null",
}
#: git must read only what the clone has: no network, no fetch on demand, no replacement of objects.
_READING = {"GIT_ALLOW_PROTOCOL": "none", "GIT_NO_LAZY_FETCH": "1", "GIT_NO_REPLACE_OBJECTS": "1"}


@dataclass(frozen=True, slots=True)
class Commit:
    """The commit that the names come from, and how it is known to be OnRamp's."""

    id: str
    source: str

    def __str__(self) -> str:
        return f"commit {self.id[:12]} of {self.source}"


def find(root: bytes, upstream: str | None) -> Commit:
    """Return OnRamp's newest commit, which the clone has.

    Args:
        root: the clone.
        upstream: REMOTE/BRANCH, to trust the clone; None contacts OnRamp's repository.

    Raises:
        CouldNot: the repository does not answer, or the clone lacks the commit.
    """
    if upstream is not None:
        return Commit(_tracked(root, upstream), f"{upstream} in this clone")
    commit = _asked()
    if not _has(root, commit):
        raise CouldNot(
            f"this clone does not have the newest commit of OnRamp ({commit[:12]}): "
            f"run git -C {os.fsdecode(root)} fetch {REPOSITORY} {BRANCH}, then run this again"
        )
    return Commit(commit, REPOSITORY)


def head(root: bytes) -> str | None:
    """Return the commit that is checked out; None if there is no commit."""
    try:
        return read(root, "rev-parse", "--verify", "--quiet", "HEAD^{commit}").strip()
    except CouldNot:
        return None


def common_ancestor(root: bytes, one: str, other: str) -> str | None:
    """Return the common ancestor of two commits; None if the clone does not have it."""
    try:
        return read(root, "merge-base", one, other).strip()
    except CouldNot:
        return None


def read(root: bytes, *words: str) -> str:
    """Run a git command that only reads the clone, and return its output.

    Raises:
        CouldNot: git failed.
    """
    return _git(
        ["git", "-C", os.fsdecode(root), *words],
        _READING,
        f"{os.fsdecode(root)} is not a clone of OnRamp that git can read",
    )


def _asked() -> str:
    reference = f"refs/heads/{BRANCH}"
    answer = _git(
        ["git", "ls-remote", "--", REPOSITORY, reference],
        _ASKING,
        "OnRamp's repository cannot be reached; check the network, or pass --upstream REMOTE/BRANCH to take your "
        "clone's word for it",
    )
    for line in answer.splitlines():
        commit, _, name = line.partition("\t")
        if name == reference and _COMMIT.fullmatch(commit):
            return commit
    raise CouldNot(f"{REPOSITORY} has no branch {BRANCH}: update onramp-analytics")


def _tracked(root: bytes, upstream: str) -> str:
    if not _TRACKING.fullmatch(upstream):
        raise CouldNot(f"--upstream must be REMOTE/BRANCH, for example, origin/{BRANCH}")
    read(root, "rev-parse", "--git-dir")  # raises if this is not a clone
    try:
        return read(root, "rev-parse", "--verify", "--quiet", f"refs/remotes/{upstream}^{{commit}}").strip()
    except CouldNot:
        remote, _, branch = upstream.partition("/")
        raise CouldNot(
            f"this clone has no {upstream}: run git -C {os.fsdecode(root)} fetch {remote} {branch}, then run this again"
        ) from None


def _has(root: bytes, commit: str) -> bool:
    read(root, "rev-parse", "--git-dir")
    try:
        read(root, "cat-file", "-e", f"{commit}^{{commit}}")
    except CouldNot:
        return False
    return True


def _git(words: list[str], settings: Mapping[str, str], what: str) -> str:
    environ = {
        name: value for name, value in os.environ.items() if not name.startswith("GIT_")
    }  # git sets them in hooks
    try:
        done = subprocess.run(  # noqa: S603
            words, env={**environ, **settings}, cwd="/", capture_output=True, check=False, timeout=LONGEST_ANSWER
        )
    except OSError as error:
        raise CouldNot(f"git could not be run ({error.strerror}): install it, then run this again") from None
    except subprocess.TimeoutExpired:
        raise CouldNot(f"{what} (no answer in {LONGEST_ANSWER} s)") from None
    if done.returncode:
        reasons = done.stderr.decode(errors="replace").strip().splitlines()
        reason = "".join(letter if letter.isprintable() else "?" for letter in reasons[0]) if reasons else "no reason"
        raise CouldNot(f"{what} ({reason})")
    return done.stdout.decode(errors="replace")
