"""A small OnRamp: a git repository with an upstream, whose makefiles behave like OnRamp's."""

from __future__ import annotations

import atexit
import json
import os
import pty
import select
import shutil
import subprocess
import sys
import tempfile
import termios
from collections.abc import Iterable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

from onramp_analytics import __version__
from onramp_analytics.integration import install, launcher
from tests.conftest import opt_in, wait_until

COMMAND = Path(sys.executable).with_name("onramp-analytics")
INSTALLED_MAKE = next(
    str(file)
    for folder in os.environ["PATH"].split(":")
    if (file := Path(folder, "make")).exists() and Path(folder) != COMMAND.parent
)
SECRET = "hunter2-in-the-env-file"
PRIVATE = "my-private-wiki"
KEY = "phc_test0123456789abcdef"
PACKAGE = f"onramp-analytics=={__version__}"

MAKEFILE = """\
ifneq (,$(wildcard services-enabled/.env))
include services-enabled/.env
export
endif
export NAME := $(strip $(word 2,$(MAKECMDGOALS)))
LOUD := $(shell echo '$(NAME)' | tr a-z A-Z)
REST := $(wordlist 2,$(words $(MAKECMDGOALS)),$(MAKECMDGOALS))
$(eval $(REST):;@:)

start: build ## Start everything
\tdocker compose up -d

build: etc/made.conf

include $(wildcard make.d/*.mk)
"""

SERVICES = """\
.PHONY: enable-service build
enable-service: services-enabled/$(NAME).yml ## Enable a service
services-enabled/$(NAME).yml:
ifneq (,$(wildcard services-available/$(NAME).yml))
\t@echo "Enabling $(NAME)..."
\t@ln -s ../services-available/$(NAME).yml services-enabled/$(NAME).yml || true
else
\t@echo "No such service: $(NAME)"
endif

start-service: enable-service build
\tdocker compose up -d $(NAME)

remove-service: disable-service
disable-service: ## Disable a service
\trm services-enabled/$(NAME).yml
\trm overrides-enabled/$(NAME)-*.yml 2>/dev/null || true

enable-override:
\t@ln -s ../overrides-available/$(NAME).yml overrides-enabled/$(NAME).yml || true

nuke-service:
\t@printf 'Really remove $(NAME)? '; read -r answer; [ "$$answer" = yes ]
\trm services-enabled/$(NAME).yml

etc/%.conf:
\tmkdir -p etc
\ttouch $@
"""

TOOLS = """\
first := one
fail: ## Fail
\t@echo before; echo trouble >&2; exit 3
fail-later: fail
\t@echo never
slow:
\t@sleep 0.3
logs:
\t@trap 'sleep 0.1; exit 130' INT; echo following; while :; do sleep 0.05; done
secret:
\t@echo $$TOKEN
env:
\t@env | grep -v '^_=' | sort
recurse:
\t$(MAKE) enable-service $(NAME)
count := $(if $(filter count,$(MAKECMDGOALS)),$(shell make -s list))
count:
\t@echo $(count)
list:
\t@ls services-enabled
twice: one two
meet: left right
left right:
\t@touch $@.here; n=0; until [ -e left.here ] && [ -e right.here ] || [ $$n = 100 ]; do n=$$((n+1)); sleep 0.02; done; \
\t[ $$n != 100 ]
two: one
one two:
\t@echo $@
tell: ## Say more
\t@echo telling
\t$(call onramp-track,service_enabled,service_name=plex has_scaffold=false)
\t@echo told
"""


@dataclass
class OnRamp:
    """The checkout, and make in it."""

    path: Path
    env: dict[str, str]
    make_command: tuple[str, ...] = ("make",)

    @property
    def lock(self) -> Path:
        return self.path / "onramp.lock"

    def make(self, *words: str, env: dict[str, str] | None = None, **more: Any) -> subprocess.CompletedProcess[str]:
        return self.make_with([], words, env, **more)

    def make_with(
        self, before: list[str], words: Iterable[str], env: dict[str, str] | None = None, **more: Any
    ) -> subprocess.CompletedProcess[str]:
        """Run make below another program."""
        return subprocess.run(
            [*before, *self.make_command, *words],
            cwd=more.pop("cwd", self.path),
            env={**self.env, **(env or {})},
            capture_output=True,
            text=True,
            check=False,
            timeout=30,
            **{"stdin": subprocess.DEVNULL, **more},
        )

    def command(self, *words: str, check: bool = True, env: dict[str, str] | None = None) -> str:
        """Run `onramp-analytics WORDS` in the checkout, and return what it printed on either stream."""
        done = subprocess.run(
            [COMMAND, *words],
            cwd=self.path,
            env={**self.env, **(env or {})},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            check=False,
            timeout=60,
        )
        assert not check or done.returncode == 0, done.stdout
        return f"{done.returncode}: {done.stdout}" if not check else done.stdout

    def install(self, *words: str, check: bool = True) -> str:
        """Run `install` with the commit of the clone, and a program to install unless a wheel is named."""
        program = () if "--wheel" in words else ("--package", PACKAGE)
        return self.command("install", str(self.path), "--upstream", "origin/main", *program, *words, check=check)

    def opt_in(self, **settings: str) -> None:
        """Write what `enable` writes, and hold back the flusher, so that only the test uses the spool."""
        opt_in(self.path, self.env, settings)
        launcher.remember(os.fsencode(self.path))
        self.hold_back_flusher()

    def hold_back_flusher(self) -> None:
        """Mark a flusher as running, so that nothing is sent."""
        folder = self.path / "onramp.spool.d"
        folder.mkdir(exist_ok=True)
        (folder / "not-before").touch()
        ahead = (folder / "not-before").stat().st_mtime + 3600
        os.utime(folder / "not-before", (ahead, ahead))

    def use(self, make: str, shell: str) -> None:
        """Run this make and this shell from now on, as `make`, as `sh` and as make's `SHELL`."""
        stubs = self.path.parent / "bin"
        for name, target in (("make", make), ("sh", shell)):
            (stubs / name).unlink(missing_ok=True)
            (stubs / name).symlink_to(target)
        self.make_command = ("make", f"SHELL={stubs / 'sh'}")

    def wait_for_the_background(self) -> None:
        """Wait for the end of every process that works in the checkout: make has started them before it ended."""
        wait_until(lambda: not any(_works_in(self.path)), "the end of what make has started")

    def use_only(self, tools: Iterable[str]) -> None:
        """Leave only these tools, and the stubs, on the PATH."""
        stubs = self.path.parent / "bin"
        for tool in tools:
            found = shutil.which(tool)
            assert found
            (stubs / tool).symlink_to(found)
        self.env["PATH"] = str(stubs)

    def program_is(self, script: str) -> None:
        """Make `onramp.program` name a script as the interpreter."""
        stub = self.path.parent / "interpreter"
        stub.write_text(f"#!/bin/sh\n{script}\n")
        stub.chmod(0o755)
        (self.path / "onramp.program").write_text(f"{stub}\n{stub}\n")

    def stub(self, name: str, script: str) -> None:
        """Put a script of this name first on the PATH."""
        file = self.path.parent / "bin" / name
        file.unlink(missing_ok=True)
        file.write_text(f"#!/bin/sh\n{script}\n")
        file.chmod(0o755)

    def wait_for(self, count: int) -> list[tuple[str, dict[str, Any]]]:
        """Wait for this number of events, and return all events."""
        wait_until(lambda: len(self.events()) >= count, f"{count} queued events")
        return self.events()

    def events(self) -> list[tuple[str, dict[str, Any]]]:
        """The queued events, also those that were spilled: (event, its own properties)."""
        spool = self.path / "onramp.spool"
        lines = spool.read_text().splitlines() if spool.exists() else []
        for spilled in sorted((self.path / "onramp.spool.d").glob("*-*.0")):
            lines += spilled.read_text().splitlines()
        return [(e["event"], {k: v for k, v in e["properties"].items() if k[0] != "$"}) for e in map(json.loads, lines)]

    def git(self, *words: str) -> str:
        return git(self.path, *words)

    def status(self) -> str:
        return self.git("status", "--porcelain", "--ignored")

    def tree(self) -> dict[str, str]:
        """Every path except ours and git's, with its content."""
        ours = ("onramp.", "GNUmakefile", "make.d/analytics", "docs", ".git/", ".gitignore")
        found = {}
        for path in sorted(self.path.rglob("*")):
            name = str(path.relative_to(self.path))
            if not name.startswith(ours) and name != ".git":
                found[name] = os.readlink(path) if path.is_symlink() else path.read_text() if path.is_file() else "/"
        return found


def _works_in(path: Path) -> Iterator[bool]:
    for process in Path("/proc").glob("[0-9]*"):
        with suppress(OSError):
            if os.readlink(process / "cwd") == str(path):
                yield True


def without_the_program(env: Mapping[str, str]) -> dict[str, str]:
    """Leave out every folder of PATH that has a program: a developer may have more than one."""
    folders = [folder for folder in env["PATH"].split(":") if not Path(folder, "onramp-analytics").exists()]
    return {**env, "PATH": ":".join(folders)}


def git(path: Path, *words: str) -> str:
    quiet = ["-c", "user.name=t", "-c", "user.email=t@example.com", "-c", "init.defaultBranch=main"]
    clean = {name: value for name, value in os.environ.items() if not name.startswith("GIT_")}
    done = subprocess.run(["git", *quiet, *words], cwd=path, env=clean, capture_output=True, text=True, check=True)
    return done.stdout


def build(folder: Path, env: Mapping[str, str], *, installed: bool = False) -> OnRamp:
    """Make a clone of OnRamp with a private service and a home for its owner, in a folder."""
    path, home, stubs = folder / "onramp", folder / "home", folder / "bin"
    shutil.copytree(_template(installed=installed), path, symlinks=True)
    home.mkdir()
    stubs.mkdir()
    made = OnRamp(path, {"PATH": f"{stubs}:{COMMAND.parent}:{env['PATH']}", "HOME": str(home), **_coverage(env)})
    made.stub("docker", 'echo "docker $*"')
    (stubs / "make").symlink_to(INSTALLED_MAKE)  # a virtual environment may have another one
    return made


@cache
def _template(*, installed: bool) -> Path:
    """Create it once, since git takes longer than the tests."""
    folder = Path(tempfile.mkdtemp(prefix="onramp-template-"))
    atexit.register(shutil.rmtree, folder)
    origin, path = folder / "origin", folder / "onramp"
    for name, content in FILES.items():
        (origin / name).parent.mkdir(parents=True, exist_ok=True)
        (origin / name).write_text(content)
    git(origin, "init", "-q")
    git(origin, "add", "-A")
    git(origin, "commit", "-qm", "all")
    git(folder, "clone", "-q", "origin", "onramp")
    (path / f"services-available/{PRIVATE}.yml").write_text("private\n")
    (path / "services-enabled/.env").write_text(f"TOKEN={SECRET}\n")
    if installed:
        install.install(path, install.Options(upstream="origin/main", package=PACKAGE))
    return path


FILES = {
    "Makefile": MAKEFILE,
    "make.d/services.mk": SERVICES,
    "make.d/tools.mk": TOOLS,
    ".gitignore": "services-enabled/*\noverrides-enabled/*\n!.keep\netc/\n",
    "services-enabled/.keep": "",
    "overrides-enabled/.keep": "",
    "services-available/plex.yml": "plex\n",
    "services-available/jellyfin.yml": "jellyfin\n",
    "services-available/games/valheim.yml": "valheim\n",
    "overrides-available/plex-nfs.yml": "nfs\n",
    "services-scaffold/plex/env.template": "x\n",
}


def _coverage(env: Mapping[str, str]) -> dict[str, str]:
    return {name: value for name, value in env.items() if name.startswith(("COVERAGE_", "COV_"))}


class Terminal:
    """A command on a terminal of its own."""

    def __init__(self, onramp: OnRamp, *words: str, env: dict[str, str] | None = None) -> None:
        self._fd, theirs = pty.openpty()
        attributes = termios.tcgetattr(theirs)
        attributes[1] &= ~termios.OPOST  # \n as it was written
        termios.tcsetattr(theirs, termios.TCSANOW, attributes)
        self.process = subprocess.Popen(
            ["setsid", "-c", *words],
            cwd=onramp.path,
            env={**onramp.env, **(env or {})},
            stdin=theirs,
            stdout=theirs,
            stderr=theirs,
        )
        os.close(theirs)
        self.output = ""

    def wait_for(self, text: str) -> None:
        wait_until(lambda: text in self._read(), f"{text!r} on the terminal")

    def type(self, text: str) -> None:
        os.write(self._fd, text.encode())

    def end(self) -> int:
        """Wait for the end, and return the exit status as a shell reports it."""
        wait_until(lambda: (self._read(), self.process.poll() is not None)[1], f"the end of {self.process.args!r}")
        self._read()
        os.close(self._fd)
        status = self.process.returncode
        return status if status >= 0 else 128 - status

    def _read(self) -> str:
        while select.select([self._fd], [], [], 0)[0]:
            try:
                read = os.read(self._fd, 65536)
            except OSError:  # no process has the terminal open any more
                break
            if not read:
                break
            self.output += read.decode()
        return self.output
