"""demo: see the whole way of an event, on a throw-away checkout and a receiver on this machine."""

from __future__ import annotations

import click


def register(group: click.Group) -> None:
    """Add the command to the command line."""
