"""Faults on purpose: each is brought about for real, and what was promised is looked at afterwards.

`make faults` runs all of them and prints a tally; `tests/faults/test_faults.py` runs a sample of each in two minutes.
`rig.py` has what they share; every other module is one kind of fault of docs/reliability.md, and lists its own in
`FAULTS`.
"""
