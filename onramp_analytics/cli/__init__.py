"""The commands for people. Everything is below this, and nothing imports it."""

from __future__ import annotations

import os
import sys

import click

from onramp_analytics import __version__
from onramp_analytics import root as roots
from onramp_analytics.errors import CouldNot


@click.group(context_settings={"help_option_names": ["-h", "--help"]})
@click.option(
    "--root", metavar="DIR", type=click.Path(), help="The OnRamp checkout; else ONRAMP_ROOT, else found from here."
)
@click.version_option(__version__, prog_name="onramp-analytics")
@click.pass_context
def commands(context: click.Context, root: str | None) -> None:
    """Opt-in, anonymous usage analytics for OnRamp.

    Nothing is collected before `enable`. What is collected waits in a file that `show-pending` prints, and is sent
    later by a process that no command waits for.
    """
    context.obj = root


as_json = click.option("--json", "as_json", is_flag=True, help="JSON, for a program.")


def checkout(context: click.Context) -> bytes:
    """Return the checkout that the command is about.

    Raises:
        CouldNot: there is none.
    """
    named = os.fsencode(context.obj) if context.obj else None
    found = roots.find(named, os.environb)
    if found is None:
        raise CouldNot("this is no OnRamp checkout: go to one, or name it with --root DIR")
    if not os.path.isdir(found):
        raise CouldNot(f"there is no folder {os.fsdecode(found)}: name the OnRamp checkout with --root DIR")
    return found


def counted(number: int, what: str) -> str:
    """Return "1 event", "2 events"."""
    return f"{number:,} {what}{'' if number == 1 else 's'}"


def register_all() -> None:
    """Put every command into the group."""
    from onramp_analytics.cli import (
        choice,
        dashboard,
        demo,
        doctor,
        installing,
        preview,
        report,
        sending,
        showing,
        tracking,
    )

    for module in (choice, showing, preview, report, sending, doctor, demo, tracking, installing, dashboard):
        module.register(commands)


def main() -> int:
    """Run the command line.

    Returns:
        0 done, 1 could not, 2 used wrongly. Errors are one line on standard error.
    """
    register_all()
    for name in ("stdout", "stderr"):
        if getattr(sys, name) is None:  # closed by the caller
            setattr(sys, name, open(os.devnull, "w"))  # noqa: SIM115  (until the process ends)
    try:
        status = commands.main(prog_name="onramp-analytics", standalone_mode=False)
        sys.stdout.flush()
    except CouldNot as error:
        return _fail(str(error), 1)
    except click.exceptions.NoArgsIsHelpError as error:
        click.echo(error.format_message(), err=True)
        return 2
    except click.UsageError as error:
        command = error.ctx.command_path if error.ctx else "onramp-analytics"
        return _fail(f"{error.format_message().rstrip('.')}: see `{command} --help`", 2)
    except click.Abort:
        return _fail("stopped", 1)
    except (BrokenPipeError, SystemExit):  # click's way of saying it: `show-pending | head` has seen enough
        _stop_writing()
        return 0
    except OSError as error:
        _stop_writing()
        what = os.fsdecode(error.filename or "the output")
        return _fail(f"{what} cannot be used ({error.strerror}): mend that, then try again", 1)
    return status if isinstance(status, int) else 0


def _stop_writing() -> None:
    """Let what is still to be written go nowhere, so that the interpreter does not complain at its end."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), 1)


def _fail(sentence: str, status: int) -> int:
    click.echo(f"onramp-analytics: {sentence}", err=True)
    return status
