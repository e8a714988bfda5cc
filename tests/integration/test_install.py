"""`install` and `uninstall`, as a maintainer of OnRamp runs them."""

from __future__ import annotations

import hashlib
import os
import subprocess
import zipfile
from pathlib import Path

import pytest

from onramp_analytics import __version__
from onramp_analytics.integration.mark import signed
from tests.conftest import COMMAND as PROGRAM
from tests.onramp_checkout import KEY, PACKAGE, OnRamp, build

WRITTEN = {
    "GNUmakefile",
    "make.d/analytics.conf",
    "make.d/analytics.mk",
    "make.d/analytics.names",
    "make.d/analytics.sh",
    "docs/analytics.md",
    ".gitignore",
}
UPSTREAM = ("--upstream", "origin/main")
UP_TO_DATE = "Everything is up to date.\n"


@pytest.fixture
def onramp(tmp_path: Path) -> OnRamp:
    return build(tmp_path, os.environ)


def everything(onramp: OnRamp) -> dict[str, bytes]:
    files = (path for path in onramp.path.rglob("*") if path.is_file() and ".git" not in path.parts)
    return {str(path.relative_to(onramp.path)): path.read_bytes() for path in files}


def a_wheel(folder: Path, version: str = "9.9.0", name: str = "onramp-analytics") -> Path:
    """Create a file that `install` accepts as a wheel."""
    path = folder / f"onramp_analytics-{version}-py3-none-any.whl"
    with zipfile.ZipFile(path, "w") as wheel:
        wheel.writestr(f"onramp_analytics-{version}.dist-info/METADATA", f"Name: {name}\nVersion: {version}\n")
    return path


def again(onramp: OnRamp, *words: str, check: bool = True) -> str:
    """Run `install` with the given options only."""
    return onramp.command("install", str(onramp.path), *UPSTREAM, *words, check=check)


def test_install_says_what_it_wrote_and_edits_nothing_of_onramps(onramp: OnRamp) -> None:
    before = everything(onramp)

    said = onramp.install()

    after = everything(onramp)
    assert {name for name in after if after[name] != before.get(name)} == WRITTEN
    assert all(f" {name}\n" in said for name in WRITTEN)
    assert "names added, 0 removed" in said
    assert onramp.git("status", "--porcelain", "--", "Makefile", "make.d/services.mk") == ""


def test_install_names_the_commit_that_it_used(onramp: OnRamp) -> None:
    commit = onramp.git("rev-parse", "origin/main")[:12]

    assert f"The published names come from commit {commit} of origin/main in this clone.\n" in onramp.install()


def test_a_second_install_changes_nothing_and_keeps_every_setting(onramp: OnRamp) -> None:
    words = ("--host", "https://eu.posthog.com", "--contact", "a@example.org", "--docs-url", "https://example.org/page")
    onramp.install("--api-key", KEY, *words, "--send", "at-once")
    before = everything(onramp)

    said = again(onramp)

    assert UP_TO_DATE in said
    assert everything(onramp) == before
    assert (
        before["make.d/analytics.conf"]
        .decode()
        .endswith(
            f"\nANALYTICS_API_KEY={KEY}\nANALYTICS_HOST=https://eu.i.posthog.com\nANALYTICS_SEND=at-once\n"
            "ANALYTICS_DOCS_URL=https://example.org/page\nANALYTICS_CONTACT=a@example.org\n"
        )
    )


def test_a_setting_that_is_given_again_replaces_that_one_alone(onramp: OnRamp) -> None:
    onramp.install("--api-key", KEY, "--contact", "a@example.org")

    again(onramp, "--host", "https://eu.i.posthog.com")

    settings = (onramp.path / "make.d/analytics.conf").read_text()
    assert f"ANALYTICS_API_KEY={KEY}\nANALYTICS_HOST=https://eu.i.posthog.com\nANALYTICS_SEND=daily\n" in settings
    assert "ANALYTICS_CONTACT=a@example.org\n" in settings


def test_install_brings_an_older_drop_in_up_to_date(onramp: OnRamp) -> None:
    onramp.install("--api-key", KEY)
    now = everything(onramp)
    (onramp.path / "GNUmakefile").write_text(signed("# of an older version\ninclude Makefile\n"))

    again(onramp)

    assert everything(onramp) == now


def test_the_first_install_prints_the_lines_that_onramps_own_pages_lack_and_a_later_one_does_not(
    onramp: OnRamp,
) -> None:
    (onramp.path / "README.md").write_text("[Usage Analytics](docs/analytics.md)\n")
    first = onramp.install()

    second = again(onramp, "--api-key", KEY)

    assert all(f"Add to {page}:" in first for page in ("docs/commands.md", "docs/env-vars.md"))
    assert "README.md" not in first
    assert "| `make analytics-enable` | " in first
    assert "changed make.d/analytics.conf\n" in second
    assert "Add to" not in second


def test_the_last_line_says_that_no_project_is_set(onramp: OnRamp) -> None:
    last = "No PostHog project is set, so nothing will be sent: use --api-key to set it."

    assert [onramp.install().splitlines()[-1], again(onramp).splitlines()[-1]] == [last, last]
    assert last not in again(onramp, "--api-key", KEY)


def assignments(onramp: OnRamp) -> list[str]:
    script = (onramp.path / "make.d/analytics.sh").read_text()
    return [line for line in script.splitlines() if line and not line.startswith("#")][:4]


class TestWhatUsersInstall:
    def test_has_no_default(self, onramp: OnRamp) -> None:
        before = everything(onramp)

        said = again(onramp, check=False)

        assert said.startswith("1: onramp-analytics: choose what users install: --wheel FILE ")
        assert f"--package {PACKAGE} " in said
        assert everything(onramp) == before

    def test_is_one_of_two(self, onramp: OnRamp, tmp_path: Path) -> None:
        said = again(onramp, "--package", PACKAGE, "--wheel", str(a_wheel(tmp_path)), check=False)

        assert said.startswith("2: ")

    def test_a_package_is_written_into_the_script(self, onramp: OnRamp) -> None:
        onramp.install("--package", "onramp-analytics==9.9.0")

        assert assignments(onramp) == ["package='onramp-analytics==9.9.0'", "wheel=''", "sha256=''", "version='9.9.0'"]

    def test_a_wheel_lies_in_the_checkout_with_its_own_name_and_its_hash_in_the_script(
        self, onramp: OnRamp, tmp_path: Path
    ) -> None:
        wheel = a_wheel(tmp_path)

        said = onramp.install("--wheel", str(wheel))

        assert f"wrote make.d/{wheel.name}\n" in said
        assert (onramp.path / "make.d" / wheel.name).read_bytes() == wheel.read_bytes()
        sha256 = hashlib.sha256(wheel.read_bytes()).hexdigest()
        assert assignments(onramp) == ["package=''", f"wheel='{wheel.name}'", f"sha256='{sha256}'", "version='9.9.0'"]

    def test_is_kept_when_install_runs_again(self, onramp: OnRamp, tmp_path: Path) -> None:
        onramp.install("--wheel", str(a_wheel(tmp_path)))
        before = everything(onramp)

        said = again(onramp)

        assert UP_TO_DATE in said
        assert everything(onramp) == before
        assert f"Users install make.d/onramp_analytics-9.9.0-py3-none-any.whl, but this is {__version__}:" in said

    @pytest.mark.parametrize("newer", ["wheel", "package"])
    def test_an_older_wheel_of_ours_is_deleted(self, onramp: OnRamp, tmp_path: Path, newer: str) -> None:
        old = a_wheel(tmp_path, "9.8.0")
        onramp.install("--wheel", str(old))

        said = again(onramp, "--wheel", str(a_wheel(tmp_path))) if newer == "wheel" else onramp.install()

        assert f"deleted make.d/{old.name}\n" in said
        assert not (onramp.path / "make.d" / old.name).exists()

    def test_a_wheel_that_is_not_ours_by_its_hash_stays(self, onramp: OnRamp, tmp_path: Path) -> None:
        old = a_wheel(tmp_path, "9.8.0")
        onramp.install("--wheel", str(old))
        theirs = onramp.path / "make.d" / old.name
        theirs.write_bytes(b"other")

        again(onramp, "--wheel", str(a_wheel(tmp_path)))
        onramp.command("uninstall", str(onramp.path))

        assert theirs.read_bytes() == b"other"

    def test_a_file_of_that_name_that_is_not_ours_is_refused(self, onramp: OnRamp, tmp_path: Path) -> None:
        wheel = a_wheel(tmp_path)
        (onramp.path / "make.d" / wheel.name).write_bytes(b"other")
        before = everything(onramp)

        said = onramp.install("--wheel", str(wheel), check=False)

        assert f"make.d/{wheel.name} was not created by onramp-analytics" in said
        assert everything(onramp) == before


class TestCheck:
    def test_is_0_after_install_and_1_after_a_service_was_added_upstream_and_0_after_install(
        self, onramp: OnRamp
    ) -> None:
        onramp.install()
        first = again(onramp, "--check")
        (onramp.path / "services-available/emby.yml").write_text("x\n")
        publish(onramp, "services-available/emby.yml")
        before = everything(onramp)

        second = again(onramp, "--check", check=False)
        unchanged = everything(onramp)
        again(onramp)

        assert UP_TO_DATE in first
        assert second.startswith(f"1: Compared with commit {onramp.git('rev-parse', 'HEAD')[:12]} of origin/main")
        assert "make.d/analytics.names is out of date\n1 name added, 0 removed:\n  + service emby\n" in second
        assert unchanged == before
        assert UP_TO_DATE in again(onramp, "--check")

    def test_names_a_file_that_is_missing_or_older(self, onramp: OnRamp) -> None:
        onramp.install()
        (onramp.path / "docs/analytics.md").unlink()
        (onramp.path / "GNUmakefile").write_text(signed("# of an older version\n"))

        said = again(onramp, "--check", check=False)

        assert "docs/analytics.md is missing\n" in said
        assert "GNUmakefile is out of date\n" in said
        assert "onramp-analytics: the integration is out of date: " in said

    def test_names_a_service_that_was_committed_and_not_pushed_and_publishes_nothing(self, onramp: OnRamp) -> None:
        onramp.install()
        (onramp.path / "services-available/my-divorce-lawyers-files.yml").write_text("x\n")
        commit(onramp, "services-available/my-divorce-lawyers-files.yml")

        said = again(onramp, "--check")
        again(onramp)

        assert "service my-divorce-lawyers-files is committed here, but not on OnRamp's main branch" in said
        assert "divorce" not in (onramp.path / "make.d/analytics.names").read_text()

    def test_is_2_where_the_integration_is_not_installed_or_was_edited(self, onramp: OnRamp) -> None:
        missing = again(onramp, "--check", check=False)
        edited(onramp)
        changed = again(onramp, "--check", check=False)

        assert missing.startswith("2: onramp-analytics: the make integration is not installed")
        assert changed.startswith(f"2: onramp-analytics: {onramp.path}/make.d/analytics.mk was edited")


def commit(onramp: OnRamp, *paths: str) -> None:
    onramp.git("add", "--", *paths)
    onramp.git("commit", "-qm", "a change")


def publish(onramp: OnRamp, *paths: str) -> None:
    commit(onramp, *paths)
    onramp.git("update-ref", "refs/remotes/origin/main", "HEAD")


@pytest.mark.parametrize("purge", [[], ["--purge"]], ids=["", "purge"])
def test_uninstall_leaves_git_status_clean(onramp: OnRamp, tmp_path: Path, purge: list[str]) -> None:
    before, status = everything(onramp), onramp.status()
    onramp.install("--wheel", str(a_wheel(tmp_path)))

    said = onramp.command("uninstall", str(onramp.path), *purge)

    assert all(f" {name}\n" in said for name in (*WRITTEN, "make.d/onramp_analytics-9.9.0-py3-none-any.whl"))
    assert everything(onramp) == before
    assert not (onramp.path / "docs").exists()
    assert onramp.status() == status
    assert onramp.command("uninstall", str(onramp.path), *purge) == "Not installed; nothing to remove.\n"


def test_uninstall_keeps_queued_events_and_consent_and_git_goes_on_ignoring_them(onramp: OnRamp) -> None:
    onramp.install()
    onramp.opt_in()
    onramp.make("list")
    onramp.wait_for(1)

    said = onramp.command("uninstall", str(onramp.path))
    onramp.git("add", "-A")
    added = onramp.git("diff", "--cached", "--name-only").split()

    assert "Kept: onramp.lock, onramp.program, onramp.spool," in said
    assert "The block in .gitignore was also kept" in said
    assert (onramp.path / "onramp.spool").exists()
    assert "onramp." not in " ".join(added)


def test_purge_says_what_it_deleted_also_when_it_has_nothing_else_to_do(onramp: OnRamp) -> None:
    ignored = (onramp.path / ".gitignore").read_text()
    onramp.install()
    onramp.opt_in()
    onramp.make("list")
    onramp.wait_for(1)
    onramp.command("uninstall", str(onramp.path))

    said = onramp.command("uninstall", str(onramp.path), "--purge")

    assert all(f"deleted {name}\n" in said for name in ("onramp.lock", "onramp.program", "onramp.spool"))
    assert "changed .gitignore\n" in said
    assert not list(onramp.path.glob("onramp.*"))
    assert (onramp.path / ".gitignore").read_text() == ignored


def test_purge_keeps_the_lines_of_others_and_replaces_the_file_whole(onramp: OnRamp, tmp_path: Path) -> None:
    onramp.install()
    onramp.opt_in()
    onramp.lock.write_text("OTHERS=1\n" + onramp.lock.read_text())
    os.link(onramp.lock, tmp_path / "as-it-was")  # truncating the file would empty this one, too

    said = onramp.command("uninstall", str(onramp.path), "--purge")

    assert onramp.lock.read_text() == "OTHERS=1\n"
    assert "changed onramp.lock: all other settings are kept\n" in said
    assert "ANALYTICS_ID=" in (tmp_path / "as-it-was").read_text()


def someone_elses(onramp: OnRamp) -> None:
    (onramp.path / "GNUmakefile").write_text("include Makefile\n")


def edited(onramp: OnRamp) -> None:
    onramp.install()
    file = onramp.path / "make.d/analytics.mk"
    file.write_text(file.read_text() + "# mine\n")


def edited_page(onramp: OnRamp) -> None:
    onramp.install()
    file = onramp.path / "docs/analytics.md"
    file.write_text(file.read_text() + "mine\n")


def edited_settings(onramp: OnRamp) -> None:
    onramp.install()
    file = onramp.path / "make.d/analytics.conf"
    file.write_text(file.read_text().replace("daily", "at-once"))


def a_link(onramp: OnRamp) -> None:
    (onramp.path / "make.d/analytics.names").symlink_to("elsewhere")


def a_linked_folder(onramp: OnRamp) -> None:
    outside = onramp.path.parent / "outside"
    (onramp.path / "make.d").rename(outside)
    (onramp.path / "make.d").symlink_to(outside)


def no_checkout(onramp: OnRamp) -> None:
    (onramp.path / "Makefile").unlink()


def no_git(onramp: OnRamp) -> None:
    (onramp.path / ".git").rename(onramp.path.parent / "git")


def no_includes(onramp: OnRamp) -> None:
    (onramp.path / "Makefile").write_text("start:\n")


def a_cut_block(onramp: OnRamp) -> None:
    (onramp.path / ".gitignore").write_text("# onramp-analytics: begin\n")


def a_fifo(onramp: OnRamp) -> None:
    os.mkfifo(onramp.path / "make.d/analytics.mk")


@pytest.mark.parametrize(
    ("prepare", "reason"),
    [
        (someone_elses, "GNUmakefile was not created by onramp-analytics"),
        (edited, "make.d/analytics.mk was edited"),
        (edited_page, "docs/analytics.md was edited: move it away, then run this again\n"),
        (edited_settings, "run this again; `install` takes the settings as options (--api-key, --host, --send, "),
        (a_link, "make.d/analytics.names is a symbolic link"),
        (a_linked_folder, "make.d is a symbolic link: replace it with a folder"),
        (no_checkout, "is not an OnRamp checkout"),
        (no_git, "is not a clone of OnRamp"),
        (no_includes, "does not include make.d/*.mk"),
        (a_cut_block, "has no end"),
        (a_fifo, "is not a small regular file"),
    ],
    ids=lambda value: getattr(value, "__name__", ""),
)
def test_install_refuses_with_the_reason_and_changes_nothing(onramp: OnRamp, prepare: object, reason: str) -> None:
    assert callable(prepare)
    prepare(onramp)
    before = everything(onramp)

    said = onramp.install(check=False)

    assert said.startswith("1: onramp-analytics: ")
    assert said.count("\n") == 1
    assert reason in said
    assert everything(onramp) == before


@pytest.mark.parametrize("prepare", [edited, someone_elses])
def test_uninstall_deletes_nothing_that_is_not_ours_alone(onramp: OnRamp, prepare: object) -> None:
    assert callable(prepare)
    prepare(onramp)
    onramp.lock.write_text("ANALYTICS_ENABLED=1\n")
    before = everything(onramp)

    assert onramp.command("uninstall", str(onramp.path), "--purge", check=False).startswith("1: onramp-analytics: ")
    assert everything(onramp) == before


@pytest.mark.parametrize(
    ("words", "reason"),
    [
        (["--api-key", "phx_secret123"], "--api-key contains a personal secret"),
        (["--api-key", "nonsense"], "--api-key is "),
        (["--host", "http://example.com"], "--host must begin with https://"),
        (["--host", "https://example.com/\x1b[2J"], "--host"),
        (["--host", "https://example.com/`id`"], "--host contains a character"),
        (["--send", "hourly"], "--send must be daily or at-once"),
        (["--docs-url", "javascript:alert(1)"], "--docs-url is not a valid URL"),
        (["--contact", "a\nANALYTICS_HOST=https://evil.example"], "--contact must be one line"),
        (["--contact", "<img src=x>"], "--contact must be one line"),
        (["--package", "other==1"], "--package must name one version"),
        (["--package", "onramp-analytics"], "--package must name one version"),
        (["--package", "onramp-analytics==1'; id"], "--package must name one version"),
        (["--wheel", "README.md"], "--wheel: README.md must keep its name"),
        (["--wheel", "onramp_analytics-1-py3-none-any.whl"], "is not a wheel of onramp-analytics"),
        (["--upstream", "--help"], "--upstream must be REMOTE/BRANCH"),
        (["--upstream", "origin/other"], "this clone has no origin/other"),
    ],
    ids=lambda value: " ".join(value).encode("ascii", "ignore") if isinstance(value, list) else "",
)
def test_an_option_that_is_not_valid_is_refused_by_its_name(onramp: OnRamp, words: list[str], reason: str) -> None:
    before = everything(onramp)

    said = onramp.install(*words, check=False)

    assert reason in said
    assert "phx_secret123" not in said
    assert everything(onramp) == before


def test_if_one_file_cannot_be_written_none_is(onramp: OnRamp) -> None:
    (onramp.path / "make.d/analytics.names.onramp-new").mkdir()  # also in root's way
    before = everything(onramp)

    said = onramp.install(check=False)

    assert "cannot be read or written" in said
    assert "nothing was changed" in said
    assert everything(onramp) == before


@pytest.mark.parametrize("name", [".gitignore", "GNUmakefile", "make.d/analytics.mk", "docs/analytics.md"])
def test_a_link_in_the_place_of_a_temporary_file_is_not_followed(onramp: OnRamp, tmp_path: Path, name: str) -> None:
    profile = tmp_path / ".bashrc"
    profile.write_text("theirs\n")
    link = onramp.path / f"{name}.onramp-new"
    link.parent.mkdir(exist_ok=True)
    link.symlink_to(profile)

    onramp.install()

    assert profile.read_text() == "theirs\n"
    assert not link.is_symlink()


def test_a_linked_docs_folder_is_refused_and_nothing_is_written_there(onramp: OnRamp, tmp_path: Path) -> None:
    (tmp_path / "outside").mkdir()
    (onramp.path / "docs").symlink_to(tmp_path / "outside")

    said = onramp.install(check=False)

    assert "docs is a symbolic link: replace it with a folder" in said
    assert not list((tmp_path / "outside").iterdir())


def test_the_files_can_be_read_by_everybody_whatever_the_umask(onramp: OnRamp) -> None:
    subprocess.run(
        ["sh", "-c", 'umask 077; exec "$@"', "sh", PROGRAM, "install", onramp.path, *UPSTREAM, "--package", PACKAGE],
        env=onramp.env,
        capture_output=True,
        check=True,
    )

    assert {(onramp.path / name).stat().st_mode & 0o777 for name in WRITTEN} == {0o644}


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give a folder to another user")
@pytest.mark.parametrize("command", ["install", "uninstall"])
def test_root_changes_nothing_in_the_checkout_of_another_user(onramp: OnRamp, command: str) -> None:
    onramp.install()
    os.chown(onramp.path, 65534, 65534)
    before = everything(onramp)

    said = onramp.command(command, str(onramp.path), check=False)

    assert "this checkout belongs to nobody: run sudo -u nobody onramp-analytics" in said
    assert everything(onramp) == before


def test_the_drop_in_itself_publishes_no_name(onramp: OnRamp) -> None:
    onramp.install()
    publish(onramp, ".gitignore", "GNUmakefile", "make.d", "docs")

    assert UP_TO_DATE in again(onramp)
