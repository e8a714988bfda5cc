"""The release: generated files, the wheel, the environments, the constraints, the workflows and the README's links."""

from __future__ import annotations

import importlib.metadata
import os
import pty
import re
import shutil
import subprocess
import sys
import tarfile
import zipfile
from pathlib import Path

import nox.project
import pytest
from packaging.requirements import Requirement

import onramp_analytics
from tests.conftest import COMMAND
from tools.generate import COMPLETIONS, PROGRAM, generated

REPOSITORY = Path(__file__).parent.parent
PACKAGE = REPOSITORY / "onramp_analytics"
PYPROJECT = nox.project.load_toml(REPOSITORY / "pyproject.toml")
PYTHONS = nox.project.python_versions(PYPROJECT)  # those that the classifiers name
CONSTRAINTS = (REPOSITORY / "constraints.txt").read_text()
WORKFLOWS = sorted((REPOSITORY / ".github/workflows").glob("*.yml"))
ASKED = ["show-id", "show-pending", "show-sent"]  # what `onramp-analytics sh` may become


@pytest.mark.parametrize("path", ["docs/analytics.md", f"docs/man/{PROGRAM}.1", *COMPLETIONS])
def test_what_is_generated_is_as_the_code_has_it(path: str) -> None:
    assert (REPOSITORY / path).read_text() == generated()[path], "run `make docs` and commit what it writes"


@pytest.mark.skipif(not shutil.which("man"), reason="no man here")
def test_man_reads_the_page_without_a_warning() -> None:
    done = subprocess.run(
        ["man", "--warnings", "-E", "UTF-8", "-l", REPOSITORY / f"docs/man/{PROGRAM}.1"],
        env={"PATH": "/usr/bin:/bin", "MANWIDTH": "80", "LC_ALL": "C.UTF-8"},
        capture_output=True,
        text=True,
        check=True,
    )

    assert done.stderr == ""
    assert "onramp-analytics track EVENT [KEY=VALUE]..." in done.stdout
    sections = ("FILES", "ENVIRONMENT", "EXIT STATUS", "EXAMPLES", "SEE ALSO")
    assert [line for line in done.stdout.splitlines() if line in sections] == list(sections)


def complete(shell: str, script: str) -> list[str]:
    """Let a shell complete `onramp-analytics sh`, and return what it offers."""
    done = subprocess.run(
        [shell, "-c", script],
        env={"PATH": f"{Path(COMMAND).parent}:/usr/bin:/bin", "HOME": "/nonexistent"},
        cwd=REPOSITORY,
        capture_output=True,
        text=True,
        check=True,
    )
    return [line.split("\t")[0] for line in done.stdout.splitlines()]


def test_bash_completes_the_commands() -> None:
    words = "COMP_WORDS=(onramp-analytics sh); COMP_CWORD=1"
    ask = "_onramp_analytics_completion onramp-analytics; printf '%s\\n' \"${COMPREPLY[@]}\""

    assert complete("bash", f"source docs/completions/bash/{PROGRAM}; {words}; {ask}") == ASKED


@pytest.mark.skipif(not shutil.which("fish"), reason="no fish here")
def test_fish_completes_the_commands() -> None:
    assert complete("fish", f"source docs/completions/fish/{PROGRAM}.fish; complete -C '{PROGRAM} sh'") == ASKED


@pytest.mark.skipif(not shutil.which("zsh"), reason="no zsh here")
def test_zsh_completes_the_commands() -> None:
    stubs = "compdef() {}; _describe() { print -l ${${(P)3}%%:*} }"  # completion itself needs a terminal
    ask = "words=(onramp-analytics sh); CURRENT=2; _onramp_analytics_completion"

    assert complete("zsh", f"{stubs}; source docs/completions/zsh/_{PROGRAM}; {ask}") == ASKED


@pytest.mark.parametrize(
    ("words", "offered"),
    [
        ("track service_e", ["service_enabled"]),
        ("track service_enabled ''", ["service_name=", "has_scaffold="]),
        ("track service_enabled service_name = plex ''", ["has_scaffold="]),  # bash takes a word apart at its =
        ("track nonsense ''", [""]),
    ],
)
def test_bash_completes_events_and_the_properties_that_are_not_given(words: str, offered: list[str]) -> None:
    line = f"COMP_WORDS=(onramp-analytics {words}); COMP_CWORD=$((${{#COMP_WORDS[@]}} - 1)); compopt() {{ :; }}"
    ask = "_onramp_analytics_completion onramp-analytics; printf '%s\\n' \"${COMPREPLY[@]}\""

    assert complete("bash", f"source docs/completions/bash/{PROGRAM}; {line}; {ask}") == offered


def test_bash_adds_no_space_after_the_name_of_a_property() -> None:
    parent, child = pty.openpty()
    env = {"PATH": f"{Path(COMMAND).parent}:/usr/bin:/bin", "HOME": "/nonexistent", "TERM": "dumb", "PS1": "> "}
    bash = subprocess.Popen(
        ["bash", "--norc", "-i"],
        cwd=REPOSITORY,
        env=env,
        stdin=child,
        stdout=child,
        stderr=child,
        start_new_session=True,
    )
    os.close(child)
    os.write(parent, f"source docs/completions/bash/{PROGRAM}\n".encode())
    os.write(parent, f"{PROGRAM} track service_disabled \t".encode())
    seen = b""
    while b"service_name=" not in seen:
        seen += os.read(parent, 4096)
    os.write(parent, b"plex #\n")  # a comment, so that the line is seen whole before it runs
    while b"plex #" not in seen:
        seen += os.read(parent, 4096)
    bash.kill()
    bash.wait()
    os.close(parent)

    assert b"service_name=plex #" in seen


WHOLE = "milliseconds, rounded: 3258 becomes 3300, and 57 becomes 60; at most one day"


@pytest.mark.skipif(not shutil.which("fish"), reason="no fish here")
def test_fish_shows_a_description_whole() -> None:
    done = subprocess.run(
        [
            "fish",
            "-c",
            f"source docs/completions/fish/{PROGRAM}.fish; complete -C '{PROGRAM} track command_executed dur'",
        ],
        env={"PATH": f"{Path(COMMAND).parent}:/usr/bin:/bin", "HOME": "/nonexistent"},
        cwd=REPOSITORY,
        capture_output=True,
        text=True,
        check=True,
    )

    assert done.stdout == f"duration_ms=\t{WHOLE}\n"


@pytest.mark.skipif(not shutil.which("zsh"), reason="no zsh here")
def test_zsh_shows_a_description_whole_and_adds_no_space_after_the_name_of_a_property() -> None:
    stubs = 'compdef() {}; _describe() { print -l -- ${(P)3} "${(q)@[4,-1]}" }'
    ask = "words=(onramp-analytics track command_executed dur); CURRENT=4; _onramp_analytics_completion"

    offered = complete("zsh", f"{stubs}; source docs/completions/zsh/_{PROGRAM}; {ask}")

    assert offered == [f"duration_ms=:{WHOLE}", "-U", "-S", "''"]


@pytest.fixture(scope="module")
def dist(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("dist")
    build = [sys.executable, "-m", "hatchling", "build", "-d", str(folder)]
    subprocess.run(build, cwd=REPOSITORY, capture_output=True, check=True)
    return folder


def test_the_wheel_holds_the_package_the_queries_and_what_man_and_the_shells_read(dist: Path) -> None:
    (wheel,) = dist.glob("*.whl")
    version = onramp_analytics.__version__
    inside = set(zipfile.ZipFile(wheel).namelist())

    package = {str(file.relative_to(REPOSITORY)) for file in PACKAGE.rglob("*") if file.is_file()}
    package = {name for name in package if "__pycache__" not in name}
    share = {
        f"man/man1/{PROGRAM}.1",
        f"bash-completion/completions/{PROGRAM}",
        f"zsh/site-functions/_{PROGRAM}",
        f"fish/vendor_completions.d/{PROGRAM}.fish",
    }
    data = {f"onramp_analytics-{version}.data/data/share/{name}" for name in share}
    rest = {name for name in inside if name.startswith(f"onramp_analytics-{version}.dist-info/")}
    assert inside - rest == package | data
    assert f"onramp_analytics-{version}.dist-info/licenses/LICENSE" in rest


def test_the_sdist_holds_everything_that_git_has(dist: Path) -> None:
    (sdist,) = dist.glob("*.tar.gz")
    with tarfile.open(sdist) as archive:
        inside = {name.partition("/")[2] for name in archive.getnames()}

    listed = subprocess.run(["git", "ls-files"], cwd=REPOSITORY, capture_output=True, text=True, check=False)
    assert set(listed.stdout.split()) - inside == set()


def test_the_version_is_written_in_one_place() -> None:
    assert importlib.metadata.version(PROGRAM) == onramp_analytics.__version__
    assert re.search(r'^dynamic = \["version"\]$', (REPOSITORY / "pyproject.toml").read_text(), re.MULTILINE)


def test_the_changelog_has_a_section_for_what_is_not_released_or_for_this_version() -> None:
    sections = re.findall(r"^## \[(.+?)\]", (REPOSITORY / "CHANGELOG.md").read_text(), re.MULTILINE)

    assert sections[0] in ("Unreleased", onramp_analytics.__version__)


INCLUDED = "onramp_analytics/integration/analytics.mk"
STUB_OF_UV = """\
echo "$@" >> log
mkdir -p .venv/bin
for program in .venv/bin/onramp-analytics .venv/bin/mypy; do
    printf '#!/bin/sh\\n' > $program; chmod +x $program
done"""


def project_with(folder: Path, *programs: str, **scripts: str) -> dict[str, str]:
    """Copy what make needs into a folder. Return an environment with these programs, and with stubs for all others."""
    for name in ("Makefile", "pyproject.toml", "constraints.txt", "onramp_analytics/__init__.py", INCLUDED):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(REPOSITORY / name, folder / name)
    (folder / "bin").mkdir()
    for program in ("make", "sh", "touch", "mkdir", *programs):
        (folder / "bin" / program).symlink_to(str(shutil.which(program)))
    for name, script in scripts.items():
        (folder / "bin" / name).write_text(f"#!/bin/sh\n{script}\n")
        (folder / "bin" / name).chmod(0o755)
    return {"PATH": str(folder / "bin"), "HOME": str(folder)}


def make_in(folder: Path, env: dict[str, str], *words: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(["make", "-s", *words], cwd=folder, env=env, capture_output=True, text=True, check=False)


@pytest.mark.parametrize(("goal", "tools"), [("demo", 0), ("types", 1)])
def test_only_what_needs_the_tools_installs_them(tmp_path: Path, goal: str, tools: int) -> None:
    env = project_with(tmp_path, "chmod", uv=STUB_OF_UV)

    done = make_in(tmp_path, env, goal)

    installs = [line for line in (tmp_path / "log").read_text().splitlines() if line.startswith("pip install ")]
    assert done.returncode == 0, done.stderr
    assert installs[0].endswith("--constraint constraints.txt --editable .")
    assert [line.endswith("--constraint constraints.txt --group dev") for line in installs[1:]] == [True] * tools


def test_an_environment_that_is_there_is_not_installed_again(tmp_path: Path) -> None:
    env = project_with(tmp_path, "chmod", uv=STUB_OF_UV)
    make_in(tmp_path, env, "types")
    before = (tmp_path / "log").read_text()

    done = make_in(tmp_path, env, "demo", "types")

    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
    assert (tmp_path / "log").read_text() == before


def test_with_uv_make_uses_the_python_that_was_named(tmp_path: Path) -> None:
    env = project_with(tmp_path, "chmod", uv=STUB_OF_UV)

    make_in(tmp_path, env, "demo", "PYTHON=python3.12")

    assert "--python python3.12 .venv" in (tmp_path / "log").read_text()


@pytest.mark.parametrize(
    ("scripts", "said"),
    [
        ({}, "python3 was not found: install Python 3.10 or later, or name it: make PYTHON=python3.12 ..."),
        (
            {"python3": 'case "$*" in *ensurepip*) exit 1; esac'},
            'python3 cannot create a virtual environment: run "sudo apt-get install python3-venv", or install uv.',
        ),
        (
            {"python3": f'exec {sys.executable} -c "import sys; sys.version_info = (3, 9); $2"'},
            "Python 3.10 or later is needed: make PYTHON=python3.12 ...",
        ),
    ],
    ids=["no Python", "Debian without python3-venv", "Python 3.9"],
)
def test_without_a_usable_python_make_says_in_a_sentence_what_to_do(
    tmp_path: Path, scripts: dict[str, str], said: str
) -> None:
    env = project_with(tmp_path, **scripts)

    done = make_in(tmp_path, env, "demo")

    first, *rest = done.stderr.splitlines()
    assert (done.returncode, first) == (2, said)
    assert [line for line in rest if not line.startswith("make: ***")] == []


def requirements() -> list[str]:
    groups = PYPROJECT["dependency-groups"].values()
    return [*PYPROJECT["project"]["dependencies"], *(wanted for group in groups for wanted in group)]


@pytest.mark.parametrize("python", PYTHONS)
def test_the_constraints_have_one_allowed_version_of_each_requirement(python: str) -> None:
    environment = {"python_version": python, "python_full_version": f"{python}.4"}
    lines = [Requirement(line) for line in CONSTRAINTS.splitlines() if not line.startswith("#")]
    pinned = [line for line in lines if not line.marker or line.marker.evaluate(environment)]

    for wanted in map(Requirement, requirements()):
        if not wanted.marker or wanted.marker.evaluate(environment):
            found = [str(line.specifier) for line in pinned if line.name == wanted.name]
            allowed = [version for version in found if wanted.specifier.contains(version.removeprefix("=="))]
            assert len(found) == len(allowed) == 1, f"{wanted}: run `make constraints` and commit what it writes"


def test_the_constraints_name_no_package_index() -> None:
    assert "://" not in CONSTRAINTS
    assert not re.search(r"^-", CONSTRAINTS, re.MULTILINE)


@pytest.mark.parametrize("workflow", WORKFLOWS, ids=lambda path: path.name)
def test_every_action_is_pinned_to_one_commit_and_names_its_version(workflow: Path) -> None:
    everywhere = "".join(path.read_text() for path in WORKFLOWS)
    used = re.findall(r"uses: *(.+)", workflow.read_text())

    assert used
    for action in used:
        assert re.fullmatch(r"[\w-]+/[\w-]+@[0-9a-f]{40}  # v\d+\.\d+\.\d+", action), action
        assert set(re.findall(rf"uses: *({re.escape(action.partition('@')[0])}@.+)", everywhere)) == {action}


@pytest.mark.parametrize("workflow", WORKFLOWS, ids=lambda path: path.name)
def test_a_workflow_starts_without_permissions_and_keeps_no_credentials(workflow: Path) -> None:
    text = workflow.read_text()

    assert "\npermissions: {}\n" in text
    assert text.count("actions/checkout@") == text.count("persist-credentials: false")
    assert "secrets." not in text


def test_only_the_jobs_that_publish_may_write() -> None:
    writes = {path.name: re.findall(r"^ +([\w-]+): write", path.read_text(), re.MULTILINE) for path in WORKFLOWS}

    assert writes == {"ci.yml": [], "release.yml": ["id-token", "contents"]}


def test_the_workflows_and_the_lowest_version_agree_with_the_classifiers() -> None:
    (matrix,) = re.findall(r"python: \[(.+)\]", (REPOSITORY / ".github/workflows/ci.yml").read_text())
    (release,) = re.findall(
        r"python-version: \|\n((?: +3\.\d+\n)+)", (REPOSITORY / ".github/workflows/release.yml").read_text()
    )

    assert matrix.replace('"', "").split(", ") == PYTHONS
    assert sorted(release.split()) == PYTHONS
    assert PYPROJECT["project"]["requires-python"] == f">={PYTHONS[0]}"


def test_the_links_of_the_readme_work_on_the_package_index_and_lead_somewhere() -> None:
    repository = PYPROJECT["project"]["urls"]["Repository"]
    raw = repository.replace("https://github.com/", "https://raw.githubusercontent.com/") + "/main/"
    links = re.findall(r"\]\(([^)]+)\)", (REPOSITORY / "README.md").read_text())
    ours = [link for link in links if "onramp-analytics" in link]

    assert len(ours) > 10
    for link in links:
        assert link.startswith("https://"), f"{link} leads nowhere on the package index"
    for link in ours:
        path = link.removeprefix(f"{repository}/blob/main/").removeprefix(raw)
        assert (REPOSITORY / path).is_file(), link


def test_the_wheel_names_the_links_and_the_pythons(dist: Path) -> None:
    (wheel,) = dist.glob("*.whl")
    with zipfile.ZipFile(wheel) as archive:
        (name,) = (name for name in archive.namelist() if name.endswith(".dist-info/METADATA"))
        metadata = archive.read(name).decode()

    for label, url in PYPROJECT["project"]["urls"].items():
        assert f"Project-URL: {label}, {url}\n" in metadata
    for python in PYTHONS:
        assert f"Classifier: Programming Language :: Python :: {python}\n" in metadata
