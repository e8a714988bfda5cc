"""The consumer's half of the queue: segments, locks, the gate, the history, and an overview of what is queued."""
