"""The modules that the hot path loads, and the length of modules."""

from __future__ import annotations

import ast
import subprocess
import sys
from pathlib import Path

import pytest

import onramp_analytics
from onramp_analytics.health import machine
from tests.conftest import Checkout

PACKAGE = Path(onramp_analytics.__file__).parent

#: The modules of the hot path, and the built-in modules that they may use.
HOT = {*machine.HOT, "__init__", "__main__", "detached", "make_entry"}
CHEAP = {"builtins", "fcntl", "posix", "sys", "time"}


def imports_at_load(module: str) -> set[str]:
    """The modules that a module imports when it is loaded. Our own are named without the package."""
    tree = ast.parse((PACKAGE / (module.replace(".", "/") + ".py")).read_text())
    found: set[str] = set()
    for node in _statements(tree.body):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module == "onramp_analytics":
            found |= {f"onramp_analytics.{a.name}" for a in node.names if not a.name.startswith("__")}
        elif isinstance(node, ast.ImportFrom) and node.module:
            found.add(node.module)
    return {name.removeprefix("onramp_analytics.") for name in found}


def _statements(body: list[ast.stmt]) -> list[ast.stmt]:
    """The statements that run when a module is loaded; not those for type checkers only."""
    found = []
    for node in body:
        if isinstance(node, ast.If):
            if not (isinstance(node.test, ast.Name) and node.test.id == "TYPE_CHECKING"):
                found += _statements([*node.body, *node.orelse])
        elif isinstance(node, ast.Try):
            found += _statements(node.body)
        else:
            found.append(node)
    return found


@pytest.mark.parametrize("module", sorted(HOT - {"__main__"}))
def test_a_hot_module_imports_only_built_in_modules_and_hot_modules(module: str) -> None:
    for other in imports_at_load(module) - HOT:
        assert other in CHEAP, (
            f"{module} imports {other} and runs inside a user's make command: loading {other} takes longer than "
            "the whole call. Use posix and time, or import it inside the function that rarely needs it."
        )


def loaded_by(code: str, checkout: Checkout, *flags: str) -> set[str]:
    prologue = "import sys; sys.path.insert(0, sys.argv[1]); before = set(sys.modules)\n"
    epilogue = "\nprint(*sorted(set(sys.modules) - before))"
    done = subprocess.run(
        [sys.executable, *flags, "-c", prologue + code + epilogue, str(PACKAGE.parent), str(checkout.path)],
        env=checkout.env,
        capture_output=True,
        text=True,
        check=True,
    )
    return set(done.stdout.split())


OURS = {"onramp_analytics", *(f"onramp_analytics.{name}" for name in machine.HOT)} - {"onramp_analytics.make_events"}
TRACK = (
    "from onramp_analytics import tracker\n"
    "assert tracker.main(sys.argv[2], ['service_enabled', 'service_name=plex', 'has_scaffold=true']) == 0\n"
)


def test_track_loads_a_few_built_in_modules_and_nothing_else(opted_in: Checkout) -> None:
    loaded = loaded_by(TRACK, opted_in, "-I", "-S")

    assert loaded - OURS <= {"fcntl", "time"}
    assert len(opted_in.pending()) == 1


def test_where_no_flusher_is_due_track_does_not_load_what_starts_one(opted_in: Checkout) -> None:
    opted_in.hold_back_flusher()

    assert OURS - loaded_by(TRACK, opted_in, "-I", "-S") == {"onramp_analytics.spawn"}


def test_track_as_the_console_script_loads_nothing_more(opted_in: Checkout) -> None:
    code = (
        "sys.argv[:] = ['onramp-analytics', '--root', sys.argv[2], 'track', 'service_disabled', 'service_name=plex']\n"
        "import os\n"
        "from onramp_analytics.__main__ import main\n"
        "os._exit = sys.exit\n"
        "try: main()\n"
        "except SystemExit as end: assert end.code == 0\n"
    )

    assert loaded_by(code, opted_in, "-I") - OURS - {"onramp_analytics.__main__"} <= {"fcntl", "time"}
    assert len(opted_in.pending()) == 1


def test_importing_the_package_loads_nothing(checkout: Checkout) -> None:
    assert loaded_by("import onramp_analytics", checkout, "-I", "-S") == {"onramp_analytics"}


def test_the_lingering_flusher_loads_nothing_heavy(checkout: Checkout) -> None:
    loaded = loaded_by("from onramp_analytics import detached", checkout, "-I", "-S")

    assert {name for name in loaded if not name.startswith("onramp_analytics")} <= {"fcntl", "time"}


def test_the_commands_do_not_load_posthog(checkout: Checkout) -> None:
    loaded = loaded_by("import onramp_analytics.cli.main", checkout)

    assert "click" in loaded
    assert loaded.isdisjoint({"posthog", "requests"})


def test_the_public_names_are_these() -> None:
    assert sorted(onramp_analytics.__all__) == ["__version__", "track"]
    assert (PACKAGE / "py.typed").exists()


def test_no_module_has_more_than_300_lines() -> None:
    assert {p.name: n for p in PACKAGE.rglob("*.py") if (n := len(p.read_text().splitlines())) > 300} == {}
