"""What the flusher keeps about its runs: how the last one ended, what was sent, what the server refused.

Told to people, never relied upon: a file that is lost or damaged costs an entry in a list, or the length of a back-off.
"""

from __future__ import annotations

import errno
import json
import math
import os
import stat
from collections import deque
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import asdict, dataclass, fields, replace
from typing import Any, BinaryIO

from onramp_analytics import spool as spools
from onramp_analytics.detached import BEGUN
from onramp_analytics.outbox.gate import admit, as_line
from onramp_analytics.outbox.segments import Pending, open_segment
from onramp_analytics.spool import Spool

SENT_KEPT = 1_000  # events, the contract's
SENT_BYTES = 1 << 20  # the log of what was sent is cut when it is larger; 1,000 events take less than half of it
REFUSED_KEPT = 100  # events, the contract's
REFUSED_BYTES = 1 << 17
MOST_FAILURES = 1_000  # what a damaged file may claim; the back-off stops growing long before


@dataclass(slots=True)
class Counts:
    """What became of the events of a run.

    Attributes:
        sent: events that the server accepted.
        skipped: lines that were no events.
        refused: events that the server refused for good.
        expired: events that were too old to be sent.
        from_the_future: events that a wrong clock had dated after tomorrow.
        former_id: events of an identifier that was reset, which are deleted.
    """

    sent: int = 0
    skipped: int = 0
    refused: int = 0
    expired: int = 0
    from_the_future: int = 0
    former_id: int = 0


@dataclass(frozen=True, slots=True)
class State:
    """How the last run ended.

    Attributes:
        at: when, in seconds since 1970; 0 when there was none.
        outcome: one of the words of `outcome.py`, or "" when there was none.
        reason: for a person.
        last_sent_at: when events were last accepted, in seconds since 1970; 0 when never.
        failures: runs that failed one after the other, which the back-off counts.
        sent, skipped, refused, expired, from_the_future, former_id: see `Counts`.
    """

    at: float = 0.0
    outcome: str = ""
    reason: str = ""
    last_sent_at: float = 0.0
    failures: int = 0
    sent: int = 0
    skipped: int = 0
    refused: int = 0
    expired: int = 0
    from_the_future: int = 0
    former_id: int = 0


def load_state(spool: Spool) -> State:
    """Return how the last run ended; what is unknown or damaged has its default."""
    found = next(iter(_entries(spool, b"state.json")), {})
    good = {f.name: found[f.name] for f in fields(State) if _fits(found.get(f.name), f.default)}
    state = State(**good)
    return replace(state, failures=min(max(state.failures, 0), MOST_FAILURES))


def _fits(value: object, default: object) -> bool:
    return type(value) is type(default) and not (isinstance(value, float) and not math.isfinite(value))


def save_state(spool: Spool, state: State) -> None:
    """Keep how this run ended."""
    _write_whole(spool, b"state.json", as_line(asdict(state)))


def unfinished(spool: Spool) -> int:
    """Return how many background senders began since one last came to its end; one at work is among them."""
    try:
        found = os.lstat(spool.folder + b"/" + BEGUN)
    except OSError:
        return 0
    return found.st_size if stat.S_ISREG(found.st_mode) else 0


def clear_unfinished(spool: Spool) -> None:
    """Note that a sender came to its end."""
    with suppress(OSError):
        os.unlink(_path(spool, BEGUN))


def log_sent(spool: Spool, batch: list[Pending]) -> None:
    """Add events to the log of what was sent, and cut it to the newest 1,000 once it is large."""
    _append(spool, b"sent", b"".join(p.line for p in batch), largest=SENT_BYTES, kept=SENT_KEPT)


def log_refused(spool: Spool, batch: list[Pending], reason: str) -> None:
    """Keep events that the server refuses for good, with the server's reason; the newest 100 of them."""
    lines = b"".join(as_line({"reason": reason, "event": p.event}) for p in batch)
    _append(spool, b"refused", lines, largest=REFUSED_BYTES, kept=REFUSED_KEPT)


def sent(spool: Spool) -> list[dict[str, Any]]:
    """Return the newest 1,000 events that were sent, oldest first; one that was sent twice is there once."""
    told = (json.loads(line) for line in _lines(spool, b"sent") if admit(line, b""))
    by_uuid = {event["uuid"]: event for event in told}
    return list(by_uuid.values())[-SENT_KEPT:]


def refused(spool: Spool) -> list[dict[str, Any]]:
    """Return the newest 100 refused events as `{"reason": …, "event": …}`, oldest first."""
    return _entries(spool, b"refused")[-REFUSED_KEPT:]


def forget(spool: Spool) -> None:
    """Delete the log of what was sent and of what was refused: they hold an identifier that is no more."""
    for name in (b"sent", b"refused"):
        with suppress(OSError):
            os.unlink(_path(spool, name))


def paths(spool: Spool) -> list[bytes]:
    """Return where the state and the logs are kept."""
    return [spool.folder + b"/" + name for name in (b"state.json", b"sent", b"refused")]


def _path(spool: Spool, name: bytes) -> bytes:
    """The path of a file in the folder; an `OSError` where the folder is none, or a link that leads elsewhere."""
    if not spools.has_folder(spool):
        raise NotADirectoryError(errno.ENOTDIR, "not a folder", spool.folder)
    return spool.folder + b"/" + name


def _entries(spool: Spool, name: bytes) -> list[dict[str, Any]]:
    found = []
    for line in _lines(spool, name):
        with suppress(ValueError, RecursionError):
            entry = json.loads(line)
            if isinstance(entry, dict):
                found.append(entry)
    return found


def _lines(spool: Spool, name: bytes) -> Iterator[bytes]:
    with suppress(OSError), open_segment(_path(spool, name), 0) as file:
        yield from file


def _append(spool: Spool, name: bytes, lines: bytes, *, largest: int, kept: int) -> None:
    """Add lines to a log, and cut it to its newest when it is larger than `largest` bytes.

    A log that cannot be written (disk full) must not keep events from being acknowledged.
    """
    with suppress(OSError):
        with _create(spool, name, os.O_APPEND) as file:
            file.write(lines)
            size = file.tell()
        if size > largest:
            with open_segment(_path(spool, name), 0) as file:
                newest = deque(file, kept)
            _write_whole(spool, name, b"".join(newest))


def _write_whole(spool: Spool, name: bytes, content: bytes) -> None:
    part = name + b".part"
    with suppress(OSError):
        with suppress(FileNotFoundError):
            os.unlink(_path(spool, part))
        with _create(spool, part, os.O_EXCL) as file:
            file.write(content)
        os.replace(_path(spool, part), _path(spool, name))


def _create(spool: Spool, name: bytes, flags: int) -> BinaryIO:
    flags |= os.O_WRONLY | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW | os.O_NONBLOCK
    fd = os.open(_path(spool, name), flags, 0o600)
    found = os.fstat(fd)
    if found.st_nlink != 1:
        os.close(fd)
        raise FileExistsError(errno.EEXIST, "not a file of ours", name)
    spools.give_to_owner(spool.home, fd, found)
    return open(fd, "wb")
