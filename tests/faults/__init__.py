"""Fault injection: each fault is caused for real, and then the guarantees are checked.

`make faults` runs all of them and prints a tally; `tests/faults/test_faults.py` runs a sample of each in two minutes.
`rig.py` has the shared parts. Every other module is one kind of fault of docs/reliability.md, and lists its faults in
`FAULTS`.
"""
