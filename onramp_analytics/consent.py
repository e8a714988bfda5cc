"""Whether we may: the four rules of the contract, in their order. Nothing else decides."""

from onramp_analytics import settings
from onramp_analytics.events import is_uuid4

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping

DO_NOT_TRACK = b"DO_NOT_TRACK"
ENABLED_VARIABLE = b"ONRAMP_ANALYTICS_ENABLED"


class Consent:
    """The answer, with what belongs to it.

    Attributes:
        on: whether events may be recorded.
        why: what decided, for a person.
        id: the installation's identifier; empty where there is none, or a damaged one.
        notice_shown: whether a person has seen the notice. Before that nothing is sent.
    """

    __slots__ = ("id", "notice_shown", "on", "why")

    def __init__(self, *, on: bool, why: str, found: "Mapping[bytes, bytes]") -> None:
        self.on = on
        self.why = why
        known = found.get(settings.ID, b"").decode("ascii", "replace")
        self.id = known if is_uuid4(known) else ""
        self.notice_shown = found.get(settings.NOTICE_SHOWN) == b"1"


def decide(environ: "Mapping[bytes, bytes]", content: "bytes | None") -> Consent:
    """Return the consent that follows from the environment and the content of `onramp.lock` (None: unreadable)."""
    found = settings.parse(content)
    if do_not_track(environ):
        return Consent(on=False, why="DO_NOT_TRACK is set", found=found)
    said = environ.get(ENABLED_VARIABLE)
    if said is not None:
        on = said.lower() in (b"1", b"true", b"yes", b"on")
        return Consent(on=on, why=f"ONRAMP_ANALYTICS_ENABLED says {'on' if on else 'off'}", found=found)
    if found.get(settings.ENABLED) == b"1":
        return Consent(on=True, why="onramp.lock says ANALYTICS_ENABLED=1", found=found)
    if content is None:
        return Consent(on=False, why="there is no readable onramp.lock", found=found)
    return Consent(on=False, why="onramp.lock does not say ANALYTICS_ENABLED=1", found=found)


def do_not_track(environ: "Mapping[bytes, bytes]") -> bool:
    """Tell whether the environment forbids it whatever else is set (consoledonottrack.com)."""
    return environ.get(DO_NOT_TRACK, b"").lower() not in (b"", b"0", b"false")


def ask(environ: "Mapping[bytes, bytes]", root: bytes) -> Consent:
    """Read `onramp.lock` in the root, and decide."""
    return decide(environ, settings.read(root))
