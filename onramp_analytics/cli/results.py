"""results: show how many installations use each service and command, from a file in the checkout."""

from __future__ import annotations

import json
import os
from pathlib import Path

import click
from rich.console import Console
from rich.table import Table
from rich.text import Text

from onramp_analytics.cli.common import as_json, bar, can_show, checkout
from onramp_analytics.dashboard import pages
from onramp_analytics.dashboard.pages import Page
from onramp_analytics.dashboard.rounding import Row, percent
from onramp_analytics.errors import CouldNot

#: The `results.json` of the public page, committed beside the published names.
RESULTS = "make.d/analytics-results.json"
_LARGEST = 1 << 20  # bytes; 300 services take 30 KiB


@click.command()
@as_json
@click.pass_context
def results(context: click.Context, *, as_json: bool) -> None:
    """Show which services and commands are popular.

    Shows how many of the installations that opted in use each service and command, and marks the services that are
    enabled here. The numbers come from make.d/analytics-results.json, which `git pull` updates. Nothing is sent.
    """
    root = Path(os.fsdecode(checkout(context)))
    text = _read(root / RESULTS)
    page = _page(text, root / RESULTS)
    if as_json:
        click.echo(text.rstrip("\n"))
        return
    console = Console(highlight=False)
    active = f"{page.counts.active:,} installations opted in and were active from {page.first} to {page.last}."
    for line in (
        f"{active} Generated on {page.made}.",
        f"All numbers are rounded down. What fewer than {page.at_least} installations use is not shown.",
    ):
        console.print(Text(line), soft_wrap=True)
    _show(console, "Services", page.counts.services, page.counts.with_services, _enabled(root))
    _show(console, "Commands", page.counts.commands, page.counts.active, set())


def _read(path: Path) -> str:
    try:
        fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW | os.O_NONBLOCK)
    except FileNotFoundError:
        raise CouldNot(
            f"{RESULTS} is missing: OnRamp's maintainers have not published results yet, or you need to run `git pull`"
        ) from None
    except OSError as error:
        raise CouldNot(f"{path} cannot be read ({error.strerror}): restore it with git") from None
    with open(fd, "rb") as file:
        try:
            content = file.read(_LARGEST + 1)
        except OSError as error:
            raise CouldNot(f"{path} cannot be read ({error.strerror}): restore it with git") from None
    if len(content) > _LARGEST:
        raise CouldNot(f"{path} is too large: restore it with git")
    return content.decode("utf-8", "replace")


def _page(text: str, path: Path) -> Page:
    try:
        return pages.from_json(json.loads(text))
    except (ValueError, RecursionError) as error:
        raise CouldNot(f"{path} cannot be read ({error}): update onramp-analytics, or restore it with git") from None


def _enabled(root: Path) -> set[str]:
    """The services that are enabled in this checkout."""
    return {path.stem for path in (root / "services-enabled").glob("*.yml")}


def _show(console: Console, title: str, rows: list[Row], whole: int, own: set[str]) -> None:
    console.print()
    mark = "●" if can_show("●") else "*"
    yours = f"({mark} is enabled here)" if own else ""
    console.print(Text(title, "bold"), Text(yours, "dim"))
    if not rows:
        console.print("  None on enough installations.")
        return
    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0), show_header=False)
    for side in ("left", "left", "right", "right", "left"):
        table.add_column(justify=side, no_wrap=True)
    longest = rows[0].installations
    for row in rows:
        is_own = row.name in own
        table.add_row(
            mark if is_own else " ",
            Text(row.name, "bold" if is_own else ""),
            f"{row.installations:,}",
            f"{percent(row.installations, whole)}%",
            Text(bar(row.installations / longest, 24), "green" if is_own else "blue"),
        )
    console.print(table)
