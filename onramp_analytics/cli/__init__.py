"""The commands for people. Everything is below this, and nothing imports it."""
