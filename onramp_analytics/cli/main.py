"""The command line: the group, its commands, and how an error becomes one line and an exit status."""

from __future__ import annotations

import os
import sys

import click

from onramp_analytics import __version__
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


@click.group(context_settings={"help_option_names": ["-h", "--help"]})
@click.option(
    "--root", metavar="DIR", type=click.Path(), help="The OnRamp checkout; else ONRAMP_ROOT, else found from here."
)
@click.version_option(__version__, prog_name="onramp-analytics")
@click.pass_context
def commands(context: click.Context, root: str | None) -> None:
    """Opt-in, anonymous usage analytics for OnRamp.

    Nothing is collected before `enable`. Events are queued in a file that `show-pending` prints, and are sent later in
    the background.
    """
    context.obj = root


for _command in (
    *(enable, disable, notice, show_id, reset_id),
    *(status, show_pending, show_sent, events, preview, report, doctor),
    *(flush, demo, track),
    *(install, uninstall, dashboard, results),
):
    commands.add_command(_command)


def main() -> int:
    """Run the command line.

    Returns:
        0 done, 1 could not, 2 used wrongly. Errors are one line on standard error.
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
        return _fail(f"{error.format_message().rstrip('.')}: see `{command} --help`", 2)
    except click.Abort:
        return _fail("stopped", 1)
    except (BrokenPipeError, SystemExit):  # click's way of saying it: `show-pending | head` has seen enough
        _stop_writing()
        return 0
    except OSError as error:
        _stop_writing()
        what = os.fsdecode(error.filename or "the output")
        return _fail(f"{what} cannot be used ({error.strerror}): correct that, then try again", 1)
    return status if isinstance(status, int) else 0


def _stop_writing() -> None:
    """Let what is still to be written go nowhere, so that the interpreter does not complain at its end."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), 1)


def _fail(sentence: str, status: int) -> int:
    click.echo(echo(f"onramp-analytics: {sentence}"), err=True)
    return status
