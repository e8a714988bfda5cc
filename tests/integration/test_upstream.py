"""Which commit is OnRamp's: asked of OnRamp's own repository, for which a bare one on disk stands here.

No test asks the real one, and nothing but these tests can put another in its place.
"""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest

from onramp_analytics.errors import CouldNot
from onramp_analytics.integration import install, published_names, upstream
from onramp_analytics.integration.install import Options
from tests.onramp_checkout import PACKAGE, OnRamp, build, git

SECRET = "my-divorce-lawyers-files"


@pytest.fixture
def onramp(tmp_path: Path) -> OnRamp:
    return build(tmp_path, os.environ)


@pytest.fixture
def official(onramp: OnRamp, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A bare repository in the place of OnRamp's, with what the clone has."""
    bare = tmp_path / "official.git"
    git(tmp_path, "clone", "-q", "--bare", str(onramp.path), str(bare))
    monkeypatch.setattr(upstream, "REPOSITORY", str(bare))
    return bare


def commit_secret(onramp: OnRamp) -> None:
    (onramp.path / f"services-available/{SECRET}.yml").write_text("x\n")
    onramp.git("add", f"services-available/{SECRET}.yml")
    onramp.git("commit", "-qm", "private")


def without_upstream(onramp: OnRamp) -> None:
    onramp.git("checkout", "-q", "-b", "private", "--no-track")
    commit_secret(onramp)


def with_a_local_upstream(onramp: OnRamp) -> None:
    onramp.git("checkout", "-q", "-b", "private")
    commit_secret(onramp)
    onramp.git("checkout", "-q", "-b", "work", "--track", "private")


def with_a_fork_as_origin(onramp: OnRamp) -> None:
    commit_secret(onramp)
    fork = onramp.path.parent / "fork.git"
    git(onramp.path.parent, "clone", "-q", "--bare", str(onramp.path), str(fork))
    onramp.git("remote", "set-url", "origin", str(fork))
    onramp.git("fetch", "-q", "origin")


def with_the_official_url_on_a_remote_that_holds_a_fork(onramp: OnRamp) -> None:
    with_a_fork_as_origin(onramp)
    onramp.git("remote", "set-url", "origin", upstream.REPOSITORY)


def with_an_address_that_is_rewritten_in_the_clone(onramp: OnRamp) -> None:
    with_a_fork_as_origin(onramp)
    onramp.git("config", f"url.{onramp.path.parent / 'fork.git'}.insteadOf", upstream.REPOSITORY)


def with_an_address_that_is_rewritten_in_the_home(onramp: OnRamp) -> None:
    with_a_fork_as_origin(onramp)
    home = Path(onramp.env["HOME"])
    (home / ".gitconfig").write_text(f'[url "{home.parent / "fork.git"}"]\n\tinsteadOf = {upstream.REPOSITORY}\n')


def with_a_replaced_commit(onramp: OnRamp) -> None:
    published = onramp.git("rev-parse", "HEAD").strip()
    commit_secret(onramp)
    onramp.git("replace", published, "HEAD")


@pytest.mark.parametrize(
    "prepare",
    [
        without_upstream,
        with_a_local_upstream,
        with_a_fork_as_origin,
        with_the_official_url_on_a_remote_that_holds_a_fork,
        with_an_address_that_is_rewritten_in_the_clone,
        with_an_address_that_is_rewritten_in_the_home,
        with_a_replaced_commit,
    ],
    ids=lambda value: value.__name__,
)
def test_a_private_name_is_not_published(
    onramp: OnRamp, official: Path, monkeypatch: pytest.MonkeyPatch, prepare: object
) -> None:
    assert callable(prepare)
    monkeypatch.setenv("HOME", onramp.env["HOME"])
    monkeypatch.setenv("GIT_CONFIG_GLOBAL", f"{onramp.env['HOME']}/.gitconfig")
    prepare(onramp)
    monkeypatch.chdir(onramp.path)

    plan = install.install(onramp.path, Options(package=PACKAGE))

    written = (onramp.path / "make.d/analytics.names").read_text()
    assert "service plex scaffold\n" in written
    assert SECRET not in written
    assert str(plan.commit) == f"commit {git(official, 'rev-parse', 'main')[:12]} of {official}"


def test_a_clone_that_lacks_the_commit_is_to_fetch_it(onramp: OnRamp, official: Path, tmp_path: Path) -> None:
    git(tmp_path, "clone", "-q", str(official), "work")
    (tmp_path / "work/services-available/emby.yml").write_text("x\n")
    git(tmp_path / "work", "add", "-A")
    git(tmp_path / "work", "commit", "-qm", "one more")
    git(tmp_path / "work", "push", "-q", "origin", "HEAD:main")

    with pytest.raises(CouldNot) as caught:
        upstream.find(os.fsencode(onramp.path), None)
    remedy = str(caught.value).partition("run ")[2].partition(", then")[0]
    subprocess.run(remedy.split(), check=True, capture_output=True)

    assert remedy == f"git -C {onramp.path} fetch {official} main"
    commit = upstream.find(os.fsencode(onramp.path), None)
    assert "service emby\n" in published_names.of(os.fsencode(onramp.path), commit.id)


def test_a_partial_clone_is_not_completed_from_the_network(official: Path, tmp_path: Path) -> None:
    git(official, "config", "uploadpack.allowFilter", "true")
    git(tmp_path, "clone", "-q", "--no-checkout", "--filter=blob:none", f"file://{official}", "partial")
    root = os.fsencode(tmp_path / "partial")

    with pytest.raises(CouldNot):
        published_names.of(root, upstream.find(root, None).id)


def test_a_repository_that_does_not_answer_is_named_with_the_way_around_it(
    onramp: OnRamp, official: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    official.rename(tmp_path / "gone.git")

    with pytest.raises(CouldNot, match=r"OnRamp's repository cannot be reached; .* --upstream REMOTE/BRANCH"):
        upstream.find(os.fsencode(onramp.path), None)

    monkeypatch.setenv("PATH", str(tmp_path / "empty"))
    with pytest.raises(CouldNot, match="git could not be run"):
        upstream.find(os.fsencode(onramp.path), None)


def test_only_the_branch_of_exactly_that_name_counts(onramp: OnRamp, official: Path) -> None:
    commit_secret(onramp)
    onramp.git("push", "-q", str(official), "HEAD:refs/heads/a/refs/heads/main")  # ls-remote shows it, and first

    commit = upstream.find(os.fsencode(onramp.path), None)

    assert commit.id == git(official, "rev-parse", "refs/heads/main").strip()


def test_no_variable_names_another_repository(
    onramp: OnRamp, official: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    with_a_fork_as_origin(onramp)
    for name, value in {
        "GIT_CONFIG_COUNT": "1",
        "GIT_CONFIG_KEY_0": f"url.{tmp_path / 'fork.git'}.insteadOf",
        "GIT_CONFIG_VALUE_0": str(official),
        "GIT_DIR": str(onramp.path / ".git"),
        "GIT_CONFIG_PARAMETERS": f"'url.{tmp_path / 'fork.git'}.insteadOf={official}'",
    }.items():
        monkeypatch.setenv(name, value)

    monkeypatch.chdir(onramp.path)

    commit = upstream.find(os.fsencode(onramp.path), None)

    assert commit.id != git(tmp_path / "fork.git", "rev-parse", "main").strip()


def test_the_clones_word_is_taken_only_where_it_is_asked_for(onramp: OnRamp) -> None:
    commit_secret(onramp)

    commit = upstream.find(os.fsencode(onramp.path), "origin/main")

    assert commit.id == onramp.git("rev-parse", "origin/main").strip() != onramp.git("rev-parse", "HEAD").strip()
    with pytest.raises(CouldNot, match="this clone has no heads/main"):
        upstream.find(os.fsencode(onramp.path), "heads/main")
