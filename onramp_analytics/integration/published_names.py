"""Read the names that OnRamp publishes from one commit of OnRamp, and never from the work tree.

`make.d/analytics.names` holds them in the checkout: `service NAME`, `service NAME scaffold`, `override NAME` and
`command NAME`, sorted, so that a reviewer can read what changed.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterable

from onramp_analytics import checkout, events
from onramp_analytics.errors import CouldNot
from onramp_analytics.integration import upstream

FILE = os.fsdecode(checkout.NAMES)
#: kind -> folders with one `NAME.yml` for each
FOLDERS = {
    "service": ("services-available/", "services-available/games/"),
    "override": ("overrides-available/",),
}
SCAFFOLDS = "services-scaffold/"
OURS = "make.d/analytics.mk"  # its targets are never recorded
_NAME = re.compile(rf"[A-Za-z0-9][A-Za-z0-9._-]{{0,{events.LONGEST_NAME - 1}}}")
#: An explicit rule at the start of a line, `one two: …` or `one:: …`; `name := value` is a variable.
_RULE = re.compile(r"^([^\s:#=$%][^:#=$%\t\n]*?)[ ]*::?(?![:=])", re.MULTILINE)
#: OnRamp's rule (sietch/scripts/scaffold.py): these files alone are not a scaffold, at any depth ...
_NO_SCAFFOLD = (".gitkeep", "scaffold.yml", "MESSAGE.txt")
#: ... but a manifest at the top is.
_MANIFEST = "scaffold.yml"


def of(root: bytes, commit: str) -> str:
    """Return the names that a commit publishes, one per line.

    Args:
        root: the clone that has the commit.
        commit: the commit.

    Raises:
        CouldNot: git cannot read it, or it has no services.
    """
    files = _files(root, commit)
    scaffolds = scaffolded(path.removeprefix(SCAFFOLDS) for path in files if path.startswith(SCAFFOLDS))
    lines = {f"override {name}" for name in _ymls(files, "override")}
    lines |= {f"service {name}{' scaffold' * (name in scaffolds)}" for name in _ymls(files, "service")}
    if not lines:
        raise CouldNot(f"git finds no services in {os.fsdecode(root)}: use a clone of OnRamp")
    makefiles = [path for path in files if _is_makefile(path)]
    lines |= {f"command {name}" for path in makefiles for name in targets(_content(root, commit, path))}
    return "".join(f"{line}\n" for line in sorted(lines))


def unpublished(root: bytes, commit: str) -> list[str]:
    """Return the names that are committed in the clone but not in OnRamp, like `service plex`.

    Args:
        root: the clone.
        commit: OnRamp's commit.
    """
    head = upstream.head(root)
    base = upstream.common_ancestor(root, head, commit) if head else None
    if head in (None, commit, base):
        return []
    known = [of(root, commit), of(root, base) if base else ""]
    return sorted(_without_scaffold(of(root, head or "")) - _without_scaffold("".join(known)))


def targets(makefile: str) -> set[str]:
    """Return the explicit targets of a makefile, without patterns, paths, variables and `.PHONY`."""
    return {
        name
        for rule in _RULE.finditer(makefile.replace("\\\n", " "))
        for name in rule[1].split()
        if _NAME.fullmatch(name)
    }


def scaffolded(paths: Iterable[str]) -> set[str]:
    """Return the services that OnRamp has scaffold files for.

    Args:
        paths: the files below `services-scaffold/`, like `plex/env.template`.
    """
    found = set()
    for path in paths:
        service, _, rest = path.partition("/")
        name = rest.rpartition("/")[2]
        if rest == _MANIFEST or (name and not name.endswith(".md") and name not in _NO_SCAFFOLD):
            found.add(service)
    return found


def difference(before: str, after: str) -> list[str]:
    """Return what changed, one `+ service plex` or `- command old` each, sorted by name."""
    old, new = set(_names(before)), set(_names(after))
    return [f"{'+' if name in new else '-'} {name}" for name in sorted(old ^ new)]


def _names(text: str) -> Iterable[str]:
    return (line for line in text.splitlines() if line and not line.startswith("#"))


def _without_scaffold(text: str) -> set[str]:
    return {line.removesuffix(" scaffold") for line in _names(text)}


def _ymls(files: Iterable[str], kind: str) -> set[str]:
    found = set()
    for path in files:
        folder, _, leaf = path.rpartition("/")
        name = leaf.removesuffix(".yml")
        if f"{folder}/" in FOLDERS[kind] and name != leaf and _NAME.fullmatch(name):
            found.add(name)
    return found


def _is_makefile(path: str) -> bool:
    folder, _, leaf = path.rpartition("/")
    return path == "Makefile" or (folder == "make.d" and leaf.endswith(".mk") and path != OURS)


def _files(root: bytes, commit: str) -> list[str]:
    places = ["Makefile", "make.d/", SCAFFOLDS, *(folder for kind in FOLDERS.values() for folder in kind)]
    return upstream.read(root, "ls-tree", "-r", "-z", "--name-only", commit, "--", *places).split("\0")


def _content(root: bytes, commit: str, path: str) -> str:
    return upstream.read(root, "cat-file", "blob", f"{commit}:./{path}")
