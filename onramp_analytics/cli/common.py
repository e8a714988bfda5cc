"""What the commands share: the checkout they are about, the `--json` option, and a way to count."""

from __future__ import annotations

import calendar
import os
import time

import click

from onramp_analytics.checkout import find
from onramp_analytics.errors import CouldNot

as_json = click.option("--json", "as_json", is_flag=True, help="JSON, for a program.")


def checkout(context: click.Context) -> bytes:
    """Return the checkout that the command is about.

    Raises:
        CouldNot: there is none.
    """
    named = os.fsencode(context.obj) if context.obj else None
    found = find(named, os.environb)
    if found is None:
        raise CouldNot("this is no OnRamp checkout: go to one, or name it with --root DIR")
    if not os.path.isdir(found):
        raise CouldNot(f"there is no folder {os.fsdecode(found)}: name the OnRamp checkout with --root DIR")
    return found


def counted(number: int, what: str) -> str:
    """Return "1 event", "2 events"."""
    return f"{number:,} {what}{'' if number == 1 else 's'}"


def ago(when: float) -> str:
    """Return a time in seconds since 1970 as "3 minutes ago" or "in 3 minutes"."""
    since = time.time() - when
    if abs(since) < 1:
        return "just now"
    size, unit = next(((n, u) for n, u in _UNITS if abs(since) >= n), (1, "second"))
    amount = counted(int(abs(since) // size), unit)
    return f"{amount} ago" if since >= 0 else f"in {amount}"


_UNITS = ((86_400, "day"), (3_600, "hour"), (60, "minute"))


def seconds(timestamp: str) -> float:
    """Return the timestamp of an event in seconds since 1970."""
    numbers = map(int, timestamp[:19].replace("T", "-").replace(":", "-").split("-"))
    return calendar.timegm((*numbers, 0, 0, 0))
