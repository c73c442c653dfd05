"""What a client makes again by itself, over gRPC: with the same key, within its deadline, and only what may be."""

from __future__ import annotations

import asyncio
import threading
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta

import pytest

from noteflow_hooks.client import connect, connect_async, pb
from noteflow_hooks.errors import UnavailableError
from noteflow_hooks.local.stack.ports import free_address
from tests.integration.rpc.world import UNLIMITED, World
from tests.support.scripted_server import ScriptedServer
from tests.support.waiting import PATIENCE_S

EVENT = ("recording.started", {"meeting_id": "m-1", "title": "Weekly"})


def test_what_is_published_again_has_the_key_of_the_first_time() -> None:
    """One that the client made, where there was none, and each event another one."""
    with ScriptedServer({"PublishEvent": 1}) as server, connect(server.address, "t") as client:
        first, second = client.publish(*EVENT), client.publish(*EVENT, idempotency_key="mine")
    keys = [each.idempotency_key for each in server.requests(pb.PublishEventRequest)]
    assert keys == [first.id, first.id, "mine"]
    assert (len(first.id), second.id) == (32, "mine")


def test_asyncio_does_the_same() -> None:
    """By gRPC's own retries, too."""

    async def publish(address: str) -> str:
        async with connect_async(address, "t") as client:
            return (await client.publish(*EVENT)).id

    with ScriptedServer({"PublishEvent": 1}) as server:
        key = asyncio.run(publish(server.address))
    assert [each.idempotency_key for each in server.requests(pb.PublishEventRequest)] == [key, key]


def test_what_takes_a_request_id_is_made_again_under_one() -> None:
    """The message that the caller holds stays without."""
    request = pb.RegisterWebhookRequest(url="https://receiver.example/")
    with ScriptedServer({"RegisterWebhook": 1}) as server, connect(server.address, "t") as client:
        client.webhooks.RegisterWebhook(request)
    first, second = server.requests(pb.RegisterWebhookRequest)
    assert (first, len(first.request_id), request.request_id) == (second, 32, "")


def test_what_may_not_be_made_again_is_made_once() -> None:
    """Its error is raised there and then."""
    with ScriptedServer({"RedeliverDelivery": 1}) as server, connect(server.address, "t") as client:
        with pytest.raises(UnavailableError, match="away"):
            client.webhooks.RedeliverDelivery(pb.RedeliverDeliveryRequest(delivery_id="d"))
        assert len(server.came) == 1


def test_with_one_attempt_nothing_is_made_again_and_no_key_is_made() -> None:
    """For whoever does so by rules of one's own."""
    with ScriptedServer({"PublishEvent": 1}) as server, connect(server.address, "t", attempts=1) as client:
        with pytest.raises(UnavailableError, match="away"):
            client.publish(*EVENT)
        client.publish(*EVENT)
        assert [each.idempotency_key for each in server.requests(pb.PublishEventRequest)] == ["", ""]


def test_the_deadline_is_for_all_attempts_together() -> None:
    """Each says what is left of it."""
    with ScriptedServer({"PublishEvent": 99}) as server, connect(server.address, "t") as client:
        with pytest.raises(UnavailableError):
            client.publish(*EVENT, timeout=timedelta(seconds=1))
        assert len(server.remaining_s) >= 2
        # Of the first, no more than was given, but for the tick by which gRPC rounds it up.
        assert server.remaining_s[0] < 2
        assert server.remaining_s[0] > server.remaining_s[1]


def test_a_server_that_starts_anew_gets_every_event_once() -> None:
    """Four threads publish meanwhile, and see nothing of it."""
    address = free_address()
    first = World(bind=address, limits=UNLIMITED)
    began = threading.Semaphore(0)

    def publish(number: int) -> None:
        with connect(address, first.token, timeout=timedelta(seconds=PATIENCE_S)) as client:
            for count in range(50):
                client.publish("recording.started", {"meeting_id": f"m-{number}", "title": f"{count}"})
                began.release()

    with ThreadPoolExecutor(4) as threads:
        with first:
            running = [threads.submit(publish, number) for number in range(4)]
            for _ in range(20):
                assert began.acquire(timeout=PATIENCE_S)
        stored = len(first.events())
        with World(bind=address, store=first.store, limits=UNLIMITED):
            for each in running:
                each.result(PATIENCE_S)
    assert 20 <= stored < len(first.events()) == 200
