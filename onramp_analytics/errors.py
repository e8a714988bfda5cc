"""Errors that the user can fix. `cli` prints the sentence and nothing else.

CouldNot            exit status 1: the machine, the network or the settings prevent it
└── Misconfigured   ... because of the environment or a setting
"""

from __future__ import annotations


class CouldNot(Exception):  # noqa: N818  (named after exit status 1, "could not")
    """One sentence that says what is wrong, where, and what to do."""


class Misconfigured(CouldNot):
    """A setting is missing or not valid, such as the key or the host."""
