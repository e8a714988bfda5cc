"""Opt-in, anonymous usage analytics for OnRamp. The public interface is `track`."""

__all__ = ["__version__", "track"]

__version__ = "0.2.0.dev0"


def track(event: str, /, **properties: bool | int | str) -> bool:
    """Record one event in the OnRamp checkout of the working directory, if its owner opted in.

    Takes microseconds and never uses the network. Safe to call from threads, from asyncio and after a fork.

    Args:
        event: the name of an event in the catalog, as `onramp-analytics events` prints it.
        properties: all properties of that event. A name that OnRamp does not publish is replaced by `custom` or
            `other` before it is stored. A duration is in milliseconds.

    Returns:
        True if the event was stored. False if analytics are off or the event could not be stored (disk full, no
        permission, no checkout). The latter never raises; `onramp-analytics status` shows the cause.

    Raises:
        ValueError: an unknown event, an unknown or missing property, or a value of the wrong kind. It is raised even if
            analytics are off, so that a programmer finds the mistake.
    """
    from onramp_analytics import tracker

    return tracker.track(event, properties)
