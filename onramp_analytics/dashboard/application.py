"""Use the API of PostHog's application, with a maintainer's personal key.

It is separate from the server that receives events: it has another address, another key and other errors, and the user
waits for it.

These facts are from PostHog's documentation (posthog.com/docs/api, …/docs/api/queries, …/docs/api/scopes) and
its public sources (`DashboardSerializer` in products/dashboards/backend/api/dashboard.py, `InsightSerializer` in
products/product_analytics/backend/api/insight.py):

- The application is at us.posthog.com and eu.posthog.com; us.i and eu.i only receive events.
- A personal key is sent as `Authorization: Bearer phx_…`. A missing scope is a 403 that names it. Errors are JSON
  objects with a `detail`.
- `/api/projects/ID/dashboards/` and `…/insights/` are listed without the deleted ones by GET in pages
  (`results`, `next`, by `limit` and `offset`), created by POST (201), and changed by PATCH on `…/NUMBER/`.
- `insights` filters its list by `dashboards=[NUMBER]`, omits the results with `basic=true`, and accepts a `query` of
  the kind `DataVisualizationNode` and, on creation, the `dashboards` that show it. A PATCH without `dashboards` does
  not change them. `dashboard_tiles` lists them.
- `/api/projects/ID/query/` answers a `HogQLQuery` with `columns`, `results` and `hasMore`, from a cache unless
  `refresh` is `force_blocking`. It cuts an answer at 100 rows unless the query has a limit, and at 50,000 always.
- The same address checks a query of the kind `HogQLMetadata` without running it (`isValid`, `errors`).
- It allows three queries at once. The 429 for more has no `Retry-After`.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

import requests
from requests.auth import AuthBase

from onramp_analytics import __version__
from onramp_analytics.errors import CouldNot, Misconfigured
from onramp_analytics.posthog import destination
from onramp_analytics.posthog.wording import clean, network_reason

KEY_VARIABLE = "POSTHOG_PERSONAL_API_KEY"
PROJECT_VARIABLE = "POSTHOG_PROJECT_ID"

TIMEOUT = (10.0, 60.0)  # seconds to connect and between two bytes; PostHog stops a query after 10 or 60 s
PAGE = 100  # PostHog's default size of a page
PAUSE = 60.0  # seconds to wait after a 429, once

TO_WRITE = "dashboard:write and insight:write"
TO_READ = "query:read"

_WHAT_TO_DO = {
    400: "it rejects the query: run `onramp-analytics dashboard --check` and report the output",
    401: f"it does not recognize the key: check {KEY_VARIABLE}",
    402: "the project is over its quota: check its billing page in PostHog",
    404: f"the key has no access to this project: check {PROJECT_VARIABLE} and ONRAMP_ANALYTICS_HOST",
    429: "it accepts no more requests at the moment: wait a few minutes, then run this again",
}


class _Bearer(AuthBase):
    """Send the key in its header, and ignore `~/.netrc`."""

    def __init__(self, key: str) -> None:
        self.key = key

    def __call__(self, request: requests.PreparedRequest) -> requests.PreparedRequest:
        request.headers["Authorization"] = f"Bearer {self.key}"
        return request


@dataclass(frozen=True, slots=True)
class Answer:
    """The answer to a query: the names of its columns, and its rows."""

    columns: list[str]
    rows: list[list[Any]]


@dataclass(frozen=True, slots=True)
class Application:
    """One project in PostHog's application. Sends the key to `host` and nowhere else.

    Attributes:
        scopes: the scopes that the key needs, for the error.
        pause: waits for a number of seconds.
    """

    host: str
    project: str
    key: str = field(repr=False)
    scopes: str = TO_WRITE
    pause: Callable[[float], object] = time.sleep

    def query(self, text: str, name: str) -> Answer:
        """Run a query and return its complete answer, never from a cache.

        Args:
            text: the query, in HogQL.
            name: its name in PostHog's query log.

        Raises:
            CouldNot: PostHog did not run it, or did not return all rows.
        """
        query = {"kind": "HogQLQuery", "query": text}
        answer = self._ask_query({"query": query, "refresh": "force_blocking", "name": f"onramp-analytics {name}"})
        columns, rows = answer.get("columns"), answer.get("results")
        if not (isinstance(columns, list) and isinstance(rows, list)):
            raise _unlike(self.host)
        if answer.get("hasMore"):
            raise CouldNot(f'{self.host} gives {len(rows):,} rows for "{name}" and has more: use fewer days')
        return Answer(columns, rows)

    def check(self, text: str) -> str:
        """Let PostHog check a query without running it. Returns what is wrong; empty if it is valid.

        Raises:
            CouldNot: PostHog did not check it.
        """
        answer = self._ask_query({"query": {"kind": "HogQLMetadata", "language": "hogQL", "query": text}})
        if not isinstance(answer.get("isValid"), bool):
            raise _unlike(self.host)
        errors = answer.get("errors") or [{"message": "PostHog does not say why"}]
        return "" if answer["isValid"] else "; ".join(clean(str(error.get("message")), self.key) for error in errors)

    def _ask_query(self, body: dict[str, Any]) -> dict[str, Any]:
        try:
            return self._ask("POST", "query/", json=body)
        except _TooMany as error:
            self.pause(error.seconds)
            return self._ask("POST", "query/", json=body)

    def list(self, what: str, *, on: int | None = None) -> Iterator[dict[str, Any]]:
        """Yield all "dashboards", or all "insights" that are on the dashboard of that number.

        Raises:
            CouldNot: see `create`.
        """
        filters = {} if on is None else {"dashboards": f"[{on}]", "basic": "true"}
        offset, more = 0, True
        while more:
            page = self._ask("GET", f"{what}/", params={**filters, "limit": PAGE, "offset": offset})
            results = page.get("results")
            if not isinstance(results, list):
                raise _unlike(self.host)
            yield from (found for found in results if on is None or _is_on(found, on))
            offset, more = offset + PAGE, bool(page.get("next"))

    def create(self, what: str, body: dict[str, Any]) -> int:
        """Create one of "dashboards" or "insights" and return its number.

        Raises:
            CouldNot: PostHog did not do it, or the server is not PostHog.
        """
        number = self._ask("POST", f"{what}/", json=body).get("id")
        if not isinstance(number, int):
            raise _unlike(self.host)
        return number

    def change(self, what: str, number: int, body: dict[str, Any]) -> None:
        """Change the one of that number.

        Raises:
            CouldNot: see `create`.
        """
        self._ask("PATCH", f"{what}/{number}/", json=body)

    def _ask(self, method: str, path: str, **content: Any) -> dict[str, Any]:
        with requests.Session() as session:
            session.auth = _Bearer(self.key)
            session.headers["User-Agent"] = f"onramp-analytics/{__version__}"
            session.trust_env = not destination.is_loopback(self.host)  # no proxy for this machine
            try:
                response = session.request(
                    method,
                    f"{self.host}/api/projects/{self.project}/{path}",
                    timeout=TIMEOUT,
                    allow_redirects=False,  # the key is sent only to the chosen host
                    **content,
                )
            except requests.RequestException as error:
                raise CouldNot(f"{self.host} could not be reached: {network_reason(error)}") from None
        return self._read(response)

    def _read(self, response: requests.Response) -> dict[str, Any]:
        try:
            answer = response.json()
        except ValueError:
            answer = None
        if response.ok and not response.is_redirect and isinstance(answer, dict):
            return answer
        if response.ok or response.is_redirect:
            raise _unlike(self.host)
        detail = answer.get("detail") if isinstance(answer, dict) else None
        reason = f" ({clean(detail, self.key)})" if detail else ""
        missing = {403: f"the key is not allowed to do this: it needs {self.scopes} for this project"}
        what_to_do = {**_WHAT_TO_DO, **missing}.get(response.status_code, "try again later")
        sentence = f"{self.host} answered {response.status_code}{reason}: {what_to_do}"
        if response.status_code == 429:
            raise _TooMany(sentence, _seconds(response.headers.get("Retry-After", "")))
        raise CouldNot(sentence)


class _TooMany(CouldNot):
    """A 429, and the seconds to wait."""

    def __init__(self, sentence: str, seconds: float) -> None:
        super().__init__(sentence)
        self.seconds = seconds


def _seconds(retry_after: str) -> float:
    """Return the seconds to wait: those of the header, at most a minute; a minute without the header."""
    return min(float(retry_after), PAUSE) if retry_after.isascii() and retry_after.isdigit() else PAUSE


def _is_on(insight: Mapping[str, Any], dashboard: int) -> bool:
    return any(tile.get("dashboard_id") == dashboard for tile in insight.get("dashboard_tiles") or ())


def _unlike(host: str) -> CouldNot:
    return CouldNot(f"{host} does not respond like PostHog's application: check ONRAMP_ANALYTICS_HOST")


def from_environ(environ: Mapping[str, str], scopes: str = TO_WRITE) -> Application:
    """Return the project that the environment names.

    Args:
        environ: the environment.
        scopes: the scopes that the key needs, for the error if it is missing.

    Raises:
        Misconfigured: the personal key, the project or the host is missing or not valid. A key is never quoted.
    """
    return Application(destination.application(environ), project(environ), _key(environ, scopes), scopes)


def project(environ: Mapping[str, str]) -> str:
    """Return the project's number.

    Raises:
        Misconfigured: it is missing, or not a number.
    """
    found = environ.get(PROJECT_VARIABLE, "").strip()
    if not (found.isascii() and found.isdigit()):
        raise Misconfigured(f"{PROJECT_VARIABLE} must be the project's number, which its settings in PostHog show")
    return found


def _key(environ: Mapping[str, str], scopes: str) -> str:
    found = environ.get(KEY_VARIABLE, "").strip()
    how = f"create one in PostHog with {scopes}"
    if not found:
        raise Misconfigured(f"no personal key: set {KEY_VARIABLE} (phx_…); {how}")
    if found.startswith("phc_"):
        raise Misconfigured(f"{KEY_VARIABLE} contains a project key (phc_…), which can only send events; {how} (phx_…)")
    if not (found.startswith(("phx_", "phs_")) and found.isascii() and found.replace("_", "").isalnum()):
        raise Misconfigured(f"{KEY_VARIABLE} must be a personal key (phx_, then letters or digits): {how}")
    return found
