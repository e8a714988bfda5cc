"""What may be said, and how: the one definition behind validation, documentation and display.

A hot room: it builds its JSON by hand, since every string that may be in an event is made of letters that JSON
leaves as they are (`SAFE`).

To add an event, add one entry to `EVENTS`. Everything else follows from it.
"""

import builtins
import posix
import time

from onramp_analytics import __version__

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    Value = bool | int | str
    Clean = Callable[[object, bytes], Value]

#: The names that OnRamp publishes, a file in the root: one `service NAME`, `override NAME` or `command NAME` a line.
CATALOGUE = b"make.d/analytics.names"
CATALOGUE_LIMIT = 1 << 16  # bytes; OnRamp's own 500 names take 12 KiB

SAFE = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789._-"
LONGEST_NAME = 100  # characters; the longest name in OnRamp has 32
LONGEST_DURATION = 86_400_000  # milliseconds, one day: the contract's range

SIGNALS = (
    " ABRT ALRM BUS CHLD CONT FPE HUP ILL INT KILL PIPE PROF QUIT SEGV STOP SYS TERM TRAP TSTP TTIN TTOU URG USR1 USR2"
    " VTALRM XCPU XFSZ "
)
#: Exceptions of the standard library that are no builtins and that a tool around make meets.
OTHER_EXCEPTIONS = ("CalledProcessError", "JSONDecodeError", "TimeoutExpired")

#: Sent with every event. `$ip` must be a truthy string, and the profile flag a JSON boolean, or PostHog ignores them.
FIXED: "dict[str, Value]" = {
    "$process_person_profile": False,
    "$geoip_disable": True,
    "$ip": "0.0.0.0",  # noqa: S104  (no address is bound: it is what PostHog stores in place of the sender's)
    "$lib": "onramp-analytics",
    "$lib_version": __version__,
}


class Property:
    """One property of an event: its name, what a person is told about it, and `clean`, its rule.

    `clean(value, published)` returns the value that is stored. It replaces what is outside the closed set and raises
    `ValueError` for a value of the wrong kind. It is idempotent, so the gate uses it to check what it reads.
    """

    __slots__ = ("clean", "name", "rule")

    def __init__(self, name: str, rule: str, clean: "Clean") -> None:
        self.name = name
        self.rule = rule
        self.clean = clean


def _is_safe(name: str) -> bool:
    return 0 < len(name) <= LONGEST_NAME and name.isascii() and not name.encode().translate(None, SAFE)


def _published_or(replacement: str, kind: str) -> "Clean":
    before = f"\n{kind} ".encode()

    def clean(value: object, published: bytes) -> str:
        if not isinstance(value, str):
            raise ValueError("must be a text")
        # Safe first: a name with a line break in it would find two lines of the catalogue at once.
        known = _is_safe(value) and before + value.encode() + b"\n" in published
        return value if known else replacement

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
        # The slice keeps int() away from a million digits; anything that long is over the limit anyway.
        value = 0 if digits is not value else int(digits.lstrip("0")[:20] or "0")
    if isinstance(value, bool) or not isinstance(value, int):
        raise ValueError("must be a whole number of milliseconds")
    return min(max(value, 0), LONGEST_DURATION)


def _error_type(value: object, _published: bytes) -> str:
    if not isinstance(value, str):
        raise ValueError("must be a text")
    kind, _, rest = value.partition("_")
    if kind == "exit" and rest.isascii() and rest.isdigit() and len(rest) <= 3 and str(int(rest)) == rest:
        return value if int(rest) <= 255 else "other"  # an exit status is one byte
    if kind == "signal" and rest.isalnum() and f" {rest.removeprefix('SIG')} " in SIGNALS:
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
_DURATION = Property("duration_ms", "whole milliseconds, 0 to 86400000", _milliseconds)
_ERROR_TYPE = Property(
    "error_type",
    "`exit_<0-255>`, `signal_<NAME>` or the class name of a standard Python exception, else `other`",
    _error_type,
)

#: event -> (why it is collected, its properties in the order in which they are sent)
EVENTS: "dict[str, tuple[str, tuple[Property, ...]]]" = {
    "service_enabled": ("Which services are popular", (_SERVICE, _HAS_SCAFFOLD)),
    "service_disabled": ("Which services are given up", (_SERVICE,)),
    "override_enabled": ("Which overrides are used", (_OVERRIDE,)),
    "override_disabled": ("Which overrides are given up", (_OVERRIDE,)),
    "command_executed": ("Which commands are used, and how long they take", (_COMMAND, _SUCCESS, _DURATION)),
    "error_occurred": ("Which commands fail, and how", (_COMMAND, _ERROR_TYPE)),
}


def published(root: bytes) -> bytes:
    """Return the names that OnRamp publishes, as one block that `Property.clean` searches.

    Args:
        root: the checkout's folder.

    Returns:
        The lines of the catalogue file between line breaks; empty where there is no readable file, and then every
        name is replaced.
    """
    try:
        fd = posix.open(root + b"/" + CATALOGUE, posix.O_RDONLY | posix.O_CLOEXEC | posix.O_NOFOLLOW | posix.O_NONBLOCK)
    except OSError:
        return b""
    try:
        names = posix.read(fd, CATALOGUE_LIMIT)
        return b"\n" + names[: names.rfind(b"\n") + 1]  # what has no end was perhaps cut, into a name of somebody's own
    except OSError:
        return b""
    finally:
        posix.close(fd)


def clean(event: str, given: "Mapping[str, object]", published: bytes) -> "dict[str, Value]":
    """Return the properties of `event` as they may be stored, in the catalogue's order.

    Args:
        event: the event's name.
        given: property name -> value; the values of a command line are texts ("true", "1200").
        published: what `published()` returned.

    Raises:
        ValueError: one sentence that names what is wrong and what is known.
    """
    if event not in EVENTS:
        raise ValueError(f"unknown event {event!r}: known are {', '.join(EVENTS)}")
    properties = EVENTS[event][1]
    names = [p.name for p in properties]
    for name in given:
        if name not in names:
            raise ValueError(f"{event} has no property {name!r}: its properties are {', '.join(names)}")
    values = {}
    for p in properties:
        if p.name not in given:
            raise ValueError(f"{event} needs the property {p.name!r}: its properties are {', '.join(names)}")
        try:
            values[p.name] = p.clean(given[p.name], published)
        except ValueError as error:
            raise ValueError(f"{event}: {p.name} {error}, not {given[p.name]!r}") from None
    return values


def build(event: str, values: "Mapping[str, Value]", distinct_id: str, now_ns: int, random: bytes) -> bytes:
    """Return the event as one JSON line, exactly as PostHog will receive it.

    Args:
        event: a name of `EVENTS`.
        values: what `clean` returned for it.
        distinct_id: the installation's identifier.
        now_ns: the time of the event, in nanoseconds since 1970.
        random: 16 random bytes, for the event's own uuid.
    """
    return (
        f'{{"event":"{event}","uuid":"{uuid4(random)}","distinct_id":"{distinct_id}",'
        f'"timestamp":"{timestamp(now_ns)}","properties":{{{members(values)},{_FIXED_JSON}}}}}\n'
    ).encode("ascii")


def members(values: "Mapping[str, Value]") -> str:
    """Return the members of a JSON object. A boolean or a number is its `str` but for the capital."""
    return ",".join(
        f'"{key}":"{value}"' if type(value) is str else f'"{key}":{str(value).lower()}' for key, value in values.items()
    )


_FIXED_JSON = members(FIXED)


def uuid4(random: bytes) -> str:
    """Return 16 random bytes as the text of a version 4 UUID (RFC 9562: a 4, and two bits of the variant)."""
    h = random.hex()
    return f"{h[:8]}-{h[8:12]}-4{h[13:16]}-{'89ab'[random[8] & 3]}{h[17:20]}-{h[20:]}"


def timestamp(now_ns: int) -> str:
    """Return a time in nanoseconds since 1970 as `2026-01-03T12:00:00.123456Z`."""
    seconds, rest = divmod(now_ns, 1_000_000_000)
    return f"{time.strftime('%Y-%m-%dT%H:%M:%S', time.gmtime(seconds))}.{rest // 1000:06}Z"


def is_uuid4(text: str) -> bool:
    """Tell whether a text has the form that `uuid4` gives. Other versions hold a network card's address, or a name."""
    return text.isascii() and text.encode().translate(_ANY_HEX) == _UUID and text[14] == "4" and text[19] in "89ab"


_ANY_HEX = bytes.maketrans(b"123456789abcdef", b"0" * 15)
_UUID = b"00000000-0000-0000-0000-000000000000"
