"""Make the catalogue: the names that OnRamp publishes, taken from git's upstream commit and never from the work tree.

The text that comes out is `checkout.NAMES` in the checkout: `service NAME`, `override NAME`, `command NAME`, sorted,
so that a reviewer can read what changed.
"""

from __future__ import annotations

import os
import re
import subprocess
from collections.abc import Iterable

from onramp_analytics import events
from onramp_analytics.errors import CouldNot

#: kind -> the folders whose `NAME.yml` it is.
FOLDERS = {
    "service": ("services-available/", "services-available/games/"),
    "override": ("overrides-available/",),
}
OURS = "make.d/analytics.mk"  # its targets are never recorded
_NAME = re.compile(rf"[A-Za-z0-9][A-Za-z0-9._-]{{0,{events.LONGEST_NAME - 1}}}")
#: An explicit rule, `one two: …` or `one:: …`, at the start of a line; `name := value` is a variable.
_RULE = re.compile(r"^([^\s:#=$%][^:#=$%\t\n]*?)[ ]*::?(?![:=])", re.MULTILINE)


def make(root: bytes) -> str:
    """Return the catalogue of a checkout.

    Raises:
        CouldNot: git does not answer for this folder, or its commit publishes nothing.
    """
    commit = _upstream(root)
    places = [(kind, folder) for kind, folders in FOLDERS.items() for folder in folders]
    lines = {f"{kind} {name}" for kind, folder in places for name in _ymls(root, commit, folder)}
    if not lines:
        raise CouldNot(f"git has no services in {os.fsdecode(root)}: name a clone of OnRamp")
    lines |= {f"command {name}" for name in _targets(root, commit)}
    return "".join(f"{line}\n" for line in sorted(lines))


def targets(makefile: str) -> set[str]:
    """Return the explicit targets of a make file: no patterns, no paths, nothing with a variable, no `.PHONY`."""
    return {
        name
        for rule in _RULE.finditer(makefile.replace("\\\n", " "))
        for name in rule[1].split()
        if _NAME.fullmatch(name)
    }


def difference(before: str, after: str) -> list[str]:
    """Return what changed, one `+ service plex` or `- command old` each, sorted by name."""
    old, new = set(_names(before)), set(_names(after))
    return [f"{'+' if name in new else '-'} {name}" for name in sorted(old ^ new)]


def _names(text: str) -> Iterable[str]:
    return (line for line in text.splitlines() if line and not line.startswith("#"))


def _upstream(root: bytes) -> str:
    try:
        return _git(root, "rev-parse", "--verify", "--quiet", "@{upstream}^{commit}").strip()
    except CouldNot:
        return _git(root, "rev-parse", "--verify", "HEAD^{commit}").strip()


def _ymls(root: bytes, commit: str, folder: str) -> Iterable[str]:
    for path in _files(root, commit, folder):
        name = path.removeprefix(folder).removesuffix(".yml")
        if path.endswith(".yml") and _NAME.fullmatch(name):
            yield name


def _targets(root: bytes, commit: str) -> set[str]:
    found = (path for path in _files(root, commit, "make.d/") if path.endswith(".mk"))
    makefiles = ["Makefile", *(path for path in found if path != OURS)]
    return {name for path in makefiles for name in targets(_git(root, "show", f"{commit}:./{path}"))}


def _files(root: bytes, commit: str, folder: str) -> list[str]:
    return [path for path in _git(root, "ls-tree", "-z", "--name-only", commit, folder).split("\0") if path]


def _git(root: bytes, *words: str) -> str:
    environ = {name: value for name, value in os.environ.items() if not name.startswith("GIT_")}  # a hook sets them
    try:
        done = subprocess.run(["git", "-C", root, *words], env=environ, capture_output=True, check=False)  # noqa: S603, S607
    except OSError as error:
        raise CouldNot(f"git could not be run ({error.strerror}): install it, then run this again") from None
    if done.returncode:
        said = done.stderr.decode(errors="replace").strip().splitlines()
        reason = f" ({said[0]})" if said else ""
        raise CouldNot(f"git does not know {os.fsdecode(root)}{reason}: name a clone of OnRamp")
    return done.stdout.decode(errors="replace")
