"""events: the catalog, as a person reads it."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Iterator

import click
from rich.console import Console
from rich.table import Table

from onramp_analytics import consent, optin
from onramp_analytics.checkout import find
from onramp_analytics.cli.common import as_json
from onramp_analytics.events import EVENTS, FIXED, VERSION

Section = tuple[tuple[str, ...], list[tuple[str, ...]]]


@click.command()
@click.option(
    "--new", "only_new", is_flag=True, help="Show only the events and properties that you have not agreed to yet."
)
@as_json
@click.pass_context
def events(context: click.Context, *, only_new: bool, as_json: bool) -> None:
    """List every event that can be recorded.

    Shows why each event is recorded, and what its properties hold. Prints tables on a terminal, and Markdown in a pipe.
    """
    since = _agreed(context) if only_new else 0
    found = [section for section in sections(since) if section[1]]
    if as_json:
        click.echo(json.dumps(_as_json(since), indent=2))
    elif not found:
        click.echo("Nothing new: you have agreed to everything that can be recorded.")
    elif sys.stdout.isatty():
        _print(found)
    else:
        click.echo(markdown(found))


def _agreed(context: click.Context) -> int:
    root = find(os.fsencode(context.obj) if context.obj else None, os.environb)
    if root is None:
        return 0
    optin.refuse_root(root)
    return consent.ask(os.environb, root).version


def sections(since: int = 0) -> Iterator[Section]:
    """Yield the tables of the catalog: their heads, and their rows.

    Args:
        since: the version of the catalog above which events and properties are shown.
    """
    shown = {name: [p for p in e.properties if max(p.since, e.since) > since] for name, e in EVENTS.items()}
    yield (
        ("event", "why", "properties"),
        [(f"`{name}`", EVENTS[name].why, ", ".join(f"`{p.name}`" for p in own)) for name, own in shown.items() if own],
    )
    rules = {p.name: p.rule for own in shown.values() for p in own}
    yield ("property", "what it holds"), [(f"`{name}`", rule) for name, rule in rules.items()]
    if not since:
        yield ("with every event", "what it holds"), [(f"`{name}`", what) for name, what in _WITH_EVERY_EVENT]


def markdown(found: list[Section] | None = None) -> str:
    """Return the catalog as Markdown, as `docs/analytics.md` has it."""
    tables = [
        "\n".join(f"| {' | '.join(row)} |" for row in (heads, ("---",) * len(heads), *rows))
        for heads, rows in found or sections()
    ]
    return "\n\n".join(tables)


def _print(found: list[Section]) -> None:
    console = Console(highlight=False)
    for heads, rows in found:
        table = Table(*heads, box=None, padding=(0, 2, 1, 0))
        for row in rows:
            table.add_row(*(cell.replace("`", "") for cell in row))
        console.print(table, markup=False)


def _as_json(since: int) -> dict[str, object]:
    return {
        "version": 1,
        "catalog": VERSION,
        "events": {
            name: {
                "why": event.why,
                "since": event.since,
                "properties": {p.name: {"rule": p.rule, "since": p.since} for p in event.properties},
            }
            for name, event in EVENTS.items()
            if any(max(p.since, event.since) > since for p in event.properties)
        },
        "with_every_event": dict(_WITH_EVERY_EVENT),
    }


_PURPOSE = {
    "$process_person_profile": ", so that PostHog creates no person profile",
    "$geoip_disable": ", so that PostHog looks up no location",
    "$ip": ", which PostHog stores in place of your address",
    "$ignore_sent_at": ", so that PostHog does not compare your clock with its own",
    "$lib": "",
}
_WITH_EVERY_EVENT = (
    ("uuid", "random, so that an event that arrives twice is counted once"),
    ("distinct_id", "the random identifier of this installation"),
    ("timestamp", "the day in UTC, always at noon"),
    *((name, f"always `{json.dumps(FIXED[name])}`{purpose}") for name, purpose in _PURPOSE.items()),
    ("$lib_version", "the version of this program"),
)
