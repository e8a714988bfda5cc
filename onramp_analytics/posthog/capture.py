"""Make one HTTP request to PostHog, and judge its answer. Only this module imports the SDK.

docs/posthog.md has the facts: what the server accepts, what a 200 proves, and what `requests` adds by itself.
"""

from __future__ import annotations

import io
import math
import signal
import socket
import struct
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from types import FrameType
from typing import Any

import requests
from posthog.request import APIError, batch_post
from requests.adapters import HTTPAdapter
from requests.auth import AuthBase
from urllib3.connection import HTTPConnection
from urllib3.exceptions import HTTPError

from onramp_analytics import __version__
from onramp_analytics.posthog.destination import Destination
from onramp_analytics.posthog.outcome import (
    ACCEPTED,
    LONGEST_REQUEST,
    MISCONFIGURED,
    REJECTED,
    TOO_LARGE,
    UNLIKE_POSTHOG,
    UNREACHED,
    Outcome,
)
from onramp_analytics.posthog.wording import blocked_reason, clean, network_reason

TIMEOUT = (10.0, 15.0)  # seconds to connect and between two bytes
DEADLINE = LONGEST_REQUEST
LARGEST_ANSWER = 1 << 16  # bytes of an answer that are read; PostHog's have about twenty

_AGAIN = {408, 425, 429}
_WRONG_SETTINGS = {401, 403, 404}
#: Closing the connection discards what the kernel has not sent yet, so that nothing is sent after `disable` has ended
#: the flusher.
_SOCKET_OPTIONS = [
    *HTTPConnection.default_socket_options,
    (socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0)),
]
_HEADERS = frozenset(
    "Host User-Agent Content-Type Content-Encoding Content-Length Accept-Encoding Accept Connection".lower().split()
)
_UNLIKE = "the host does not respond like PostHog"
_CHECK_HOST = "check the host's name, and whether this network has a login page"


class _OnlyOurHeaders(AuthBase):
    """Removes each header that docs/analytics.md does not list, and keeps `~/.netrc` out. Runs last on each request."""

    def __call__(self, request: requests.PreparedRequest) -> requests.PreparedRequest:
        request.headers["User-Agent"] = f"onramp-analytics/{__version__}"
        request.headers["Accept-Encoding"] = (
            "identity"  # the default reveals what is installed, and allows huge answers
        )
        for name in list(request.headers):
            if name.lower() not in _HEADERS:
                del request.headers[name]
        return request


class _ConsentCheck:
    """Makes a connection check consent before it connects, and before each write to the network."""

    sock: Any
    may_send: Callable[[], object]

    def connect(self) -> None:
        self.may_send()
        super().connect()  # type: ignore[misc]  # the other base class has it

    def send(self, data: Any) -> None:
        if self.sock is None:
            self.connect()  # may take long, so consent is checked after it
        self.may_send()
        super().send(data)  # type: ignore[misc]


class _Adapter(HTTPAdapter):
    """Makes connections that check consent before they send. Tries once, and limits what it reads."""

    def __init__(self, may_send: Callable[[], object], *, is_direct: bool) -> None:
        self._may_send = may_send
        self._is_direct = is_direct
        super().__init__()

    def init_poolmanager(self, *args: Any, **kwargs: Any) -> None:
        super().init_poolmanager(*args, **kwargs, socket_options=_SOCKET_OPTIONS)
        self._check_consent(self.poolmanager)

    def proxy_manager_for(self, proxy: str, **kwargs: Any) -> Any:
        is_known = proxy in self.proxy_manager
        manager = super().proxy_manager_for(proxy, **kwargs, socket_options=_SOCKET_OPTIONS)
        if not is_known:
            self._check_consent(manager)
        return manager

    def _check_consent(self, manager: Any) -> None:
        """Add the check to the class of the connections, since urllib3 creates them."""
        check = {"may_send": staticmethod(self._may_send)}
        manager.pool_classes_by_scheme = {
            scheme: type(
                "Pool", (pool,), {"ConnectionCls": type("Checked", (_ConsentCheck, pool.ConnectionCls), check)}
            )
            for scheme, pool in manager.pool_classes_by_scheme.items()
        }

    def send(self, request: requests.PreparedRequest, *args: Any, **kwargs: Any) -> requests.Response:
        if self._is_direct:
            kwargs["proxies"] = None  # no proxy for this machine
        response = super().send(request, *args, **kwargs)
        response.raw = io.BytesIO(_read(response.raw))
        response.encoding = "utf-8"  # detecting the encoding takes seconds
        return response


def _read(raw: Any) -> bytes:
    """Return at most `LARGEST_ANSWER` bytes of an answer, not decompressed, since 2 MB of gzip can become gigabytes.

    A shorter answer is read to its end, since only then does urllib3 report that it was cut off.
    """
    answer = b""
    with closing(raw):
        while more := raw.read(LARGEST_ANSWER - len(answer), decode_content=False):
            answer += more
            if len(answer) >= LARGEST_ANSWER:
                break
    return answer


def open_session(destination: Destination, may_send: Callable[[], object]) -> requests.Session:
    """Return a session that sends only our headers, follows no redirects, and does not retry. The caller closes it.

    Args:
        destination: where it will send.
        may_send: called before each write to the network. To prevent it, raise a `BaseException` that is not an
            `Exception`, which no library catches.
    """
    session = requests.Session()
    adapter = _Adapter(may_send, is_direct=destination.is_loopback)
    session.mount("https://", adapter)
    session.mount("http://", adapter)
    session.auth = _OnlyOurHeaders()
    session.max_redirects = 0
    return session


def send(session: requests.Session, destination: Destination, batch: list[dict[str, Any]]) -> Outcome:
    """Make one request with these events and return its outcome. Takes at most `DEADLINE` seconds.

    Call it from the main thread, since the deadline is a signal.
    """
    try:
        with _deadline(DEADLINE):
            return _send(session, destination, batch)
    except _OutOfTimeError:
        return Outcome(UNREACHED, f"no complete response within {DEADLINE:.0f} s: check the network connection")


def _send(session: requests.Session, destination: Destination, batch: list[dict[str, Any]]) -> Outcome:
    try:
        response = batch_post(
            destination.key,
            destination.host,
            gzip=True,
            timeout=TIMEOUT,  # type: ignore[arg-type]  # the SDK hands it to requests, which takes the pair
            batch=batch,
            session=session,
        )
        return judge_success(response)
    except APIError as error:
        return judge_failure(error.status, clean(error.message, destination.key), error.retry_after)
    except requests.TooManyRedirects:
        return Outcome(UNLIKE_POSTHOG, f"{_UNLIKE}: it redirects: {_CHECK_HOST}")
    except (requests.RequestException, HTTPError) as error:
        return Outcome(UNREACHED, blocked_reason(destination.host) or network_reason(error))
    except Exception:  # noqa: BLE001  (whatever is wrong with an answer, the back-off must be stored)
        return Outcome(UNREACHED, f"the host's error is not one of PostHog's: {_CHECK_HOST}")


class _OutOfTimeError(BaseException):
    """Not an `Exception`, so that no library catches it."""


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


def judge_success(response: requests.Response) -> Outcome:
    """Distinguish a 200 of PostHog from one of a captive portal."""
    try:
        answer = None if response.history else response.json()
    except (ValueError, RecursionError):
        answer = None
    status = answer.get("status") if isinstance(answer, dict) else None
    if status == "Ok" or (type(status) is int and status == 1):
        return Outcome(ACCEPTED)
    return Outcome(UNLIKE_POSTHOG, f"{_UNLIKE}: 200 without its status: {_CHECK_HOST}")


def judge_failure(status: int | str, message: str, retry_after: float | None) -> Outcome:
    """Turn an HTTP status other than 200 into an outcome, as the table in docs/posthog.md specifies."""
    code = int(status) if str(status).isdigit() else 0
    reason = f"the host answered {status}" + (f": {message}" if message else "")
    if code == 413:
        return Outcome(TOO_LARGE, reason)
    if code == 400:
        return Outcome(REJECTED, reason)
    if code in _WRONG_SETTINGS:
        return Outcome(MISCONFIGURED, f"{reason}: check the project's key and the host's name")
    if code in _AGAIN or code >= 500:
        wait = retry_after or 0.0
        wait = max(wait, 0.0) if math.isfinite(wait) else 0.0
        return Outcome(UNREACHED, f"{reason}: the server is busy or broken; it will be tried again later", wait)
    return Outcome(UNLIKE_POSTHOG, f"{_UNLIKE}: {reason}: {_CHECK_HOST}")
