"""Define every event and property that may be recorded: the single source for validation, documentation and display.

JSON is built by hand, since no string in an event contains a character that JSON escapes.

To add an event, follow the steps in docs/contributing.md. Its `since` is the next `VERSION`, so it is not recorded for
users who agreed to an older version, until they run `enable` again.
"""

import builtins
import time

from onramp_analytics import __version__

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    Value = bool | int | str
    Clean = Callable[[object, bytes], Value]

#: The version of the catalog. Increase it with each event or property that is added.
VERSION = 1

SAFE = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789._-"
LONGEST_NAME = 100  # characters; the longest name in OnRamp has 32
LONGEST_DURATION = 86_400_000  # milliseconds: one day, see docs/analytics.md

SIGNALS = frozenset(
    b"ABRT ALRM BUS CHLD CONT FPE HUP ILL INT KILL PIPE PROF QUIT SEGV STOP SYS TERM TRAP TSTP TTIN TTOU URG USR1 USR2 "
    b"VTALRM XCPU XFSZ".decode().split()
)
#: Exceptions of the standard library that are not built in, and that a tool called by make may raise.
OTHER_EXCEPTIONS = ("CalledProcessError", "JSONDecodeError", "TimeoutExpired")

#: Sent with every event. `$ip` must be a truthy string, and the profile flag a JSON boolean, or PostHog ignores them.
FIXED: "dict[str, Value]" = {
    "$process_person_profile": False,
    "$geoip_disable": True,
    "$ip": "0.0.0.0",  # noqa: S104  (no address is bound: it is what PostHog stores in place of the sender's)
    "$ignore_sent_at": True,  # else PostHog adds the difference of the clocks, which can identify a host
    "$lib": "onramp-analytics",
    "$lib_version": __version__,
}


class Property:
    """One property of an event.

    Attributes:
        name: its name.
        rule: the values that it may have, as shown to the user.
        clean: `clean(value, published)` returns the value to store. It replaces a value outside the closed set, and
            raises `ValueError` for one of the wrong kind. It also takes the text of a value, such as `true`, which a
            command line and the gate pass. It is idempotent, so the gate uses it as a check.
        since: the version of the catalog that added it.
    """

    __slots__ = ("clean", "name", "rule", "since")

    def __init__(self, name: str, rule: str, clean: "Clean", since: int = 1) -> None:
        self.name = name
        self.rule = rule
        self.clean = clean
        self.since = since


class Event:
    """One event of the catalog.

    Attributes:
        why: the question that it answers, as shown to the user.
        properties: its properties in the order in which they are sent.
        names: the names of its properties.
        since: the version of the catalog that added it.
    """

    __slots__ = ("names", "properties", "since", "why")

    def __init__(self, why: str, *properties: Property, since: int = 1) -> None:
        self.why = why
        self.properties = properties
        self.names = tuple(p.name for p in properties)
        self.since = since

    def agreed(self, version: int) -> "tuple[Property, ...]":
        """Return the properties that a version of the catalog has, so that its users agreed to them."""
        return tuple(p for p in self.properties if p.since <= version)


def _is_safe(name: str) -> bool:
    return 0 < len(name) <= LONGEST_NAME and name.isascii() and not name.encode().translate(None, SAFE)


_SCAFFOLD = b" scaffold\n"


def has_scaffold(service: str, published: bytes) -> bool:
    """Return whether OnRamp publishes scaffold files for a service."""
    return _is_safe(service) and b"\nservice " + service.encode() + _SCAFFOLD in published


def _text(value: object) -> str:
    if not isinstance(value, str):
        raise ValueError("must be a string")
    return str.__str__(value)  # also for a member of an enum, whose own `str` may differ


def _published_or(replacement: str, kind: str) -> "Clean":
    before = f"\n{kind} ".encode()

    def clean(value: object, published: bytes) -> str:
        value = _text(value)
        if not _is_safe(value):  # first, since a name with a line break would match two published lines at once
            return replacement
        line = before + value.encode()
        return value if line + b"\n" in published or line + _SCAFFOLD in published else replacement

    return clean


def _boolean(value: object, _published: bytes) -> bool:
    if value is True or value == "true":
        return True
    if value is False or value == "false":
        return False
    raise ValueError("must be true or false")


def _milliseconds(value: object, _published: bytes) -> int:
    if isinstance(value, str):
        digits = value.removeprefix("-")
        if not (digits.isascii() and digits.isdigit()):
            raise ValueError("must be a whole number of milliseconds")
        # The slice keeps int() from parsing a million digits; a number that long exceeds the limit anyway.
        value = 0 if value.startswith("-") else int(digits.lstrip("0")[:20] or "0")
    if isinstance(value, bool) or not isinstance(value, int):
        raise ValueError("must be a whole number of milliseconds")
    return coarse(min(max(int(value), 0), LONGEST_DURATION))


def coarse(milliseconds: int) -> int:
    """Round a duration to two significant digits: 3258 to 3300. Below 100, round to tens, as `/proc/uptime` does."""
    step: int = 10 ** max(len(str(milliseconds)) - 2, 1)
    return (milliseconds + step // 2) // step * step


def _error_type(value: object, _published: bytes) -> str:
    value = _text(value)
    kind, _, rest = value.partition("_")
    if kind == "exit" and rest.isascii() and rest.isdigit() and len(rest) <= 3 and str(int(rest)) == rest:
        return value if int(rest) <= 255 else "other"  # an exit status is one byte
    if kind == "signal" and rest.removeprefix("SIG") in SIGNALS:
        return value
    known = getattr(builtins, value, None) if _is_safe(value) else None
    if value in OTHER_EXCEPTIONS or (isinstance(known, type) and issubclass(known, BaseException)):
        return value
    return "other"


_SERVICE = Property(
    "service_name", "a service that OnRamp publishes, else `custom`", _published_or("custom", "service")
)
_OVERRIDE = Property(
    "override_name", "an override that OnRamp publishes, else `custom`", _published_or("custom", "override")
)
_COMMAND = Property("command", "a make target that OnRamp publishes, else `other`", _published_or("other", "command"))
_HAS_SCAFFOLD = Property("has_scaffold", "true or false: whether OnRamp prepares files for the service", _boolean)
_SUCCESS = Property("success", "true or false", _boolean)
_DURATION = Property(
    "duration_ms",
    "milliseconds, rounded: 3258 becomes 3300, and 57 becomes 60; at most one day",
    _milliseconds,
)
_ERROR_TYPE = Property(
    "error_type",
    "`exit_<0-255>`, `signal_<NAME>` or the class name of a standard Python exception, else `other`",
    _error_type,
)

#: event -> why it is recorded, its properties, and the version of the catalog that added it
EVENTS: "dict[str, Event]" = {
    "service_enabled": Event("Which services are used", _SERVICE, _HAS_SCAFFOLD),
    "service_disabled": Event("Which services are given up", _SERVICE),
    "override_enabled": Event("Which overrides are used", _OVERRIDE),
    "override_disabled": Event("Which overrides are given up", _OVERRIDE),
    "command_executed": Event("Which commands are used, and how long they take", _COMMAND, _SUCCESS, _DURATION),
    "error_occurred": Event("Which commands fail, and how", _COMMAND, _ERROR_TYPE),
}


def clean(event: str, given: "Mapping[str, object]", published: bytes, version: int) -> "dict[str, Value] | None":
    """Return the properties of `event` as they are stored, in the order of the catalog.

    Args:
        event: the name of the event.
        given: property name -> value; values from a command line are strings ("true", "1200").
        published: what `checkout.published()` returned.
        version: the version of the catalog that the user agreed to. Newer properties are left out.

    Returns:
        The properties; None if the event is newer than that version.

    Raises:
        ValueError: an event or a property is unknown, missing or of the wrong kind. The message lists the valid names.
    """
    if event not in EVENTS:
        raise ValueError(f"unknown event {event!r}: use one of {', '.join(EVENTS)}")
    found = EVENTS[event]
    for name in given:
        if name not in found.names:
            raise ValueError(f"{event} has no property {name!r}: its properties are {', '.join(found.names)}")
    values = {}
    for p in found.properties:
        if p.name not in given:
            if p.since > version:
                continue
            raise ValueError(f"{event} needs the property {p.name!r}: its properties are {', '.join(found.names)}")
        try:
            value = p.clean(given[p.name], published)
        except ValueError as error:
            raise ValueError(f"{event}: {p.name} {error}, not {given[p.name]!r}") from None
        if p.since <= version:
            values[p.name] = value
    return values if found.since <= version else None


def build(event: str, values: "Mapping[str, Value]", distinct_id: str, now: float, random: bytes) -> bytes:
    """Return the event as one line of JSON, as it will be sent.

    Only a name that OnRamp no longer publishes when the event is sent is still replaced then (`outbox/gate.py`).

    Args:
        event: a name of `EVENTS`.
        values: what `clean` returned for it.
        distinct_id: the identifier of the installation.
        now: the time of the event, in seconds since 1970. Only its day is recorded.
        random: 16 random bytes, for the uuid of the event.
    """
    return (
        f'{{"event":"{event}","uuid":"{uuid4(random)}","distinct_id":"{distinct_id}",'
        f'"timestamp":"{timestamp(now)}","properties":{{{members(values)},{_FIXED_JSON}}}}}\n'
    ).encode("ascii")


def members(values: "Mapping[str, Value]") -> str:
    """Return the members of a JSON object. A boolean is its `str` in lower case."""
    return ",".join(
        f'"{key}":"{value}"' if type(value) is str else f'"{key}":{str(value).lower()}' for key, value in values.items()
    )


_FIXED_JSON = members(FIXED)


def uuid4(random: bytes) -> str:
    """Return 16 random bytes as a version 4 UUID (RFC 9562: the digit 4, and two bits for the variant)."""
    h = random.hex()
    return f"{h[:8]}-{h[8:12]}-4{h[13:16]}-{'89ab'[random[8] & 3]}{h[17:20]}-{h[20:]}"


def timestamp(now: float) -> str:
    """Return noon of the UTC day of a time in seconds since 1970, as `2026-01-03T12:00:00.000000Z`."""
    return time.strftime("%Y-%m-%dT12:00:00.000000Z", time.gmtime(now))


def is_uuid4(text: str) -> bool:
    """Return whether a text is a version 4 UUID. Other versions may hold the address of a network card."""
    return text.isascii() and text.encode().translate(_ANY_HEX) == _UUID and text[14] == "4" and text[19] in "89ab"


_ANY_HEX = bytes.maketrans(b"123456789abcdef", b"0" * 15)
_UUID = b"00000000-0000-0000-0000-000000000000"
