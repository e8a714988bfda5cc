"""Put the make integration into an OnRamp checkout, and take it out again.

Every file that we write begins with a line of ours that holds a checksum of the rest. So we know a file as ours, know
one that was changed by hand, and overwrite or delete neither that nor anybody else's.
"""

from __future__ import annotations

import hashlib
import os
import re
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from onramp_analytics import checkout, settings
from onramp_analytics.errors import CouldNot
from onramp_analytics.integration import launcher, published_names
from onramp_analytics.posthog import destination

PARTS = Path(__file__).parent
CATALOGUE = os.fsdecode(checkout.NAMES)
MAKEFILE = "make.d/analytics.mk"
#: path in the checkout -> the part of ours that goes there
DROP_IN = {"GNUmakefile": "GNUmakefile", MAKEFILE: "analytics.mk", "make.d/analytics.sh": "analytics.sh"}
IGNORED = (
    "onramp.lock",
    "onramp.lock.new",
    "onramp.program",
    "onramp.program.new",
    "onramp.spool",
    "onramp.spool.lock",
    "onramp.spool.d/",
)

_MARK = re.compile(r"# Written by `onramp-analytics install` \(checksum [0-9a-f]{16}\); not to be changed by hand\.\n")
_KEY, _HOST = "onramp-analytics-key :=", "onramp-analytics-host :="
_SHELL_SAFE = re.compile(r"[A-Za-z0-9.:/_~\[\]-]+")
#: The block in .gitignore. The words in brackets are there where taking it out must take more, or less, than the block.
_BEGIN, _END = "# onramp-analytics: begin", "# onramp-analytics: end\n"
_NEW_FILE, _NO_LINE_END = " (the file was made for this)", " (there was no line break before this)"


@dataclass(frozen=True, slots=True)
class Change:
    """What becomes of one file: its content before and after; None is no file."""

    path: Path
    before: str | None
    after: str | None


def install(folder: Path, key: str | None, host: str | None) -> tuple[list[Change], list[str]]:
    """Write the drop-in, the catalogue and the lines of `.gitignore`; bring older ones up to date.

    Args:
        folder: the checkout.
        key: the key of OnRamp's PostHog project; None keeps what is there.
        host: where its events go; None keeps what is there.

    Returns:
        What changed, and how the catalogue differs from the one before. Nothing the second time.

    Raises:
        CouldNot: and then nothing has changed.
    """
    chosen = _settings(folder, key, host)
    _check(folder)
    names = published_names.make(os.fsencode(folder))
    known = _read(folder / CATALOGUE) or ""
    wanted: dict[str, str | None] = {path: signed(_part(part, chosen)) for path, part in DROP_IN.items()}
    wanted[CATALOGUE] = signed(f"# The names that OnRamp publishes. Anything else is never sent.\n{names}")
    wanted[".gitignore"] = _with_block(_read(folder / ".gitignore"))
    return _apply(folder, wanted), published_names.difference(known, names)


def uninstall(folder: Path, *, purge: bool) -> list[Change]:
    """Take out what `install` wrote.

    Args:
        folder: the checkout.
        purge: delete pending events and consent, too.

    Returns:
        What changed.

    Raises:
        CouldNot: and then the drop-in is untouched.
    """
    if not (folder / "Makefile").exists():
        raise CouldNot(f"{folder} is no OnRamp checkout: name the folder that holds its Makefile")
    _refuse_foreign(folder)
    wanted: dict[str, str | None] = {path: None for path in (*DROP_IN, CATALOGUE) if _is_ours(_read(folder / path))}
    wanted[".gitignore"] = _without_block(_read(folder / ".gitignore"))
    changes = _apply(folder, wanted)
    if purge:
        _purge(folder)
    return changes


def kept(folder: Path) -> list[str]:
    """Return the files of ours that hold consent or events and are in a checkout."""
    return [name for name in IGNORED if os.path.lexists(folder / name)]


def signed(content: str) -> str:
    """Return a file's content with the first line that makes it ours."""
    checksum = hashlib.sha256(content.encode()).hexdigest()[:16]
    return f"# Written by `onramp-analytics install` (checksum {checksum}); not to be changed by hand.\n{content}"


def _is_ours(content: str | None) -> bool:
    return content is not None and bool(_MARK.match(content))


def _check(folder: Path) -> None:
    makefile = _read(folder / "Makefile")
    if makefile is None or not (folder / "services-available").is_dir():
        raise CouldNot(f"{folder} is no OnRamp checkout: name the folder with its Makefile and services-available/")
    if "make.d/" not in makefile or not (folder / "make.d").is_dir():
        raise CouldNot(f"the Makefile in {folder} does not include make.d/*.mk: update OnRamp first")
    _refuse_foreign(folder)
    for place in (folder, folder / "make.d"):
        if not os.access(place, os.W_OK | os.X_OK):
            raise CouldNot(f"{place} cannot be written: run this as its owner")


def _refuse_foreign(folder: Path) -> None:
    """Refuse where a file of somebody else's, or one of ours that was changed, is in our place."""
    for path in (*DROP_IN, CATALOGUE):
        content = _read(folder / path)
        mark = _MARK.match(content or "")
        if content is None:
            continue
        if not mark:
            raise CouldNot(f"{folder / path} is not ours: move it away, then run this again")
        if signed(content[mark.end() :]) != content:
            raise CouldNot(f"{folder / path} was changed by hand: save your change, delete the file, run this again")


def _settings(folder: Path, key: str | None, host: str | None) -> dict[str, str]:
    """Return the two lines of settings, checked, by what they begin with."""
    found = {}
    for line in (_read(folder / MAKEFILE) or "").splitlines():
        for start in (_KEY, _HOST):
            if line.startswith(start):
                found[start] = line.removeprefix(start).strip()
    if key is not None:
        found[_KEY] = destination.key_of(key, "--api-key")
    if host is not None:
        found[_HOST] = destination.host_of(host, "--host", allow_http=False)
        if not _SHELL_SAFE.fullmatch(found[_HOST]):
            raise CouldNot("--host holds a letter that is special to make or shells: use a plain address")
    return found


def _part(name: str, chosen: Mapping[str, str]) -> str:
    lines = (PARTS / name).read_text().splitlines()
    return "".join(f"{line} {chosen[line]}\n" if chosen.get(line) else f"{line}\n" for line in lines)


def _with_block(content: str | None) -> str:
    if content is not None and _BEGIN in content:
        head, note, tail = _split_block(content)
    else:
        head, tail = content or "", ""
        note = _NEW_FILE if content is None else "" if not head or head.endswith("\n") else _NO_LINE_END
    gap = "\n" if note == _NO_LINE_END and not head.endswith("\n") else ""
    return f"{head}{gap}{_BEGIN}{note}\n" + "".join(f"/{name}\n" for name in IGNORED) + _END + tail


def _without_block(content: str | None) -> str | None:
    if content is None or _BEGIN not in content:
        return content
    head, note, tail = _split_block(content)
    return None if note == _NEW_FILE and not head + tail else head + tail


def _split_block(content: str) -> tuple[str, str, str]:
    """Return what stands before the block, the note in its first line, and what stands behind it."""
    head, _, rest = content.partition(_BEGIN)
    note, _, rest = rest.partition("\n")
    _, end, tail = rest.partition(_END)
    if not end:
        raise CouldNot(f"the block in .gitignore that begins with `{_BEGIN}` has no end: mend it, then run this again")
    added = note == _NO_LINE_END and not tail  # the line break is ours, unless somebody went on below the block
    return (head.removesuffix("\n") if added else head), note, tail


def _read(path: Path) -> str | None:
    try:
        if path.is_symlink():
            raise CouldNot(f"{path} is a symbolic link: move it away, then run this again")
        return path.read_bytes().decode("utf-8", "surrogateescape")
    except FileNotFoundError:
        return None
    except OSError as error:
        raise CouldNot(f"{path} cannot be read ({error.strerror}): mend that, then run this again") from None


def _apply(folder: Path, wanted: Mapping[str, str | None]) -> list[Change]:
    """Make the files as wanted, all of them or none."""
    changes = [Change(folder / path, _read(folder / path), after) for path, after in wanted.items()]
    changes = [change for change in changes if change.before != change.after]
    done: list[Change] = []
    try:
        for change in changes:
            done.append(change)
            _put(change.path, change.after)
    except OSError as error:
        for change in done:
            with suppress(OSError):
                _put(change.path, change.before)
        raise CouldNot(f"{error.filename} cannot be written ({error.strerror}): nothing was changed") from None
    return changes


def _put(path: Path, content: str | None) -> None:
    if content is None:
        path.unlink(missing_ok=True)
        return
    new = path.with_name(f"{path.name}.onramp-new")
    try:
        new.write_bytes(content.encode("utf-8", "surrogateescape"))
        new.chmod(path.stat().st_mode & 0o7777 if path.exists() else 0o644)
        new.replace(path)
    finally:
        new.unlink(missing_ok=True)


def _purge(folder: Path) -> None:
    """Delete what `disable` leaves: our lines of onramp.lock, and files that hold nothing any more."""
    root = os.fsencode(folder)
    with suppress(OSError):
        launcher.forget(root)
    with suppress(OSError):
        settings.remove(root)
