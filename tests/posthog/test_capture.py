"""The HTTP request: it is byte for byte the one that `preview` shows, and contains no personal data."""

from __future__ import annotations

import gzip
import inspect
import json
import os
import socket
import ssl
import threading
import time
import tracemalloc
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import posthog.request
import pytest
import trustme
import urllib3.util.connection

from onramp_analytics import __version__, events
from onramp_analytics.posthog import capture
from onramp_analytics.posthog.destination import Destination
from onramp_analytics.posthog.outcome import ACCEPTED, UNLIKE_POSTHOG, UNREACHED
from onramp_analytics.receiver import OK, Answer, Receiver
from tests.conftest import KEY, Checkout

ID = "550e8400-e29b-41d4-a716-446655440000"
HEADERS = {
    "Host",
    "User-Agent",
    "Content-Type",
    "Content-Encoding",
    "Content-Length",
    "Accept-Encoding",
    "Accept",
    "Connection",
}
FIVE = (
    ("service_enabled", "service_name=plex", "has_scaffold=true"),
    ("service_disabled", "service_name=alices-diary"),
    ("override_enabled", "override_name=plex-nfs"),
    ("command_executed", "command=start", "success=false", "duration_ms=1200"),
    ("error_occurred", "command=start", "error_type=exit_2"),
)
BAIT = {
    "AWS_SECRET_ACCESS_KEY": "bait-secret",
    "CF_DNS_API_TOKEN": "bait-token",
    "HOST_NAME": "bait-host",
    "USER": "bait-user",
    "http_proxy": "http://bait-user:bait-password@127.0.0.1:9",
}


def test_five_events_leave_in_one_request_exactly_as_they_were_shown(checkout: Checkout, receiver: Receiver) -> None:
    checkout.run("enable")
    checkout.hold_back_flusher()
    for event in FIVE:
        checkout.track(*event)
    shown = checkout.pending()

    assert checkout.run("flush").stdout == "Sent 5 events.\n"

    (request,) = receiver.requests
    assert request.line == "POST /batch/ HTTP/1.1"
    assert request.json["batch"] == shown
    assert request.json["api_key"] == KEY
    assert set(request.json) == {"batch", "api_key", "sent_at"}
    assert len(shown) == 5
    assert shown == checkout.sent()


def test_the_headers_are_the_closed_list(opted_in: Checkout, receiver: Receiver) -> None:
    receiver.answer_next(Answer(503, b"", (("Set-Cookie", "session=1"),)))
    opted_in.hold_back_flusher()
    opted_in.track()

    opted_in.run("flush")

    assert len(receiver.requests) == 2
    for request in receiver.requests:
        headers = dict(request.headers)
        assert set(headers) == HEADERS
        assert headers["User-Agent"] == f"onramp-analytics/{__version__}"
        assert headers["Content-Encoding"] == "gzip"
        assert headers["Accept-Encoding"] == "identity"
        assert headers["Content-Type"] == "application/json"


def test_no_personal_data_is_in_a_request_a_file_or_a_message(opted_in: Checkout, receiver: Receiver) -> None:
    home = Path(opted_in.env["HOME"])
    (home / ".netrc").write_text("default login bait-login password bait-netrc\n")
    (home / ".netrc").chmod(0o600)
    opted_in.hold_back_flusher()
    receiver.answer_next(Answer(500, f"bad key {KEY}".encode()))

    printed = [opted_in.run("track", *event, env=BAIT) for event in FIVE]
    printed += [opted_in.run(c, env=BAIT, check=False) for c in ("show-pending", "status", "flush", "show-sent")]

    assert len(receiver.accepted) == 5
    seen = b"".join(r.body + repr(r.headers).encode() for r in receiver.requests)
    seen += b"".join(p.read_bytes() for p in opted_in.path.rglob("*") if p.is_file() and p.parent.name != "make.d")
    seen += "".join(p.stdout + p.stderr for p in printed).encode()
    for word in (b"bait", b"alice", str(home).encode()):
        assert word not in seen
    assert KEY not in "".join(p.stdout + p.stderr for p in printed)


def destination_of(receiver: Receiver) -> Destination:
    return Destination(KEY, receiver.url)


def send(where: Destination, batch: list[dict[str, object]] | None = None) -> tuple[str, str]:
    with capture.open_session(where, lambda: None) as session:
        outcome = capture.send(session, where, batch or [])
    return outcome.kind, outcome.reason


def assert_unreached(found: tuple[str, str], what: str) -> None:
    """Every reason names what is wrong, and then what to do."""
    assert found[0] == UNREACHED
    assert found[1].startswith(what)


@pytest.fixture
def silent_server() -> Iterator[str]:
    """A server that accepts a connection and sends nothing."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        yield f"http://127.0.0.1:{server.getsockname()[1]}"


def test_a_server_that_drips_is_cut_off_at_the_deadline(receiver: Receiver, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(capture, "DEADLINE", 0.5)
    receiver.answer_next(Answer(200, OK.body * 10, drip=0.2))
    started = time.monotonic()

    kind, reason = send(destination_of(receiver))

    assert (kind, reason) == (UNREACHED, "no complete response within 0 s: check the network connection")
    assert time.monotonic() - started < 2


def test_a_server_that_says_nothing_is_cut_off_at_the_deadline(
    silent_server: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(capture, "DEADLINE", 0.5)

    assert send(Destination(KEY, silent_server))[0] == UNREACHED


def test_a_refused_connection_is_said_to_be_one() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        free = server.getsockname()[1]

    assert_unreached(send(Destination(KEY, f"http://127.0.0.1:{free}")), "the host refused the connection: check ")


def test_a_name_that_cannot_be_resolved_is_said_to_be_one(monkeypatch: pytest.MonkeyPatch) -> None:
    def unknown(*_: object, **__: object) -> None:
        raise socket.gaierror(-2, "Name or service not known")

    monkeypatch.setattr(socket, "getaddrinfo", unknown)

    assert_unreached(send(Destination(KEY, "https://example.invalid")), "the host's name cannot be resolved: check ")


def test_an_answer_cut_off_in_the_middle_is_no_answer() -> None:
    def cut(server: socket.socket) -> None:
        connection, _ = server.accept()
        connection.recv(1 << 16)
        connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\n" + OK.body)
        connection.close()

    with socket.create_server(("127.0.0.1", 0)) as server:
        thread = threading.Thread(target=cut, args=(server,))
        thread.start()
        kind, _ = send(Destination(KEY, f"http://127.0.0.1:{server.getsockname()[1]}"))
        thread.join()

    assert kind == UNREACHED


def test_an_untrusted_certificate_is_rejected() -> None:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    trustme.CA().issue_cert("127.0.0.1").configure_cert(context)

    with Receiver(tls=context) as receiver:
        assert_unreached(send(destination_of(receiver)), "the TLS connection to the host is not trusted: check ")
        assert receiver.requests == []


def test_a_certificate_of_the_authority_that_the_environment_names_is_trusted(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """For a self-hosted PostHog with a private certificate."""
    authority = trustme.CA()
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("127.0.0.1").configure_cert(context)
    authority.cert_pem.write_to_path(tmp_path / "ca.pem")
    monkeypatch.setenv("REQUESTS_CA_BUNDLE", str(tmp_path / "ca.pem"))

    with Receiver(tls=context) as receiver:
        assert send(destination_of(receiver), [an_event()])[0] == ACCEPTED


def an_event() -> dict[str, object]:
    line = events.build("service_disabled", {"service_name": "plex"}, ID, time.time(), os.urandom(16))
    found: dict[str, object] = json.loads(line)
    return found


def test_a_proxy_that_fails_is_named_without_its_password(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("https_proxy", "http://bait-user:bait-password@127.0.0.1:9")
    monkeypatch.delenv("no_proxy", raising=False)
    monkeypatch.delenv("NO_PROXY", raising=False)

    assert send(Destination(KEY, "https://example.invalid")) == (
        UNREACHED,
        "the proxy does not work: check HTTPS_PROXY",
    )


def test_no_proxy_is_used_for_this_machine(receiver: Receiver, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("http_proxy", "http://127.0.0.1:9")

    assert send(destination_of(receiver))[0] == ACCEPTED


def test_a_host_with_a_path_is_kept_as_it_is(receiver: Receiver) -> None:
    receiver.answer_always(lambda _request: OK)

    send(Destination(KEY, receiver.url + "/ingest"))

    assert receiver.requests[0].line == "POST /ingest/batch/ HTTP/1.1"


def test_what_a_server_says_is_kept_short_plain_and_without_the_key(receiver: Receiver) -> None:
    receiver.answer_next(Answer(400, f"no {KEY} \x1b[31m\r\n{'x' * 10_000_000}".encode()))

    kind, reason = send(destination_of(receiver))

    assert KEY not in reason
    assert reason.isprintable()
    assert len(reason) < 300
    assert kind == "rejected"


def test_the_one_function_of_the_sdk_that_we_call_takes_what_we_give() -> None:
    parameters = inspect.signature(posthog.request.batch_post).parameters

    assert list(parameters)[:4] == ["api_key", "host", "gzip", "timeout"]


def test_the_request_is_gzip_of_json(opted_in: Checkout, receiver: Receiver) -> None:
    opted_in.hold_back_flusher()
    opted_in.track()

    opted_in.run("flush")

    assert receiver.requests[0].raw[:2] == b"\x1f\x8b"
    assert json.loads(receiver.requests[0].body)


# -- consent at the last moment ----------------------------------------------------------------------------------------


class Withdrawn(BaseException):
    """No library catches a `BaseException` that is not an `Exception`."""


class Consent:
    """A consent that can be withdrawn during a request."""

    def __init__(self) -> None:
        self.given = True

    def withdraw(self) -> None:
        self.given = False

    def __call__(self) -> None:
        if not self.given:
            raise Withdrawn


Serve = Callable[[socket.socket], None]


@contextmanager
def one_connection(serve: Serve) -> Iterator[int]:
    """Serve one connection, and yield the port."""

    def accept() -> None:
        with suppress(OSError):  # the client resets
            connection, _ = server.accept()
            with connection:
                connection.settimeout(10)
                serve(connection)

    with socket.create_server(("127.0.0.1", 0)) as server:
        thread = threading.Thread(target=accept)
        thread.start()
        yield server.getsockname()[1]
        thread.join()


def hear(connection: socket.socket, heard: list[bytes]) -> None:
    while data := connection.recv(1 << 16):
        heard.append(data)


@pytest.fixture
def tls(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> ssl.SSLContext:
    authority = trustme.CA()
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("127.0.0.1", "example.invalid").configure_cert(context)
    authority.cert_pem.write_to_path(tmp_path / "ca.pem")
    monkeypatch.setenv("REQUESTS_CA_BUNDLE", str(tmp_path / "ca.pem"))
    return context


def send_until_withdrawn(where: Destination, consent: Consent, requests: int = 1) -> None:
    with capture.open_session(where, consent) as session:
        for _ in range(requests - 1):
            assert capture.send(session, where, []).kind == ACCEPTED
        with pytest.raises(Withdrawn):
            capture.send(session, where, [])


def test_no_byte_is_sent_when_consent_goes_during_the_tls_handshake(tls: ssl.SSLContext) -> None:
    consent, heard = Consent(), list[bytes]()

    def serve(connection: socket.socket) -> None:
        consent.withdraw()
        with tls.wrap_socket(connection, server_side=True) as secure:
            heard.append(b"")  # the handshake was whole
            hear(secure, heard)

    with one_connection(serve) as port:
        send_until_withdrawn(Destination(KEY, f"https://127.0.0.1:{port}"), consent)

    assert heard == [b""]


def test_no_byte_is_sent_when_consent_goes_while_connecting_takes_its_time(monkeypatch: pytest.MonkeyPatch) -> None:
    consent, heard = Consent(), list[bytes]()
    connect = urllib3.util.connection.create_connection

    def connect_slowly(*args: Any, **kwargs: Any) -> socket.socket:
        connected = connect(*args, **kwargs)
        consent.withdraw()
        return connected

    monkeypatch.setattr(urllib3.util.connection, "create_connection", connect_slowly)

    with one_connection(lambda connection: hear(connection, heard)) as port:
        send_until_withdrawn(Destination(KEY, f"http://127.0.0.1:{port}"), consent)

    assert heard == []


def test_no_byte_is_sent_on_a_kept_connection_when_consent_has_gone() -> None:
    consent, later = Consent(), list[bytes]()

    def serve(connection: socket.socket) -> None:
        request = b""
        while not request.partition(b"\r\n\r\n")[2]:
            request += connection.recv(1 << 16)
        consent.withdraw()
        connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%b" % (len(OK.body), OK.body))
        hear(connection, later)

    with one_connection(serve) as port:
        send_until_withdrawn(Destination(KEY, f"http://127.0.0.1:{port}"), consent, requests=2)

    assert later == []


def test_no_byte_is_sent_through_a_proxy_when_consent_goes_during_its_connect(
    tls: ssl.SSLContext, monkeypatch: pytest.MonkeyPatch
) -> None:
    consent, through, asked = Consent(), list[bytes](), list[bytes]()

    def serve(connection: socket.socket) -> None:
        asked.append(connection.recv(1 << 16))
        consent.withdraw()
        connection.sendall(b"HTTP/1.1 200 Connection established\r\n\r\n")
        with tls.wrap_socket(connection, server_side=True) as secure:
            hear(secure, through)

    with one_connection(serve) as port:
        monkeypatch.setenv("https_proxy", f"http://127.0.0.1:{port}")
        send_until_withdrawn(Destination(KEY, "https://example.invalid"), consent)

    assert asked[0].startswith(b"CONNECT example.invalid:443 ")
    assert through == []


def test_a_proxy_is_not_even_connected_to_without_consent(monkeypatch: pytest.MonkeyPatch) -> None:
    consent = Consent()
    consent.withdraw()
    with socket.create_server(("127.0.0.1", 0)) as server:
        server.settimeout(0)
        monkeypatch.setenv("https_proxy", f"http://127.0.0.1:{server.getsockname()[1]}")

        send_until_withdrawn(Destination(KEY, "https://example.invalid"), consent)

        with pytest.raises(BlockingIOError):
            server.accept()


# -- arbitrary answers -------------------------------------------------------------------------------------------------

GZIP = (("Content-Encoding", "gzip"), ("Content-Type", "application/json"))


@pytest.mark.parametrize("status", [200, 503])
@pytest.mark.parametrize("what", ["gzip that explodes", "a hundred million bytes"])
def test_of_an_answer_little_is_read_and_nothing_decompressed(receiver: Receiver, status: int, what: str) -> None:
    body = bytes(100_000_000)
    if what == "gzip that explodes":
        body = gzip.compress(body)
    receiver.answer_next(Answer(status, body, GZIP if what == "gzip that explodes" else ()))
    send_nothing = capture.open_session(destination_of(receiver), lambda: None)
    tracemalloc.start()
    try:
        with send_nothing as session:
            kind = capture.send(session, destination_of(receiver), []).kind
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()

    assert kind == (UNLIKE_POSTHOG if status == 200 else UNREACHED)
    assert peak < 4 << 20


def test_a_compressed_answer_is_not_decompressed_even_where_it_is_short(receiver: Receiver) -> None:
    receiver.answer_next(Answer(200, gzip.compress(OK.body), GZIP))

    assert send(destination_of(receiver))[0] == UNLIKE_POSTHOG


@pytest.mark.parametrize("status", [200, 400, 503])
def test_json_without_end_is_an_answer_that_is_not_posthogs(receiver: Receiver, status: int) -> None:
    receiver.answer_next(Answer(status, b"[" * 60_000, (("Content-Type", "application/json"),)))

    kind, reason = send(destination_of(receiver))

    assert kind == (UNLIKE_POSTHOG if status == 200 else UNREACHED)
    assert "check the host's name" in reason


@pytest.mark.parametrize(
    "answer",
    [
        b"garbage\r\n\r\n",
        b"HTTP/1.1 200 OK\r\n" + b"X: y\r\n" * 200 + b"\r\n",
        b"HTTP/1.1 99999 \xff\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Length: -7\r\n\r\n",
        b"HTTP/1.1 500 x\r\nContent-Type: text/plain; charset=no-such\r\nContent-Length: 1\r\n\r\n\xff",
        b"HTTP/1.1 301 x\r\nLocation: http://[\r\nContent-Length: 0\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\nContent-Length: 2\r\n\r\n{}",
        b"",
    ],
)
def test_a_broken_answer_is_an_outcome(answer: bytes) -> None:
    def serve(connection: socket.socket) -> None:
        connection.recv(1 << 16)
        connection.sendall(answer)
        connection.shutdown(socket.SHUT_WR)
        hear(connection, [])

    with one_connection(serve) as port:
        kind, reason = send(Destination(KEY, f"http://127.0.0.1:{port}"))

    assert kind in (UNREACHED, UNLIKE_POSTHOG)
    assert ": check " in reason or "it will be tried again" in reason


def test_a_name_that_a_dns_blocker_sends_to_this_machine_is_no_tls_error(
    tls: ssl.SSLContext, monkeypatch: pytest.MonkeyPatch
) -> None:
    """On an OnRamp host Traefik answers there, with another certificate."""
    resolve = socket.getaddrinfo
    monkeypatch.setattr(socket, "getaddrinfo", lambda _name, *args, **how: resolve("127.0.0.1", *args, **how))

    with Receiver(tls=tls) as traefik:
        kind, reason = send(Destination(KEY, f"https://blocked.invalid:{traefik.port}"))

    assert kind == UNREACHED
    assert "a DNS blocker (Pi-hole, AdGuard Home) blocks it; allow it there" in reason
    assert "TLS" not in reason
