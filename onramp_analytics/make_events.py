"""Which events a make command amounts to: how it ended, and what is enabled now that was not before.

`make_entry.py` runs this in the background when the command has ended. Its words are `ran GOAL STATUS START STOP` or
`track EVENT [KEY=VALUE …]`. START and STOP are the machine's uptime in seconds, as `/proc/uptime` has it.

What was enabled when last compared is the file `enabled` in the flusher's folder: first the day of the last full count,
or `never`, then one `service NAME` or `override NAME` per line, in the names of this checkout. It is never sent.
"""

import posix
import time

from onramp_analytics import consent, events, tracker
from onramp_analytics.checkout import published, read
from onramp_analytics.spool import Spool

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

    from onramp_analytics.consent import Consent
    from onramp_analytics.tracker import Said

    Link = tuple[str, str]  # ("service" or "override", its name)

DEFAULT_GOAL = "start"  # what `make` alone means in OnRamp
FOLDERS = {"service": b"/services-enabled", "override": b"/overrides-enabled"}
MOST_LINKS = 1000  # names in a folder; one with more is not compared
LIST = b"enabled"
NEVER = "never"  # in the first line: this identifier was made by reset-id, and is never told the whole list
_NAME = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789._-"


def main(arguments: "list[str]") -> int:
    """Record what make says.

    Returns:
        The exit status: 0, or 2 for a programmer's error in the words of `track`.
    """
    root = posix.getcwdb()
    if arguments[:1] == ["track"]:
        return tracker.main(root.decode("utf-8", "surrogateescape"), arguments[1:])
    _, goal, status, start, stop = arguments
    if tracker.record(root, posix.environ, outcome(goal or DEFAULT_GOAL, int(status), start, stop)):
        try:
            compare(root, posix.environ)
        except OSError:
            pass  # the list stays as it was, and the next command compares
    return 0


def outcome(goal: str, status: int, start: str, stop: str) -> "list[Said]":
    """Return the events for how a command ended.

    Args:
        goal: the first goal.
        status: make's exit status as a shell has it: 128 and the number of the signal for a death by signal.
        start: the uptime in seconds when it began; empty if the machine has none, and then there is no duration and no
            event for the command.
        stop: the uptime when it ended.
    """
    said: list[Said] = []
    if start and stop:
        milliseconds = round((float(stop) - float(start)) * 1000)
        said.append(("command_executed", {"command": goal, "success": status == 0, "duration_ms": milliseconds}))
    if status:
        said.append(("error_occurred", {"command": goal, "error_type": error_type(status)}))
    return said


def error_type(status: int) -> str:
    """Return the catalog's word for an exit status that is not 0."""
    if status > 128:
        import signal  # loads enum, but only here

        for name in signal.Signals.__members__:
            if signal.Signals[name] == status - 128 and name[3:] in events.SIGNALS:
                return f"signal_{name[3:]}"
    return f"exit_{status}"


def compare(root: bytes, environ: "Mapping[bytes, bytes]") -> None:
    """Record what is enabled now and was not when last compared, and the other way round.

    All of it happens under the spool's lock, so that several commands at once record a change once. If the lock is busy
    or the events are not stored, the list stays as it was: a change is recorded twice then, and never lost.

    Raises:
        OSError: the machine is in the way.
    """
    spool = Spool(root)
    lock = spool.take_lock()
    if lock < 0:
        return
    try:
        now = consent.ask(environ, root)
        if now.on:
            _compare(spool, now, lock)
        if not consent.ask(environ, root).on:
            _take_back(spool, lock)
    finally:
        posix.close(lock)


def _take_back(spool: Spool, lock: int) -> None:
    """Delete what was created after `disable` had deleted everything (race 3 of spool.py)."""
    # A lock without a link: we were stopped under it, and `disable` went on without it.
    posix.unlink(spool.lock if posix.fstat(lock).st_nlink else spool.file)
    spool.remove_folder()


def _compare(spool: Spool, now: "Consent", lock: int) -> None:
    folder = spool.make_folder()
    try:
        today = time.strftime("%Y-%m-%d", time.gmtime())
        content = _listed(spool)
        before, counted = parse(content)
        after = enabled(spool.root, before or set())
        if before is not None:  # otherwise the list is damaged, and is written again without events
            is_full = is_new_half(counted, today)
            known = before - after if is_full else before
            names = published(spool.root)
            said = changes(known, after, lambda name: events.has_scaffold(name, names))
            lines = tracker.compose(said, now, names)
            if lines and spool.write(lines) != "stored":
                return
            counted = today if is_full else counted
        new = written(after, counted)
        if new != content and posix.fstat(lock).st_nlink:  # otherwise somebody else has a new lock: race 7 of spool.py
            from onramp_analytics import files

            files.replace(folder, LIST, new)
    finally:
        posix.close(folder)


def _listed(spool: Spool) -> "bytes | None":
    """Return the list as it is on disk; None if there is none yet."""
    try:
        return read(spool.folder + b"/" + LIST, owner=posix.geteuid(), limit=1 << 18)
    except FileNotFoundError:
        return None
    except OSError:
        return b"\0"


def parse(content: "bytes | None") -> "tuple[set[Link] | None, str]":
    """Return what was enabled when last compared, and the day of the last full count.

    Args:
        content: the list; None if there is none, which is compared with nothing.

    Returns:
        None in place of the names for a damaged list, and for one of a day that is still to come.
    """
    if content is None:
        return set(), ""
    lines = content.decode("latin-1").split("\n")
    counted, names, end = lines[0], lines[1:-1], lines[-1]
    if counted != NEVER and (len(counted) != 10 or not counted.replace("-", "").isdigit()):
        return None, NEVER  # whether the identifier was made by reset-id is lost, so nothing whole is sent any more
    pairs = [tuple(line.split(" ")) for line in names]
    if end or not all(len(pair) == 2 and pair[0] in FOLDERS and pair[1] for pair in pairs):
        return None, counted
    return {(pair[0], pair[1]) for pair in pairs}, counted


def written(links: "Iterable[Link]", counted: str) -> bytes:
    """Return the list as `parse` reads it."""
    return "".join([f"{counted}\n", *(f"{kind} {name}\n" for kind, name in sorted(links))]).encode("ascii")


def is_new_half(counted: str, today: str) -> bool:
    """Return whether everything is to be counted again: once in each half of a year, and at first.

    PostHog forgets an event after its plan's retention, a year on the free one.
    """
    return counted != NEVER and _half(counted) < _half(today)


def _half(day: str) -> str:
    return day[:4] + ("b" if day[5:7] >= "07" else "a") if day else ""


def enabled(root: bytes, before: "set[Link]") -> "set[Link]":
    """Return what is enabled now; of a folder that cannot be compared, what was enabled before."""
    found: set[Link] = set()
    for kind in FOLDERS:
        names = links(root, kind)
        found |= {(kind, name) for name in names} if names is not None else {pair for pair in before if pair[0] == kind}
    return found


def links(root: bytes, kind: str) -> "list[str] | None":
    """Return the names that are enabled.

    Args:
        root: the checkout.
        kind: "service" or "override".

    Returns:
        None if the folder cannot be compared: it is missing or unreadable, it has no `.keep` (OnRamp has one in each; a
        folder that is not mounted has none), or it has over 1,000 names.
    """
    try:
        found = posix.listdir(root + FOLDERS[kind])
    except OSError:
        return None
    if b".keep" not in found or len(found) > MOST_LINKS:
        return None
    return [
        name[:-4].decode() for name in found if name.endswith(b".yml") and name[:-4] and not name.translate(None, _NAME)
    ]


def changes(before: "set[Link]", after: "set[Link]", has_scaffold: "Callable[[str], bool]") -> "list[Said]":
    """Return the events for what was enabled and disabled in between."""
    said: list[Said] = []
    for kind, name in sorted(after - before):
        if kind == "service":
            said.append(("service_enabled", {"service_name": name, "has_scaffold": has_scaffold(name)}))
        else:
            said.append(("override_enabled", {"override_name": name}))
    said.extend((f"{kind}_disabled", {f"{kind}_name": name}) for kind, name in sorted(before - after))
    return said


def never_again(spool: Spool) -> None:
    """Keep the list, and never count the whole of it again: `reset-id` has made a new identifier. Hold the lock.

    Raises:
        OSError: the list cannot be written.
    """
    from onramp_analytics import files

    content = _listed(spool)
    before, _ = parse(content)
    folder = spool.make_folder()
    try:
        # Without a list to go on from, an incomplete line: the next comparison writes it again without events.
        known = written(before, NEVER) if before is not None and content is not None else f"{NEVER}\n?".encode()
        files.replace(folder, LIST, known)
    finally:
        posix.close(folder)
