"""The result of a check."""

from __future__ import annotations

from dataclasses import dataclass

OK, NOTE, WRONG = "ok", "note", "wrong"


@dataclass(frozen=True, slots=True)
class Check:
    """The result of one check.

    Attributes:
        what: the name of the check, in a word or two.
        state: OK, NOTE (not an error, but worth knowing) or WRONG (events are not stored or not sent, or commands
            are slow).
        result: the result, for the user; if it is wrong, also what to do.
    """

    what: str
    state: str
    result: str
