"""A stand-in for PostHog's application, with the parts that `dashboard --create` uses.

The docstring of `onramp_analytics/dashboard/application.py` describes its answers and their sources. The receiver calls
it for each request, so the tests use real HTTP.
"""

from __future__ import annotations

import json
import re
from typing import Any
from urllib.parse import parse_qs, urlsplit

from onramp_analytics.receiver import Answer, Request
from tools.results.stand_in import JSON, PROJECT, refuses, says

KEY = "phx_test0123456789abcdef"
__all__ = ["JSON", "KEY", "PROJECT", "Application"]


class Application:
    """What is in the project, and the answers to requests about it."""

    def __init__(self) -> None:
        self.dashboards: list[dict[str, Any]] = []
        self.insights: list[dict[str, Any]] = []
        self.scopes = {"dashboard:write", "insight:write"}

    def __call__(self, request: Request) -> Answer:
        method, target, _ = request.line.split()
        url = urlsplit(target)
        if dict(request.headers).get("Authorization") != f"Bearer {KEY}":
            return refuses(401, "authentication_failed", "Incorrect authentication credentials.")
        if url.path == f"/api/projects/{PROJECT}/query/" and request.json["query"]["kind"] == "HogQLMetadata":
            return says(200, {"isValid": True, "errors": []})
        found = re.fullmatch(r"/api/projects/(\d+)/(dashboards|insights)/(?:(\d+)/)?", url.path)
        if not found or found[1] != PROJECT:
            return refuses(404, "not_found", "Project not found.")
        what, number = found[2], found[3]
        scope = f"{what.rstrip('s')}:write"
        if scope not in self.scopes:
            return refuses(403, "permission_denied", f"API key missing required scope '{scope}'")
        there = self.dashboards if what == "dashboards" else self.insights
        if method == "GET":
            return self._page(there, {name: values[0] for name, values in parse_qs(url.query).items()})
        if method == "POST":
            return says(201, self._new(there, request.json))
        (changed,) = (one for one in there if one["id"] == int(number))
        changed.update(request.json)
        return says(200, changed)

    def _new(self, there: list[dict[str, Any]], body: dict[str, Any]) -> dict[str, Any]:
        made = {"id": 1000 + len(self.dashboards) + len(self.insights), "deleted": False, **body}
        if there is self.insights:
            assert body["query"]["kind"] == "DataVisualizationNode"
            made["dashboard_tiles"] = [{"id": 1, "dashboard_id": number} for number in made.pop("dashboards", [])]
        there.append(made)
        return made

    def _page(self, there: list[dict[str, Any]], query: dict[str, str]) -> Answer:
        wanted = set(json.loads(query.get("dashboards", "[]")))
        found = [one for one in there if not one["deleted"]]
        if wanted:
            found = [one for one in found if any(tile["dashboard_id"] in wanted for tile in one["dashboard_tiles"])]
        offset, limit = int(query.get("offset", 0)), int(query.get("limit", 100))
        more = offset + limit < len(found)
        return says(
            200,
            {
                "count": len(found),
                "next": f"http://elsewhere.invalid/?offset={offset + limit}" if more else None,
                "previous": None,
                "results": found[offset : offset + limit],
            },
        )
