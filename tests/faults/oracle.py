"""Check a request against docs/analytics.md, independently of the product's code."""

from __future__ import annotations

import re
from typing import Any

from onramp_analytics import __version__
from onramp_analytics.receiver import Request
from tests.conftest import KEY

HEADERS = {
    "host",
    "user-agent",
    "content-type",
    "content-encoding",
    "content-length",
    "accept-encoding",
    "accept",
    "connection",
}
UUID = r"[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}"
_NAME = {"service_name": {"plex", "jellyfin", "custom"}, "override_name": {"plex-nfs", "custom"}}
_COMMANDS = {"start", "enable-service", "other"}
_FIXED = {
    "$process_person_profile": False,
    "$geoip_disable": True,
    "$ip": "0.0.0.0",
    "$lib": "onramp-analytics",
    "$ignore_sent_at": True,
    "$lib_version": __version__,
}
PROPERTIES = {
    "service_enabled": {"service_name", "has_scaffold"},
    "service_disabled": {"service_name"},
    "override_enabled": {"override_name"},
    "override_disabled": {"override_name"},
    "command_executed": {"command", "success", "duration_ms"},
    "error_occurred": {"command", "error_type"},
}
_ERROR = re.compile(
    r"exit_(0|[1-9]\d?|1\d\d|2[0-4]\d|25[0-5])|signal_(SIG)?[A-Z0-9]{2,8}|other|KeyboardInterrupt|SystemExit|"
    r"StopIteration|StopAsyncIteration|GeneratorExit|(Base)?Exception(Group)?|[A-Z][A-Za-z]*(Error|Warning|Expired)"
)


def wrong_in(request: Request) -> list[str]:
    """Return everything in a request that is not allowed."""
    wrong = [f"the header {name}" for name, _ in request.headers if name.lower() not in HEADERS]
    if not re.fullmatch(r"POST /batch/ HTTP/1\.1", request.line):
        wrong.append(f"the request line {request.line}")
    body = request.json
    if body.keys() != {"api_key", "sent_at", "batch"} or body["api_key"] != KEY:
        wrong.append(f"the body's {sorted(body)}")
    if len({event.get("distinct_id") for event in request.events}) > 1:
        wrong.append("two identifiers in one request")
    return wrong + [f"the event {event}" for event in request.events if not is_allowed(event)]


def is_allowed(event: Any) -> bool:
    """Return whether the catalog allows an event. The published names are those of the tests' checkouts."""
    if not isinstance(event, dict) or event.keys() != {"event", "uuid", "distinct_id", "timestamp", "properties"}:
        return False
    if not (re.fullmatch(UUID, event["uuid"]) and re.fullmatch(UUID, event["distinct_id"])):
        return False
    if not re.fullmatch(r"\d{4}-\d\d-\d\dT12:00:00\.000000Z", event["timestamp"]):
        return False
    properties = event["properties"]
    own = {name: value for name, value in properties.items() if name not in _FIXED}
    fixed = {name: value for name, value in properties.items() if name in _FIXED}
    return (
        repr(sorted(fixed.items())) == repr(sorted(_FIXED.items()))  # repr, since to Python 0 is False
        and own.keys() == PROPERTIES.get(event["event"])
        and all(_is_value(name, value) for name, value in own.items())
    )


def _is_value(name: str, value: object) -> bool:
    if name in ("has_scaffold", "success"):
        return type(value) is bool
    if name == "duration_ms":
        return type(value) is int and 0 <= value <= 86_400_000 and value % 10 == 0 and not str(value)[2:].strip("0")
    if not isinstance(value, str):
        return False
    if name == "error_type":
        return bool(_ERROR.fullmatch(value))
    return value in _NAME.get(name, _COMMANDS)
