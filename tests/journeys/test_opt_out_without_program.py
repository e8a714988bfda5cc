"""Opting out and reading what is collected work without the program."""

from __future__ import annotations

import os
import resource
import shutil
import signal
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.conftest import obey_permissions
from tests.onramp_checkout import OnRamp, build

ID = "550e8400-e29b-41d4-a716-446655440000"
BITS = "0123456789abcdef0123456789abcdef"
OTHERS = "# mine\nOTHER=1\n ANALYTICS_ENABLED=not ours\n\nANALYTICS_ENABLED_TOO=1\nlast line without a break"
TOOLS = ["setsid", "cat", "rm", "ln", "mkdir", "chmod", "mv", "sed", "tail", "stat", "awk", "id", "tr", "ls"]
TOOLS += ["sha256sum", "echo"]


@pytest.fixture
def bare(tmp_path: Path, use_machine: Callable[[OnRamp], None]) -> OnRamp:
    """An OnRamp with consent and queued events, on a machine without Python and without the program."""
    made = build(tmp_path, os.environ, installed=True)
    use_machine(made)
    made.use_only(TOOLS)
    made.lock.write_text(
        "# mine\nOTHER=1\nANALYTICS_ENABLED=1\n ANALYTICS_ENABLED=not ours\n"
        f"ANALYTICS_ID={ID}\nANALYTICS_NOTICE_SHOWN=1\n\nANALYTICS_AGREED=1\nANALYTICS_AGREED_TO=https://h phc_x\n"
        "ANALYTICS_AGREED_SEND=daily\nANALYTICS_TOLD=1\nANALYTICS_ENABLED_TOO=1\n"
        f"ANALYTICS_CHECKOUT={BITS}\nlast line without a break"
    )
    (made.path / "onramp.spool").write_text("{}\n")
    (made.path / "onramp.spool.lock").touch()
    (made.path / "onramp.spool.d/deeper").mkdir(parents=True)
    (made.path / "onramp.spool.d/sent").write_text("{}\n")
    (made.path / "onramp.program").write_text("/nowhere\n/nowhere\n")
    return made


def state(onramp: OnRamp, folder: Path) -> Path:
    file = Path(onramp.env["HOME"]) / ".local/state/onramp-analytics" / BITS
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(f"{folder}\n")
    return file


def left(onramp: OnRamp) -> list[str]:
    return sorted(path.name for path in onramp.path.glob("onramp.*"))


def test_disable_deletes_everything_of_ours_and_keeps_what_is_not(bare: OnRamp) -> None:
    tied = state(bare, bare.path)
    bare.lock.chmod(0o640)

    done = bare.make("analytics-disable")

    assert (done.returncode, done.stderr) == (0, "")
    assert "Analytics disabled. All queued events were deleted." in done.stdout
    assert ID in done.stdout
    assert left(bare) == ["onramp.lock"]
    assert bare.lock.read_text() == f"ANALYTICS_ENABLED=0\n{OTHERS}"
    assert bare.lock.stat().st_mode & 0o777 == 0o640
    assert not tied.exists()


def test_disable_writes_the_choice_where_nothing_was_chosen(bare: OnRamp) -> None:
    bare.lock.unlink()

    done = bare.make("analytics-disable")

    assert (done.returncode, done.stderr) == (0, "")
    assert bare.lock.read_text() == "ANALYTICS_ENABLED=0\n"
    assert bare.lock.stat().st_mode & 0o777 == 0o644


def test_disable_works_where_the_program_is_broken(bare: OnRamp) -> None:
    script = bare.path.parent / "bin/onramp-analytics"
    script.write_text("#!/no/such/python\n")
    script.chmod(0o755)

    done = bare.make("analytics-disable")

    assert (done.returncode, done.stderr) == (0, "")
    assert left(bare) == ["onramp.lock"]


def test_disable_in_a_copy_leaves_the_consent_of_the_original(bare: OnRamp) -> None:
    original = bare.path.parent / "original"
    original.mkdir()
    tied = state(bare, original)

    assert bare.make("analytics-disable").returncode == 0
    assert tied.exists()

    original.rmdir()  # it was moved here
    bare.lock.write_text(f"ANALYTICS_CHECKOUT={BITS}\n")
    assert bare.make("analytics-disable").returncode == 0
    assert not tied.exists()


def test_disable_deletes_each_file_that_leads_to_this_folder_so_that_no_older_onramp_lock_counts(
    bare: OnRamp,
) -> None:
    older, other = (state(bare, bare.path).with_name(letter * 32) for letter in "ab")
    older.write_text(f"{bare.path}\n")
    other.write_text(f"{bare.path.parent}\n")
    odd = older.with_name("notes")
    odd.write_text(f"{bare.path}\n")

    assert bare.make("analytics-disable").returncode == 0

    assert sorted(older.parent.iterdir()) == [other, odd]


@pytest.mark.parametrize("bits", ["../../../victim", "", "a" * 31, "A" * 32, "a" * 32 + "/..", "$(touch executed)"])
def test_disable_makes_no_path_of_other_bits(bare: OnRamp, bits: str) -> None:
    victim = Path(bare.env["HOME"]) / "victim"
    victim.write_text(f"{bare.path}\n")
    state(bare, bare.path)
    bare.lock.write_text(f"ANALYTICS_CHECKOUT={bits}\n")

    assert bare.make("analytics-disable").returncode == 0
    assert victim.exists()
    assert not list(bare.path.rglob("executed"))


@pytest.mark.parametrize("name", ["onramp.spool", "onramp.spool.lock", "onramp.spool.d", "onramp.program"])
def test_disable_follows_no_link_and_says_what_it_left(bare: OnRamp, name: str) -> None:
    elsewhere = bare.path.parent / "elsewhere"
    (bare.path / name).rename(elsewhere)
    (bare.path / name).symlink_to(elsewhere)

    done = bare.make("analytics-disable")

    assert done.returncode == 2
    assert f"could not be deleted: {name}" in done.stderr
    assert "ANALYTICS_ENABLED=0" in bare.lock.read_text()
    assert left(bare) == sorted(["onramp.lock", name])
    assert elsewhere.exists()


@pytest.mark.parametrize("name", ["onramp.lock", "onramp.lock.new"])
def test_disable_writes_through_no_link(bare: OnRamp, name: str) -> None:
    victim = bare.path.parent / "victim"
    victim.write_text("ANALYTICS_ENABLED=1\n")
    (bare.path / name).unlink(missing_ok=True)
    (bare.path / name).symlink_to(victim)

    done = bare.make("analytics-disable")

    assert victim.read_text() == "ANALYTICS_ENABLED=1\n"
    if name == "onramp.lock":
        assert "delete it, which also turns analytics off" in done.stderr
    else:
        assert done.returncode == 0
        assert left(bare) == ["onramp.lock"]


def no_byte_can_be_written() -> None:
    signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (0, 0))


def test_disable_on_a_full_disk_changes_nothing(bare: OnRamp) -> None:
    before = bare.lock.read_text()

    done = bare.make("analytics-disable", preexec_fn=no_byte_can_be_written)

    assert done.returncode == 2
    assert "onramp.lock cannot be written" in done.stderr
    assert bare.lock.read_text() == before
    assert "onramp.spool" in left(bare)
    assert "onramp.lock.new" not in left(bare)


def test_disable_in_a_folder_that_is_not_writable_says_so(bare: OnRamp) -> None:
    if os.geteuid() == 0:
        os.chown(bare.path, 0, 0)
    bare.path.chmod(0o555)
    before = bare.lock.read_text()

    done = bare.make("analytics-disable", preexec_fn=obey_permissions)
    bare.path.chmod(0o755)

    assert done.returncode == 2
    assert "onramp.lock cannot be written" in done.stderr
    assert "DO_NOT_TRACK=1" in done.stderr
    assert bare.lock.read_text() == before


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can be root in another user's checkout")
@pytest.mark.parametrize("command", ["disable", "status", "events", "enable", "preview", "upgrade", "show-id"])
def test_root_touches_nothing_in_a_checkout_of_another_user(bare: OnRamp, command: str) -> None:
    before = bare.lock.read_text(), left(bare)
    os.chown(bare.path, 65534, 65534)

    done = bare.make(f"analytics-{command}")

    assert done.returncode == 2
    assert f"this checkout belongs to nobody: run sudo -u nobody make analytics-{command}\n" in done.stderr
    assert (bare.lock.read_text(), left(bare)) == before


@pytest.mark.parametrize(
    "content", [None, "ANALYTICS_ENABLED=0\n", "ANALYTICS_ENABLED=1\nANALYTICS_ENABLED=0\n", "A=1\n"]
)
def test_status_says_off(bare: OnRamp, content: str | None) -> None:
    bare.lock.unlink()
    if content is not None:
        bare.lock.write_text(content)

    done = bare.make("analytics-status")

    assert (done.returncode, done.stdout, done.stderr) == (0, "Analytics are off.\n", "")


def test_status_says_what_onramp_lock_says(bare: OnRamp) -> None:
    done = bare.make("analytics-status")

    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.startswith("onramp.lock contains ANALYTICS_ENABLED=1, but onramp-analytics is not installed")


def test_events_shows_the_page_of_the_checkout(bare: OnRamp) -> None:
    (bare.path / "docs").mkdir(exist_ok=True)
    (bare.path / "docs/analytics.md").write_text("# What is collected\n")

    assert bare.make("analytics-events").stdout == "# What is collected\n"

    shutil.rmtree(bare.path / "docs")
    assert "docs/analytics.md is missing" in bare.make("analytics-events").stderr


def test_events_waits_for_nobody_where_the_page_is_a_fifo(bare: OnRamp) -> None:
    (bare.path / "docs").mkdir(exist_ok=True)
    (bare.path / "docs/analytics.md").unlink(missing_ok=True)
    os.mkfifo(bare.path / "docs/analytics.md")

    assert "docs/analytics.md is missing" in bare.make("analytics-events").stderr


def test_other_commands_say_how_to_get_the_program(bare: OnRamp) -> None:
    done = bare.make("analytics-flush")

    assert done.returncode == 2
    assert done.stderr.splitlines()[0].endswith("run make analytics-upgrade to install it")


def test_make_goes_on_in_silence(bare: OnRamp) -> None:
    done = bare.make("enable-service", "plex")

    assert (done.returncode, done.stdout, done.stderr) == (0, "Enabling plex...\n", "")
