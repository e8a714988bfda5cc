"""Write what follows from the code, into docs: `make docs`. A test compares.

The man page is every command's `--help`, so that there is one text; `click-man` was looked at, and cuts it short. The
completion scripts are click's own: they ask the program, so they know a new command without being written again.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import click
from click.shell_completion import BashComplete, FishComplete, ShellComplete, ZshComplete

from onramp_analytics import __version__
from onramp_analytics.cli.events import markdown
from onramp_analytics.cli.main import commands

REPOSITORY = Path(__file__).parent.parent
PROGRAM = "onramp-analytics"
#: Where each is looked for below `share` is in pyproject.toml.
COMPLETIONS: dict[str, type[ShellComplete]] = {
    f"docs/completions/bash/{PROGRAM}": BashComplete,
    f"docs/completions/zsh/_{PROGRAM}": ZshComplete,
    f"docs/completions/fish/{PROGRAM}.fish": FishComplete,
}
_CATALOGUE = re.compile(r"(<!-- made by `onramp-analytics events`;[^\n]*\n).*?(\n<!-- end -->)", re.DOTALL)
_VERSION = re.compile(r'((?:onramp-analytics/|"\$lib_version": "))\d[\w.]*')
_SETTING = re.compile(r"^\| (`[A-Z].*?) \| (.*?) \|$", re.MULTILINE)
_WIDTH = 72  # columns: with man's own indent it fits a terminal of 80


def generated() -> dict[str, str]:
    """Return every generated file: its path in the repository, and what it holds."""
    page = (REPOSITORY / "docs/analytics.md").read_text()
    page = _CATALOGUE.sub(lambda found: f"{found[1]}{markdown()}{found[2]}", page)
    return {
        "docs/analytics.md": _VERSION.sub(lambda found: f"{found[1]}{__version__}", page),
        f"docs/man/{PROGRAM}.1": man_page(),
        **{path: completion(shell) for path, shell in COMPLETIONS.items()},
    }


def completion(shell: type[ShellComplete]) -> str:
    """Return the script that teaches a shell the commands."""
    found = shell(commands, {}, PROGRAM, f"_{PROGRAM.replace('-', '_').upper()}_COMPLETE")
    return (found.source_template % found.source_vars()).strip() + "\n"


def man_page() -> str:
    """Return the manual page, for groff."""
    top = click.Context(commands, info_name=PROGRAM, **commands.context_settings)
    return "\n".join(_lines(top)) + "\n"


def _lines(top: click.Context) -> Iterator[str]:
    yield f'.TH {PROGRAM.upper()} 1 "" "{PROGRAM} {__version__}" "User Commands"'
    summary, *rest = (commands.help or "").split("\n\n")
    yield from (".SH NAME", _roff(f"{PROGRAM} - {summary}"))
    yield from (".SH SYNOPSIS", f".B {_roff(PROGRAM)}", _roff("[--root DIR] COMMAND [ARGUMENT ...]"))
    yield ".SH DESCRIPTION"
    for paragraph in rest:
        yield from (".PP", _roff(" ".join(paragraph.split())))
    yield ".SH COMMANDS"
    for name, command in sorted(commands.commands.items()):
        if not command.hidden:
            usage, _, text = _help(name, command, top).partition("\n\n")
            yield from (f'.SS "{_roff(usage.removeprefix("Usage: "))}"', ".nf", _roff(text), ".fi")
    yield ".SH ENVIRONMENT"
    for names, meaning in _SETTING.findall((REPOSITORY / "README.md").read_text()):
        yield from (".TP", f".B {_roff(names.replace('`', ''))}", _roff(meaning.replace("`", "")))
    yield from (".SH EXIT STATUS", "0 done, 1 could not, 2 used wrongly. An error is one line on standard error.")


def _help(name: str, command: click.Command, top: click.Context) -> str:
    return click.Context(command, parent=top, info_name=name, terminal_width=_WIDTH).get_help()


def _roff(text: str) -> str:
    """Return text as groff prints it unchanged."""
    text = text.replace("\\", "\\e").replace("-", "\\-")
    return re.sub(r"^([.'])", r"\\&\1", text, flags=re.MULTILINE)


if __name__ == "__main__":
    for path, content in generated().items():
        file = REPOSITORY / path
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(content)
