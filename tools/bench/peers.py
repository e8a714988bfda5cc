"""Compare with other tools: whether the caller waits, whether its pipe is held, and whether the event arrives.

Every peer sends to 127.0.0.1. The address of `azure-cli-telemetry` is written into the package, so its upload process
gets a proxy on 127.0.0.1 that refuses it, and whether its event arrives is left out.
"""

from __future__ import annotations

import statistics
import subprocess
import time
from dataclasses import dataclass

from onramp_analytics.receiver import OK, Answer, Receiver, Request
from tests.onramp_checkout import KEY, OnRamp
from tools.bench.measuring import figure, table
from tools.bench.running import ENTRY, PYTHON, TRACK, wait_for_orphans

SLOW = 2.0  # seconds until the slow server answers
ROUNDS = 3

SDK = """
from posthog import Posthog
sdk = Posthog("phc_bench", host=URL, {options}disable_geoip=True)
sdk.capture("service_enabled", distinct_id="x", properties={{"service_name": "plex"}})
"""
SCARF = """
from scarf import ScarfEventLogger
ScarfEventLogger(URL).log_event({"event": "service_enabled", "service_name": "plex"})
"""
ITERATIVE = """
from iterative_telemetry import IterativeTelemetryLogger
IterativeTelemetryLogger("bench", "1", url=URL).send_event("cli", "enable", service_name="plex")
"""
AZURE = """
import json, os
from azure.cli.telemetry import DEFAULT_INSTRUMENTATION_KEY, save
event = {"name": "service_enabled", "properties": {"service_name": "plex"}}
save(os.environ["HOME"], json.dumps({DEFAULT_INSTRUMENTATION_KEY: [event]}))
"""


@dataclass(frozen=True)
class Peer:
    """One way to record an event; `script` is empty for ours."""

    name: str
    how: str
    script: str = ""
    arrives: bool = True


PEERS = (
    Peer("onramp-analytics, as make starts it", "appends to a file; a detached process sends"),
    Peer("posthog, `sync_mode=True`", "sends, then returns", SDK.format(options="sync_mode=True, ")),
    Peer("posthog, default", "a thread sends; at exit, the process waits for it up to 1 s", SDK.format(options="")),
    Peer("scarf-sdk", "sends, then returns", SCARF),
    Peer("iterative-telemetry", "starts a process that sends", ITERATIVE),
    Peer("azure-cli-telemetry", "appends to a file; starts a process that sends", AZURE, arrives=False),
)


class Stage:
    """Where a peer runs: a checkout of ours, and an environment that leads nowhere but to 127.0.0.1."""

    def __init__(self, onramp: OnRamp, url: str) -> None:
        self.onramp, self.url = onramp, url
        self.env = {
            **onramp.env,
            "ONRAMP_ANALYTICS_API_KEY": KEY,
            "ONRAMP_ANALYTICS_HOST": url,
            "https_proxy": url,  # for what is sent to a fixed address; http:// addresses here are loopback
        }

    def run(self, peer: Peer, ending: str = "") -> tuple[float, float]:
        """Return the milliseconds until the process ended, and until no process held its standard output any more."""
        self.onramp.opt_in(ANALYTICS_AGREED_TO=f"{self.url} {KEY}")
        script = f"URL = {self.url!r}\ntry:\n" + "".join(f"    {line}\n" for line in peer.script.splitlines())
        script += f"except Exception:\n    pass\n{ending}"
        words = [PYTHON, "-c", script] if peer.script else [PYTHON, "-IS", ENTRY, *TRACK]
        (self.onramp.path / "onramp.spool.d/not-before").unlink(missing_ok=True)
        started = time.perf_counter()
        with subprocess.Popen(
            words, env=self.env, cwd=self.onramp.path, stdout=subprocess.PIPE, stderr=subprocess.STDOUT
        ) as process:
            process.wait()
            ended = time.perf_counter()
            assert process.stdout
            process.stdout.read()
        return (ended - started) * 1000, (time.perf_counter() - started) * 1000


def peer_table(onramp: OnRamp) -> str:
    """Run each peer against a server that answers at once, one that takes two seconds, and a closed port."""
    headings = (
        "one event with",
        "how",
        "process time, server answers at once",
        f"process time, server answers after {SLOW:.0f} s",
        "process time, port closed",
        "pipe held after the process ended",
        "event arrives if the process ends at once",
    )
    return table(headings, [_line(onramp, peer) for peer in PEERS])


def _line(onramp: OnRamp, peer: Peer) -> list[str]:
    with Receiver() as fast, Receiver() as slow, Receiver() as gone:
        fast.answer_always(lambda _request: OK)
        slow.answer_always(_late)
        stages = [Stage(onramp, receiver.url) for receiver in (fast, slow, gone)]
        gone.__exit__()
        took, held = [], 0.0
        for stage in stages:
            figures = [stage.run(peer) for _ in range(ROUNDS)]
            took.append(statistics.median(end for end, _ in figures))
            held = max(held, *(pipe - end for end, pipe in figures))
        wait_for_orphans()
        arrived = "left out" if not peer.arrives else _arrives(stages[0], fast, peer)
        return [
            peer.name,
            peer.how,
            *(figure(value, "ms") for value in took),
            f"for {figure(held, 'ms')}" if held > 50 else "no",
            arrived,
        ]


def _late(_request: Request) -> Answer:
    return Answer(OK.status, OK.body, OK.headers, delay=SLOW)


def _arrives(stage: Stage, receiver: Receiver, peer: Peer) -> str:
    seen = len(receiver.requests)
    stage.run(peer, "import os\nos._exit(0)\n")
    wait_for_orphans()
    return "yes" if len(receiver.requests) > seen else "no"


NOTE = """\
The address of azure-cli-telemetry is written into the package.
Its upload process gets a proxy on 127.0.0.1 that refuses it, so whether its event arrives is left out.
"""
