"""Record events: check consent, build the event, append it to the spool, and start a flusher if one is due.

`record` raises no `OSError`, such as that of a full disk. The module is not called `track`, because a module of that
name would hide the function `onramp_analytics.track`.
"""

import posix
import sys
import time

from onramp_analytics import checkout, consent, events
from onramp_analytics.spool import Spool

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from onramp_analytics.consent import Change, Consent

    Call = tuple[str, Mapping[str, object]]  # an event and its properties


def track(event: str, properties: "Mapping[str, object]") -> bool:
    """Record one event with the environment of this process; see `onramp_analytics.track`."""
    return record(None, posix.environ, [(event, properties)])  # the mapping that `os.environ` changes


def record(named_root: "bytes | None", environ: "Mapping[bytes, bytes]", calls: "Sequence[Call]") -> bool:
    """Append events to the spool if consent is given, and start a flusher if one is due.

    Args:
        named_root: the value of `--root`, or None.
        environ: the environment.
        calls: (event, its properties) pairs.

    Returns:
        True if they were stored; False if analytics are off, the events are newer than what the user agreed to, or they
        could not be stored.

    Raises:
        ValueError: an event or a property is unknown, missing or of the wrong kind; raised even if analytics are off.
    """
    try:
        root = checkout.find(named_root, environ)
        current = consent.ask(environ, root) if root else None
        published = checkout.published(root) if root and current and current.on else b""
    except OSError:
        current, published = None, b""
    lines = compose(calls, current, published)
    if not (root and current and current.on and lines):
        return False

    def changed() -> "Change":
        return consent.change_since(current, environ, root)

    try:
        spool = Spool(root)
        outcome = spool.append(lines, changed)
        if outcome != "off":
            start_flusher(spool, environ)
    except OSError:
        return False
    return outcome == "stored"


def compose(calls: "Sequence[Call]", current: "Consent | None", published: bytes) -> bytes:
    """Return events as the lines to store, without those that are newer than the catalog that the user agreed to.

    Raises:
        ValueError: an event or a property is unknown, missing or of the wrong kind; raised even if analytics are off.
    """
    lines = b""
    version = current.version if current and current.on else events.VERSION
    for event, given in calls:
        values = events.clean(event, given, published, version)
        if values is not None and current and current.on:
            lines += events.build(event, values, current.id, time.time(), posix.urandom(16))
    return lines


def start_flusher(spool: Spool, environ: "Mapping[bytes, bytes]") -> None:
    """Start a flusher if one is due. Usually none is, and then `spawn` is not loaded.

    If this process has already started a flusher, it calls `spawn` even if none is due, to collect the exit status of
    that child.
    """
    if "onramp_analytics.spawn" in sys.modules or spool.flusher_is_due(time.time()):
        try:
            from onramp_analytics import spawn

            spawn.start_flusher(spool, environ)
        except (OSError, ImportError):  # ImportError: the package was uninstalled while this process ran
            pass  # the next tracker tries again


USAGE = "usage: onramp-analytics [--root DIR] track EVENT [KEY=VALUE ...]"


def main(named_root: "str | None", arguments: "list[str]") -> int:
    """Run the `track` command: `EVENT [KEY=VALUE …]`.

    Returns:
        0, even if nothing could be stored; 2 for arguments that are not valid, with one line on standard error.
    """
    try:
        if not arguments:
            raise ValueError(USAGE)
        record(_bytes(named_root), posix.environ, [(arguments[0], _pairs(arguments[1:]))])
    except ValueError as error:
        _complain(f"onramp-analytics track: {error}\n")
        return 2
    return 0


def _complain(sentence: str) -> None:
    try:
        posix.write(2, sentence.encode("utf-8", "backslashreplace"))
    except OSError:
        pass  # standard error is closed


def _pairs(arguments: "list[str]") -> dict[str, str]:
    pairs = {}
    for argument in arguments:
        key, equals, value = argument.partition("=")
        if not equals:
            raise ValueError(f"{argument!r} is not KEY=VALUE; {USAGE}")
        if key in pairs:
            raise ValueError(f"{key} is given twice; {USAGE}")
        pairs[key] = value
    return pairs


def _bytes(text: "str | None") -> "bytes | None":
    return text.encode("utf-8", "surrogateescape") if text else None
