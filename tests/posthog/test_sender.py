"""The sender of one run: consent and identifier before each request, and the pauses in between."""

from __future__ import annotations

import json
import time

import pytest

from onramp_analytics import events
from onramp_analytics.posthog.outcome import ACCEPTED, MISCONFIGURED, OFF, OUT_OF_TIME
from onramp_analytics.posthog.sender import Sender, Stop, require_consent
from onramp_analytics.receiver import Answer, Receiver, Request
from tests.conftest import Checkout

ID = "550e8400-e29b-41d4-a716-446655440000"
LINE = events.build("service_disabled", {"service_name": "plex"}, ID, time.time(), bytes(16))
BATCH = [json.loads(LINE)]


def test_one_connection_serves_all_requests(here: Checkout, receiver: Receiver) -> None:
    sender = Sender(here.root, 20)

    assert [sender.send(BATCH).kind for _ in range(3)] == [ACCEPTED] * 3

    sender.close()
    assert receiver.accepted == BATCH * 3


@pytest.mark.parametrize(
    ("changed", "kind", "why"),
    [
        ({"ANALYTICS_ENABLED": "0"}, OFF, "analytics are off"),
        ({"ANALYTICS_NOTICE_SHOWN": "0"}, OFF, "analytics are off"),
        ({"ANALYTICS_ID": "none"}, OFF, "no valid identifier"),
        ({"ANALYTICS_ID": f"6{ID[1:]}"}, OUT_OF_TIME, "the identifier was reset"),
        ({"ANALYTICS_AGREED_TO": "https://eu.i.posthog.com phc_another"}, MISCONFIGURED, "you have not agreed"),
        ({"ANALYTICS_AGREED_SEND": "daily"}, MISCONFIGURED, "you have agreed to send events once a day"),
    ],
)
def test_a_request_is_not_made_again_after_a_change_of_the_consent(
    here: Checkout, receiver: Receiver, changed: dict[str, str], kind: str, why: str
) -> None:
    def change(_request: Request) -> Answer:
        here.opt_in(**changed)
        return Answer(503)

    receiver.answer_always(change)
    sender = Sender(here.root, 20)

    with pytest.raises(Stop) as stopped:
        sender.send(BATCH)

    sender.close()
    assert stopped.value.outcome.kind == kind
    assert why in stopped.value.outcome.reason
    assert len(receiver.requests) == 1


def test_consent_gives_the_identifier(here: Checkout) -> None:
    assert require_consent(here.root).id == ID
