"""Errors that the user can fix. `cli` prints only the message.

CouldNot            exit status 1: the machine, the network or a setting prevents it
└── Misconfigured   the destination is not configured correctly
"""

from __future__ import annotations


class CouldNot(Exception):  # noqa: N818  (named after exit status 1: could not)
    """One sentence: what is wrong, where, and what to do."""


class Misconfigured(CouldNot):
    """A setting is missing or not valid, such as the key or the host."""
