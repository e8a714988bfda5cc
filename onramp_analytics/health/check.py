"""What a check found."""

from __future__ import annotations

from dataclasses import dataclass

OK, NOTE, WRONG = "ok", "note", "wrong"


@dataclass(frozen=True, slots=True)
class Check:
    """One thing that was looked at.

    Attributes:
        what: its name, in a word or two.
        state: OK, NOTE (it works, and is worth knowing) or WRONG (events are not stored, not sent, or not as meant).
        said: what was found; where it is wrong, with what to do.
    """

    what: str
    state: str
    said: str
