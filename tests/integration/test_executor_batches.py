"""A batch's POST as a receiver sees it, and what its answer may say of the batch's events."""

from __future__ import annotations

import json
import logging
from dataclasses import replace
from typing import TYPE_CHECKING, Final

import pytest
import standardwebhooks

from noteflow_hooks.domain.attempts import ErrorKind
from noteflow_hooks.domain.batches import BatchClaim
from noteflow_hooks.domain.options import EndpointOptions, Format
from noteflow_hooks.domain.ranks import Rank
from noteflow_hooks.domain.renderings import Rendering
from noteflow_hooks.egress import EgressPolicy
from noteflow_hooks.executor import WebhookExecutor
from noteflow_hooks.signing import generate_secret, verify_signature
from tests.support.batches import a_batch
from tests.support.hostile_receiver import says_and_waits, trickles
from tests.support.receiver import Receiver
from tests.support.receiver_connection import Answer

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.support.receiver_connection import Behaviour, ReceiverConnection

HEAD: Final = b"HTTP/1.1 200 OK\r\n"
LIMIT: Final = 65_536


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    with Receiver() as running:
        yield running


@pytest.fixture
def executor() -> Iterator[WebhookExecutor]:
    made = WebhookExecutor(EgressPolicy(allow_http_loopback=True))
    yield made
    made.close()


def closing(data: bytes) -> Behaviour:
    """Send this and close the connection."""

    def behave(connection: ReceiverConnection) -> None:
        connection.send(data)
        connection.close()

    return behave


def failed(batch: BatchClaim, *places: int) -> bytes:
    return json.dumps({"failed": [str(batch.members[place].delivery.event_id) for place in places]}).encode()


def test_one_signature_is_over_all_of_it(receiver: Receiver, executor: WebhookExecutor) -> None:
    """Under the batch's id, by both ways of signing, with its number of events in a header."""
    secret = generate_secret()
    batch = a_batch(receiver.url(), secret=secret, headers=(("X-Own", "yes"),))
    assert executor.post(batch).succeeded
    [request] = receiver.requests
    assert verify_signature(request.body, request.header("X-NoteFlow-Signature") or "", secret)
    assert standardwebhooks.Webhook(secret).verify(request.body, dict(request.headers)) == json.loads(request.body)
    names = ("webhook-id", "X-NoteFlow-Delivery", "X-NoteFlow-Event", "X-NoteFlow-Batch", "X-Own")
    assert [request.header(each) for each in names] == [str(batch.id), str(batch.id), "batch", "3", "yes"]
    assert [request.header(each) for each in ("X-NoteFlow-Payload-Version", "X-NoteFlow-Sequence")] == ["1", None]


def test_a_batch_with_one_past_its_place_says_so(receiver: Receiver, executor: WebhookExecutor) -> None:
    """As a replay has them: a later one of its meeting was sent before."""
    batch = a_batch(receiver.url())
    ranks = (Rank(4), Rank(2, is_late=True), None)
    late = tuple(replace(each, rank=rank) for each, rank in zip(batch.members, ranks, strict=True))
    assert executor.post(replace(batch, members=late)).succeeded
    assert executor.post(replace(batch, members=(late[0], late[2]))).succeeded
    assert [each.header("X-NoteFlow-Out-Of-Order") for each in receiver.requests] == ["true", None]


def test_a_quarter_of_a_mebibyte_arrives(receiver: Receiver, executor: WebhookExecutor) -> None:
    """The largest body that there is."""
    batch = a_batch(receiver.url(), *[b'{"x":"%s"}' % (b"y" * 10_000)] * 25)
    assert executor.post(batch).succeeded
    [request] = receiver.requests
    assert len(json.loads(request.body)["events"]) == 25


def test_an_answer_s_failed_events_are_read(receiver: Receiver, executor: WebhookExecutor) -> None:
    """The status stays a success, and the events are known; a chunked answer is read as any other."""
    batch = a_batch(receiver.url())
    body = failed(batch, 0, 2)
    chunked = HEAD + b"Transfer-Encoding: chunked\r\n\r\n%x\r\n%s\r\n0\r\n\r\n" % (len(body), body)
    receiver.script("/", Answer(200, body=body), closing(chunked), closing(HEAD + b"\r\n" + body))
    for _ in range(3):
        result = executor.post(batch)
        assert (result.status_code, result.error_kind) == (200, None)
        assert result.failed_events == {batch.members[place].delivery.event_id for place in (0, 2)}


@pytest.mark.parametrize("body", [b"", b"ok", b"{}", b'{"failed":[]}', b"\xff\x00"], ids=repr)
def test_an_answer_that_names_none_settles_all(receiver: Receiver, executor: WebhookExecutor, body: bytes) -> None:
    """Empty, not JSON, or without any."""
    receiver.script("/", Answer(200, body=body))
    result = executor.post(a_batch(receiver.url()))
    assert (result.succeeded, result.failed_events) == (True, frozenset())


@pytest.mark.parametrize(
    "answer",
    [
        closing(HEAD + b'Content-Length: 100\r\n\r\n{"failed":[]}'),
        closing(HEAD + b"Transfer-Encoding: chunked\r\n\r\nd\r\n{"),
        Answer(200, body=b" " * (LIMIT + 1)),
        closing(HEAD + b"\r\n" + b" " * (LIMIT + 1)),
        says_and_waits(HEAD + b"Content-Length: 100\r\n\r\n{"),
        trickles(b" ", after=HEAD + b"Content-Length: 100000\r\n\r\n"),
    ],
    ids=["cut off", "cut off in a chunk", "too long", "too long to the end", "stops", "trickles past the deadline"],
)
def test_an_answer_that_is_not_whole_fails_the_attempt(
    receiver: Receiver, executor: WebhookExecutor, answer: Answer | Behaviour
) -> None:
    """It might have named events, so none of them is settled by it."""
    receiver.script("/", answer)
    result = executor.post(a_batch(receiver.url(), timeout_ms=500))
    assert (result.succeeded, result.status_code, result.error_kind) == (False, 200, ErrorKind.PROTOCOL)


def test_64_kib_are_read(receiver: Receiver, executor: WebhookExecutor) -> None:
    """To the last byte, which may be the one that closes the list."""
    batch = a_batch(receiver.url())
    body = failed(batch, 1)
    receiver.script("/", Answer(200, body=body + b" " * (LIMIT - len(body))))
    assert executor.post(batch).failed_events == {batch.members[1].delivery.event_id}


def test_without_batch_partial_the_status_decides(receiver: Receiver, executor: WebhookExecutor) -> None:
    """What the body says, and whether it is whole, changes nothing."""
    batch = a_batch(receiver.url(), options=EndpointOptions(batch_max=10))
    receiver.script("/", Answer(200, body=failed(batch, 0)), closing(HEAD + b"Content-Length: 100\r\n\r\n{"))
    for _ in range(2):
        result = executor.post(batch)
        assert (result.succeeded, result.failed_events) == (True, frozenset())


def test_a_failure_s_body_names_nothing(receiver: Receiver, executor: WebhookExecutor) -> None:
    """All of the batch has failed."""
    batch = a_batch(receiver.url())
    receiver.script("/", Answer(500, body=failed(batch, 0)))
    result = executor.post(batch)
    assert (result.error_message, result.failed_events) == ("HTTP 500", frozenset())


def test_unknown_ids_are_counted_in_the_log(
    receiver: Receiver, executor: WebhookExecutor, caplog: pytest.LogCaptureFixture
) -> None:
    """One line with the number, and nothing of what the receiver wrote."""
    batch = a_batch(receiver.url())
    receiver.script("/", Answer(200, body=b'{"failed":["canary-1","canary-2"]}'))
    with caplog.at_level(logging.WARNING):
        assert executor.post(batch).succeeded
    [line] = [record.getMessage() for record in caplog.records]
    assert line == f"batch {batch.id}: the answer of webhook {batch.webhook.id} names 2 that are no events of it"


def test_a_batch_that_this_release_can_t_render_is_our_fault(receiver: Receiver, executor: WebhookExecutor) -> None:
    """Nothing is sent in another shape; the endpoint's budget is not touched."""
    batch = a_batch(receiver.url())
    claim = BatchClaim(
        batch.delivery,
        batch.webhook,
        batch.payload,
        id=batch.id,
        members=batch.members,
        rendering=Rendering(Format.NOTEFLOW, renderer=99),
    )
    assert claim.awaits_release
    assert executor.post(claim).error_kind is ErrorKind.INTERNAL
    assert receiver.requests == []
