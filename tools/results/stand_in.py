"""A stand-in for PostHog's query API on 127.0.0.1, with a ClickHouse in this process. It is stricter than PostHog.

It checks the key and its scopes. It cuts an answer at 100 rows, unless the query has a limit, and sets `hasMore`. It
repeats its previous answer, unless the request contains `force_blocking`. It does not merge repeated events, and drops
events that are older than its retention. The receiver calls it for each request, so the tests use real HTTP.
"""

from __future__ import annotations

import json
import re
import threading
from collections.abc import Iterable
from datetime import date
from typing import Any

from onramp_analytics.receiver import Answer, Request
from tools.results.clickhouse import ClickHouse

KEY = "phx_demo0123456789abcdef"
PROJECT = "4711"
JSON = (("Content-Type", "application/json"),)
MOST = 50_000  # rows
DEFAULT = 100  # rows of an answer to a query without a limit


def says(status: int, body: object) -> Answer:
    """Return an answer in JSON."""
    return Answer(status, json.dumps(body, default=str).encode(), JSON)


def refuses(status: int, code: str, detail: str) -> Answer:
    """Return an error in PostHog's form."""
    return says(status, {"type": "invalid_request", "code": code, "detail": detail, "attr": None})


class QueryApi:
    """The project's query API.

    Attributes:
        scopes: the scopes of the key.
        asked: the body of every request that was accepted.
    """

    def __init__(self, rows: Iterable[dict[str, Any]], *, since: date | None = None) -> None:
        """Load events.

        Args:
            rows: the events as the receiver accepted them, with `created_at`.
            since: the first day whose events the project still keeps.
        """
        self._clickhouse = ClickHouse(row for row in rows if since is None or row["timestamp"] >= str(since))
        self._lock = threading.Lock()
        self._cache: dict[str, dict[str, Any]] = {}
        self.scopes = {"query:read"}
        self.asked: list[dict[str, Any]] = []

    def __call__(self, request: Request) -> Answer:
        """Answer a request."""
        method, target, _ = request.line.split()
        if dict(request.headers).get("Authorization") != f"Bearer {KEY}":
            return refuses(401, "authentication_failed", "Incorrect authentication credentials.")
        if target != f"/api/projects/{PROJECT}/query/":
            return refuses(404, "not_found", "Project not found.")
        if method != "POST":
            return refuses(405, "method_not_allowed", f'Method "{method}" not allowed.')
        if "query:read" not in self.scopes:
            return refuses(403, "permission_denied", "API key missing required scope 'query:read'")
        with self._lock:  # one session of chdb answers one question at a time
            self.asked.append(request.json)
            return self._answer(request.json)

    def _answer(self, body: dict[str, Any]) -> Answer:
        query = body.get("query")
        if not isinstance(query, dict) or not isinstance(query.get("query"), str):
            return refuses(400, "invalid_input", "query: This field is required.")
        text = query["query"]
        if query.get("kind") == "HogQLMetadata" and query.get("language") == "hogQL":
            return self._metadata(text)
        if query.get("kind") != "HogQLQuery":
            return refuses(400, "invalid_input", f"Unsupported query kind: {query.get('kind')}")
        if text in self._cache and body.get("refresh") != "force_blocking":
            return says(200, {**self._cache[text], "is_cached": True})
        try:
            self._cache[text] = self._run(text)
        except ValueError as error:
            return refuses(400, "illegal_type", str(error)[:300])
        return says(200, self._cache[text])

    def _run(self, text: str) -> dict[str, Any]:
        limit = re.search(r"\blimit (\d+)\s*$", text)
        most = min(int(limit[1]), MOST) if limit else DEFAULT
        columns, rows = self._clickhouse.ask(text[: limit.start()] if limit else text)
        return {"columns": columns, "results": rows[:most], "hasMore": len(rows) > most, "is_cached": False}

    def _metadata(self, text: str) -> Answer:
        try:
            self._clickhouse.ask(f"select count() from (explain {text})")
        except ValueError as error:
            return says(200, {"isValid": False, "errors": [{"message": str(error)[:300]}]})
        return says(200, {"isValid": True, "errors": []})
