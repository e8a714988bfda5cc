"""Draw the README's picture from a real session in a small OnRamp: `make picture`."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import tempfile
from pathlib import Path

from rich._export_format import CONSOLE_SVG_FORMAT
from rich.console import Console
from rich.text import Text

from onramp_analytics.receiver import Receiver
from tests.conftest import KEY
from tests.onramp_checkout import PRIVATE, OnRamp, Terminal, build

WIDTH = 96  # columns
#: Without the font that the form would fetch from elsewhere.
FORM = re.sub(r"@font-face \{\{.*?\}\}\s*", "", CONSOLE_SVG_FORMAT, flags=re.DOTALL)
SESSION = (
    ("make analytics-enable", 0),
    ("make enable-service plex", 2),  # events that are recorded when the next command begins
    (f"make enable-service {PRIVATE}", 4),
    ("make analytics-show-pending", 4),
    ("make analytics-disable", 0),
)


def main(picture: Path) -> None:
    """Run the session and write the picture."""
    with tempfile.TemporaryDirectory() as folder, Receiver() as receiver, open(os.devnull, "w") as nowhere:
        console = Console(record=True, width=WIDTH, file=nowhere, force_terminal=True)
        onramp = build(Path(folder), os.environ, installed=True)
        conf = f"ANALYTICS_API_KEY={KEY}\nANALYTICS_HOST={receiver.url}\nANALYTICS_CONTACT=privacy@example.org\n"
        (onramp.path / "make.d/analytics.conf").write_text(conf)
        shown = {str(onramp.path): "/srv/onramp", receiver.url: "https://eu.i.posthog.com"}
        subprocess.run(["git", "-C", onramp.path, "add", "--all"], check=True)
        for command, events in SESSION:
            console.print(Text("$ ", "green") + Text(command, "bold"))
            said = _said(onramp, command)
            for real, instead in shown.items():
                said = said.replace(real, instead)
            console.print(Text.from_ansi(said))
            if events:
                onramp.wait_for(events)
    picture.write_text(console.export_svg(title="OnRamp", code_format=FORM, unique_id="onramp"))


def _said(onramp: OnRamp, command: str) -> str:
    """Run a command on a terminal of its own, and return what it printed."""
    settings = {"COLUMNS": str(WIDTH), "TERM": "xterm-256color"}
    terminal = Terminal(onramp, *command.split(), env=settings)
    terminal.end()
    if command == "make analytics-enable":
        onramp.hold_back_flusher()  # the picture shows queued events
    return terminal.output.replace("\r", "").rstrip("\n")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
