"""Shared fixtures and helpers: a checkout, the real command, a receiver, and waiting for conditions."""

from __future__ import annotations

import ctypes
import hashlib
import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from hypothesis import settings

from onramp_analytics import consent, events
from onramp_analytics.events import Event, Property
from onramp_analytics.outbox import gate, segments
from onramp_analytics.receiver import Receiver
from onramp_analytics.spool import Spool

#: No time limit for an example, since machines are slow at times; in CI the same examples every time.
settings.register_profile("onramp", deadline=None, derandomize="CI" in os.environ)
settings.load_profile("onramp")

signal.signal(signal.SIGINT, signal.default_int_handler)  # `make test &` has it ignored, and children inherit that

COMMAND = str(Path(sys.executable).with_name("onramp-analytics"))
KEY = "phc_test0123456789abcdef"
PUBLISHED = """\
# the names that OnRamp publishes
command enable-service
command start
override plex-nfs
service jellyfin
service plex scaffold
"""
SERVICE = ("service_enabled", "service_name=plex", "has_scaffold=true")


def obey_permissions() -> None:
    """Give up root's right to override permissions (CAP_DAC_OVERRIDE); no effect for other users."""
    ctypes.CDLL(None).prctl(24, 1)  # PR_CAPBSET_DROP


def wait_until(condition: Callable[[], object], what: str, seconds: float = 60.0) -> None:
    """Wait for a condition, and fail with its description after a time."""
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, f"still not so after {seconds} s: {what}"
        time.sleep(0.01)


@dataclass
class Checkout:
    """An OnRamp checkout, and the real command in it."""

    path: Path
    env: dict[str, str] = field(default_factory=dict)
    may_pass_over_permissions: bool = True

    @property
    def root(self) -> bytes:
        return os.fsencode(self.path)

    @property
    def spool(self) -> Spool:
        return Spool(self.root)

    @property
    def lock(self) -> Path:
        return self.path / "onramp.lock"

    def run(
        self, *arguments: str, check: bool = True, env: dict[str, str] | None = None
    ) -> subprocess.CompletedProcess[str]:
        """Run `onramp-analytics --root CHECKOUT ARGUMENTS`."""
        done = subprocess.run(
            [COMMAND, "--root", str(self.path), *arguments],
            env={**self.env, **(env or {})},
            cwd=self.path,
            capture_output=True,
            text=True,
            stdin=subprocess.DEVNULL,
            timeout=60,
            check=False,
            preexec_fn=None if self.may_pass_over_permissions else obey_permissions,
        )
        assert not check or done.returncode == 0, done.stderr
        return done

    def track(self, *arguments: str, env: dict[str, str] | None = None) -> None:
        done = self.run("track", *(arguments or SERVICE), env=env)
        assert (done.stdout, done.stderr) == ("", "")

    def pending(self) -> list[dict[str, Any]]:
        return [json.loads(line) for line in self.run("show-pending", "--json").stdout.splitlines()]

    def sent(self) -> list[dict[str, Any]]:
        return [json.loads(line) for line in self.run("show-sent", "--json").stdout.splitlines()]

    def status(self, env: dict[str, str] | None = None) -> dict[str, Any]:
        found: dict[str, Any] = json.loads(self.run("status", "--json", env=env).stdout)
        return found

    def opt_in(self, **settings: str) -> None:
        """Write what `enable` writes, without starting a process."""
        opt_in(self.path, self.env, settings)

    def files(self) -> set[str]:
        """The files in the checkout that a fresh one does not have."""
        fresh = {"Makefile", "services-available", "make.d", "make.d/analytics.names"}
        fresh |= {part for kind in ENABLED for part in (kind, f"{kind}/.keep")}
        return {str(p.relative_to(self.path)) for p in self.path.rglob("*")} - fresh

    def hold_back_flusher(self) -> None:
        """Mark a flusher as running, so that `track` starts none and only the test uses the spool."""
        os.close(self.spool.make_folder())
        self.spool.set_not_before(time.time() + 600)


def flushers_of(checkout: Checkout) -> list[int]:
    """The detached flushers of a checkout, including those that linger.

    One look can miss a flusher that forks meanwhile: the parent has ended, and the child is not listed yet.
    """
    return _flushers_of(checkout) or _flushers_of(checkout)


def _flushers_of(checkout: Checkout) -> list[int]:
    found = []
    for entry in Path("/proc").glob("[0-9]*/cmdline"):
        with suppress(OSError):
            words = entry.read_bytes().split(b"\0")
            if checkout.root in words and any(b"detached.py" in w or w == b"onramp_analytics.flush" for w in words):
                found.append(int(entry.parent.name))
    return found


ID = "550e8400-e29b-41d4-a716-446655440000"
ENABLED = ("services-enabled", "overrides-enabled")


def opt_in(path: Path, env: Mapping[str, str], settings: Mapping[str, str]) -> None:
    """Write what `enable` writes into a checkout, and into the state folder of its user."""
    agreed_to = f"{env.get('ONRAMP_ANALYTICS_HOST', '')} {env.get('ONRAMP_ANALYTICS_API_KEY', '')}"
    written = {
        "ANALYTICS_ENABLED": "1",
        "ANALYTICS_ID": ID,
        "ANALYTICS_NOTICE_SHOWN": "1",
        "ANALYTICS_AGREED": str(events.VERSION),
        "ANALYTICS_AGREED_TO": agreed_to,
        "ANALYTICS_AGREED_SEND": "at-once",
        "ANALYTICS_CHECKOUT": hashlib.md5(os.fsencode(path)).hexdigest(),
        **settings,
    }
    (path / "onramp.lock").write_text("".join(f"{key}={value}\n" for key, value in written.items()))
    state = Path(env["HOME"], ".local/state/onramp-analytics", written["ANALYTICS_CHECKOUT"])
    state.parent.mkdir(parents=True, exist_ok=True)
    state.write_text(f"{path.resolve()}\n")


def make_checkout(path: Path, env: dict[str, str]) -> Checkout:
    (path / "services-available").mkdir(parents=True)
    for folder in ENABLED:
        (path / folder).mkdir()
        (path / folder / ".keep").touch()
    (path / "make.d").mkdir()
    (path / "Makefile").write_text("start:\n")
    (path / "make.d" / "analytics.names").write_text(PUBLISHED)
    return Checkout(path, env)


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    with Receiver() as running:
        yield running


@pytest.fixture
def environment(tmp_path: Path, receiver: Receiver) -> dict[str, str]:
    """A complete environment for a process, without the developer's settings, and with the receiver as destination."""
    home = tmp_path / "home"
    home.mkdir()
    kept = {name: value for name, value in os.environ.items() if name.startswith(("COVERAGE_", "COV_"))}
    return {
        **kept,
        "PATH": os.environ["PATH"],
        "HOME": str(home),
        "ONRAMP_ANALYTICS_API_KEY": KEY,
        "ONRAMP_ANALYTICS_HOST": receiver.url,
    }


@pytest.fixture
def checkout(tmp_path: Path, environment: dict[str, str]) -> Checkout:
    return make_checkout(tmp_path / "onramp", environment)


@pytest.fixture
def opted_in(checkout: Checkout) -> Checkout:
    checkout.opt_in()
    return checkout


@pytest.fixture
def here(opted_in: Checkout, monkeypatch: pytest.MonkeyPatch) -> Checkout:
    """A checkout with consent, for tests that call the code in this process with the same environment."""
    for name in list(os.environ):
        if name not in ("PATH", "TMPDIR", "PYTEST_CURRENT_TEST") and not name.startswith(("COV", "PYTEST")):
            monkeypatch.delenv(name)
    for name, value in opted_in.env.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setenv("ONRAMP_ROOT", str(opted_in.path))
    return opted_in


# -- for the tests of single modules -----------------------------------------------------------------------------------

NOON = 1_767_441_600  # 2026-01-03T12:00:00Z


def line(number: int = 0) -> bytes:
    """An event that is recognized by its uuid."""
    return events.build("service_disabled", {"service_name": "plex"}, ID, NOON, number.to_bytes(16, "big"))


def uuid_of(number: int) -> str:
    return events.uuid4(number.to_bytes(16, "big"))


def uuids(spool: Spool) -> list[str]:
    """The uuids of the queued events, in their order."""
    found = (p for file in segments.pending_files(spool) for p in segments.read(file, b"\nservice plex\n"))
    return [p.event["uuid"] for p in found if isinstance(p, segments.Pending)]


@pytest.fixture
def spool(tmp_path: Path) -> Spool:
    return Spool(bytes(tmp_path))


@pytest.fixture
def stopped_holder(spool: Spool) -> Iterator[None]:
    """A process that holds the spool's lock and does not move."""
    code = (
        "import fcntl, os, signal, sys\n"
        "file = open(sys.argv[1], 'w')\n"
        "fcntl.flock(file, fcntl.LOCK_EX)\n"
        "print(flush=True)\n"
        "os.kill(os.getpid(), signal.SIGSTOP)\n"
    )
    command = [sys.executable, "-c", code, os.fsdecode(spool.lock)]
    with subprocess.Popen(command, stdout=subprocess.PIPE) as holder:
        assert holder.stdout
        holder.stdout.readline()
        yield
        holder.kill()


def forget_forms() -> None:
    """Make the gate read the catalog again."""
    gate._forms.cache_clear()
    gate._properties.cache_clear()


@pytest.fixture
def version_2(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """A catalog of version 2, in which `backup_made` and the property `for_good` of `service_disabled` are new."""
    for_good = Property("for_good", "true or false", events._boolean, since=2)
    monkeypatch.setitem(events.EVENTS, "service_disabled", Event("Who gives up", events._SERVICE, for_good))
    monkeypatch.setitem(events.EVENTS, "backup_made", Event("Who backs up", events._SERVICE, since=2))
    monkeypatch.setattr(events, "VERSION", 2)
    monkeypatch.setattr(consent, "VERSION", 2)
    forget_forms()
    yield
    forget_forms()


STRANGER = 1234  # the id of another user, to whom root can change


@pytest.fixture
def ordinary_user() -> Iterator[Path]:
    """Become a user without root's rights, who has an empty folder."""
    folder = Path(tempfile.mkdtemp(dir="/tmp"))
    is_root = os.geteuid() == 0
    if is_root:
        os.chown(folder, STRANGER, STRANGER)
        os.seteuid(STRANGER)
    try:
        yield folder
    finally:
        if is_root:
            os.seteuid(0)
        shutil.rmtree(folder)


def put(place: Path, kind: str) -> None:
    """Create something else than a readable regular file at a path."""
    if kind == "folder":
        place.mkdir()
    elif kind == "fifo":
        os.mkfifo(place)
    elif kind == "device":
        place.symlink_to("/dev/zero")  # a link, because only root can create devices
    elif kind == "dangling link":
        place.symlink_to("nowhere")
    elif kind == "too large":
        place.write_bytes(b"#\n" * 40_000)
    else:
        assert kind == "0 mode", kind
        place.touch(0)
