"""Consent belongs to one user in one folder, however a checkout gets to another place."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest

from tests.conftest import COMMAND, ID, Checkout, make_checkout
from tests.onramp_checkout import git


@pytest.fixture
def there(opted_in: Checkout) -> Checkout:
    """Another place for the checkout, of the same user."""
    opted_in.hold_back_flusher()
    opted_in.track()
    return Checkout(opted_in.path.parent / "there", opted_in.env)


def is_off_and_says_why(checkout: Checkout) -> bool:
    before = checkout.files()
    checkout.track()
    found = checkout.status()
    said = "onramp.lock was not written by you for this folder; run `make analytics-enable` to start over here"
    assert (found["on"], found["why"], found["id"]) == (False, said, None)
    assert found["turn"] == "make analytics-enable"
    assert not checkout.status({"ONRAMP_ANALYTICS_ENABLED": "1"})["on"]
    return checkout.files() == before


def test_a_copy_is_off_and_the_original_stays_on(opted_in: Checkout, there: Checkout) -> None:
    subprocess.run(["cp", "-a", opted_in.path, there.path], check=True)

    assert is_off_and_says_why(there)
    assert opted_in.status()["on"]


def test_a_moved_checkout_is_off(opted_in: Checkout, there: Checkout) -> None:
    subprocess.run(["mv", opted_in.path, there.path], check=True)

    assert is_off_and_says_why(there)


def test_another_checkout_in_the_old_place_is_off(opted_in: Checkout, there: Checkout) -> None:
    subprocess.run(["mv", opted_in.path, there.path], check=True)
    new = make_checkout(opted_in.path, opted_in.env)

    assert new.status()["on"] is False
    assert new.status()["why"] == "you have not opted in"


def test_an_archive_unpacked_over_a_disable_brings_no_consent_back(opted_in: Checkout, tmp_path: Path) -> None:
    subprocess.run(["tar", "-C", opted_in.path, "-cf", tmp_path / "backup.tar", "."], check=True)
    opted_in.run("disable")

    subprocess.run(["tar", "-C", opted_in.path, "-xf", tmp_path / "backup.tar"], check=True)

    assert ID in opted_in.lock.read_text()
    assert is_off_and_says_why(opted_in)


def test_an_archive_unpacked_over_a_reset_id_brings_no_old_identifier_back(opted_in: Checkout, tmp_path: Path) -> None:
    subprocess.run(["tar", "-C", opted_in.path, "-cf", tmp_path / "backup.tar", "."], check=True)
    opted_in.run("reset-id")

    subprocess.run(["tar", "-C", opted_in.path, "-xf", tmp_path / "backup.tar"], check=True)

    assert is_off_and_says_why(opted_in)


def test_a_clone_is_off_even_if_the_lock_file_was_committed(opted_in: Checkout, there: Checkout) -> None:
    git(opted_in.path, "init", "-q")
    git(opted_in.path, "add", "-A")
    git(opted_in.path, "commit", "-qm", "all")

    git(there.path.parent, "clone", "-q", str(opted_in.path), str(there.path))

    assert is_off_and_says_why(there)


def test_another_persons_state_folder_does_not_count(opted_in: Checkout, tmp_path: Path) -> None:
    (tmp_path / "other").mkdir()
    opted_in.env["HOME"] = str(tmp_path / "other")

    assert is_off_and_says_why(opted_in)


def test_through_a_link_to_the_same_folder_it_stays_on(opted_in: Checkout, there: Checkout) -> None:
    there.path.symlink_to(opted_in.path)

    there.track()

    assert there.status()["on"]
    assert len(opted_in.pending()) == 2


def test_through_a_bind_mount_of_the_same_folder_it_stays_on(opted_in: Checkout, there: Checkout) -> None:
    there.path.mkdir()
    script = 'mount --bind "$1" "$2" && shift 2 && exec "$@"'
    words = ["unshare", "-m", "sh", "-c", script, "sh", str(opted_in.path), str(there.path)]
    if shutil.which("unshare") is None or subprocess.run([*words, "true"], capture_output=True, check=False).returncode:
        pytest.skip("this machine does not let the test make a bind mount")

    done = subprocess.run(
        [*words, COMMAND, "--root", str(there.path), "status"],
        env=opted_in.env,
        capture_output=True,
        text=True,
        check=True,
    )

    assert done.stdout.startswith("Analytics are on: onramp.lock contains ANALYTICS_ENABLED=1.")
