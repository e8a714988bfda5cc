"""events: the catalog, as a person reads it."""

from __future__ import annotations

import json

import click

from onramp_analytics.events import EVENTS, FIXED


@click.command()
def events() -> None:
    """Print the catalogue: every event, its properties, and what they may hold."""
    click.echo(catalogue())


def catalogue() -> str:
    """Return the catalogue as Markdown, as `docs/analytics.md` has it."""
    lines = ["| event | why | properties |", "|---|---|---|"]
    for name, (why, properties) in EVENTS.items():
        lines.append(f"| `{name}` | {why} | {', '.join(f'`{p.name}`' for p in properties)} |")
    lines += ["", "| property | what it holds |", "|---|---|"]
    rules = {p.name: p.rule for _why, properties in EVENTS.values() for p in properties}
    lines += [f"| `{name}` | {rule} |" for name, rule in rules.items()]
    lines += ["", "| with every event | |", "|---|---|"]
    lines += [f"| `{name}` | {what} |" for name, what in _WITH_EVERY_EVENT]
    return "\n".join(lines)


_WITH_EVERY_EVENT = (
    ("uuid", "random, so that a repeated delivery is counted once"),
    ("distinct_id", "the random identifier of this installation; `show-id`, `reset-id`"),
    ("timestamp", "when it happened, in UTC"),
    *((name, f"always `{json.dumps(value)}`") for name, value in FIXED.items() if name != "$lib_version"),
    ("$lib_version", "the version of this program"),
)
