"""5. Network: every answer of a server, and no answer."""

from __future__ import annotations

import datetime as dt
import gzip
import os
import socket
import ssl
import threading
import time
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass, field
from email.utils import formatdate
from functools import partial
from multiprocessing.process import BaseProcess

import trustme

from onramp_analytics.detached import LONGEST_LIFE
from onramp_analytics.outbox import history
from onramp_analytics.posthog import capture
from onramp_analytics.posthog.outcome import MISCONFIGURED, REJECTED, TOO_LARGE, UNLIKE_POSTHOG, UNREACHED
from onramp_analytics.receiver import CAPTIVE_PORTAL, OK, Answer, Receiver, Request
from tests.conftest import KEY, Checkout
from tests.faults.children import Place, run_flusher, start
from tests.faults.rig import Fault, Rig, consent_of

DAY = 86_400
AT_A_TIME = 12
RUN = LONGEST_LIFE  # seconds; three requests at their deadline and the pauses between them take 66
JSON = (("Content-Type", "application/json"),)
GZIP = (("Content-Encoding", "gzip"), *JSON)
HTML = b"<html>" + b"x" * 10_000_000
A_YEAR_AGO, IN_A_YEAR = -365 * DAY, 365 * DAY


@dataclass
class Trouble:
    """One thing that can go wrong.

    Attributes:
        answer: the receiver's answer; None if it accepts the events.
        kind: the expected outcome of the run.
        after: the least number of seconds between the start of the run and the time at which the next one is allowed.
        most: the largest number of these seconds.
        url: the address to which events are sent; empty for the receiver.
        env: additional variables of the environment.
        before: called in the uploader's process before it sends.
    """

    answer: Answer | None = None
    kind: str = UNREACHED
    after: float = 0.0
    most: float = DAY
    url: str = ""
    env: dict[str, str] = field(default_factory=dict)
    before: Callable[[], None] | None = None


def _later(when: str) -> Answer:
    return Answer(503, b"", (("Retry-After", when),))


def _answers() -> dict[str, Trouble]:
    """Return answers for each row of the table in docs/posthog.md, and other invalid answers."""
    found = {f"status {code}": Trouble(Answer(code)) for code in (408, 425, 429, 500, 502, 503, 504, 599)}
    found |= {f"status {code}": Trouble(Answer(code), MISCONFIGURED, most=DAY / 2) for code in (401, 403, 404)}
    found |= {f"status {code}": Trouble(Answer(code), UNLIKE_POSTHOG) for code in (201, 202, 204, 206, 304, 402, 418)}
    moved = dict.fromkeys((301, 302, 303, 307, 308), (("Location", "http://127.0.0.1:9/batch/"),))
    found |= {f"redirect {code}": Trouble(Answer(code, b"", to), UNLIKE_POSTHOG) for code, to in moved.items()}
    bodies = {"nothing": b"", "text": b"ok", "null": b"null", "list": b"[1]", "false": b'{"status": 0}', "HTML": HTML}
    bodies |= {
        "true": b'{"status": true}',
        "words": b'{"status": "ok"}',
        "half": b'{"status": "Ok"',
        "bytes": b"\xff\xfe",
    }
    found |= {f"200 with {n}": Trouble(Answer(200, body, JSON), UNLIKE_POSTHOG) for n, body in bodies.items()}
    found |= {f"{code} to everything": Trouble(Answer(code, b"no"), UNLIKE_POSTHOG) for code in (400, 413)}
    found["gzip that explodes"] = Trouble(Answer(200, gzip.compress(bytes(100_000_000)), GZIP), UNLIKE_POSTHOG)
    found |= {
        f"{code} with JSON without end": Trouble(Answer(code, b"[" * 60_000, JSON), kind)
        for code, kind in ((200, UNLIKE_POSTHOG), (500, UNREACHED))
    }
    found["a captive portal"] = Trouble(CAPTIVE_PORTAL, UNLIKE_POSTHOG)
    found |= {f"500 with {name}": Trouble(Answer(500, body, JSON)) for name, body in bodies.items()}
    found["Retry-After as seconds"] = Trouble(_later("1000"), after=1000)
    found["Retry-After as a year"] = Trouble(_later(str(365 * DAY)), after=DAY - 1)
    found["Retry-After as a date"] = Trouble(_later(formatdate(time.time() + 20_000, usegmt=True)), after=15_000)
    odd = ("-5", "soon", "nan", "inf", "1e999", "9" * 5000, "Thu, 01 Jan 1970 00:00:00 GMT", "Fri, 99 Foo 2026")
    found |= {f"Retry-After as {s[:12]}": Trouble(_later(s)) for s in odd}
    found["a reset"] = Trouble(Answer(drop=True))
    found["a slow answer"] = Trouble(Answer(200, OK.body, delay=3600))
    found["a byte a second"] = Trouble(Answer(200, OK.body * 100, drip=1.0))
    return found


def each_answer_of_a_server(rig: Rig) -> None:
    """Every outcome, odd bodies, odd `Retry-After`, and silence: the events are kept, and sent afterwards."""
    _try(rig, dict(rig.sample([*_answers().items()])))


def refusals(rig: Rig) -> None:
    """400 and 413: the bad event is found and refused, and every other event arrives once."""
    checkout = rig.checkout()
    for status, kind in ((400, REJECTED), (413, TOO_LARGE)):
        for poison in rig.sample(range(7)):
            rig.tally.faults += 1
            rig.track(checkout, 7)
            bad = rig.pending(checkout)[poison]["uuid"]
            rig.receiver.answer_always(partial(_refuse, status, bad))
            before = len(rig.receiver.accepted)
            rig.flush(checkout)
            arrived = {event["uuid"] for event in rig.receiver.accepted[before:]}
            rig.tally.expect(
                len(arrived) == 6 and bad not in arrived, f"{kind}: {len(arrived)} of 6 good events arrived"
            )
            refused = [entry["event"]["uuid"] for entry in history.refused(checkout.spool)]
            rig.tally.expect(refused[-1:] == [bad], f"{kind}: the refused event is not kept")
    rig.count()
    rig.tally.expect(rig.tally.twice == 0, "an event was taken twice within a run")
    rig.tally.expect(rig.tally.lost == rig.tally.faults, "another event than the refused one is gone")
    rig.tally.lost = 0  # those that the server refused, each kept with the server's reason


def _refuse(status: int, bad: str, request: Request) -> Answer | None:
    return Answer(status, b"no") if bad in {event["uuid"] for event in request.events} else None


def no_way_to_the_host(rig: Rig) -> None:
    """No DNS entry, no connection, no trusted TLS, no proxy, an incomplete answer, and no answer."""
    with ExitStack() as servers:
        _try(rig, {name: make(servers) for name, make in rig.sample([*WAYS.items()])})


def _unresolved() -> None:
    def unknown(*_: object, **__: object) -> None:
        raise socket.gaierror(-2, "Name or service not known")

    socket.getaddrinfo = unknown  # type: ignore[assignment]


def _raw(servers: ExitStack, answer: bytes | None) -> str:
    """Start a server that reads a request, sends `answer` and closes the connection; with None, it never answers.

    Returns:
        Its URL.
    """
    server = servers.enter_context(socket.create_server(("127.0.0.1", 0)))

    def serve() -> None:
        while True:
            try:
                connection, _ = server.accept()
            except OSError:
                return
            if answer is None:
                servers.callback(connection.close)
                continue
            connection.recv(1 << 16)
            connection.sendall(answer)
            connection.close()

    threading.Thread(target=serve, daemon=True).start()
    return f"http://127.0.0.1:{server.getsockname()[1]}"


def _tls(servers: ExitStack, *, expired: bool) -> Trouble:
    authority, context = trustme.CA(), ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    past = dt.datetime(2020, 1, 1, tzinfo=dt.timezone.utc)
    authority.issue_cert("127.0.0.1", not_before=past, not_after=past if expired else None).configure_cert(context)
    receiver = servers.enter_context(Receiver(tls=context))
    known = servers.enter_context(authority.cert_pem.tempfile())
    return Trouble(url=receiver.url, env={"REQUESTS_CA_BUNDLE": known} if expired else {})


def _free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port: int = server.getsockname()[1]
    return port


ELSEWHERE = "https://analytics.invalid"
WAYS: dict[str, Callable[[ExitStack], Trouble]] = {
    "no such name": lambda _: Trouble(url=ELSEWHERE, before=_unresolved),
    "refused": lambda _: Trouble(url=f"http://127.0.0.1:{_free_port()}"),
    "TLS where there is none": lambda servers: Trouble(url=_raw(servers, b"no TLS").replace("http:", "https:")),
    "an unknown certificate": lambda servers: _tls(servers, expired=False),
    "an expired certificate": lambda servers: _tls(servers, expired=True),
    "a dead proxy": lambda _: Trouble(url=ELSEWHERE, env={"https_proxy": f"http://u:secret@127.0.0.1:{_free_port()}"}),
    "a proxy that says no": lambda servers: Trouble(
        url=ELSEWHERE, env={"https_proxy": _raw(servers, b"HTTP/1.1 407 No\r\nContent-Length: 0\r\n\r\n")}
    ),
    "a proxy of none": lambda _: Trouble(url=ELSEWHERE, env={"https_proxy": "nonsense://:::"}),
    "half an answer": lambda s: Trouble(url=_raw(s, b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\n" + OK.body)),
    "no HTTP": lambda servers: Trouble(url=_raw(servers, b"220 mail.example.com ESMTP\r\n")),
    "no answer": lambda servers: Trouble(url=_raw(servers, b"")),
    "silence": lambda servers: Trouble(url=_raw(servers, None)),
}


def _try(rig: Rig, troubles: dict[str, Trouble]) -> None:
    """Cause each trouble in a separate checkout, twelve at a time, since most of them wait. Then send all events."""
    waiting = [*troubles.items()]
    answers: dict[str, Answer] = {}
    rig.receiver.answer_always(lambda request: answers.get(request.events[0]["distinct_id"]))
    while waiting:
        batch, waiting = waiting[:AT_A_TIME], waiting[AT_A_TIME:]
        running = [(name, trouble, *_begin(rig, trouble, answers)) for name, trouble in batch]
        for name, trouble, checkout, flusher, began in running:
            rig.finish(flusher, RUN * 1.5)
            rig.tally.expect(time.monotonic() - began < RUN, f"{name}: the run took {time.monotonic() - began:.0f} s")
            _look(rig, name, trouble, checkout)
    answers.clear()
    for checkout in rig.checkouts:
        checkout.opt_in(ANALYTICS_ID=consent_of(checkout)[1])  # with the receiver as the destination again
        rig.flush(checkout)
        rig.tally.expect(not rig.pending(checkout), f"{checkout.path.name}: the trouble is over, and events still wait")
    rig.count()
    rig.tally.expect(rig.tally.twice == 0, "an event that was taken was sent again")


def _begin(rig: Rig, trouble: Trouble, answers: dict[str, Answer]) -> tuple[Checkout, BaseProcess, float]:
    rig.tally.faults += 1
    checkout = rig.checkout(f"onramp-{len(rig.checkouts)}")
    own_id = f"{len(rig.checkouts):08x}-0000-4000-8000-000000000000"
    checkout.opt_in(ANALYTICS_ID=own_id, ANALYTICS_AGREED_TO=f"{trouble.url or rig.receiver.url} {KEY}")
    if trouble.answer:
        answers[own_id] = trouble.answer
    rig.track(checkout, 3)
    env = {**trouble.env, **({"ONRAMP_ANALYTICS_HOST": trouble.url} if trouble.url else {})}
    return checkout, start(rig.place(checkout, env=env), _flush, rig.effort.deadline, trouble.before), time.monotonic()


def _flush(place: Place, deadline: float, before: Callable[[], None] | None) -> None:
    capture.DEADLINE = deadline
    if before:
        before()
    run_flusher(place)


def _look(rig: Rig, name: str, trouble: Trouble, checkout: Checkout) -> None:
    state = history.load_state(checkout.spool)
    when = checkout.spool.not_before()
    again = when - state.at  # the run began then
    rig.tally.expect(len(rig.pending(checkout)) == 3, f"{name}: {len(rig.pending(checkout))} of 3 events are kept")
    rig.tally.expect(state.outcome == trouble.kind, f"{name}: the outcome is {state.outcome}: {state.reason}")
    rig.tally.expect(
        max(trouble.after, 1) <= again <= trouble.most + RUN and not checkout.spool.flusher_is_due(when - 1),
        f"{name}: the next run may start in {again:.0f} s",
    )
    rig.tally.expect("secret" not in state.reason, f"{name}: the reason holds a secret: {state.reason}")


def a_clock_that_jumps(rig: Rig) -> None:
    """The clock was off by a day or a year when the last run failed: events are still recorded and sent.

    Only a clock that was a day ahead delays the next uploader, by a day at most.
    """
    checkout = rig.checkout()
    for jump in (A_YEAR_AGO, IN_A_YEAR, -DAY, DAY):
        rig.tally.faults += 1
        rig.receiver.answer_always(lambda _request: Answer(401))
        rig.track(checkout)
        rig.flush(checkout)
        os.utime(checkout.spool.stamp, (time.time() + jump,) * 2)  # as a clock that was off would have set it
        rig.receiver.answer_always(lambda _request: None)
        due = checkout.spool.flusher_is_due(time.time())
        rig.tally.expect(due or jump == DAY, f"a clock that was off by {jump / DAY:.0f} days holds up the flusher")
        rig.tally.expect(rig.track(checkout), "a clock that was off holds up tracking")
        rig.flush(checkout)
        rig.tally.expect(not rig.pending(checkout), "a clock that was off keeps events from being sent")
    rig.settle(checkout)


FAULTS: list[Fault] = [each_answer_of_a_server, refusals, no_way_to_the_host, a_clock_that_jumps]
