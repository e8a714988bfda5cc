"""The local server responds like PostHog, or with the answers that a test sets."""

from __future__ import annotations

import gzip
import json
import socket
import time
from typing import Any

import pytest
import requests
from posthog.request import APIError, batch_post

from onramp_analytics.receiver import CAPTIVE_PORTAL, LARGEST_BODY, LARGEST_EVENT, OK, Answer, Receiver, Request, judge

GOOD: dict[str, Any] = {
    "event": "service_enabled",
    "uuid": "7d3f6a52-8f43-4a6b-9a53-2f1f0e5d6c11",
    "distinct_id": "550e8400-e29b-41d4-a716-446655440000",
    "timestamp": "2026-01-03T12:00:00.123456Z",
    "properties": {},
}


def request(body: object, line: str = "POST /batch/ HTTP/1.1") -> Request:
    raw = body if isinstance(body, bytes) else json.dumps(body).encode()
    return Request(line, (), raw, raw, 0.0)


def batch(*events: object, key: object = "phc_x") -> dict[str, Any]:
    return {"api_key": key, "batch": list(events)}


def test_a_good_batch_is_taken_as_posthogs_sdk_sends_it(receiver: Receiver) -> None:
    response = batch_post("phc_x", receiver.url, gzip=True, batch=[GOOD, GOOD])

    assert response.json() == {"status": "Ok"}
    assert receiver.accepted == [GOOD, GOOD]
    assert receiver.wait_for(2)
    (arrived,) = receiver.requests
    assert arrived.line == "POST /batch/ HTTP/1.1"
    assert dict(arrived.headers)["Content-Encoding"] == "gzip"
    assert gzip.decompress(arrived.raw) == arrived.body
    assert (arrived.events, arrived.json["api_key"]) == ([GOOD, GOOD], "phc_x")
    assert abs(arrived.at - time.time()) < 60


@pytest.mark.parametrize(
    "bad",
    [
        {**GOOD, "event": ""},
        {**GOOD, "event": 7},
        {**GOOD, "distinct_id": ""},
        {k: v for k, v in GOOD.items() if k != "distinct_id"},
        {**GOOD, "uuid": "x"},
        {**GOOD, "uuid": None},
        {k: v for k, v in GOOD.items() if k != "uuid"},
        {**GOOD, "timestamp": 1767441600},
        {**GOOD, "properties": {"x": "y" * LARGEST_EVENT}},
        "text",
    ],
    ids=lambda bad: str(bad)[:70],
)
def test_one_bad_event_makes_the_whole_batch_400_and_none_is_taken(receiver: Receiver, bad: object) -> None:
    with pytest.raises(APIError) as raised:
        batch_post("phc_x", receiver.url, batch=[GOOD, bad])

    assert raised.value.status == 400
    assert receiver.accepted == []
    assert len(receiver.requests) == 1


@pytest.mark.parametrize(
    ("arrived", "status"),
    [
        (request(batch(GOOD)), 200),
        (request(batch()), 200),
        (request(batch(GOOD), "POST /batch HTTP/1.1"), 200),
        (request(batch(GOOD), "POST /capture/ HTTP/1.1"), 404),
        (request(batch(GOOD), "GET /batch/ HTTP/1.1"), 404),
        (request(batch(GOOD, key="")), 401),
        (request(batch(GOOD, key=None)), 401),
        (request({"api_key": "phc_x"}), 400),
        (request([]), 400),
        (request(b"no json"), 400),
        (request(b""), 400),
        (request(b" " * (LARGEST_BODY + 1)), 413),
    ],
)
def test_what_posthog_would_answer_is_a_rule(arrived: Request, status: int) -> None:
    assert judge(arrived).status == status


def test_a_body_that_is_not_the_gzip_it_claims_to_be_is_400(receiver: Receiver) -> None:
    answer = requests.post(receiver.url + "/batch/", data=b"plain", headers={"Content-Encoding": "gzip"}, timeout=5)

    assert answer.status_code == 400


def test_errors_are_plain_text(receiver: Receiver) -> None:
    answer = requests.post(receiver.url + "/batch/", json=batch(GOOD, key=""), timeout=5)

    assert answer.headers["Content-Type"].startswith("text/plain")
    assert answer.text == "API key is not valid"


def test_it_gives_each_set_answer_once(receiver: Receiver) -> None:
    receiver.answer_next(CAPTIVE_PORTAL, Answer(503, b"busy", (("Retry-After", "7"),)))

    answers = [requests.post(receiver.url + "/batch/", json=batch(GOOD), timeout=5) for _ in range(3)]

    assert [a.status_code for a in answers] == [200, 503, 200]
    assert "Wi-Fi" in answers[0].text
    assert answers[1].headers["Retry-After"] == "7"
    assert receiver.accepted == [GOOD]


def test_a_function_can_choose_each_answer(receiver: Receiver) -> None:
    receiver.answer_always(lambda arrived: Answer(429) if len(arrived.events) > 1 else None)

    many = requests.post(receiver.url + "/batch/", json=batch(GOOD, GOOD), timeout=5)
    one = requests.post(receiver.url + "/batch/", json=batch(GOOD), timeout=5)

    assert (many.status_code, one.status_code) == (429, 200)


def test_it_drops_a_connection_without_an_answer(receiver: Receiver) -> None:
    receiver.answer_next(Answer(drop=True))

    with pytest.raises(requests.ConnectionError):
        requests.post(receiver.url + "/batch/", json=batch(GOOD), timeout=5)

    assert len(receiver.requests) == 1
    assert receiver.accepted == []


def test_it_waits_before_it_answers_and_drips_byte_by_byte(receiver: Receiver) -> None:
    receiver.answer_next(Answer(200, OK.body, OK.headers, delay=0.2), Answer(200, b"12345", drip=0.05))
    started = time.monotonic()

    requests.post(receiver.url + "/batch/", json=batch(GOOD), timeout=5)
    waited = time.monotonic() - started
    requests.post(receiver.url + "/batch/", json=batch(GOOD), timeout=5)

    assert waited >= 0.2
    assert time.monotonic() - started - waited >= 0.25


def test_connections_are_kept(receiver: Receiver) -> None:
    with requests.Session() as session:
        for _ in range(3):
            session.post(receiver.url + "/batch/", json=batch(GOOD), timeout=5)

        adapter = session.get_adapter(receiver.url)
        pools = adapter.poolmanager.pools  # type: ignore[attr-defined]
        assert [pools[key].num_connections for key in pools.keys()] == [1]  # noqa: SIM118  (no mapping)


def test_it_ends_at_once_although_a_client_holds_a_connection_and_an_answer_is_due() -> None:
    with Receiver() as receiver:
        receiver.answer_next(Answer(200, delay=30))
        held = socket.create_connection(("127.0.0.1", receiver.port))
        held.sendall(b"POST /batch/ HTTP/1.1\r\nContent-Length: 2\r\n\r\n{}")
        assert receiver.wait_for_request()
        started = time.monotonic()
    ended = time.monotonic()

    held.close()
    assert ended - started < 5


def test_a_client_that_hangs_up_is_no_news(receiver: Receiver, capfd: pytest.CaptureFixture[str]) -> None:
    receiver.answer_next(Answer(200, b"x" * 10_000_000, delay=0.1))
    client = socket.create_connection(("127.0.0.1", receiver.port))
    client.sendall(b"POST /batch/ HTTP/1.1\r\nContent-Length: 2\r\n\r\n{}")
    assert receiver.wait_for_request()
    client.close()

    assert requests.post(receiver.url + "/batch/", json=batch(GOOD), timeout=5).status_code == 200
    assert capfd.readouterr() == ("", "")


def test_it_listens_on_this_machine_alone(receiver: Receiver) -> None:
    assert receiver.url.startswith("http://127.0.0.1:")
    assert receiver._server.server_address[0] == "127.0.0.1"


def test_waiting_for_what_does_not_come_ends(receiver: Receiver) -> None:
    assert receiver.wait_for(1, timeout=0.05) is False
    assert receiver.wait_for_request(1, timeout=0.05) is False
