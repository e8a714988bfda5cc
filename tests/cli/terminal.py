"""Run the command on a terminal, with the settings that the tests of the commands share."""

from __future__ import annotations

import os
import pty
import re
import subprocess

from tests.conftest import COMMAND, KEY, Checkout

CONTROL = re.compile(r"[\x00-\x09\x0b-\x1f\x7f-\x9f]")


def on_a_terminal(checkout: Checkout, *arguments: str, columns: int = 80, env: dict[str, str] | None = None) -> str:
    """Run the command on a pseudo-terminal and return what a user sees, without colors."""
    return re.sub(r"\x1b\[[0-9;?]*[a-zA-Z]", "", bytes_of(checkout, *arguments, columns=columns, env=env))


def bytes_of(checkout: Checkout, *arguments: str, columns: int = 80, env: dict[str, str] | None = None) -> str:
    """Run the command on a pseudo-terminal and return all that arrives there."""
    parent, child = pty.openpty()
    process = subprocess.Popen(
        [COMMAND, "--root", str(checkout.path), *arguments],
        env={**checkout.env, "TERM": "xterm-256color", "COLUMNS": str(columns), **(env or {})},
        stdin=child,
        stdout=child,
        stderr=child,
    )
    os.close(child)
    seen = b""
    try:
        while more := os.read(parent, 4096):
            seen += more
    except OSError:  # the other end is closed
        pass
    process.wait()
    os.close(parent)
    return seen.decode(errors="replace").replace("\r\n", "\n")


def configure(checkout: Checkout, host: str, key: str = KEY, **more: str) -> None:
    """Name the destination in the checkout, as `install` does, and not in the environment."""
    checkout.env.pop("ONRAMP_ANALYTICS_API_KEY", None)
    checkout.env.pop("ONRAMP_ANALYTICS_HOST", None)
    settings = {"ANALYTICS_API_KEY": key, "ANALYTICS_HOST": host, **more}
    lines = "".join(f"{name}={value}\n" for name, value in settings.items())
    (checkout.path / "make.d/analytics.conf").write_text(f"# Written by a test\n{lines}")


def enable_services(checkout: Checkout, *names: str) -> None:
    for name in names:
        (checkout.path / "services-enabled" / f"{name}.yml").touch()
