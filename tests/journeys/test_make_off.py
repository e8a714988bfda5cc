"""With analytics off, make behaves as without the integration, and reads only onramp.lock."""

from __future__ import annotations

import ctypes
import os
import re
import shutil
from pathlib import Path

import pytest

from tests.conftest import obey_permissions, wait_until
from tests.onramp_checkout import OnRamp, Terminal

EXTRA_LINE = "make: *** [GNUmakefile:"


strace = pytest.mark.skipif(not shutil.which("strace"), reason="counted with strace, which this machine lacks")


def processes(onramp: OnRamp, *words: str, env: dict[str, str] | None = None) -> list[str]:
    """Every fork and every program of a make command, including make itself."""
    log = onramp.path.parent / "strace"
    calls = ["-e", "trace=execve,clone,clone3,fork,vfork", "-e", "status=successful"]
    onramp.make_with(["strace", "-f", "-qq", *calls, "-o", str(log)], words, env)
    return sorted(
        line.split('"')[1] if "execve(" in line else "fork"
        for line in log.read_text().splitlines()
        if "execve(" in line or "clone" in line or "fork(" in line
    )


@strace
@pytest.mark.parametrize(
    ("consent_is", "words", "env"),
    [
        ("never asked", ["recurse", "plex"], {}),
        ("no", ["recurse", "plex"], {}),
        ("yes", ["recurse", "plex"], {"DO_NOT_TRACK": "1"}),
        ("yes", ["recurse", "plex"], {"ONRAMP_ANALYTICS_ENABLED": "0"}),
        ("yes", ["-n", "recurse", "plex"], {}),
        ("yes", ["tell"], {"DO_NOT_TRACK": "1"}),
    ],
    ids=["never asked", "opted out", "DO_NOT_TRACK", "off for this shell", "dry run", "the macro"],
)
def test_off_starts_no_process(onramp: OnRamp, consent_is: str, words: list[str], env: dict[str, str]) -> None:
    if consent_is != "never asked":
        onramp.lock.write_text(f"ANALYTICS_ENABLED={'1' if consent_is == 'yes' else '0'}\n")

    with_it = processes(onramp, *words, env=env)
    for name in ("services-enabled/plex.yml", "etc"):
        shutil.rmtree(onramp.path / name, ignore_errors=True)
        (onramp.path / name).unlink(missing_ok=True)
    without_it = processes(onramp, "-f", "Makefile", *words, env=env)

    assert with_it == without_it
    assert not (onramp.path / "onramp.spool.lock").exists()


@pytest.mark.parametrize("program", [None, "onramp-analytics"], ids=["the default", "the makefile names it"])
@pytest.mark.parametrize(
    ("no", "yes"),
    [({"DO_NOT_TRACK": "1"}, "DO_NOT_TRACK=0"), ({"ONRAMP_ANALYTICS_ENABLED": "0"}, "ONRAMP_ANALYTICS_ENABLED=1")],
)
def test_a_no_of_the_shell_counts_even_if_a_dotenv_file_says_otherwise(
    onramp: OnRamp, no: dict[str, str], yes: str, program: str | None
) -> None:
    dotenv = onramp.path / "services-enabled/.env"
    dotenv.write_text(f"{dotenv.read_text()}{yes}\n")
    if program:
        makefile = onramp.path / "Makefile"
        makefile.write_text(f"ONRAMP_ANALYTICS := {program}\n{makefile.read_text()}")

    done = onramp.make("analytics-enable", env=no)

    assert done.returncode == 2
    assert next(iter(no)) in done.stderr
    assert not onramp.lock.exists()


def test_off_is_counted_by_a_stub_too(onramp: OnRamp) -> None:
    ran = onramp.path.parent / "ran"
    onramp.program_is(f"echo ran >>{ran}")
    onramp.lock.write_text("ANALYTICS_ENABLED=1\nANALYTICS_NOTICE_SHOWN=1\n")

    onramp.make("list", env={"DO_NOT_TRACK": "1"})
    onramp.make("list", env={"ONRAMP_ANALYTICS_ENABLED": "no"})
    onramp.make("-n", "list")
    onramp.make("list")  # the only one that counts, and the last

    wait_until(lambda: ran.exists() and ran.read_text(), "the stub ran")
    assert ran.read_text() == "ran\n"


#: name -> the content of onramp.lock, and the choice in it
LOCKS: dict[str, tuple[bytes | None, str | None]] = {
    "none": (None, None),
    "on": (b"ANALYTICS_ENABLED=1\n", "1"),
    "off": (b"ANALYTICS_ENABLED=0\n", "0"),
    "last counts": (b"ANALYTICS_ENABLED=1\nANALYTICS_ENABLED=0\n", "0"),
    "last counts, on": (b"ANALYTICS_ENABLED=0\nother=1\nANALYTICS_ENABLED=1", "1"),
    "comment": (b"# ANALYTICS_ENABLED=1\n#ANALYTICS_ENABLED=1\nX ANALYTICS_ENABLED=1\nX\tANALYTICS_ENABLED=1\n", None),
    "space": (b" ANALYTICS_ENABLED=1\nANALYTICS_ENABLED=1 \n", "1 "),
    "make syntax": (b"$(shell touch executed)\n$(error no)\nANALYTICS_ENABLED=$(shell touch executed)1\nendif\n", "$"),
}
ENVIRONMENTS: list[dict[str, str]] = [
    {},
    {"DO_NOT_TRACK": "1"},
    {"DO_NOT_TRACK": " "},
    {"DO_NOT_TRACK": "x 0"},
    {"DO_NOT_TRACK": "0", "ONRAMP_ANALYTICS_ENABLED": "yes"},
    {"DO_NOT_TRACK": "", "ONRAMP_ANALYTICS_ENABLED": "1"},
    {"DO_NOT_TRACK": "$(shell touch executed)"},
    {"ONRAMP_ANALYTICS_ENABLED": ""},
    {"ONRAMP_ANALYTICS_ENABLED": "0"},
    {"ONRAMP_ANALYTICS_ENABLED": "True"},
    {"ONRAMP_ANALYTICS_ENABLED": "1 1"},
    {"ONRAMP_ANALYTICS_ENABLED": "$(shell touch executed)1"},
]


def may_record(env: dict[str, str], choice: str | None) -> bool:
    """The rule in make: off in the environment, then the choice in onramp.lock, then on in the environment."""
    said = env.get("ONRAMP_ANALYTICS_ENABLED")
    if env.get("DO_NOT_TRACK", "").lower() not in ("", "0", "false"):
        return False
    if said is not None and said.lower() not in ("1", "true", "yes", "on"):
        return False
    return choice == "1" or (choice is None and said is not None)


@pytest.mark.parametrize("lock", LOCKS)
def test_make_reads_consent_as_agreed(onramp: OnRamp, lock: str) -> None:
    content, choice = LOCKS[lock]
    if content is not None:
        onramp.lock.write_bytes(content)

    for env in ENVIRONMENTS:
        done = onramp.make("fail", env=env)
        assert (EXTRA_LINE in done.stderr) == may_record(env, choice), env

    assert not (onramp.path / "executed").exists()


@pytest.mark.parametrize("kind", ["folder", "link", "dangling link"])
def test_a_lock_file_of_a_wrong_kind_is_off_and_breaks_nothing(onramp: OnRamp, kind: str) -> None:
    if kind == "folder":
        onramp.lock.mkdir()
    else:
        onramp.lock.symlink_to("elsewhere")
    if kind == "link":
        (onramp.path / "elsewhere").write_text("ANALYTICS_ENABLED=1\n")
    ran = onramp.path.parent / "ran"
    onramp.program_is(f"touch {ran}")

    done = onramp.make("list")

    assert (done.returncode, done.stderr) == (0, "")
    assert EXTRA_LINE not in onramp.make("fail").stderr  # the integration is not used


def opened(onramp: OnRamp, *words: str) -> set[str]:
    """The files that make itself opened, or tried to."""
    log = onramp.path.parent / "opened"
    onramp.make_with(["strace", "-qq", "-e", "trace=open,openat", "-o", str(log)], words)
    return set(re.findall(r'"([^"]+)"', log.read_text()))


@strace
def test_off_reads_nothing_but_onramp_lock(onramp: OnRamp) -> None:
    (onramp.path / ".env").write_text("A=1\n")
    onramp.lock.write_text("ANALYTICS_ENABLED=0\n")

    without_it = opened(onramp, "-f", "Makefile", "list")

    assert opened(onramp, "list") - without_it == {"GNUmakefile", "onramp.lock"}
    onramp.lock.rename(onramp.path / "elsewhere")
    onramp.lock.symlink_to("elsewhere")
    assert opened(onramp, "list") - without_it == {"GNUmakefile"}


@strace
def test_an_older_make_includes_the_makefile_and_reads_nothing_else(on: OnRamp) -> None:
    on.env["MAKE_VERSION"] = "4.1"

    found = opened(on, "list")

    assert "onramp.lock" not in found
    assert {"GNUmakefile", "Makefile"} <= found
    assert EXTRA_LINE not in on.make("fail").stderr


def read_as_anybody_may() -> None:
    """Give up root's rights to override permissions, also for reading; no effect for other users."""
    obey_permissions()
    ctypes.CDLL(None).prctl(24, 2)  # PR_CAPBSET_DROP


@pytest.mark.parametrize("file", [".env", "services-enabled/.env"])
@pytest.mark.parametrize("kind", ["folder", "FIFO", "link to nothing", "unreadable"])
@pytest.mark.parametrize("is_on", [False, True], ids=["off", "on"])
def test_make_does_not_touch_an_environment_file_that_the_makefile_does_not_include(
    onramp: OnRamp, file: str, kind: str, *, is_on: bool
) -> None:
    path = onramp.path / file
    path.unlink(missing_ok=True)
    makefile = onramp.path / "Makefile"
    makefile.write_text(makefile.read_text().replace("include services-enabled/.env\n", ""))
    if kind == "folder":
        path.mkdir()
    elif kind == "FIFO":
        os.mkfifo(path)
    elif kind == "link to nothing":
        path.symlink_to("nowhere")
    else:
        path.write_text("A=1\n")
        path.chmod(0)
    if is_on:
        onramp.opt_in()

    done = onramp.make("list", preexec_fn=read_as_anybody_may)

    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout == onramp.make("-f", "Makefile", "list").stdout


@pytest.mark.parametrize("words", [[], ["list"], ["recurse", "plex"]], ids=["make", "list", "recurse"])
def test_make_warns_of_no_variable_of_ours(three: list[OnRamp], words: list[str]) -> None:
    outputs = [each.make("--warn-undefined-variables", *words).stderr for each in three]

    assert "onramp" not in "".join(outputs).lower().replace(str(three[0].path.parent.parent).lower(), "")
    assert outputs[1].count("warning") == outputs[0].count("warning")
    assert outputs[2].count("warning") == outputs[0].count("warning")


root_only = pytest.mark.skipif(os.geteuid() != 0, reason="only root can be root in another user's checkout")


@root_only
def test_root_starts_nothing_in_a_checkout_of_another_user(on: OnRamp) -> None:
    ran = on.path.parent / "ran"
    on.program_is(f"touch {ran}")
    for path in (on.path, *on.path.rglob("*")):
        os.chown(path, 12345, 12345, follow_symlinks=False)
    before = sorted(on.path.rglob("*"))
    on.stub("onramp-analytics", f"touch {ran}")
    terminal = Terminal(on, "make", "list", env={"ONRAMP_ANALYTICS_ENABLED": "1"})

    assert terminal.end() == 0
    assert on.make("list").returncode == 0
    on.lock.write_text("ANALYTICS_ENABLED=1\n")  # without the notice, which root is not shown there either
    assert Terminal(on, "make", "list").end() == 0

    on.wait_for_the_background()
    assert not ran.exists()
    assert sorted(on.path.rglob("*")) == before


@root_only
@pytest.mark.parametrize("name", ["onramp.lock", "onramp.program"])
def test_a_file_of_another_user_is_not_ours(on: OnRamp, name: str) -> None:
    ran = on.path.parent / "ran"
    on.program_is(f"touch {ran}")
    on.stub("onramp-analytics", "exit 1")
    os.chown(on.path / name, 12345, 12345)

    assert on.make("list").returncode == 0

    on.wait_for_the_background()
    assert not ran.exists()


@pytest.mark.parametrize("kind", ["link", "FIFO", "folder"])
def test_something_else_in_the_place_of_onramp_program_stays_and_hangs_no_command(on: OnRamp, kind: str) -> None:
    ran = on.path.parent / "ran"
    on.program_is(f"touch {ran}")
    on.stub("onramp-analytics", f'[ "$1" = --version ] && echo version 1 || echo "$@" >>{ran}.instead')
    program = on.path / "onramp.program"
    program.rename(on.path.parent / "elsewhere")
    if kind == "link":
        program.symlink_to(on.path.parent / "elsewhere")
    elif kind == "FIFO":
        os.mkfifo(program)
    else:
        program.mkdir()

    assert on.make("list").returncode == 0

    wait_until(Path(f"{ran}.instead").exists, "the program on the PATH was run instead")
    assert not ran.exists()


def test_a_pattern_rule_for_anything_does_not_remake_the_drop_in(onramp: OnRamp) -> None:
    rules = "all:\n\t@echo all\n%: force\n\t@echo any $@\nforce: ;\nMakefile: ;\n"
    (onramp.path / "Makefile").write_text(rules)

    assert onramp.make("foo").stdout == onramp.make("-f", "Makefile", "foo").stdout == "any foo\n"
    assert onramp.make().stdout == "all\n"
