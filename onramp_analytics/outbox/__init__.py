"""The consumer's half of the queue: segments, locks, the gate, the schedule, the history and an overview."""
