"""The commands. This is the top layer: only `__main__` imports it."""
