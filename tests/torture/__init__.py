"""Faults on purpose: each is brought about for real, and what was promised is looked at afterwards.

`make torture` runs all of them and prints a tally; `tests/test_torture.py` runs a sample of each within two minutes.
`rig.py` has what they share; every other module is one kind of fault of docs/reliability.md, and lists its own in
`FAULTS`.
"""
