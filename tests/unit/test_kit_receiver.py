"""The Python kit's receiver: each event once, and none lost between an answer and what was done with it."""

from __future__ import annotations

import asyncio
import base64
import json
import threading
from typing import Any, Final

import pytest

from kits.python.noteflow_webhooks import WebhookError
from kits.python.noteflow_webhooks.receiver import STATUS, Answer, Receiver
from kits.python.noteflow_webhooks.seen import Seen
from noteflow_hooks.client.causes import KITS
from noteflow_hooks.signing import sign
from tests.support.kits import VECTORS

VECTOR: Final = next(each for each in VECTORS if each["name"] == "both signatures by one secret")
BODY: Final = base64.b64decode(VECTOR["body_base64"])
HEADERS: Final = {**VECTOR["headers"], "X-NoteFlow-Event": "meeting.completed"}
SECRET: Final = VECTOR["secrets"][0]
ID: Final = VECTOR["headers"]["webhook-id"]


def a_receiver(**options: Any) -> Receiver:  # noqa: ANN401 - Receiver's
    return Receiver(VECTOR["secrets"], now=lambda: VECTOR["now"], **options)


def deliver(receiver: Receiver, headers: dict[str, str] = HEADERS) -> Answer:
    """Deliver once, as a framework does."""
    answer = receiver.take(BODY, headers)
    if answer.event is not None:
        receiver.after(answer.event)
    return answer


async def deliver_in_a_loop(receiver: Receiver) -> Answer:
    answer = await receiver.take_async(BODY, HEADERS)
    if answer.event is not None:
        await receiver.after_async(answer.event)
    return answer


def error_of(answer: Answer) -> tuple[int, str]:
    return answer.status, json.loads(answer.body)["error"]


class Failing:
    """Takes events, and fails with the first ones."""

    def __init__(self, times: int) -> None:
        self.left, self.ids = times, list[str]()

    def __call__(self, event: Any) -> None:  # noqa: ANN401 - an Event
        if self.left:
            self.left -= 1
            raise OSError("the disk is full")
        self.ids.append(event.id)


def test_each_event_is_handled_once() -> None:
    """However often it comes."""
    took = Failing(0)
    receiver = a_receiver(handle=took)
    assert [deliver(receiver).status for _ in range(3)] == [204] * 3
    assert took.ids == [ID]


def test_what_is_given_has_the_event() -> None:
    """Its id, type, bytes and JSON."""
    event = a_receiver().take(BODY, HEADERS).event
    assert event is not None
    assert (event.id, event.type, event.body, event.json()) == (ID, "meeting.completed", BODY, {"test": 2432232314})


@pytest.mark.parametrize("in_a_loop", [False, True])
def test_an_event_that_could_not_be_stored_comes_again(in_a_loop: bool) -> None:  # noqa: FBT001 - a parameter
    """It is answered with 500, and neither handled nor remembered."""
    store, handle = Failing(1), Failing(0)
    receiver = a_receiver(handle=handle, store=store)

    def sent() -> Answer:
        return asyncio.run(deliver_in_a_loop(receiver)) if in_a_loop else deliver(receiver)

    assert error_of(sent()) == (500, "store_failed")
    assert (store.ids, handle.ids) == ([], [])
    assert [sent().status for _ in range(2)] == [204, 204]
    assert (store.ids, handle.ids) == ([ID], [ID])


def test_while_an_event_is_being_stored_the_same_one_is_to_come_again() -> None:
    """Answered with success, it would be lost where the first one fails then."""
    begun, go = threading.Event(), threading.Event()

    def store(_: object) -> None:
        begun.set()
        go.wait()
        raise OSError("the disk is full")

    receiver, answers = a_receiver(store=store), list[Answer]()
    first = threading.Thread(target=lambda: answers.append(deliver(receiver)))
    first.start()
    begun.wait()
    meanwhile = deliver(receiver)
    go.set()
    first.join()
    assert error_of(meanwhile) == (503, "in_progress")
    assert error_of(answers[0]) == (500, "store_failed")


@pytest.mark.parametrize("in_a_loop", [False, True])
def test_an_event_that_could_not_be_handled_is_handled_when_it_is_sent_again(in_a_loop: bool) -> None:  # noqa: FBT001 - a parameter
    """It was answered, so somebody has to ask for it."""
    handle = Failing(1)
    receiver = a_receiver(handle=handle)
    for _ in range(3):
        answer = asyncio.run(deliver_in_a_loop(receiver)) if in_a_loop else deliver(receiver)
        assert answer.status == 204
    assert handle.ids == [ID]


def test_a_request_that_is_cancelled_while_it_is_stored_is_forgotten() -> None:
    """The sender has had no answer, and sends it again."""
    begun = asyncio.Event()

    async def store(_: object) -> None:
        if not begun.is_set():
            begun.set()
            await asyncio.Event().wait()

    async def cancelled() -> Answer:
        first = asyncio.ensure_future(receiver.take_async(BODY, HEADERS))
        await begun.wait()
        first.cancel()
        with pytest.raises(asyncio.CancelledError):
            await first
        return await receiver.take_async(BODY, HEADERS)

    receiver = a_receiver(store=store)
    assert asyncio.run(cancelled()).status == 204


@pytest.mark.parametrize("body", [{"test": 1}, "text", None])
def test_a_body_that_was_parsed_is_named(body: object) -> None:
    """Whatever has parsed it before."""
    assert error_of(a_receiver().take(body, HEADERS)) == (500, "body_not_raw")


def test_what_need_not_be_read_is_refused_before() -> None:
    """And what has no length, once too much of it was read."""
    receiver = a_receiver(most_bytes=19)
    refused = [receiver.refusal(*each) for each in (("GET", None), ("POST", "20"), ("POST", "19"), ("POST", "x"))]
    assert [each and error_of(each) for each in refused] == [(405, "not_post"), (413, "body_too_large"), None, None]
    assert error_of(receiver.take(BODY, HEADERS)) == (413, "body_too_large")


@pytest.mark.parametrize("payload", [{"challenge": "abc"}, {"type": "…", "data": {"challenge": "abc"}}])
def test_a_challenge_is_given_back_each_time(payload: dict[str, Any]) -> None:
    """It is no event: nobody handles it, and a second attempt is answered, too."""
    body = json.dumps(payload).encode()
    sent = {"X-NoteFlow-Signature": sign(body, SECRET), "X-NoteFlow-Event": "webhook.verification"}
    receiver = Receiver([SECRET], scheme="plain")
    for _ in range(2):
        answer = receiver.take(body, sent | {"webhook-id": ID})
        assert (answer.status, json.loads(answer.body), answer.event) == (200, {"challenge": "abc"}, None)


def test_without_an_id_nothing_is_taken_for_known() -> None:
    """As the plain signature allows it."""
    plain = next(each for each in VECTORS if each["name"] == "X-NoteFlow-Signature alone")
    handle = Failing(0)
    receiver = Receiver(plain["secrets"], handle, scheme="plain")
    assert [deliver(receiver, plain["headers"]).status for _ in range(2)] == [204, 204]
    assert handle.ids == ["", ""]


def test_a_receiver_with_a_bad_secret_does_not_come_to_be() -> None:
    """So that it is known at the start, and not when the first event comes; nor one with a scheme that is none."""
    with pytest.raises(WebhookError, match="secret_malformed"):
        Receiver(["whsec_"])
    with pytest.raises(WebhookError, match="scheme"):
        Receiver(VECTOR["secrets"], scheme="other")


def test_the_oldest_ids_are_forgotten() -> None:
    """So that memory has a bound."""
    seen = Seen(2)
    assert [seen.begin(each) for each in "abaca"] == ["new", "new", "pending", "new", "new"]


def test_each_name_that_is_answered_has_words_of_ours() -> None:
    """`deliveries diagnose` tells what a kit names: all of them, and no other."""
    assert set(KITS) == set(STATUS)
