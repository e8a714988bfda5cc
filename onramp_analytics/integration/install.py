"""Install the make integration into an OnRamp checkout, check it, and uninstall it.

`_plan` decides the content of each file, from the checkout and OnRamp's commit. `install` writes the files, and `check`
only compares them.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from onramp_analytics import __version__
from onramp_analytics.errors import CouldNot
from onramp_analytics.integration import conf, gitignore, mark, page, program, published_names, tree, upstream
from onramp_analytics.integration.program import Program
from onramp_analytics.integration.tree import Change, Tree
from onramp_analytics.integration.upstream import Commit

SCRIPT = "make.d/analytics.sh"
MAKEFILE = published_names.OURS
#: path in the checkout -> file of this package
DROP_IN = {"GNUmakefile": "GNUmakefile", MAKEFILE: "analytics.mk", SCRIPT: "analytics.sh"}
#: our text files; the wheel is recognized by its hash
OURS = (*DROP_IN, published_names.FILE, conf.FILE, page.FILE)


@dataclass(frozen=True, slots=True)
class Options:
    """The maintainer's choices; None and {} keep those of the checkout.

    Attributes:
        upstream: REMOTE/BRANCH, to trust the clone about OnRamp's newest commit.
        package: one version on the package index, like `onramp-analytics==0.2.0`.
        wheel: a wheel to copy into the checkout.
        settings: option of `conf.OPTIONS` -> its value.
    """

    upstream: str | None = None
    package: str | None = None
    wheel: Path | None = None
    settings: Mapping[str, str | None] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Plan:
    """The changes that `install` makes.

    Attributes:
        commit: OnRamp's commit that the names are from.
        changes: the changed files.
        names: the added and removed names, each like `+ service plex`.
        unpublished: names that are committed in this clone but not in OnRamp.
        program: the program that users install.
        has_key: whether a PostHog project is set.
        additions: path of a page -> lines that the maintainer should add to it.
    """

    commit: Commit
    changes: list[Change]
    names: list[str]
    unpublished: list[str]
    program: Program
    has_key: bool
    additions: dict[str, str]

    @property
    def is_first(self) -> bool:
        """Whether the integration was not installed before."""
        return any(change.name == SCRIPT and change.before is None for change in self.changes)

    @property
    def is_behind(self) -> bool:
        """Whether users install a version other than this one."""
        return self.program.version != __version__


def install(path: Path, options: Options) -> Plan:
    """Write the files of the integration, or update them.

    Args:
        path: the checkout.
        options: the maintainer's choices.

    Returns:
        The changes that were made; none the second time.

    Raises:
        CouldNot: it cannot be installed. Nothing has changed.
    """
    with tree.opened(path) as opened:
        planned = _plan(opened, options)
        opened.apply(planned.changes)
    return planned


def check(path: Path, options: Options) -> Plan:
    """Return the changes that `install` would make, without making them.

    Raises:
        CouldNot: `install` would fail, or the integration is not installed.
    """
    with tree.opened(path) as opened:
        if not mark.is_ours(opened.text(SCRIPT)):
            raise CouldNot(f"the make integration is not installed in {path}: run this again without --check")
        return _plan(opened, options)


def refuse_foreign(opened: Tree) -> None:
    """Refuse to continue if a file at one of our paths is not ours, or was edited.

    Raises:
        CouldNot: names the file, and what to do.
    """
    if not opened.exists("Makefile"):
        raise CouldNot(f"{opened.path} is not an OnRamp checkout: use the folder that contains its Makefile")
    for name in OURS:
        content = opened.text(name)
        if content is None:
            continue
        if not mark.is_ours(content):
            raise CouldNot(
                f"{opened.path / name} was not created by onramp-analytics: move it away, then run this again"
            )
        if mark.is_edited(content):
            settings = f"; `install` takes the settings as options ({', '.join(conf.OPTIONS)})"
            raise CouldNot(
                f"{opened.path / name} was edited: move it away, then run this again{settings * (name == conf.FILE)}"
            )


def uninstall(opened: Tree) -> list[Change]:
    """Remove what `install` wrote. Our lines in `.gitignore` stay while a file that git must not see is left.

    Args:
        opened: the checkout.

    Returns:
        The changes.

    Raises:
        CouldNot: it cannot be uninstalled. Nothing has changed.
    """
    refuse_foreign(opened)
    wanted: dict[str, bytes | None] = {name: None for name in OURS if mark.is_ours(opened.text(name))}
    wanted |= _without_old_wheel(opened)
    ignored = opened.text(gitignore.FILE)
    wanted[gitignore.FILE] = _encoded(ignored if kept(opened) else gitignore.without_block(ignored))
    changes = opened.changes(wanted)
    opened.apply(changes)
    return changes


def kept(opened: Tree) -> list[str]:
    """Return the files in a checkout that hold consent or events."""
    return [name for name in gitignore.IGNORED if opened.exists(name.rstrip("/"))]


def _plan(opened: Tree, options: Options) -> Plan:
    _check(opened)
    refuse_foreign(opened)
    root = os.fsencode(opened.path)
    settings = conf.chosen(conf.parse(opened.text(conf.FILE) or ""), options.settings)
    chosen, wheel = _program(opened, options)
    commit = upstream.find(root, options.upstream)
    names = published_names.of(root, commit.id)
    first = {} if wheel is None else {chosen.path: wheel}  # so that analytics.sh never names a missing wheel
    return Plan(
        commit=commit,
        changes=opened.changes(first | _wanted(opened, settings, chosen, names)),
        names=published_names.difference(mark.unsigned(opened.text(published_names.FILE)), names),
        unpublished=published_names.unpublished(root, commit.id),
        program=chosen,
        has_key=conf.KEY in settings,
        additions=page.additions(opened.text),
    )


def _wanted(opened: Tree, settings: Mapping[str, str], chosen: Program, names: str) -> dict[str, bytes | None]:
    """Return the intended content of each file by its path; None means no file."""
    texts = {name: page.part(part) for name, part in DROP_IN.items()}
    texts[SCRIPT] = chosen.fill(texts[SCRIPT])
    texts[conf.FILE] = conf.text(settings)
    texts[published_names.FILE] = f"# The names that OnRamp publishes. No other name is ever sent.\n{names}"
    wanted = {name: _encoded(mark.signed(text)) for name, text in texts.items()}
    wanted[page.FILE] = _encoded(mark.signed_page(page.text(settings)))
    wanted[gitignore.FILE] = _encoded(gitignore.with_block(opened.text(gitignore.FILE)))
    return wanted | _without_old_wheel(opened, chosen)


def _check(opened: Tree) -> None:
    makefile = opened.text("Makefile")
    if makefile is None or not opened.is_folder("services-available"):
        raise CouldNot(
            f"{opened.path} is not an OnRamp checkout: use the folder with its Makefile and services-available/"
        )
    if "make.d/" not in makefile or not opened.is_folder("make.d"):
        raise CouldNot(f"the Makefile in {opened.path} does not include make.d/*.mk: update OnRamp first")


def _program(opened: Tree, options: Options) -> tuple[Program, bytes | None]:
    """Return the program that users install, and the content of a wheel to copy into the checkout."""
    known = program.parse(opened.text(SCRIPT))
    if options.package is not None:
        return program.pinned(options.package), None
    if options.wheel is None:
        if not known.version:
            raise CouldNot(
                "choose what users install: --wheel FILE copies a wheel into the checkout, "
                f"--package onramp-analytics=={__version__} names a version on the package index"
            )
        return known, None
    chosen, content = program.bundled(options.wheel)
    there = opened.read(chosen.path)
    if there not in (None, content) and not (known.path == chosen.path and program.is_the_wheel(known, there)):
        raise CouldNot(
            f"{opened.path / chosen.path} was not created by onramp-analytics: move it away, then run this again"
        )
    return chosen, content


def _without_old_wheel(opened: Tree, chosen: Program | None = None) -> dict[str, bytes | None]:
    """Return the deletion of a wheel that users no longer install, if its hash shows that it is ours."""
    known = program.parse(opened.text(SCRIPT))
    if not known.path or (chosen and chosen.path == known.path):
        return {}
    return {known.path: None} if program.is_the_wheel(known, opened.read(known.path)) else {}


def _encoded(text: str | None) -> bytes | None:
    return None if text is None else text.encode("utf-8", "surrogateescape")
