"""Opt-in, anonymous usage analytics for OnRamp: `track` an event, and that is all a caller needs."""

__all__ = ["__version__", "track"]

__version__ = "0.2.0.dev0"


def track(event: str, /, **properties: bool | int | str) -> bool:
    """Append one event to the spool of the OnRamp checkout that the process works in, if its owner opted in.

    Costs microseconds and never touches the network. May be called from threads, from asyncio and after a fork.

    Args:
        event: a name of the catalogue, as `onramp-analytics events` prints it.
        properties: exactly the properties of that event. A name that OnRamp does not publish is replaced before
            it is stored (`custom` or `other`); a duration is in milliseconds.

    Returns:
        True when the event is stored. False when analytics are off, or when the machine is in the way (disk full,
        no permission, no checkout): that is never raised, and `onramp-analytics status` tells the cause.

    Raises:
        ValueError: for a programmer's error: an unknown event, an unknown or missing property, a value of the wrong
            kind. It is raised whether analytics are on or off, so that it shows up on the programmer's machine.
    """
    from onramp_analytics import tracker

    return tracker.track(event, properties)
