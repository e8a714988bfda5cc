"""The local report: what this installation has recorded, in figures and as a page."""
