"""Keep the history of the flusher's runs: how the last one ended, which events were sent, and which were refused.

No event depends on the history. If a file is lost or damaged, the lists lack entries, or the back-off starts again.
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
SENT_KEPT = 1_000  # events, see docs/protocol.md
SENT_BYTES = 1 << 20  # a larger log of sent events is cut; 1,000 events take less than half of it
REFUSED_KEPT = 100  # events, see docs/protocol.md
REFUSED_BYTES = 1 << 17
_APPEND = os.O_RDWR | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW | os.O_NONBLOCK
MOST_FAILURES = 1_000  # limits what a damaged file can contain; the back-off stops growing long before


@dataclass(slots=True)
class Counts:
    """What became of the events of a run.

    Attributes:
        sent: events that the server accepted.
        skipped: lines that were not valid events.
        refused: events that the server refused permanently.
        expired: events that were too old to send.
        from_the_future: events dated after tomorrow, by a wrong clock.
        former_id: events of an identifier that was reset; they are deleted.
        newer: events of a newer version of this program, which are kept.
    """

    sent: int = 0
    skipped: int = 0
    refused: int = 0
    expired: int = 0
    from_the_future: int = 0
    former_id: int = 0
    newer: int = 0


@dataclass(slots=True)
class State(Counts):
    """How the last run ended, and what became of its events.

    Attributes:
        at: when it began, in seconds since 1970; 0 if there was no run.
        outcome: a `Kind` of `posthog/outcome.py`; empty if there was no run.
        reason: the reason, for the user.
        last_sent_at: when the last run that sent an event began, in seconds since 1970; 0 if none did.
        failures: the number of consecutive failed runs, which sets the back-off.
    """

    at: float = 0.0
    outcome: str = ""
    reason: str = ""
    last_sent_at: float = 0.0
    failures: int = 0

    @property
    def found_nothing(self) -> bool:
        """Whether the run found no line to settle."""
        return not any(getattr(self, count.name) for count in fields(Counts))


def load_state(spool: Spool) -> State:
    """Return how the last run ended; values that are missing or damaged get their defaults."""
    stored = next(iter(_entries(spool, STATE)), {})
    good = {f.name: stored[f.name] for f in fields(State) if _fits(stored.get(f.name), f.default)}
    state = State(**good)
    return replace(state, failures=min(max(state.failures, 0), MOST_FAILURES))


def _fits(value: object, default: object) -> bool:
    return type(value) is type(default) and not (isinstance(value, float) and not math.isfinite(value))


def save_state(spool: Spool, state: State) -> None:
    """Save how this run ended."""
    with suppress(OSError), opened(spool) as folder:
        if folder is not None:
            files.replace(folder, STATE, as_line(asdict(state)))


def unfinished(spool: Spool) -> int:
    """Return how many flushers began since one last finished, including a running one."""
    try:
        info = os.lstat(os.path.join(spool.folder, BEGUN))
    except OSError:
        return 0
    return info.st_size if stat.S_ISREG(info.st_mode) else 0


def log_sent(spool: Spool, batch: list[Pending]) -> None:
    """Add events to the log of sent events, and cut it to the newest 1,000 if it is large."""
    _append(spool, SENT, b"".join(p.line for p in batch), largest=SENT_BYTES, kept=SENT_KEPT)


def log_refused(spool: Spool, batch: list[Pending], reason: str) -> None:
    """Add events and the server's reason to the log of refused events, and cut it to the newest 100 if it is large."""
    lines = b"".join(as_line({"reason": reason, "event": p.event}) for p in batch)
    _append(spool, REFUSED, lines, largest=REFUSED_BYTES, kept=REFUSED_KEPT)


def sent(spool: Spool) -> list[dict[str, Any]]:
    """Return the newest 1,000 sent events, oldest first; an event that was sent twice is listed once."""
    events = (json.loads(line) for line in _lines(spool, SENT) if admit(line, b""))
    by_uuid = {event["uuid"]: event for event in events}
    return list(by_uuid.values())[-SENT_KEPT:]


def refused(spool: Spool) -> list[dict[str, Any]]:
    """Return the newest 100 refused events as `{"reason": …, "event": …}`, oldest first."""
    return _entries(spool, REFUSED)[-REFUSED_KEPT:]


def paths(spool: Spool) -> list[bytes]:
    """Return the paths of the state and the logs."""
    return [spool.folder + b"/" + name for name in (STATE, SENT, REFUSED)]


def _entries(spool: Spool, name: bytes) -> list[dict[str, Any]]:
    entries = []
    for line in _lines(spool, name):
        with suppress(ValueError, RecursionError):
            entry = json.loads(line)
            if isinstance(entry, dict):
                entries.append(entry)
    return entries


def _lines(spool: Spool, name: bytes) -> Iterator[bytes]:
    with suppress(OSError), open_file(spool, name) as file:
        yield from file


def _append(spool: Spool, name: bytes, lines: bytes, *, largest: int, kept: int) -> None:
    """Add lines to a log, and cut it to the newest `kept` if it is larger than `largest` bytes.

    Errors are ignored, since a log that cannot be written must not prevent the acknowledgement of events.
    """
    with suppress(OSError), opened(spool) as folder:
        if folder is None:
            return
        fd = os.open(name, _APPEND, 0o600, dir_fd=folder)
        with open(fd, "wb") as file:
            info = os.fstat(fd)
            if info.st_nlink != 1 or not is_ours(info):
                return
            file.write(lines)
        if info.st_size + len(lines) > largest:
            with open_file(spool, name) as file:
                newest = deque(file, kept)
            files.replace(folder, name, b"".join(newest))
