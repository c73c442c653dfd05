"""The same connection for programs with an event loop, over ``grpc.aio``."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Self, cast

from noteflow_hooks.client.async_calls import AsyncCalls
from noteflow_hooks.client.batches import AsyncBatches
from noteflow_hooks.client.opening import PATIENCE, TIMEOUT, checked, open_async_channel
from noteflow_hooks.client.requests import event_request
from noteflow_hooks.client.retrying import ATTEMPTS, new_key
from noteflow_hooks.rpc.proto.noteflow.v1 import noteflow_pb2_grpc as pb_grpc

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from datetime import timedelta
    from types import TracebackType

    import grpc

    from noteflow_hooks.errors import NoteFlowHooksError
    from noteflow_hooks.rpc.proto.noteflow.v1 import noteflow_pb2 as pb


def connect_async(
    server: str,
    token: str,
    *,
    credentials: grpc.ChannelCredentials | None = None,
    server_name: str | None = None,
    plaintext: bool = False,
    timeout: timedelta = TIMEOUT,
    attempts: int = ATTEMPTS,
) -> AsyncClient:
    """Return a client for programs with an event loop; it belongs to the loop that runs.

    ``async with connect_async(server, token) as client:`` closes it in the end. It takes and raises what
    :func:`noteflow_hooks.client.connect` does, and sends nothing before the first call.
    """
    return AsyncClient(
        server,
        token,
        credentials=credentials,
        server_name=server_name,
        plaintext=plaintext,
        timeout=timeout,
        attempts=attempts,
    )


class AsyncClient:
    """A connection of one event loop, with the stubs of the services; :func:`connect_async` makes it.

    Any number of tasks may share it, and call at the same time. A call is awaited, a stream iterated by ``async for``;
    both raise what those of :class:`noteflow_hooks.client.Client` do. Leaving its ``async with`` block closes it.
    """

    def __init__(
        self,
        server: str,
        token: str,
        *,
        credentials: grpc.ChannelCredentials | None = None,
        server_name: str | None = None,
        plaintext: bool = False,
        timeout: timedelta = TIMEOUT,
        attempts: int = ATTEMPTS,
    ) -> None:
        """Take what :func:`connect_async` takes."""
        manner = checked(
            server, token, credentials=credentials, plaintext=plaintext, timeout=timeout, attempts=attempts
        )
        self._channel = open_async_channel(server, credentials, server_name, attempts=attempts)
        self._has_keys = manner.has_keys
        # A stub uses of a channel what this one has.
        channel = cast("grpc.aio.Channel", AsyncCalls(self._channel, manner))
        #: MeetingService: meetings, their recordings and summaries.
        self.meetings = pb_grpc.MeetingServiceStub(channel)
        #: WebhookService: endpoints, deliveries and replays.
        self.webhooks = pb_grpc.WebhookServiceStub(channel)
        #: EventService: events, from any program.
        self.events = pb_grpc.EventServiceStub(channel)
        #: AuditService: who changed what.
        self.audit = pb_grpc.AuditServiceStub(channel)
        self._batches = AsyncBatches(self.events.PublishEvents, server)

    async def publish(
        self,
        event_type: str,
        payload: Mapping[str, Any],
        *,
        idempotency_key: str | None = None,
        timeout: timedelta | None = None,  # noqa: ASYNC109 - the server has to know the deadline
    ) -> pb.Event:
        """Publish one event, and return it as it is stored; as :meth:`noteflow_hooks.client.Client.publish`."""
        key = new_key() if idempotency_key is None and self._has_keys else idempotency_key
        request = event_request(event_type, payload, idempotency_key=key)
        return await self.events.PublishEvent(request, timeout=None if timeout is None else timeout.total_seconds())

    async def publish_events(
        self,
        requests: Iterable[pb.PublishEventRequest],
        *,
        patience: timedelta = PATIENCE,
        keyed: bool = True,
    ) -> list[pb.Event | NoteFlowHooksError]:
        """Publish any number of events, in their order; as :meth:`noteflow_hooks.client.Client.publish_events`."""
        return await self._batches.publish(requests, patience=patience, keyed=keyed)

    async def close(self) -> None:
        """Close the connection; calls that are under way are cancelled."""
        await self._channel.close()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close()
