"""track, as far as people see it: its help, and its place in the list. The command itself goes round click."""

from __future__ import annotations

import click

from onramp_analytics import events, tracker


def _names() -> str:
    lines = [f"{name} {' '.join(p.name for p in event.properties)}" for name, event in events.EVENTS.items()]
    return "\b\n" + "\n".join(lines)


@click.command(
    epilog=f"The events and their properties, explained by `onramp-analytics events`:\n\n{_names()}",
    context_settings={"ignore_unknown_options": True},
)
@click.argument("event")
@click.argument("properties", metavar="[KEY=VALUE]...", nargs=-1)
@click.pass_context
def track(context: click.Context, event: str, properties: tuple[str, ...]) -> None:
    """Record one event, and return at once.

    Prints nothing. Exit status 0, also when the event could not be stored (`status` shows why); 2 for an unknown event
    or property.
    """
    context.exit(tracker.main(context.obj, [event, *properties]))
