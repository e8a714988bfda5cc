"""Turn a make command into events: how it ended, and which services and overrides it enabled or disabled.

`make_entry.py` runs this in the background. The arguments are `ran GOAL STATUS START STOP` after a command, or
`track EVENT [KEY=VALUE …]` from a recipe. START and STOP are the uptime of the machine in seconds, from `/proc/uptime`.

Once in each half-year, a full count records everything that is enabled. Otherwise, only changes are recorded.

The file `enabled` in the flusher's folder holds what was enabled at the last comparison. Its first line is the day of
the last full count, or `never`. Each other line is `service NAME` or `override NAME`. It holds the names of this
checkout, so it is never sent.
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
    from onramp_analytics.tracker import Call

    Link = tuple[str, str]  # ("service" or "override", its name)

DEFAULT_GOAL = "start"  # the goal of `make` without arguments in OnRamp
FOLDERS = {"service": b"/services-enabled", "override": b"/overrides-enabled"}
MOST_LINKS = 1000  # names in a folder; a larger folder is not compared
LIST = b"enabled"
NEVER = "never"  # in the first line: reset-id made this identifier, so a full count would link it to the old one


def main(arguments: "list[str]") -> int:
    """Record the events of a make command.

    Returns:
        The exit status: 0, or 2 if the arguments of `track` are not valid.
    """
    root = posix.getcwdb()
    if arguments[:1] == ["track"]:
        return tracker.main(root.decode("utf-8", "surrogateescape"), arguments[1:])
    _, goal, status, start, stop = arguments
    if tracker.record(root, posix.environ, outcome(goal or DEFAULT_GOAL, int(status), start, stop)):
        try:
            compare(root, posix.environ)
        except OSError:
            pass  # the list stays as it was, and the next command compares again
    return 0


def outcome(goal: str, status: int, start: str, stop: str) -> "list[Call]":
    """Return the events that describe how a command ended.

    Args:
        goal: the first goal.
        status: make's exit status as a shell reports it: 128 plus the signal number if a signal ended it.
        start: the uptime in seconds when it began; empty if the machine does not report it. Then the duration is
            unknown, and there is no `command_executed`.
        stop: the uptime when it ended.
    """
    calls: list[Call] = []
    if start and stop:
        milliseconds = round((float(stop) - float(start)) * 1000)
        calls.append(("command_executed", {"command": goal, "success": status == 0, "duration_ms": milliseconds}))
    if status:
        calls.append(("error_occurred", {"command": goal, "error_type": error_type(status)}))
    return calls


def error_type(status: int) -> str:
    """Return the catalog's name for an exit status other than 0."""
    if status > 128:
        import signal  # loads enum, but only here

        try:
            name = signal.Signals(status - 128).name.removeprefix("SIG")
        except ValueError:
            name = ""
        if name in events.SIGNALS:
            return f"signal_{name}"
    return f"exit_{status}"


def compare(root: bytes, environ: "Mapping[bytes, bytes]") -> None:
    """Record what was enabled and disabled since the last comparison.

    It holds the spool's lock, so that commands that run at the same time record a change once. If the lock is busy or
    the events are not stored, the list stays as it was, and the next command records the change. If the events are
    stored but the list cannot be replaced, the change is recorded twice.

    Raises:
        OSError: a file cannot be used.
    """
    spool = Spool(root)
    lock = spool.take_lock()
    if lock < 0:
        return
    try:
        current = consent.ask(environ, root)
        if current.on:
            _compare(spool, current, lock)
        if not consent.ask(environ, root).on:
            _take_back(spool, lock)
    finally:
        posix.close(lock)


def _take_back(spool: Spool, lock: int) -> None:
    """Delete what was created after `disable` had deleted everything (race 3 of spool.py)."""
    # If the lock file has no link, this process was suspended while it held the lock, and `disable` continued without
    # it. In that case, this process has created a new spool. Otherwise, it has created the lock file.
    posix.unlink(spool.lock if posix.fstat(lock).st_nlink else spool.file)
    spool.remove_folder()


def _compare(spool: Spool, current: "Consent", lock: int) -> None:
    folder = spool.make_folder()
    try:
        today = time.strftime("%Y-%m-%d", time.gmtime())
        content = _listed(spool)
        before, counted = parse(content)
        after = enabled(spool.root, before or set())
        if before is not None:  # otherwise the list is damaged, and is written again without events
            is_full = is_new_half(counted, today)
            known = before - after if is_full else before  # a full count reports all that is enabled as new
            names = published(spool.root)
            calls = changes(known, after, lambda name: events.has_scaffold(name, names))
            lines = tracker.compose(calls, current, names)
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
    """Return the list from disk; None if there is none yet, and damaged content if it cannot be read."""
    try:
        return read(spool.folder + b"/" + LIST, owner=posix.geteuid(), limit=1 << 18)
    except FileNotFoundError:
        return None
    except OSError:
        return b"\0"


def parse(content: "bytes | None") -> "tuple[set[Link] | None, str]":
    """Return what was enabled at the last comparison, and the day of the last full count.

    Args:
        content: the list; None if there is none, which means that nothing was enabled.

    Returns:
        The names, or None if the list is damaged; and the day.
    """
    if content is None:
        return set(), ""
    lines = content.decode("latin-1").split("\n")
    counted, names, end = lines[0], lines[1:-1], lines[-1]
    if counted != NEVER and (len(counted) != 10 or not counted.replace("-", "").isdigit()):
        return None, NEVER  # it is unknown whether reset-id made the identifier, so there is no full count any more
    pairs = [tuple(line.split(" ")) for line in names]
    if end or not all(len(pair) == 2 and pair[0] in FOLDERS and pair[1] for pair in pairs):
        return None, counted
    return {(pair[0], pair[1]) for pair in pairs}, counted


def written(links: "Iterable[Link]", counted: str) -> bytes:
    """Return the list as `parse` reads it."""
    return "".join([f"{counted}\n", *(f"{kind} {name}\n" for kind, name in sorted(links))]).encode("ascii")


def is_new_half(counted: str, today: str) -> bool:
    """Return whether a full count is due: the first time, and then once in each half of a year.

    PostHog deletes events after the retention of its plan, which is a year on the free plan.
    """
    return counted != NEVER and _half(counted) < _half(today)


def _half(day: str) -> str:
    return day[:4] + ("b" if day[5:7] >= "07" else "a") if day else ""


def enabled(root: bytes, before: "set[Link]") -> "set[Link]":
    """Return what is enabled now; for a folder that cannot be compared, what was enabled before."""
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
        None if the folder cannot be compared: it is missing or unreadable, it holds over 1,000 names, or it has no
        `.keep`. OnRamp commits one in each folder, so a folder without it is not mounted.
    """
    try:
        found = posix.listdir(root + FOLDERS[kind])
    except OSError:
        return None
    if b".keep" not in found or len(found) > MOST_LINKS:
        return None
    return [
        name[:-4].decode()
        for name in found
        if name.endswith(b".yml") and name[:-4] and not name.translate(None, events.SAFE)
    ]


def changes(before: "set[Link]", after: "set[Link]", has_scaffold: "Callable[[str], bool]") -> "list[Call]":
    """Return the events for what was enabled and disabled between two lists."""
    calls: list[Call] = []
    for kind, name in sorted(after - before):
        if kind == "service":
            calls.append(("service_enabled", {"service_name": name, "has_scaffold": has_scaffold(name)}))
        else:
            calls.append(("override_enabled", {"override_name": name}))
    calls.extend((f"{kind}_disabled", {f"{kind}_name": name}) for kind, name in sorted(before - after))
    return calls


def never_again(spool: Spool) -> None:
    """Keep the list, and do no full count any more, since `reset-id` is about to replace the identifier.

    The caller must hold the spool's lock.

    Raises:
        OSError: the list cannot be written.
    """
    from onramp_analytics import files

    content = _listed(spool)
    before, _ = parse(content)
    folder = spool.make_folder()
    try:
        # Without a list, write an incomplete line: the next comparison replaces it without recording events.
        known = written(before, NEVER) if before is not None and content is not None else f"{NEVER}\n?".encode()
        files.replace(folder, LIST, known)
    finally:
        posix.close(folder)
