"""PostHog's application, asked by a maintainer: the API behind a personal key. Only `dashboard --create` uses it.

It is not what takes events: another address, another key, other failures, and a person who waits for it. So it is a
room of its own beside `posthog_api.py`.

What it relies on was read off PostHog's documentation (posthog.com/docs/api, …/docs/api/scopes) and its public sources
(`DashboardSerializer` in products/dashboards/backend/api/dashboard.py, `InsightSerializer` in
products/product_analytics/backend/api/insight.py):

- The application is at us.posthog.com and eu.posthog.com; us.i and eu.i take events only.
- A personal key is sent as `Authorization: Bearer phx_…`. It needs the scopes `dashboard:write` and `insight:write`; a
  missing one is a 403 that names it. Errors are JSON objects with a `detail`.
- `/api/projects/ID/dashboards/` and `…/insights/` list by GET in pages (`results`, `next`, by `limit` and `offset`),
  without what was deleted, create by POST (201) and change by PATCH on `…/NUMBER/`.
- `insights` narrows its list by `dashboards=[NUMBER]`, leaves out the results with `basic=true`, and takes a
  `query` of the kind `DataVisualizationNode` and, when creating, the `dashboards` to put it on. A PATCH without
  `dashboards` leaves it where it is. `dashboard_tiles` says where that is.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
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

TIMEOUT = (10.0, 30.0)  # seconds to connect and between two bytes; a person waits, and may stop it
PAGE = 100  # PostHog's own default for a page of a list

_WHAT_TO_DO = {
    401: f"it does not know the key: look at {KEY_VARIABLE}",
    403: "the key may not do this: it needs the scopes dashboard:write and insight:write, and this project",
    404: f"the key sees no such project: look at {PROJECT_VARIABLE} and ONRAMP_ANALYTICS_HOST",
    429: "it was asked too often: wait some minutes and run it again",
}


class _Bearer(AuthBase):
    """The key in its header, and nothing from `~/.netrc`."""

    def __init__(self, key: str) -> None:
        self.key = key

    def __call__(self, request: requests.PreparedRequest) -> requests.PreparedRequest:
        request.headers["Authorization"] = f"Bearer {self.key}"
        return request


@dataclass(frozen=True, slots=True)
class Application:
    """One project in PostHog's application. Sends the key to `host` and nowhere else."""

    host: str
    project: str
    key: str = field(repr=False)

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
        """Make one of "dashboards" or "insights" and return its number.

        Raises:
            CouldNot: PostHog did not do it, or what answers is not PostHog.
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
            session.trust_env = not destination.is_loopback(self.host)  # no proxy stands between us and this machine
            try:
                response = session.request(
                    method,
                    f"{self.host}/api/projects/{self.project}/{path}",
                    timeout=TIMEOUT,
                    allow_redirects=False,  # the key goes where the user said, and no further
                    **content,
                )
            except requests.RequestException as error:
                raise CouldNot(f"{self.host} was not reached: {network_reason(error)}") from None
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
        said = f" ({clean(detail, self.key)})" if detail else ""
        what_to_do = _WHAT_TO_DO.get(response.status_code, "try again later")
        raise CouldNot(f"{self.host} answered {response.status_code}{said}: {what_to_do}")


def _is_on(insight: Mapping[str, Any], dashboard: int) -> bool:
    return any(tile.get("dashboard_id") == dashboard for tile in insight.get("dashboard_tiles") or ())


def _unlike(host: str) -> CouldNot:
    return CouldNot(f"{host} does not answer like PostHog's application: look at ONRAMP_ANALYTICS_HOST")


def from_environ(environ: Mapping[str, str]) -> Application:
    """Return the project that the environment names.

    Raises:
        Misconfigured: the personal key, the project's number or the host is missing or cannot be right. Never quotes a
            key.
    """
    return Application(destination.application(environ), project(environ), _personal_key(environ))


def project(environ: Mapping[str, str]) -> str:
    """Return the project's number.

    Raises:
        Misconfigured: it is missing, or no number.
    """
    found = environ.get(PROJECT_VARIABLE, "").strip()
    if not (found.isascii() and found.isdigit()):
        raise Misconfigured(f"{PROJECT_VARIABLE} must be the project's number: its settings in PostHog show it")
    return found


def _personal_key(environ: Mapping[str, str]) -> str:
    found = environ.get(KEY_VARIABLE, "").strip()
    how = "make one in PostHog with the scopes dashboard:write and insight:write"
    if not found:
        raise Misconfigured(f"no personal key: set {KEY_VARIABLE} (phx_…); {how}")
    if found.startswith("phc_"):
        raise Misconfigured(f"{KEY_VARIABLE} holds a project's key (phc_…), which can only send events; {how} (phx_…)")
    if not (found.startswith("phx_") and found.isascii() and found.replace("_", "").isalnum()):
        raise Misconfigured(f"{KEY_VARIABLE} is no personal key: it must be phx_ and letters or digits; {how}")
    return found
