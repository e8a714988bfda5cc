"""Test the release as a user gets it: build it, install it into empty environments and run it there.

`make test` tests the checkout; `make smoke` runs this, which tests the built files.
It takes some minutes, and skips each Python that is not installed.
"""

from __future__ import annotations

import re
import shutil
from pathlib import Path

import nox

nox.needs_version = ">=2025.5"
nox.options.default_venv_backend = "venv"
nox.options.error_on_missing_interpreters = False
nox.options.sessions = ["build", "pip", "uv", "pipx"]

PROJECT = nox.project.load_toml()["project"]
PYTHONS = nox.project.python_versions({"project": PROJECT})
PROGRAM = PROJECT["name"]
REPOSITORY = Path(__file__).parent
DIST = REPOSITORY / "dist"
CONSTRAINTS = REPOSITORY / "constraints.txt"
CONSTRAINTS_HEADER = (
    "# The versions that make and the workflows install for development. `make constraints` refreshes them.\n"
)
#: What `install` asks of a checkout.
CHECKOUT = {
    "Makefile": "start:\n\t@echo started\n\ninclude $(wildcard make.d/*.mk)\n",
    "make.d/start.mk": "stop:\n\t@echo stopped\n",
    "services-available/plex.yml": "",
}
COMMIT = ("-c", "user.name=somebody", "-c", "user.email=somebody@example.org", "commit", "--quiet", "--message=OnRamp")
CLONE = ("clone", "--quiet", ".", "../onramp")
SHARED = ("man/man1/onramp-analytics.1", "bash-completion/completions/onramp-analytics")


@nox.session
def build(session: nox.Session) -> None:
    """Build the sdist, and the wheel from it."""
    shutil.rmtree(DIST, ignore_errors=True)
    _install_tool(session, "build")
    session.run("python", "-m", "build", "--outdir", str(DIST), str(REPOSITORY), silent=True)


@nox.session(python=PYTHONS, requires=["build"])
@nox.parametrize("kind", ["whl", "tar.gz"])
def pip(session: nox.Session, kind: str) -> None:
    """Install with pip."""
    session.install(_built(kind))
    prefix = Path(session.bin).parent
    for name in SHARED:
        if not (prefix / "share" / name).is_file():
            session.error(f"share/{name} was not installed")
    _smoke(session, Path(session.bin))


@nox.session(python=PYTHONS, requires=["build"])
def uv(session: nox.Session) -> None:
    """Install with `uv tool`."""
    _install_tool(session, "uv")
    home = Path(session.create_tmp()).resolve()
    env = {"UV_TOOL_DIR": str(home / "tools"), "UV_TOOL_BIN_DIR": str(home / "bin")}
    session.run("uv", "tool", "install", "--quiet", "--force", "--python", _python(session), _built("whl"), env=env)
    _smoke(session, home / "bin")


@nox.session(python=PYTHONS, requires=["build"])
def pipx(session: nox.Session) -> None:
    """Install with pipx."""
    _install_tool(session, "pipx")
    home = Path(session.create_tmp()).resolve()
    env = {"PIPX_HOME": str(home / "home"), "PIPX_BIN_DIR": str(home / "bin"), "PIPX_MAN_DIR": str(home / "man")}
    session.run("pipx", "install", "--quiet", "--force", "--python", _python(session), _built("whl"), env=env)
    if not (home / "man" / "man1" / f"{PROGRAM}.1").exists():
        session.error("pipx did not find the man page")
    _smoke(session, home / "bin")


@nox.session(python=False)
def tag(session: nox.Session) -> None:
    """Compare a tag with the version and the changelog: `nox --session tag -- v1.2.3`."""
    (name,) = session.posargs
    (version,) = re.findall(
        r'^__version__ = "(.+)"', (REPOSITORY / "onramp_analytics/__init__.py").read_text(), re.MULTILINE
    )
    if name != f"v{version}":
        session.error(f"the tag is {name}, and onramp_analytics/__init__.py has {version}: correct one of them")
    if f"## [{version}] - " not in (REPOSITORY / "CHANGELOG.md").read_text():
        session.error(f"CHANGELOG.md has no section for {version}: rename [Unreleased] to [{version}] - YYYY-MM-DD")


@nox.session
def audit(session: nox.Session) -> None:
    """Ask the advisory database about each version in constraints.txt."""
    _install_tool(session, "pip-audit")
    session.run("pip-audit", "--strict", "--no-deps", "--disable-pip", "--requirement", str(CONSTRAINTS))


@nox.session
def constraints(session: nox.Session) -> None:
    """Write the newest versions that pyproject.toml allows, for each supported Python, into constraints.txt."""
    _install_tool(session, "uv")
    made = Path(session.create_tmp()).resolve() / "made"
    export = ("uv", "export", "--quiet", "--upgrade", "--no-hashes", "--no-emit-project", "--all-groups")
    session.run(*export, "--no-header", "--no-annotate", "--output-file", str(made))
    (REPOSITORY / "uv.lock").unlink(missing_ok=True)  # it names the package index of this machine
    CONSTRAINTS.write_text(CONSTRAINTS_HEADER + made.read_text())


def _install_tool(session: nox.Session, name: str) -> None:
    """Install a tool in the version that constraints.txt names."""
    session.install("--constraint", str(CONSTRAINTS), name)


def _built(kind: str) -> str:
    (found,) = DIST.glob(f"*.{kind}")
    return str(found)


def _python(session: nox.Session) -> str:
    return str(Path(session.bin) / "python")


def _smoke(session: nox.Session, folder: Path) -> None:
    """Run the command in the folder, away from this checkout."""
    program = str(folder / PROGRAM)
    away = Path(session.create_tmp()).resolve() / "away"
    shutil.rmtree(away, ignore_errors=True)
    upstream = away / "upstream"
    for name, content in CHECKOUT.items():
        (upstream / name).parent.mkdir(parents=True, exist_ok=True)
        (upstream / name).write_text(content)
    for words in (("init", "--quiet", "--initial-branch=main"), ("add", "--all"), COMMIT, CLONE):
        session.run("git", "-C", str(upstream), *words, external=True, log=False)

    with session.chdir(away):
        _must_say(session, program, "--version", what=f"{PROGRAM}, version ")
        _must_say(session, program, "demo", what="It works: 5 events ")
        _must_say(session, program, "dashboard", what="Would create the dashboard ")
        install = ("install", "--wheel", _built("whl"), "--upstream", "origin/main", "onramp")
        _must_say(session, program, *install, what="GNUmakefile")
        _must_say(session, "make", "-s", "-C", "onramp", "start", what="started")
        _must_say(session, program, "uninstall", "onramp", what="GNUmakefile")
        _must_say(session, "git", "-C", "onramp", "status", "--porcelain", "--ignored", what="")


def _must_say(session: nox.Session, *command: str, what: str) -> None:
    """Run a command that must print a text, or nothing if the text is empty."""
    said = str(session.run(*command, external=True, silent=True))
    line = next((line for line in said.splitlines() if what and what in line), None)
    if line is None and (what or said.strip()):
        session.error(f"{' '.join(command)} was to say {what!r} and said {said!r}")
    session.log(line or "(nothing)")
