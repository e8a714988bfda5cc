"""The make integration: the files that go into an OnRamp checkout, and what installs them."""
