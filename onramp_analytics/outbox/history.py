"""What the flusher keeps about its runs: how the last one ended, what was sent, what the server refused.

Told to people, never relied upon: a file that is lost or damaged costs an entry in a list, or the length of a back-off.
"""

from __future__ import annotations

import json
import math
import os
import stat
from collections import deque
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import asdict, dataclass, fields, replace
from typing import Any

from onramp_analytics import files
from onramp_analytics.detached import BEGUN
from onramp_analytics.outbox.gate import admit, as_line
from onramp_analytics.outbox.segments import Pending, open_file, opened
from onramp_analytics.spool import Spool, is_ours

STATE, SENT, REFUSED = b"state.json", b"sent", b"refused"  # names in the folder of the flusher
SENT_KEPT = 1_000  # events, the contract's
SENT_BYTES = 1 << 20  # the log of what was sent is cut when it is larger; 1,000 events take less than half of it
REFUSED_KEPT = 100  # events, the contract's
REFUSED_BYTES = 1 << 17
_APPEND = os.O_RDWR | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW | os.O_NONBLOCK
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
        newer: events of a newer version of this program, which are kept.
    """

    sent: int = 0
    skipped: int = 0
    refused: int = 0
    expired: int = 0
    from_the_future: int = 0
    former_id: int = 0
    newer: int = 0


@dataclass(frozen=True, slots=True)
class State:
    """How the last run ended.

    Attributes:
        at: when, in seconds since 1970; 0 when there was none.
        outcome: one of the words of `outcome.py`, or "" when there was none.
        reason: for a person.
        last_sent_at: when events were last accepted, in seconds since 1970; 0 when never.
        failures: runs that failed one after the other, which the back-off counts.
        sent, skipped, refused, expired, from_the_future, former_id, newer: see `Counts`.
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
    newer: int = 0


def load_state(spool: Spool) -> State:
    """Return how the last run ended; what is unknown or damaged has its default."""
    found = next(iter(_entries(spool, STATE)), {})
    good = {f.name: found[f.name] for f in fields(State) if _fits(found.get(f.name), f.default)}
    state = State(**good)
    return replace(state, failures=min(max(state.failures, 0), MOST_FAILURES))


def _fits(value: object, default: object) -> bool:
    return type(value) is type(default) and not (isinstance(value, float) and not math.isfinite(value))


def save_state(spool: Spool, state: State) -> None:
    """Keep how this run ended."""
    with suppress(OSError), opened(spool) as folder:
        if folder is not None:
            files.replace(folder, STATE, as_line(asdict(state)))


def unfinished(spool: Spool) -> int:
    """Return how many background senders began since one last came to its end; one at work is among them."""
    try:
        found = os.lstat(os.path.join(spool.folder, BEGUN))
    except OSError:
        return 0
    return found.st_size if stat.S_ISREG(found.st_mode) else 0


def log_sent(spool: Spool, batch: list[Pending]) -> None:
    """Add events to the log of what was sent, and cut it to the newest 1,000 once it is large."""
    _append(spool, SENT, b"".join(p.line for p in batch), largest=SENT_BYTES, kept=SENT_KEPT)


def log_refused(spool: Spool, batch: list[Pending], reason: str) -> None:
    """Keep events that the server refuses for good, with the server's reason; the newest 100 of them."""
    lines = b"".join(as_line({"reason": reason, "event": p.event}) for p in batch)
    _append(spool, REFUSED, lines, largest=REFUSED_BYTES, kept=REFUSED_KEPT)


def sent(spool: Spool) -> list[dict[str, Any]]:
    """Return the newest 1,000 events that were sent, oldest first; one that was sent twice is there once."""
    told = (json.loads(line) for line in _lines(spool, SENT) if admit(line, b""))
    by_uuid = {event["uuid"]: event for event in told}
    return list(by_uuid.values())[-SENT_KEPT:]


def refused(spool: Spool) -> list[dict[str, Any]]:
    """Return the newest 100 refused events as `{"reason": …, "event": …}`, oldest first."""
    return _entries(spool, REFUSED)[-REFUSED_KEPT:]


def paths(spool: Spool) -> list[bytes]:
    """Return where the state and the logs are kept."""
    return [spool.folder + b"/" + name for name in (STATE, SENT, REFUSED)]


def _entries(spool: Spool, name: bytes) -> list[dict[str, Any]]:
    found = []
    for line in _lines(spool, name):
        with suppress(ValueError, RecursionError):
            entry = json.loads(line)
            if isinstance(entry, dict):
                found.append(entry)
    return found


def _lines(spool: Spool, name: bytes) -> Iterator[bytes]:
    with suppress(OSError), open_file(spool, name) as file:
        yield from file


def _append(spool: Spool, name: bytes, lines: bytes, *, largest: int, kept: int) -> None:
    """Add lines to a log, and cut it to its newest when it is larger than `largest` bytes.

    A log that cannot be written (disk full) must not keep events from being acknowledged.
    """
    with suppress(OSError), opened(spool) as folder:
        if folder is None:
            return
        fd = os.open(name, _APPEND, 0o600, dir_fd=folder)
        with open(fd, "wb") as file:
            found = os.fstat(fd)
            if found.st_nlink != 1 or not is_ours(found):
                return
            file.write(lines)
        if found.st_size + len(lines) > largest:
            with open_file(spool, name) as file:
                newest = deque(file, kept)
            files.replace(folder, name, b"".join(newest))
