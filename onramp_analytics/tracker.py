"""The way in: ask for consent, build the event, append it, start a flusher if one is due.

Everything that the machine can do wrong on the hot path is caught here, at the door, and nowhere else.
"""

import posix
import sys
import time

from onramp_analytics import checkout, consent, events, settings, spool
from onramp_analytics.spool import Spool

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    Said = tuple[str, Mapping[str, object]]

NO_PERMISSION = (1, 13, 30)  # EPERM, EACCES, EROFS; importing errno would cost more than the append


def track(event: str, properties: "Mapping[str, object]") -> bool:
    """Record one event of this process: what `onramp_analytics.track` does."""
    return record(None, posix.environ, [(event, properties)])  # the very dictionary that `os.environ` writes to


def record(named_root: "bytes | None", environ: "Mapping[bytes, bytes]", said: "Sequence[Said]") -> bool:
    """Append events to the spool if we may, and start a flusher if one is due.

    Args:
        named_root: what `--root` said, or None.
        environ: the environment.
        said: (event, its properties) pairs.

    Returns:
        True when they are stored; False when analytics are off or the machine is in the way.

    Raises:
        ValueError: a programmer's error, whether analytics are on or off.
    """
    folder = checkout.find(named_root, environ)
    content = settings.read(folder) if folder else None
    now = consent.decide(environ, content)
    published = events.published(folder) if folder and now.on else b""
    cleaned = [(event, events.clean(event, given, published)) for event, given in said]
    if not folder or not now.on:
        return False

    def still_on() -> bool:
        return settings.read(folder) == content or consent.ask(environ, folder).on

    try:
        distinct_id = now.id or _adopt_id(environ, folder)
        lines = b"".join(
            events.build(event, values, distinct_id, time.time_ns(), posix.urandom(16)) for event, values in cleaned
        )
        target, outcome = _append(folder, lines, still_on) if distinct_id else (None, "no identifier")
    except OSError:
        return False
    if target and now.notice_shown and outcome != "off":
        _start_flusher(target, folder, environ)
    return outcome == "stored"


def _start_flusher(target: Spool, folder: bytes, environ: "Mapping[bytes, bytes]") -> None:
    """Start a flusher if one is due; most calls find that none is, and need not load what starts one.

    A process that has started one asks there each time, since it has a child to collect.
    """
    if "onramp_analytics.spawn" in sys.modules or spool.flusher_is_due(target, time.time()):
        try:
            from onramp_analytics import spawn

            spawn.start_flusher(target, folder, environ)
        except (OSError, ImportError):  # ImportError: we were uninstalled while this process ran
            pass  # the next tracker tries again


def _append(folder: bytes, lines: bytes, still_on: "Callable[[], bool]") -> "tuple[Spool, str]":
    """Append to the checkout's spool or, where this user may not write in the checkout, to the user's own."""
    target = Spool(folder)
    try:
        return target, spool.append(target, lines, still_on)
    except OSError as error:
        if error.errno not in NO_PERMISSION:
            raise
    from onramp_analytics import userspool  # rare, so it may cost something

    target = Spool(userspool.make_home(folder))
    return target, spool.append(target, lines, still_on)


def _adopt_id(environ: "Mapping[bytes, bytes]", folder: bytes) -> str:
    """Give the installation its identifier: consent came from the environment, or somebody deleted the line."""
    lock = spool.take_lock(Spool(folder))
    if lock < 0:
        return ""
    try:
        now = consent.ask(environ, folder)
        if now.id or not now.on:
            return now.id
        new = events.uuid4(posix.urandom(16))
        settings.change(folder, {settings.ID: new.encode()})
        return new
    finally:
        posix.close(lock)


USAGE = "usage: onramp-analytics [--root DIR] track EVENT [KEY=VALUE ...]"


def main(named_root: "str | None", arguments: "list[str]") -> int:
    """Run the `track` command: `EVENT [KEY=VALUE …]`.

    Returns:
        0, also when nothing could be stored; 2 for a programmer's error, with one line on standard error.
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
        pass  # nobody listens


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
