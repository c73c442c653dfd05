"""A server that is watched, a worker that does what it is told, and watches that are read as their messages come."""

from __future__ import annotations

import threading
from contextlib import contextmanager
from datetime import timedelta
from typing import TYPE_CHECKING, Any, Final

import grpc

from noteflow_hooks.domain.deliveries import Settlement
from noteflow_hooks.persistence.sql.delivery.store import SqlAlchemyDeliveryStore
from noteflow_hooks.persistence.sql.engine import create_engine
from noteflow_hooks.rpc.proto.noteflow.v1 import noteflow_pb2 as pb
from tests.integration.rpc.sqlworld import BOX
from tests.support.builders import EXACT, an_event
from tests.support.waiting import PATIENCE_S, until

if TYPE_CHECKING:
    from collections.abc import Iterator
    from uuid import UUID

    from noteflow_hooks.domain.deliveries import AttemptResult
    from tests.integration.rpc.world import World
    from tests.support.wire_client import WireClient

SLACK: Final = timedelta(seconds=10)


class Stage:
    """A server, and a worker that does what it is told."""

    def __init__(self, world: World, url: str) -> None:
        self.world = world
        self.url = url
        self._engine = create_engine(url, connections=2, wait_s=PATIENCE_S)
        self.store = SqlAlchemyDeliveryStore(self._engine, BOX)
        self.webhook = world.a_webhook(max_retries=2)

    def deliver(self, *results: AttemptResult, **event: Any) -> str:  # noqa: ANN401 - an event's fields
        """Have an event delivered, with these results of the attempts; return the delivery's id."""
        with self.world.units() as unit:
            stored = unit.events.append(an_event(workspace_id=self.world.workspace_id, **event))
            unit.commit()
        self.store.dispatch([stored.id], limit=100)
        with self.world.units() as unit:
            [made] = unit.deliveries.get_by_event(stored.id)
        for result in results:
            self.attempt(made.id, result)
        return str(made.id)

    def attempt(self, delivery_id: UUID, result: AttemptResult) -> None:
        """Make an attempt, after which the next one is due at once."""
        [claim] = self.store.claim([delivery_id], limit=1, lease_slack=SLACK)
        after, wait = claim.delivery.attempted(result, max_retries=2, policy=EXACT, draw=0.5)
        self.store.settle([Settlement(after, wait=None if wait is None else timedelta(0), attempt=result)])

    def close(self) -> None:
        """Close the connections."""
        self._engine.dispose()


class Watch:
    """A watch that is read as its messages come."""

    def __init__(self, client: WireClient, **fields: Any) -> None:  # noqa: ANN401 - the message's own
        self.call: Any = self._begin(client, fields)
        self.messages: list[Any] = []
        self.error: grpc.RpcError | None = None
        self._thread = threading.Thread(target=self._read, daemon=True)
        self._thread.start()

    @staticmethod
    def _begin(client: WireClient, fields: dict[str, Any]) -> Any:  # noqa: ANN401 - gRPC's call
        return client.webhooks.WatchDeliveries(pb.WatchDeliveriesRequest(**fields))

    def _read(self) -> None:
        try:
            self.messages.extend(iter_appending(self.call, self.messages))
        except grpc.RpcError as error:
            self.error = error

    @property
    def told(self) -> list[tuple[str, str, int]]:
        """The deliveries that were told: each one's id, status and attempts."""
        return [(m.delivery.id, m.delivery.status, m.delivery.attempt_count) for m in self.messages if m.delivery.id]

    def wait_for(self, *told: tuple[str, str, int]) -> None:
        """Wait until exactly this was told."""
        until(lambda: len(self.told) >= len(told), what=f"{len(told)} are told")
        assert self.told == list(told)

    def wait_until_told(self, delivery_id: str, status: str, attempts: int) -> None:
        """Wait until this was told, whatever else."""
        until(lambda: (delivery_id, status, attempts) in self.told, what=f"{status} is told")

    def wait_until_begun(self) -> None:
        """Wait for its first message."""
        until(lambda: self.messages or self.error, what="it has begun")
        assert self.error is None, self.error

    def close(self) -> None:
        """End it."""
        self.call.cancel()
        self._thread.join(PATIENCE_S)


def iter_appending(call: Any, messages: list[Any]) -> list[Any]:  # noqa: ANN401 - gRPC's call and messages
    """Append each message as it comes; return nothing that is not there yet."""
    for message in call:
        messages.append(message)  # noqa: PERF402 - each as it comes
    return []


class EventWatch(Watch):
    """A watch of events that is read as its messages come."""

    @staticmethod
    def _begin(client: WireClient, fields: dict[str, Any]) -> Any:  # noqa: ANN401 - gRPC's call
        return client.events.WatchEvents(pb.WatchEventsRequest(**fields))

    @property
    def ids(self) -> list[str]:
        """The events that were told."""
        return [message.event.id for message in self.messages if message.HasField("event")]

    def wait_for_ids(self, *ids: str) -> None:
        """Wait until exactly these were told."""
        until(lambda: len(self.ids) >= len(ids), what=f"{len(ids)} are told")
        assert self.ids == list(ids)


@contextmanager
def watching(client: WireClient, **fields: Any) -> Iterator[Watch]:  # noqa: ANN401 - the message's own
    """Offer a watch that has begun."""
    watch = Watch(client, **fields)
    try:
        watch.wait_until_begun()
        yield watch
    finally:
        watch.close()


@contextmanager
def watching_events(client: WireClient, **fields: Any) -> Iterator[EventWatch]:  # noqa: ANN401 - the message's own
    """Offer a watch of events that has begun."""
    watch = EventWatch(client, **fields)
    try:
        watch.wait_until_begun()
        yield watch
    finally:
        watch.close()
