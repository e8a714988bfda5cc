"""The command line: the group, its commands, and how an error becomes one line and an exit status."""

from __future__ import annotations

import os
import sys
from itertools import chain

import click

from onramp_analytics import __version__
from onramp_analytics.cli import completion  # noqa: F401  (registers the shells)
from onramp_analytics.cli.common import echo
from onramp_analytics.cli.consent import disable, enable, notice, reset_id, show_id
from onramp_analytics.cli.dashboard import dashboard
from onramp_analytics.cli.demo import demo
from onramp_analytics.cli.doctor import doctor
from onramp_analytics.cli.events import events
from onramp_analytics.cli.flush import flush
from onramp_analytics.cli.install import install, uninstall
from onramp_analytics.cli.preview import preview
from onramp_analytics.cli.report import report
from onramp_analytics.cli.results import results
from onramp_analytics.cli.show import show_pending, show_sent
from onramp_analytics.cli.status import status
from onramp_analytics.cli.track import track
from onramp_analytics.errors import CouldNot

SECTIONS = {
    "Consent": (enable, disable, show_id, reset_id),
    "Look": (status, show_pending, show_sent, preview, events, report, results, doctor),
    "Send": (track, flush),
    "Maintain": (install, uninstall, dashboard, demo),
}


class _Sections(click.Group):
    """A group whose help lists the commands in sections."""

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:  # noqa: ARG002
        for title, listed in SECTIONS.items():
            with formatter.section(title):
                formatter.write_dl([(command.name or "", command.get_short_help_str()) for command in listed])

    def invoke(self, ctx: click.Context) -> object:
        """Run the command. Name it in the errors that click raises without its name."""
        try:
            return super().invoke(ctx)
        except click.UsageError as error:
            command = self.commands.get(ctx.invoked_subcommand or "")
            if error.ctx is None and command:
                error.ctx = click.Context(command, parent=ctx, info_name=command.name)
            raise


@click.group(cls=_Sections, context_settings={"help_option_names": ["-h", "--help"]})
@click.option(
    "--root",
    metavar="DIR",
    type=click.Path(),
    help="Use this OnRamp checkout (default: $ONRAMP_ROOT, else the checkout that you are in).",
)
@click.version_option(__version__, prog_name="onramp-analytics")
@click.pass_context
def commands(context: click.Context, root: str | None) -> None:
    """Opt-in, anonymous usage analytics for OnRamp.

    Nothing is collected until you opt in (see `enable`). Events are queued in a local file (see `show-pending`) and
    sent later in the background.
    """
    context.obj = root


for _command in (*chain(*SECTIONS.values()), notice):
    commands.add_command(_command)


def main() -> int:
    """Run the command line.

    Returns:
        0 on success, 1 on failure, 2 on a usage error. Errors are one line on standard error.
    """
    for name in ("stdout", "stderr"):
        if getattr(sys, name) is None:  # closed by the caller
            setattr(sys, name, open(os.devnull, "w"))  # noqa: SIM115  (until the process ends)
        getattr(sys, name).reconfigure(errors="replace")  # an ASCII terminal gets ASCII
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
        message = error.format_message()
        return _fail(f"{message}{'' if message.endswith(('.', '?')) else '.'} See `{command} --help`.", 2)
    except click.Abort:
        return _fail("interrupted", 1)
    except (BrokenPipeError, SystemExit):  # click's way of saying it: `show-pending | head` has seen enough
        _stop_writing()
        return 0
    except OSError as error:
        _stop_writing()
        what = os.fsdecode(error.filename or "the output")
        return _fail(f"{what} cannot be used ({error.strerror})", 1)
    return status if isinstance(status, int) else 0


def _stop_writing() -> None:
    """Redirect stdout to /dev/null so that the interpreter does not report a broken pipe at exit."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), 1)


def _fail(sentence: str, status: int) -> int:
    click.echo(echo(f"onramp-analytics: {sentence}"), err=True)
    return status
