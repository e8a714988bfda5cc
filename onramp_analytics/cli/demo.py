"""demo: the full workflow on a temporary checkout, with a receiver on this machine as the destination."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import click
from rich.console import Console

from onramp_analytics import consent, events
from onramp_analytics.checkout import NAMES
from onramp_analytics.cli.common import counted
from onramp_analytics.errors import CouldNot
from onramp_analytics.outbox import locks
from onramp_analytics.receiver import Receiver
from onramp_analytics.spool import Spool

KEY = "phc_demo"  # the receiver takes any
PATIENCE = 60.0  # seconds for the detached flusher: it lingers three, and loads for less than one
ONRAMP = (
    "In OnRamp, events are sent once a day, two days after they were recorded (UTC).\n"
    "This demo uses a PostHog project of its own, so they are sent a few seconds after each command."
)
TRACKED = (
    ("service_enabled", "service_name=plex", "has_scaffold=true"),
    ("service_enabled", "service_name=my-private-wiki", "has_scaffold=false"),
    ("override_enabled", "override_name=plex-nfs"),
    ("command_executed", "command=enable-service", "success=true", "duration_ms=412"),
    ("error_occurred", "command=enable-service", "error_type=exit_2"),
)
PUBLISHED = "command enable-service\noverride plex-nfs\nservice plex\n"


@click.command()
def demo() -> None:
    """Try everything in a temporary checkout.

    Opts in, records events, shows and sends them, and opts out. A server on this machine stands in for PostHog. No data
    is sent to any other machine, and all temporary files are deleted. Exits with status 1 if a step fails.
    """
    if consent.do_not_track(os.environb):
        raise CouldNot("DO_NOT_TRACK is set and cannot be overridden: run `env -u DO_NOT_TRACK make demo`")
    with tempfile.TemporaryDirectory(prefix="onramp-demo-") as folder, Receiver() as receiver:
        Demo(Path(folder) / "onramp", receiver).tell()


class Demo:
    """The story, one step a method. Every step is the real command in a process of its own, and is checked."""

    def __init__(self, root: Path, receiver: Receiver) -> None:
        self._root = root
        self._receiver = receiver
        self._console = Console(highlight=False, soft_wrap=True)
        self._env = {
            **{name: value for name, value in os.environ.items() if name not in _LEFT_OUT},
            "HOME": str(root.parent),
            "ONRAMP_ANALYTICS_API_KEY": KEY,
            "ONRAMP_ANALYTICS_HOST": receiver.url,
        }

    def tell(self) -> None:
        """Tell the story.

        Raises:
            CouldNot: a step did not do what it says.
        """
        self._make_checkout()
        self._enable()
        slowest = self._track()
        pending = self._show_pending()
        took = self._wait_for_delivery(pending)
        self._show_what_arrived()
        self._look_back(pending)
        self._disable()
        self._console.print(
            f"\n[bold green]It works.[/] {len(pending)} events were recorded in {slowest:.0f} ms or less each, and "
            f"shown before they were sent. {took:.1f} s later, the background process had sent them in "
            f"{counted(len(self._receiver.requests), 'request')}."
        )

    def _make_checkout(self) -> None:
        self._say(
            "Create a temporary OnRamp checkout and a local server that responds like PostHog", str(self._receiver.url)
        )
        (self._root / "services-available").mkdir(parents=True)
        (self._root / "Makefile").touch()
        names = self._root / os.fsdecode(NAMES)
        names.parent.mkdir()
        names.write_text(PUBLISHED)
        for folder in ("services-enabled", "overrides-enabled"):
            (self._root / folder).mkdir()
            (self._root / folder / ".keep").touch()

    def _enable(self) -> None:
        self._say("Opt in: nothing is recorded before you do")
        notice = self._run("enable")
        self._check("Analytics enabled" in notice, "`enable` did not show the notice")
        self._console.print(notice, end="", markup=False)
        self._console.print(f"\n{ONRAMP}")

    def _track(self) -> float:
        """Track a few events, and return the milliseconds of the slowest."""
        self._say("Record events (make does this in the background, so no command waits for it)")
        times = []
        for event, *pairs in TRACKED:
            started = time.perf_counter()
            printed = self._run("track", event, *pairs, show=False)
            times.append((time.perf_counter() - started) * 1000)
            self._check(not printed, "`track` printed something")
            self._console.print(f"  {times[-1]:5.1f} ms  track {event} {' '.join(pairs)}", markup=False)
        return max(times)

    def _show_pending(self) -> list[dict[str, Any]]:
        self._say(
            "Show the queued events, exactly as they will be sent",
            "my-private-wiki became `custom`, because OnRamp does not publish that name",
        )
        pending = [json.loads(line) for line in self._run("show-pending").splitlines()]
        for event in pending:
            own = {k: v for k, v in event["properties"].items() if k not in events.FIXED}
            self._console.print(f"  {event['event']:<17} {json.dumps(own)}", markup=False)
        self._check(len(pending) == len(TRACKED), f"{len(pending)} of {len(TRACKED)} events are queued")
        self._check("my-private-wiki" not in json.dumps(pending), "a private name is in the spool")
        return pending

    def _wait_for_delivery(self, pending: list[dict[str, Any]]) -> float:
        """Wait for the flusher that `track` started, and return the seconds that it took."""
        self._say("Wait for the background process, which sends the events of several commands in one request")
        started = time.monotonic()
        arrived = self._receiver.wait_for(len(pending), PATIENCE)
        took = time.monotonic() - started
        self._check(arrived, f"nothing was delivered within {PATIENCE:.0f} s")
        self._check(self._receiver.accepted == pending, "what arrived is not what was shown")
        return took

    def _show_what_arrived(self) -> None:
        request = self._receiver.requests[-1]
        self._say("Show the complete HTTP request, as the server received it", request.line)
        for name, value in request.headers:
            self._console.print(f"  {name}: {value}", markup=False)
        body = {**request.json, "batch": f"({len(request.events)} events, exactly those above)"}
        self._console.print(f"\n  {json.dumps(body)}", markup=False)

    def _look_back(self, pending: list[dict[str, Any]]) -> None:
        self._say("Show the status and the sent events")
        deadline = time.monotonic() + PATIENCE
        while locks.flusher_is_alive(Spool(os.fsencode(self._root))) and time.monotonic() < deadline:
            time.sleep(0.02)
        self._console.print(self._run("status"), end="", markup=False)
        sent = [json.loads(line) for line in self._run("show-sent").splitlines()]
        self._check(sent == pending, "`show-sent` does not show what was sent")
        self._console.print(f"  (the same {len(sent)} events as above)", markup=False)

    def _disable(self) -> None:
        self._say("Opt out: only your choice is kept, in onramp.lock")
        self._console.print(self._run("disable"), end="", markup=False)
        left = sorted(path.name for path in self._root.iterdir() if path.name.startswith("onramp"))
        self._check(left == ["onramp.lock"], f"{left} are left")

    def _run(self, *arguments: str, show: bool = True) -> str:
        if show:
            self._console.print(f"[dim]$ onramp-analytics {' '.join(arguments)}[/]")
        done = subprocess.run(  # noqa: S603  (our own command)
            [_command(), "--root", str(self._root), *arguments],
            env=self._env,
            capture_output=True,
            text=True,
            check=False,
        )
        self._check(done.returncode == 0, f"`{arguments[0]}` ended with {done.returncode}: {done.stderr.strip()}")
        return done.stdout

    def _say(self, title: str, detail: str = "") -> None:
        self._console.print(f"\n[bold]{title}[/]" + (f"\n  {detail}" if detail else ""))

    def _check(self, holds: object, otherwise: str) -> None:
        if not holds:
            raise CouldNot(f"the demo failed: {otherwise}")


#: Settings of the person's own that would change the story.
_LEFT_OUT = ("ONRAMP_ANALYTICS_ENABLED", "ONRAMP_ROOT", "XDG_STATE_HOME")


def _command() -> str:
    """The console script beside this interpreter, as a user starts it."""
    return str(Path(sys.executable).with_name("onramp-analytics"))
