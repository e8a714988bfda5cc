"""Admit only valid events from the disk. The flusher and every command that shows events read through this gate.

A line is admitted if a version of this package could have written it, to the letter. The event is then rebuilt from the
parts that were checked, so that nothing else can be sent.
"""

from __future__ import annotations

import json
import re
from functools import cache, lru_cache
from typing import Any

from onramp_analytics import __version__, events

_UUID = "[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}"
_TIMESTAMP = r"(?:19[7-9]\d|[2-9]\d{3})-(?:0[1-9]|1[0-2])-(?:0[1-9]|[12]\d|3[01])T12:00:00\.000000Z"
_VALUE = rf'"[A-Za-z0-9._-]{{1,{events.LONGEST_NAME}}}"|true|false|\d+'
#: The version of any release of this package, as packaging.python.org defines it, without epoch and local part.
_VERSION = r"(?=.{1,20}\")\d+(?:\.\d+)*(?:(?:a|b|rc)\d+)?(?:\.post\d+)?(?:\.dev\d+)?"
_CONSTANTS = {name: value for name, value in events.FIXED.items() if name != "$lib_version"}
_HEAD = re.compile(
    rf'\{{"event":"([a-z_]{{1,40}})","uuid":"({_UUID})","distinct_id":"({_UUID})","timestamp":"({_TIMESTAMP})",'
    r'"properties":\{'
)


@cache
def _forms(event: str) -> tuple[tuple[re.Pattern[str], tuple[events.Property, ...]], ...]:
    """Return the forms of an event, the newest first: one for each version of the catalog that changed it.

    The pattern of a form matches what `events.build` writes after the `_HEAD`.
    """
    found = events.EVENTS.get(event)
    if not found:
        return ()
    versions = {found.since, *(p.since for p in found.properties if p.since > found.since)}
    return tuple((_pattern(own), own) for own in map(found.agreed, sorted(versions, reverse=True)))


def _pattern(own: tuple[events.Property, ...]) -> re.Pattern[str]:
    values = "".join(f'"{p.name}":({_VALUE}),' for p in own)
    constants = re.escape(events.members(_CONSTANTS))
    return re.compile(rf'{values}{constants},"\$lib_version":"({_VERSION})"\}}\}}\n?')


def admit(line: bytes, published: bytes) -> tuple[dict[str, Any], bytes] | None:
    """Return the event of a line as it is sent.

    Args:
        line: what was read, with or without its line break.
        published: what `checkout.published()` returned. A name that OnRamp no longer publishes is replaced.

    Returns:
        The event, which must not be changed, and its line; None if no version of this package could have written it.
    """
    text = line.decode("latin-1")  # never fails, and the patterns accept only ASCII
    head = _HEAD.match(text)
    if not head:
        return None
    name, uuid, distinct_id, timestamp = head.groups()
    found = _properties(name, text[head.end() :], published)
    if not found:
        return None
    properties, is_exact = found
    event = {
        "event": name,
        "uuid": uuid,
        "distinct_id": distinct_id,
        "timestamp": timestamp,
        "properties": properties,
    }
    return event, line if is_exact else as_line(event)


@lru_cache(maxsize=1024)  # events repeat: the same names, and durations of two digits
def _properties(event: str, written: str, published: bytes) -> tuple[dict[str, Any], bool] | None:
    """Return the properties of an event as they are sent, and whether the line is exactly so, with its line break."""
    for pattern, own in _forms(event):  # noqa: B007  (`own` is used below)
        match = pattern.fullmatch(written)
        if match:
            break
    else:
        return None
    *values, version = match.groups()
    properties: dict[str, Any] = {}
    is_exact = written.endswith("\n")
    for p, value in zip(own, values, strict=True):
        try:
            cleaned = p.clean(value.strip('"'), published)
        except ValueError:
            return None
        if value != (f'"{cleaned}"' if isinstance(cleaned, str) else str(cleaned).lower()):
            if not isinstance(cleaned, str) or not value.startswith('"'):
                return None  # 007, or 7 in quotes, is a valid value, but never written so
            is_exact = False
        properties[p.name] = cleaned
    return properties | _CONSTANTS | {"$lib_version": version}, is_exact


def newer(line: bytes) -> str | None:
    """Return the timestamp of a line that a newer version of this program wrote; None for any other line.

    Call it for a line that `admit` refuses. It is kept and not sent: the program was downgraded, and the next upgrade
    knows what the line is.
    """
    found = _NEWER.fullmatch(line.decode("latin-1"))
    return found[1] if found and _release(found[2]) > _release(__version__) else None


_NEWER = re.compile(
    rf'\{{"event":"[a-z_]{{1,40}}","uuid":"{_UUID}","distinct_id":"{_UUID}","timestamp":"({_TIMESTAMP})",'
    rf'"properties":\{{[ -~]{{0,2000}},"\$lib_version":"({_VERSION})"\}}\}}\n?'
)


def _release(version: str) -> tuple[int, ...]:
    """Return the numbers of a version before any suffix: 0.2.0rc1 is (0, 2, 0)."""
    return tuple(int(number) for number in re.match(r"[\d.]*\d", version)[0].split("."))  # type: ignore[index]


def as_line(value: dict[str, Any]) -> bytes:
    """Return a value as one line of JSON in the form of `events.build`."""
    return json.dumps(value, separators=(",", ":")).encode() + b"\n"
