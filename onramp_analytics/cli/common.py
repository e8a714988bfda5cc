"""What the commands share: the checkout they are about, the `--json` option, and a way to count."""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Mapping
from datetime import date, timedelta
from typing import TYPE_CHECKING

import click

from onramp_analytics import optin
from onramp_analytics.checkout import find, is_checkout
from onramp_analytics.consent import AT_ONCE
from onramp_analytics.errors import CouldNot

if TYPE_CHECKING:
    from onramp_analytics.consent import Send

as_json = click.option("--json", "as_json", is_flag=True, help="Print JSON.")


def checkout(context: click.Context) -> bytes:
    """Return the checkout that the command is about.

    Raises:
        CouldNot: there is none, or it is another user's and this is root.
    """
    named = os.fsencode(context.obj) if context.obj else None
    found = find(named, os.environb)
    if found is None:
        raise CouldNot("not an OnRamp checkout: change to one, or use --root DIR")
    if not os.path.isdir(found):
        raise CouldNot(f"the folder {os.fsdecode(found)} does not exist: use --root DIR to name an OnRamp checkout")
    if not is_checkout(found):
        raise CouldNot(f"{os.fsdecode(found)} is not an OnRamp checkout: change to one, or use --root DIR")
    optin.refuse_root(found)
    return found


def counted(number: int, what: str) -> str:
    """Return "1 event", "2 events"."""
    return f"{number:,} {what}{'' if number == 1 else 's'}"


def echo(text: str) -> str:
    """Return text that is safe to print: control characters in paths, answers or files are replaced.

    So are characters that standard output does not take, since click would write UTF-8 in their place.
    """
    shown = text if can_show("…") else text.replace("…", "...")
    return "".join(c if c == "\n" or (c.isprintable() and can_show(c)) else "?" for c in shown)


def can_show(text: str) -> bool:
    """Return whether standard output takes these characters: an ASCII terminal gets ASCII."""
    try:
        text.encode(sys.stdout.encoding or "ascii")
    except (UnicodeEncodeError, LookupError):
        return False
    return True


def schedule(how_often: Send, due: str = "") -> str:
    """Say when events are sent.

    Args:
        how_often: DAILY or AT_ONCE.
        due: the day on which the next ones are due, for the user; empty if nothing is queued.
    """
    if how_often == AT_ONCE:
        return "Events are sent a few seconds after each command."
    when = f"The next are due on {due}." if due else "To view them first: make analytics-show-pending."
    return f"Events are sent once a day, two days after they were recorded (UTC). {when}"


def left_out(counts: Mapping[str, int]) -> list[str]:
    """Return how many events were not sent, and why: "2 events older than 90 days"."""
    return [f"{counted(counts[name], what)}{why}" for name, what, why in _LEFT_OUT if counts[name]]


_LEFT_OUT = (
    ("refused", "event", " refused by the server"),
    ("expired", "event", " older than 90 days"),
    ("from_the_future", "event", " dated after tomorrow"),
    ("former_id", "event", " of a former identifier"),
    ("newer", "event", " of a newer version"),
    ("skipped", "damaged line", ""),
)


def day(timestamp: str, later: int = 0) -> str:
    """Return the day of an event, or a later one, as "5 January 2026"."""
    try:
        found = date.fromisoformat(timestamp[:10]) + timedelta(days=later)
    except (ValueError, OverflowError):  # a damaged line may name a 31 February
        return timestamp[:10]
    return f"{found.day} {found:%B %Y}"


def bar(share: float, width: int = 30, *, hollow: bool = False) -> str:
    """Return a bar as the terminal can show it.

    Args:
        share: how much of the width it takes, 0 to 1.
        width: columns of the longest bar.
        hollow: draw it so that it is told from a full one without a color.
    """
    full, empty = ("█", "▒") if can_show("█▒") else ("#", "-")
    return (empty if hollow else full) * round(share * width)


def ago(when: float) -> str:
    """Return a time in seconds since 1970 as "3 minutes ago" or "in 3 minutes"."""
    since = time.time() - when
    if abs(since) < 1:
        return "just now"
    size, unit = next(((n, u) for n, u in _UNITS if abs(since) >= n), (1, "second"))
    amount = counted(int(abs(since) // size), unit)
    return f"{amount} ago" if since >= 0 else f"in {amount}"


_UNITS = ((86_400, "day"), (3_600, "hour"), (60, "minute"))
