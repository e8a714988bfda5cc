"""What a person can mend. `cli` prints the sentence and nothing else.

CouldNot            exit 1: the machine, the network or the settings are in the way
└── Misconfigured   ... because of what the environment says
"""

from __future__ import annotations


class CouldNot(Exception):  # noqa: N818  (the word of the contract's exit status 1)
    """One sentence: what is wrong, where, and what to do."""


class Misconfigured(CouldNot):
    """The key or the host cannot be used as they are set."""
