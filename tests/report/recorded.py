"""Events as an installation records them, for the tests of the report."""

from __future__ import annotations

import json
import os
from typing import Any

from onramp_analytics import events

ID = "550e8400-e29b-41d4-a716-446655440000"
PUBLISHED = b"\ncommand start\ncommand enable-service\noverride plex-nfs\nservice plex\n"
DAY = 86_400
START = 1_767_225_600  # 2026-01-01 00:00 UTC


def event(name: str, day: int, **properties: object) -> dict[str, Any]:
    values = events.clean(name, properties, PUBLISHED, events.VERSION)
    assert values is not None
    found: dict[str, Any] = json.loads(events.build(name, values, ID, START + day * DAY, os.urandom(16)))
    return found


def ran(command: str, day: int, milliseconds: int, *, success: bool = True) -> dict[str, Any]:
    return event("command_executed", day, command=command, success=success, duration_ms=milliseconds)


RECORDED = [
    event("service_enabled", 0, service_name="plex", has_scaffold=True),
    event("service_enabled", 0, service_name="my-diary", has_scaffold=False),
    event("service_enabled", 2, service_name="plex", has_scaffold=True),
    event("service_disabled", 2, service_name="plex"),
    event("override_enabled", 2, override_name="plex-nfs"),
    ran("start", 0, 100),
    ran("start", 2, 300, success=False),
    ran("enable-service", 2, 50),
    event("error_occurred", 2, command="start", error_type="exit_2"),
]
