"""A small HTTP server on 127.0.0.1 that responds like PostHog's `/batch/`, for `demo`, `preview` and the tests.

Its checks and answers follow PostHog's public sources (docs/posthog.md): one bad event fails the whole batch with 400,
errors are plain text, and a good batch gets `{"status": "Ok"}`. Tests can set other answers.
"""

from __future__ import annotations

import gzip
import json
import socket
import ssl
import struct
import threading
import time
import uuid
import zlib
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

LARGEST_BODY = 20 << 20  # bytes: PostHog's limit for /batch/
LARGEST_EVENT = 1_000_000  # bytes: PostHog's limit for one event
SILENCE = 30.0  # seconds after which a silent client is disconnected


@dataclass(frozen=True, slots=True)
class Request:
    """One request as it arrived.

    Attributes:
        line: the request line, "POST /batch/ HTTP/1.1".
        headers: (name, value) pairs in their order.
        raw: the body as it was received.
        body: the decompressed body; empty if it cannot be decompressed.
        at: when the request was complete, in seconds since 1970.
    """

    line: str
    headers: tuple[tuple[str, str], ...]
    raw: bytes
    body: bytes
    at: float

    @property
    def json(self) -> dict[str, Any]:
        """The body as a JSON object; empty if it is not one."""
        try:
            value = json.loads(self.body)
        except ValueError:
            return {}
        return value if isinstance(value, dict) else {}

    @property
    def events(self) -> list[Any]:
        """The events of the batch."""
        batch = self.json.get("batch")
        return batch if isinstance(batch, list) else []


@dataclass(frozen=True, slots=True)
class Answer:
    """An answer to a request.

    Attributes:
        status: the HTTP status.
        body: the body.
        headers: (name, value) pairs besides the length; if empty, the body is sent as plain text.
        delay: seconds to wait before the answer.
        drip: seconds to wait before each byte of the body.
        drop: whether to reset the connection instead of answering.
    """

    status: int = 200
    body: bytes = b""
    headers: tuple[tuple[str, str], ...] = ()
    delay: float = 0.0
    drip: float = 0.0
    drop: bool = False


PLAIN = (("Content-Type", "text/plain; charset=utf-8"),)
OK = Answer(200, b'{"status": "Ok"}', (("Content-Type", "application/json"),))
CAPTIVE_PORTAL = Answer(200, b"<html><body>Welcome to our Wi-Fi</body></html>", (("Content-Type", "text/html"),))
Choice = Callable[[Request], Answer | None]


def judge(request: Request) -> Answer:
    """Return what PostHog would answer."""
    method, path, *_ = request.line.split()
    if method != "POST" or path not in ("/batch/", "/batch"):
        return Answer(404, b"not found")
    if len(request.body) > LARGEST_BODY:
        return Answer(413, b"request is too large")
    if not isinstance(request.json.get("batch"), list):
        return Answer(400, b"failed to decode request: no batch")
    key = request.json.get("api_key")
    if not isinstance(key, str) or not key:
        return Answer(401, b"API key is not valid")
    wrong = next(filter(None, map(_fault, request.events)), None)
    return Answer(400, wrong.encode()) if wrong else OK


def _fault(event: object) -> str:
    if not isinstance(event, dict) or not isinstance(event.get("event"), str) or not event["event"]:
        return "event submitted with an empty event name"
    if not isinstance(event.get("distinct_id"), str) or not event["distinct_id"]:
        return "event submitted without a distinct_id"
    if not isinstance(event.get("timestamp"), str):
        return "event submitted with an invalid timestamp"
    try:
        uuid.UUID(event.get("uuid"))
    except (AttributeError, TypeError, ValueError):
        return "event submitted with an invalid uuid"
    return "event is too large" if len(json.dumps(event)) > LARGEST_EVENT else ""


class Receiver:
    """The server. It runs inside a `with Receiver() as receiver:` block.

    Attributes:
        url: its address, "http://127.0.0.1:PORT".
        requests: every request, in the order of arrival.
        accepted: the events of the requests that were answered with PostHog's 200, including repeats.
    """

    def __init__(self, port: int = 0, *, tls: ssl.SSLContext | None = None) -> None:
        """Bind to 127.0.0.1; with port 0, to any free port."""
        self.requests: list[Request] = []
        self.accepted: list[dict[str, Any]] = []
        self._next: deque[Answer] = deque()
        self._choose: Choice = lambda _request: None
        self._changed = threading.Condition()
        self._closing = threading.Event()
        self._server = ThreadingHTTPServer(("127.0.0.1", port), _handler(self), bind_and_activate=True)
        self._server.daemon_threads = True
        self._server.block_on_close = False
        self._server.handle_error = lambda *_: None  # type: ignore[method-assign]  # a client may hang up
        if tls:
            self._server.socket = tls.wrap_socket(self._server.socket, server_side=True, do_handshake_on_connect=False)
        self.port: int = self._server.server_address[1]
        self.url = f"http{'s' * bool(tls)}://127.0.0.1:{self.port}"

    def __enter__(self) -> Receiver:  # noqa: PYI034  (typing.Self is newer than Python 3.10)
        threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        self._closing.set()
        self._server.shutdown()
        self._server.server_close()

    def answer_next(self, *answers: Answer) -> None:
        """Answer the next requests with these answers, one each."""
        with self._changed:
            self._next.extend(answers)

    def answer_always(self, choose: Choice) -> None:
        """Let `choose` answer each request from now on; if it returns None, answer like PostHog."""
        with self._changed:
            self._choose = choose

    def wait_for(self, events: int, timeout: float = 60.0) -> bool:
        """Wait until this number of events is accepted. Returns whether that happened within `timeout` seconds."""
        with self._changed:
            return self._changed.wait_for(lambda: len(self.accepted) >= events, timeout)

    def wait_for_request(self, number: int = 1, timeout: float = 60.0) -> bool:
        """Wait until this number of requests has arrived, answered or not."""
        with self._changed:
            return self._changed.wait_for(lambda: len(self.requests) >= number, timeout)

    def take(self, request: Request) -> Answer:
        """Record a request, and return its answer."""
        with self._changed:
            self.requests.append(request)
            self._changed.notify_all()
            return (self._next.popleft() if self._next else self._choose(request)) or judge(request)

    def accept(self, request: Request) -> None:
        """Record that the events of a request were accepted."""
        with self._changed:
            self.accepted.extend(request.events)
            self._changed.notify_all()

    def sleep(self, seconds: float) -> None:
        """Wait for this number of seconds, or until the receiver stops."""
        self._closing.wait(seconds)


def _handler(receiver: Receiver) -> type[BaseHTTPRequestHandler]:  # noqa: C901  (a class in a function; each method is short)
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"
        timeout = SILENCE
        disable_nagle_algorithm = True

        def do_POST(self) -> None:
            request = self._read()
            answer = receiver.take(request)
            receiver.sleep(answer.delay)
            if answer.drop:
                self._reset()
                return
            if answer.status == OK.status and answer.body == OK.body:
                receiver.accept(request)
            self._write(answer)

        do_GET = do_PUT = do_PATCH = do_HEAD = do_POST  # noqa: N815

        def _read(self) -> Request:
            raw = self.rfile.read(int(self.headers.get("Content-Length") or 0))
            body = _decompressed(raw) if self.headers.get("Content-Encoding") == "gzip" else raw
            return Request(self.requestline, tuple(self.headers.items()), raw, body, time.time())

        def _write(self, answer: Answer) -> None:
            self.send_response(answer.status)
            for name, value in (*(answer.headers or PLAIN), ("Content-Length", str(len(answer.body)))):
                self.send_header(name, value)
            self.end_headers()
            if not answer.drip:
                self.wfile.write(answer.body)
                return
            for byte in answer.body:
                receiver.sleep(answer.drip)
                self.wfile.write(bytes([byte]))

        def _reset(self) -> None:
            """Close the connection with a TCP reset, like a machine that crashed."""
            self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            self.close_connection = True
            self.connection.close()

        def log_message(self, format: str, *args: object) -> None:  # noqa: A002  (http.server's name)
            pass

    return Handler


def _decompressed(raw: bytes) -> bytes:
    try:
        return gzip.decompress(raw)
    except (OSError, EOFError, zlib.error):
        return b""
