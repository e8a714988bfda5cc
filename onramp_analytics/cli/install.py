"""install and uninstall: the make integration, for those who maintain an OnRamp checkout."""

from __future__ import annotations

import os
from collections.abc import Iterable
from pathlib import Path

import click

from onramp_analytics import __version__, optin, settings
from onramp_analytics.cli.common import counted, echo
from onramp_analytics.errors import CouldNot
from onramp_analytics.integration import conf, gitignore, tree
from onramp_analytics.integration import install as integration
from onramp_analytics.integration.install import Options, Plan
from onramp_analytics.integration.tree import Change

_FOLDER = click.Path(path_type=Path)
_MOST_LINES = 20  # of the names that came and went; the file itself is there to be read


@click.command()
@click.argument("folder", metavar="DIR", type=_FOLDER)
@click.option("--wheel", metavar="FILE", type=_FOLDER, help="Let users install this wheel; copies it into DIR.")
@click.option("--package", metavar="SPEC", help="Let users install this version, for example, onramp-analytics==0.2.0.")
@click.option("--api-key", metavar="phc_…", help="Project key of OnRamp's PostHog project (public).")
@click.option("--host", metavar="URL", help="URL that events are sent to (default: PostHog US cloud).")
@click.option("--send", metavar="WHEN", help="When to send events: daily (default) or at-once.")
@click.option("--docs-url", metavar="URL", help="Web page for users (default: docs/analytics.md).")
@click.option("--contact", metavar="TEXT", help="How users can reach the people who run the project.")
@click.option(
    "--upstream",
    metavar="REMOTE/BRANCH",
    help="Read published names from this branch of your clone instead; needs no network.",
)
@click.option(
    "--check",
    is_flag=True,
    help="Change nothing; exit with status 1 if files are out of date, 2 if they cannot be checked.",
)
def install(
    folder: Path,
    wheel: Path | None,
    package: str | None,
    upstream: str | None,
    *,
    check: bool,
    **given: str | None,
) -> int:
    """Add analytics to an OnRamp checkout.

    Writes the make integration into DIR. Safe to run repeatedly: updates files that are out of date, and keeps settings
    that are not given. The names that can be sent come from the newest commit of OnRamp's own repository,
    unless --upstream names another source.
    """
    if wheel and package:
        raise click.UsageError("--wheel and --package cannot be combined")
    named = {option: given[option.removeprefix("--").replace("-", "_")] for option in conf.OPTIONS}
    options = Options(upstream, package, wheel, named)
    root = folder.resolve()
    if check:
        return _check(root, options)
    _show_plan(integration.install(root, options))
    return 0


def _show_plan(plan: Plan) -> None:
    for line in _verbs(plan.changes):
        click.echo(line)
    click.echo(f"The published names come from {plan.commit}.")
    _show_names(plan.names)
    for page, lines in plan.additions.items() if plan.is_first else ():
        click.echo(f"\nAdd to {page}:\n\n{lines}".rstrip())
    if plan.changes:
        click.echo("\nReview and commit these changes. Users are not affected until they run `make analytics-enable`.")
    else:
        click.echo("Everything is up to date.")
    _show_remarks(plan)


def _check(root: Path, options: Options) -> int:
    try:
        plan = integration.check(root, options)
    except CouldNot as error:  # a workflow must not mistake this for files that are out of date
        click.echo(echo(f"onramp-analytics: {error}"), err=True)
        return 2
    click.echo(f"Compared with {plan.commit}.")
    for change in plan.changes:
        click.echo(f"{change.name} {'is missing' if change.before is None else 'is out of date'}")
    _show_names(plan.names)
    if not plan.changes:
        click.echo("Everything is up to date.")
    _show_remarks(plan)
    if plan.changes:
        raise CouldNot(
            "the integration is out of date: run this again without --check, then review and commit the changes"
        )
    return 0


def _show_names(names: list[str]) -> None:
    if not names:
        return
    added = sum(line.startswith("+") for line in names)
    click.echo(f"{counted(added, 'name')} added, {len(names) - added} removed:")
    for line in names[:_MOST_LINES]:
        click.echo(f"  {line}")
    if len(names) > _MOST_LINES:
        click.echo(f"  … and {len(names) - _MOST_LINES} more")


def _show_remarks(plan: Plan) -> None:
    for name in plan.unpublished:
        click.echo(f"{name} is committed here, but not on OnRamp's main branch: merge it there, then run this again.")
    if plan.is_behind:
        click.echo(f"Users install {plan.program}, but this is {__version__}: use --wheel or --package to change that.")
    if not plan.has_key:
        click.echo("No PostHog project is set, so nothing will be sent: use --api-key to set it.")


@click.command()
@click.argument("folder", metavar="DIR", type=_FOLDER)
@click.option("--purge", is_flag=True, help="Also delete queued events and the consent.")
def uninstall(folder: Path, *, purge: bool) -> None:
    """Remove analytics from an OnRamp checkout.

    Removes the make integration from DIR. Keeps and lists queued events and the consent, unless --purge is given.
    """
    with tree.opened(folder.resolve()) as opened:
        integration.refuse_foreign(opened)
        done = _purge(opened) if purge else []
        done += _verbs(integration.uninstall(opened))
        for line in done or ["Not installed; nothing to remove."]:
            click.echo(line)
        left, ignores = integration.kept(opened), gitignore.has_block(opened.text(gitignore.FILE))
    if left and not purge:
        click.echo(f"Kept: {', '.join(left)}. To delete them, use --purge.")
        if ignores:
            click.echo("The block in .gitignore was also kept, so that git does not add these files.")


def _purge(opened: tree.Tree) -> list[str]:
    """Opt out, remove our lines of `onramp.lock`, and return what was deleted, one line each."""
    before = integration.kept(opened)
    if not before:
        return []
    root = os.fsencode(opened.path)
    optin.disable(root)
    try:
        settings.remove(root)  # analytics are off, so there is no other writer
    except OSError as error:
        raise CouldNot(
            f"onramp.lock could not be written ({error.strerror}): correct that, then run this again"
        ) from None
    after = integration.kept(opened)
    changed = ["changed onramp.lock: all other settings are kept"] if "onramp.lock" in after else []
    return [f"deleted {name}" for name in before if name not in after] + changed


def _verbs(changes: Iterable[Change]) -> list[str]:
    return [
        f"{'wrote' if change.before is None else 'deleted' if change.after is None else 'changed'} {change.name}"
        for change in changes
    ]
