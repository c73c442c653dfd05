"""A POST whose connection is kept is on its way before anybody waits for its answer."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from noteflow_hooks.domain.attempts import ErrorKind
from noteflow_hooks.domain.deliveries import Claim
from noteflow_hooks.egress import EgressPolicy
from noteflow_hooks.executor import WebhookExecutor
from tests.support.builders import a_delivery, a_webhook
from tests.support.certificates import authority_pem
from tests.support.receiver import Receiver
from tests.support.receiver_connection import Answer

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.support.receiver_connection import ReceiverConnection


@pytest.fixture
def executor() -> Iterator[WebhookExecutor]:
    # For whose idle connections no time passes, however long a test takes; its deadlines never come.
    egress = EgressPolicy(allow=["127.0.0.0/8"], allow_http_loopback=True)
    executor = WebhookExecutor(egress, ca_bundle=authority_pem(), monotonic=lambda: 0.0)
    yield executor
    executor.close()


@pytest.fixture(params=["http", "https"])
def receiver(request: pytest.FixtureRequest) -> Iterator[Receiver]:
    with Receiver(tls=request.param == "https") as running:
        yield running


def a_claim(receiver: Receiver, payload: bytes = b"{}") -> Claim:
    webhook = a_webhook(url=receiver.url(host="localhost"), timeout_ms=60_000)
    return Claim(a_delivery(webhook_id=webhook.id), webhook, payload)


def test_a_post_over_a_kept_connection_arrives_before_its_end_is_called(
    executor: WebhookExecutor, receiver: Receiver
) -> None:
    """Beginning it is enough for the receiver to have it; its end returns what came of it."""
    claim = a_claim(receiver)
    assert executor.post(claim).succeeded
    end = executor.begin(claim)
    first, second = receiver.wait_for(2)
    assert (first.connection, second.connection) == (1, 1)
    assert end().succeeded
    assert len(receiver.requests) == 2


def test_what_finds_no_kept_connection_is_dialled_at_its_end(executor: WebhookExecutor, receiver: Receiver) -> None:
    """To dial is to wait; nothing is sent before."""
    end = executor.begin(a_claim(receiver))
    assert receiver.requests == []
    assert end().succeeded
    assert len(receiver.requests) == 1


def test_two_that_are_begun_share_no_connection(executor: WebhookExecutor, receiver: Receiver) -> None:
    """The second one dials where the first still waits for its answer, and each has its own."""
    claim = a_claim(receiver)
    receiver.script("/", Answer(body=b"0"), Answer(body=b"1"), Answer(body=b"2"))
    assert executor.post(claim).succeeded
    first, second = [executor.begin(claim) for _ in range(2)]
    receiver.wait_for(2)
    assert [second().response_body, first().response_body] == ["2", "1"]
    assert [each.connection for each in receiver.requests] == [1, 1, 2]


@pytest.mark.parametrize("size", [60_000, 2_000_000], ids=["sent at once", "sent at its end"])
def test_a_large_body_arrives_whole(executor: WebhookExecutor, receiver: Receiver, size: int) -> None:
    """Also one that the other side's buffers have no room for."""
    claim = a_claim(receiver, payload=b'"%s"' % (b"x" * size))
    assert executor.post(claim).succeeded
    end = executor.begin(claim)
    assert end().succeeded
    assert [each.body == claim.payload for each in receiver.requests] == [True, True]
    assert [each.connection for each in receiver.requests] == [1, 1]


def test_a_connection_that_ends_after_the_post_was_begun_is_dialled_anew(
    executor: WebhookExecutor, receiver: Receiver
) -> None:
    """It counts as one attempt, which says so."""

    def close(_: ReceiverConnection) -> None:
        """Answer nothing."""

    claim = a_claim(receiver)
    receiver.script("/", Answer(), close, Answer())
    assert executor.post(claim).succeeded
    end = executor.begin(claim)
    receiver.wait_for(2)
    result = end()
    assert (result.succeeded, result.redialled) == (True, True)
    assert len(receiver.requests) == 3


def test_a_fault_of_our_own_before_anything_is_sent_is_a_result_too(
    executor: WebhookExecutor, receiver: Receiver
) -> None:
    """Beginning raises nothing; the end says what was wrong."""
    webhook = a_webhook(url=receiver.url(host="localhost"), secret_unavailable=True)
    end = executor.begin(Claim(a_delivery(), webhook, b"{}"))
    assert end().error_kind is ErrorKind.SECRET_UNAVAILABLE
    assert receiver.requests == []
