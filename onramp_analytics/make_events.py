"""Which events a make command amounts to. A hot room: `make_entry.py` runs it in the background when the command ended.

Its words are `ran GOAL STATUS START STOP` or `track EVENT [KEY=VALUE …]`. START and STOP are the machine's uptime in
seconds, as `/proc/uptime` has it. ONRAMP_BEFORE and ONRAMP_AFTER in the environment hold the paths in services-enabled/
and overrides-enabled/ with a slash between them; they are no arguments, since every user of the machine may read those.
"""

import posix

from onramp_analytics import events, tracker

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

    from onramp_analytics.tracker import Said

DEFAULT_GOAL = "start"  # what `make` alone means in OnRamp


def main(arguments: "list[str]") -> int:
    """Record what make says.

    Returns:
        The exit status: 0, or 2 for a programmer's error in the words of `track`.
    """
    root = posix.getcwdb()
    if arguments[:1] == ["track"]:
        return tracker.main(root.decode("utf-8", "surrogateescape"), arguments[1:])
    _, goal, status, start, stop = arguments
    before, after = (posix.environ.get(name, b"") for name in (b"ONRAMP_BEFORE", b"ONRAMP_AFTER"))
    said = changes(_links(before), _links(after), lambda name: _has_scaffold(root, name))
    tracker.record(root, posix.environ, said + outcome(goal or DEFAULT_GOAL, int(status), start, stop))
    return 0


def _links(paths: bytes) -> "set[tuple[str, str]]":
    """Return (folder, name) of every link; a pattern that the shell found nothing for is left as it was."""
    parts = paths.decode("utf-8", "surrogateescape").split("/")
    pairs = zip(parts[::2], parts[1::2], strict=False)
    return {(folder, file.removesuffix(".yml")) for folder, file in pairs if file != "*.yml"}


def changes(
    before: "set[tuple[str, str]]", after: "set[tuple[str, str]]", has_scaffold: "Callable[[str], bool]"
) -> "list[Said]":
    """Return the events for the links that came and went."""
    said: list[Said] = []
    for folder, name in sorted(after - before):
        if folder == "services-enabled":
            said.append(("service_enabled", {"service_name": name, "has_scaffold": has_scaffold(name)}))
        else:
            said.append(("override_enabled", {"override_name": name}))
    for folder, name in sorted(before - after):
        if folder == "services-enabled":
            said.append(("service_disabled", {"service_name": name}))
        else:
            said.append(("override_disabled", {"override_name": name}))
    return said


def _has_scaffold(root: bytes, name: str) -> bool:
    try:
        posix.stat(root + b"/services-scaffold/" + name.encode("utf-8", "surrogateescape") + b"/.")
    except OSError:
        return False
    return True


def outcome(goal: str, status: int, start: str, stop: str) -> "list[Said]":
    """Return the events for how a command ended.

    Args:
        goal: the first goal.
        status: make's exit status as a shell has it: 128 and the signal's number for a death by signal.
        start: the uptime in seconds when it began; empty where the machine tells none, and then there is no duration
            to tell, and no event for the command.
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
    """Return the contract's word for an exit status that is not 0."""
    if status <= 128:
        return f"exit_{status}"
    import signal  # loads enum, but only here

    for name in signal.Signals.__members__:
        if signal.Signals[name] == status - 128 and f" {name[3:]} " in events.SIGNALS:
            return f"signal_{name[3:]}"
    return f"exit_{status}"
