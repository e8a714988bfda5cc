"""Help, completion and command listing for `track`. The command itself bypasses click (see `__main__`)."""

from __future__ import annotations

import click
from click.shell_completion import CompletionItem

from onramp_analytics import events, tracker


def _names() -> str:
    lines = [f"{name} {' '.join(p.name for p in event.properties)}" for name, event in events.EVENTS.items()]
    return "\b\n" + "\n".join(lines)


def _complete_event(_context: click.Context, _parameter: click.Parameter, start: str) -> list[CompletionItem]:
    return [CompletionItem(name, help=event.why) for name, event in events.EVENTS.items() if name.startswith(start)]


def _complete_property(context: click.Context, _parameter: click.Parameter, start: str) -> list[CompletionItem]:
    """Return the properties of the event that are not given yet, each with its `=`."""
    event = events.EVENTS.get(context.params["event"])
    given = {word.partition("=")[0] for word in context.params["properties"] or ()}
    return [
        CompletionItem(f"{p.name}=", help=p.rule.replace("`", ""))
        for p in (event.properties if event else ())
        if p.name not in given and p.name.startswith(start)
    ]


@click.command(
    epilog=f"Events and their properties (see `onramp-analytics events`):\n\n{_names()}",
    context_settings={"ignore_unknown_options": True},
)
@click.argument("event", shell_complete=_complete_event)
@click.argument("properties", metavar="[KEY=VALUE]...", nargs=-1, shell_complete=_complete_property)
@click.pass_context
def track(context: click.Context, event: str, properties: tuple[str, ...]) -> None:
    """Record one event.

    For scripts. In a recipe of OnRamp, use $(call onramp-track,EVENT,KEY=VALUE ...) instead: it starts no process while
    analytics are off. make records commands, services and overrides by itself.

    Prints nothing. Exits with status 2 if the event or a property is unknown, and with status 0 in any other case, even
    if the event could not be stored; `status` shows why it could not.
    """
    context.exit(tracker.main(context.obj, [event, *properties]))
