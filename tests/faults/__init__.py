"""Fault injection: each fault is caused for real, and then the guarantees are checked.

`make faults` runs all of them and prints a tally; `tests/faults/test_faults.py` runs a sample of each in two minutes.
A module with a list `FAULTS` has one kind of faults of docs/reliability.md; `rig.py`, `children.py` and `oracle.py` are
shared by all of them.
"""
