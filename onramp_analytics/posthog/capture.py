"""One HTTP request to PostHog, and what became of it. All that knows how PostHog takes events, and all that imports it.

The facts (what the server takes, what a 200 proves, what `requests` adds by itself) are in docs/posthog.md.
"""

from __future__ import annotations

import math
import signal
import socket
import struct
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType
from typing import Any

import requests
from posthog.request import APIError, batch_post
from requests.adapters import HTTPAdapter
from requests.auth import AuthBase
from urllib3.connection import HTTPConnection

from onramp_analytics import __version__
from onramp_analytics.posthog.destination import Destination
from onramp_analytics.posthog.outcome import (
    ACCEPTED,
    MISCONFIGURED,
    REJECTED,
    TOO_LARGE,
    UNLIKE_POSTHOG,
    UNREACHED,
    Outcome,
)

TIMEOUT = (10.0, 15.0)  # seconds to connect and between two bytes
DEADLINE = 20.0  # seconds for one request in all: a server that drips bytes never runs into the time-outs
LONGEST_REASON = 200  # characters of a server's answer that are kept

_AGAIN = {408, 425, 429}
_WRONG_SETTINGS = {401, 403, 404}
#: Closing the connection throws away what the kernel has not sent yet, so that nothing leaves after the flusher was
#: killed by `disable`.
_SOCKET_OPTIONS = [
    *HTTPConnection.default_socket_options,
    (socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0)),
]
_HEADERS = frozenset(
    "Host User-Agent Content-Type Content-Encoding Content-Length Accept-Encoding Accept Connection".lower().split()
)


class _OnlyOurHeaders(AuthBase):
    """Runs last on every request: keeps `~/.netrc` and cookies out, and everything that is not in the contract."""

    def __call__(self, request: requests.PreparedRequest) -> requests.PreparedRequest:
        request.headers["User-Agent"] = f"onramp-analytics/{__version__}"
        for name in list(request.headers):
            if name.lower() not in _HEADERS:
                del request.headers[name]
        return request


class _Adapter(HTTPAdapter):
    """Connections that are reset when they are closed. Tries once."""

    def init_poolmanager(self, *args: Any, **kwargs: Any) -> None:
        super().init_poolmanager(*args, **kwargs, socket_options=_SOCKET_OPTIONS)

    def proxy_manager_for(self, proxy: str, **kwargs: Any) -> Any:
        return super().proxy_manager_for(proxy, **kwargs, socket_options=_SOCKET_OPTIONS)


class _DirectAdapter(_Adapter):
    """The same without a proxy: none stands between us and this machine."""

    def send(self, *args: Any, **kwargs: Any) -> requests.Response:
        return super().send(*args, **{**kwargs, "proxies": None})


def open_session(destination: Destination) -> requests.Session:
    """Return a session that adds nothing, follows nothing, and tries once. The caller closes it."""
    session = requests.Session()
    adapter = _DirectAdapter() if destination.is_loopback else _Adapter()
    session.mount("https://", adapter)
    session.mount("http://", adapter)
    session.auth = _OnlyOurHeaders()
    session.max_redirects = 0
    return session


def send(session: requests.Session, destination: Destination, batch: list[dict[str, Any]]) -> Outcome:
    """Make one request with these events and say what became of it. Takes `DEADLINE` seconds at most.

    Call it from the main thread: the deadline is a signal.
    """
    try:
        with _deadline(DEADLINE):
            response = batch_post(
                destination.key,
                destination.host,
                gzip=True,
                timeout=TIMEOUT,  # type: ignore[arg-type]  # the SDK hands it to requests, which takes the pair
                batch=batch,
                session=session,
            )
            return judge_success(response)
    except _OutOfTimeError:
        return Outcome(UNREACHED, f"no whole answer within {DEADLINE:.0f} s")
    except APIError as error:
        return judge_failure(error.status, clean(error.message, destination.key), error.retry_after)
    except requests.TooManyRedirects:
        return Outcome(UNLIKE_POSTHOG, "the host does not answer like PostHog: it redirects")
    except requests.RequestException as error:
        return Outcome(UNREACHED, network_reason(error))
    except (AttributeError, TypeError, ValueError):  # the SDK expects an object where the body of an error is JSON
        return Outcome(UNREACHED, "the host answered with an error that is not PostHog's")


def network_reason(error: requests.RequestException) -> str:
    """Say what broke in words of our own: the exception's text may hold a proxy's password."""
    if isinstance(error, requests.exceptions.SSLError):
        return "no trusted TLS connection to the host"
    if isinstance(error, (requests.exceptions.ProxyError, requests.exceptions.InvalidProxyURL)):
        return "the proxy does not work"
    if isinstance(error, requests.Timeout):
        return "the host did not answer in time"
    cause = repr(error)
    if "NameResolutionError" in cause:
        return "the host's name cannot be resolved"
    if "Connection refused" in cause:
        return "the host refused the connection"
    return "the connection broke"


class _OutOfTimeError(BaseException):
    """Not an `Exception`, so that no library on the way takes it for its own."""


@contextmanager
def _deadline(seconds: float) -> Iterator[None]:
    def stop(_signal: int, _frame: FrameType | None) -> None:
        raise _OutOfTimeError

    before = signal.signal(signal.SIGALRM, stop)
    signal.setitimer(signal.ITIMER_REAL, seconds)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)


def clean(message: object, key: str) -> str:
    """Return what a server said as one short line of ASCII, without the key."""
    text = "".join(c if " " <= c <= "~" else " " for c in str(message).replace(key, "(key)"))
    return " ".join(text.split())[:LONGEST_REASON]


def judge_success(response: requests.Response) -> Outcome:
    """Tell a 200 of PostHog's from one of a captive portal."""
    try:
        answer = None if response.history else response.json()
    except ValueError:
        answer = None
    status = answer.get("status") if isinstance(answer, dict) else None
    if status == "Ok" or (type(status) is int and status == 1):
        return Outcome(ACCEPTED)
    return Outcome(UNLIKE_POSTHOG, "the host does not answer like PostHog: 200 without its status")


def judge_failure(status: int | str, message: str, retry_after: float | None) -> Outcome:
    """Turn an HTTP status that is not 200 into an outcome, as the contract's table says."""
    code = int(status) if str(status).isdigit() else 0
    reason = f"the host answered {status}" + (f": {message}" if message else "")
    if code == 413:
        return Outcome(TOO_LARGE, reason)
    if code == 400:
        return Outcome(REJECTED, reason)
    if code in _WRONG_SETTINGS:
        return Outcome(MISCONFIGURED, reason)
    if code in _AGAIN or code >= 500:
        wait = retry_after or 0.0
        return Outcome(UNREACHED, reason, max(wait, 0.0) if math.isfinite(wait) else 0.0)
    return Outcome(UNLIKE_POSTHOG, f"the host does not answer like PostHog: {reason}")
