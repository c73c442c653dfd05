"""A real gRPC server on loopback over a store in memory, in a thread of its own, and clients of two workspaces."""

from __future__ import annotations

import asyncio
import json
import threading
from contextlib import contextmanager
from datetime import timedelta
from functools import partial
from typing import TYPE_CHECKING, Any, Self, TypeVar

import grpc
import pytest

from noteflow_hooks.application.endpoints import EndpointRules
from noteflow_hooks.application.webhooks import WebhookService
from noteflow_hooks.certificates.reader import PemReader
from noteflow_hooks.domain.access import ApiToken, generate_token, hash_token
from noteflow_hooks.errors import InvalidInputError
from noteflow_hooks.executor.previewing import RequestPreviewer
from noteflow_hooks.filters import CelFilters
from noteflow_hooks.mail.codes import KeyedContactCodes
from noteflow_hooks.persistence.memory import InMemoryUnitOfWork, MemoryStore
from noteflow_hooks.rpc.interceptors.limits import CallerLimits
from noteflow_hooks.rpc.proto.noteflow.v1 import noteflow_pb2 as pb
from noteflow_hooks.rpc.server.options import ServerOptions
from noteflow_hooks.rpc.server.server import HooksServer
from noteflow_hooks.schemas import JsonSchemaChecker
from tests.support.builders import a_token, a_workspace
from tests.support.waiting import PATIENCE_S, until
from tests.support.wire_client import WireClient

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine, Iterator, Sequence
    from uuid import UUID

    from noteflow_hooks.application.webhooks import StoreEvents
    from noteflow_hooks.domain.events import Event
    from noteflow_hooks.domain.ports.unit_of_work import UnitOfWork

T = TypeVar("T")

#: 1,000 samples a second of one byte: a byte is a millisecond.
FORMAT = pb.AudioFormat(sample_rate=1000, channels=1, bytes_per_sample=1)
LOOPBACK = "127.0.0.1:0"
#: What knows contacts' codes.
CODES = KeyedContactCodes([bytes(32)])
#: For tests that make more calls than one caller may.
UNLIMITED = CallerLimits(registrations_per_minute=0, token_calls_per_s=0)


class World:
    """The server, its store, and what was announced."""

    def __init__(
        self,
        *,
        webhooks: bool = True,
        store: MemoryStore | None = None,
        units: Callable[[MemoryStore], Callable[[], UnitOfWork]] | None = None,
        over: Callable[[], UnitOfWork] | None = None,
        store_events: StoreEvents | None = None,
        **options: Any,  # noqa: ANN401 - ServerOptions' own
    ) -> None:
        """``over`` makes the units of another store than memory; ``units`` what the server alone gets.

        ``store_events`` stores what is published; by default a unit does.
        """
        self.store = store if store is not None else MemoryStore()
        self.units: Callable[[], UnitOfWork] = over if over is not None else partial(InMemoryUnitOfWork, self.store)
        self.announced: list[UUID] = []
        self.token, self.workspace_id = self.make_token()
        served = units(self.store) if units is not None else self.units
        self.service = WebhookService(served, self.announced.extend, store_events=store_events, check_url=_check_url)
        given: dict[str, Any] = {
            "bind": LOOPBACK,
            "store_segments_every": timedelta(seconds=0.05),
            "endpoints": EndpointRules(
                allow_http_loopback=True,
                certificates=PemReader(),
                previewer=RequestPreviewer(),
                filters=CelFilters(),
                codes=CODES,
            ),
            "database_threads": 4,
            "schemas": JsonSchemaChecker(),
            # Of a store in memory silence says nothing but that the machine is slow. Tests of silence name their own.
            "database_deadline": timedelta(seconds=PATIENCE_S),
        }
        self._server = HooksServer(served, self.service if webhooks else None, ServerOptions(**given | options))
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        try:
            self.address = self.in_loop(self._server.start())
        except BaseException:
            self._end_loop()
            raise
        self.client = WireClient(self.address, self.token)
        return self

    def __exit__(self, *_: object) -> None:
        self.client.close()
        self.stop()
        self._end_loop()

    def _end_loop(self) -> None:
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()

    def stop(self, *, grace_s: float = 20.0) -> None:
        """Stop the server, once; what goes on by itself has that grace, and as much again."""
        server, self._server = self._server, _Stopped()  # type: ignore[assignment]  # stands in once it is gone
        self.in_loop(server.stop(timedelta(seconds=grace_s)))

    def in_loop(self, work: Coroutine[Any, Any, T]) -> T:
        """Run it in the server's loop."""
        return asyncio.run_coroutine_threadsafe(work, self._loop).result(timeout=2 * PATIENCE_S)

    def let_pass(self, by: timedelta) -> None:
        """Put the clock forward by which the server's loop waits: whatever is to be done by then is done now."""
        before = self._loop.time
        later_s = by.total_seconds()
        self._loop.time = lambda: before() + later_s  # type: ignore[method-assign]  # the loop asks itself for the time
        self._loop.call_soon_threadsafe(lambda: None)

    def make_token(self) -> tuple[str, UUID]:
        """Make a workspace and return a token that opens it."""
        token, workspace = generate_token(), a_workspace()
        with self.units() as unit:
            unit.access.create_workspace(workspace)
            record: ApiToken = a_token(workspace_id=workspace.id, token_hash=hash_token(token))
            unit.access.create_token(record)
            unit.commit()
        return token, workspace.id

    def another_token(self, **fields: Any) -> tuple[str, ApiToken]:  # noqa: ANN401 - the record's own
        """Make another token of the same workspace and return it with its record."""
        token = generate_token()
        with self.units() as unit:
            made = a_token(workspace_id=self.workspace_id, token_hash=hash_token(token), **fields)
            record = unit.access.create_token(made)
            unit.commit()
        return token, record

    def revoke(self, token_id: UUID) -> None:
        """Revoke a token."""
        with self.units() as unit:
            assert unit.access.revoke_token(token_id)
            unit.commit()

    @contextmanager
    def stranger(self) -> Iterator[WireClient]:
        """Offer a client of another workspace."""
        client = WireClient(self.address, self.make_token()[0])
        try:
            yield client
        finally:
            client.close()

    def a_meeting(self, title: str = "Weekly") -> pb.Meeting:
        """Make a meeting."""
        return self.client.meetings.CreateMeeting(pb.CreateMeetingRequest(title=title))

    def a_webhook(self, **fields: Any) -> pb.Webhook:  # noqa: ANN401 - the message's own
        """Register an endpoint."""
        given = {"url": "https://receiver.example/hooks", "events": ["meeting.completed"]} | fields
        return self.client.webhooks.RegisterWebhook(pb.RegisterWebhookRequest(**given))

    def stop_meeting(self, meeting_id: str) -> pb.Meeting:
        """Stop a meeting."""
        return self.client.meetings.StopMeeting(pb.StopMeetingRequest(meeting_id=meeting_id))

    def events(self) -> Sequence[Event]:
        """Return what was recorded, oldest first."""
        with self.units() as unit:
            newest = unit.events.list_page(self.workspace_id, limit=1000)
        return sorted(newest, key=lambda event: event.occurred_at)

    def event_types(self) -> list[str]:
        """Return the types of what was recorded, oldest first."""
        return [event.event_type for event in self.events()]

    def payload(self, event_type: str) -> dict[str, Any]:
        """Return what the only event of that type says."""
        (event,) = [event for event in self.events() if event.event_type == event_type]
        said: dict[str, Any] = json.loads(event.payload)
        return said


class _Stopped:
    async def stop(self, grace: timedelta) -> None:
        """Do nothing: it has stopped."""


class Stream:
    """One audio stream, fed by hand."""

    def __init__(self, client: WireClient, meeting_id: str) -> None:
        self._meeting_id = meeting_id
        self._messages: list[pb.StreamAudioSegmentsRequest | None] = []
        self._more = threading.Condition()
        self.call = client.meetings.StreamAudioSegments.future(self._feed())

    def send(self, audio: bytes = b"", *texts: str) -> None:
        """Send a message of so much audio and such segments."""
        segments = [pb.TranscriptSegment(text=text, start_seconds=0, end_seconds=1) for text in texts]
        self.send_message(
            pb.StreamAudioSegmentsRequest(meeting_id=self._meeting_id, audio=audio, format=FORMAT, segments=segments)
        )

    def send_message(self, message: pb.StreamAudioSegmentsRequest | None) -> None:
        """Send any message; None ends the stream."""
        with self._more:
            self._messages.append(message)
            self._more.notify()

    def finish(self) -> pb.StreamAudioSegmentsResponse:
        """End the stream and return the answer."""
        self.send_message(None)
        return self.call.result(timeout=PATIENCE_S)

    def _feed(self) -> Iterator[pb.StreamAudioSegmentsRequest]:
        while True:
            with self._more:
                self._more.wait_for(lambda: self._messages)
                message = self._messages.pop(0)
            if message is None:
                return
            yield message


@contextmanager
def a_stream(world: World, meeting_id: str, *, client: WireClient | None = None) -> Iterator[Stream]:
    """Offer an open stream, which is cut off at the block's end if it has not ended by then."""
    stream = Stream(client if client is not None else world.client, meeting_id)
    try:
        yield stream
    finally:
        stream.call.cancel()
        stream.send_message(None)


@contextmanager
def refused(code: grpc.StatusCode, *words: str) -> Iterator[None]:
    """Expect the call inside to be answered with that code and a line that has these words."""
    with pytest.raises(grpc.RpcError) as caught:
        yield
    assert caught.value.code() is code, caught.value.details()
    for word in words:
        assert word in (caught.value.details() or "")


def eventually(check: Callable[[], bool]) -> None:
    """Wait until it is so, or fail."""
    until(check, what="it comes true")


def _check_url(url: str) -> None:
    """Stand for the egress rules: one host is forbidden."""
    if "forbidden" in url:
        raise InvalidInputError("url", "names an address that is not allowed")
