"""Posts the workspace's events from this machine, signed with a secret of its own; the server writes nothing for it."""

from __future__ import annotations

import http.client
import json
import ssl
import time
from contextlib import closing
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Final
from uuid import UUID, uuid5

import click
from typing_extensions import override

from noteflow_hooks.cli.support.following_streams import Follower
from noteflow_hooks.cli.support.output import iso
from noteflow_hooks.cli.support.screen import screen
from noteflow_hooks.domain.deliveries import Claim, WebhookDelivery
from noteflow_hooks.domain.options import NO_OPTIONS, EndpointOptions, Format
from noteflow_hooks.domain.payload_versions import NEWEST
from noteflow_hooks.domain.ranks import Rank
from noteflow_hooks.domain.renderings import EventFacts, Rendering
from noteflow_hooks.domain.webhooks import WebhookConfig
from noteflow_hooks.errors import InvalidInputError, RenderingError
from noteflow_hooks.executor.http.faults import ExchangeError
from noteflow_hooks.executor.http.prepared import PreparedEndpoint, request_of
from noteflow_hooks.executor.webhook_executor import USER_AGENT
from noteflow_hooks.printable import cell

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from noteflow_hooks.client import Client
    from noteflow_hooks.rpc.proto.noteflow.v1 import noteflow_pb2 as pb

#: How long a receiver may take to connect, and between two parts of its answer.
_PATIENCE_S: Final = 10.0
#: So much of an answer is read.
_READ_BYTES: Final = 64 * 1024
#: So much of one that refuses is shown: a receiver kit names there what is wrong.
_SHOWN: Final = 200
_WELL: Final = range(200, 300)
_ERASED: Final = "its payload is erased: nothing to post"
#: The options by the fields that they fill.
_OPTIONS: Final = {"url": "--forward-to", "headers": "--header", "secret": "--secret"}
#: What ids of deliveries are made of here: each event has one, the same whenever it is posted.
_DELIVERIES: Final = UUID("3b0f0c8e-6a53-5e0c-9c33-8b3a5f6d7c11")


@dataclass(frozen=True, slots=True)
class Posted:
    """What came of posting an event: a status, or why there is none."""

    status_code: int | None
    duration_ms: int
    error: str | None = None
    #: What was answered beside a status that refuses it, as far as it is shown.
    answer: str = ""


class Forwarder:
    """Posts events to one URL as the server's workers would."""

    def __init__(
        self, url: str, *, secret: str, headers: Iterable[tuple[str, str]] = (), like: pb.Webhook | None = None
    ) -> None:
        """``like`` is the endpoint whose format and payload version are taken; else the payload goes as it is.

        Raise InvalidInputError, by the option, for a URL or headers that no endpoint may have.
        """
        config = _config(url, secret, headers, payload_version=NEWEST if like is None else like.payload_version)
        options = NO_OPTIONS if like is None else EndpointOptions(format=_format(like))
        self._webhook = replace(config, options=options)
        try:
            self._endpoint = PreparedEndpoint(self._webhook, user_agent=USER_AGENT, allow_http_loopback=True)
        except ExchangeError as error:
            raise InvalidInputError("--forward-to", error.message) from None

    @property
    def url(self) -> str:
        """Where events are posted."""
        return self._webhook.url

    def post(self, event: pb.Event) -> Posted:
        """Post an event; whatever the receiver does is returned."""
        if event.HasField("payload_erased_at"):
            return Posted(None, 0, _ERASED)
        began = time.monotonic()
        status_code, error, answer = None, None, b""
        try:
            request = request_of(self._endpoint, self._claim(event), datetime.now(UTC))
            status_code, answer = self._exchange(request.head + request.body)
        except (OSError, http.client.HTTPException) as failure:
            error = _words(failure)
        except RenderingError as failure:
            error = str(failure)
        shown = "" if status_code in _WELL else answer.decode(errors="replace").strip()[:_SHOWN]
        return Posted(status_code, round((time.monotonic() - began) * 1000), error, shown)

    def _exchange(self, data: bytes) -> tuple[int, bytes]:
        with closing(self._connection()) as connection:
            connection.connect()
            connection.sock.sendall(data)
            answer = http.client.HTTPResponse(connection.sock, method="POST")
            with closing(answer):
                answer.begin()
                return answer.status, answer.read(_READ_BYTES)

    def _connection(self) -> http.client.HTTPConnection:
        url = self._endpoint.url
        if url.scheme == "http":
            return http.client.HTTPConnection(url.host, url.port, timeout=_PATIENCE_S)
        context = ssl.create_default_context()
        return http.client.HTTPSConnection(url.host, url.port, timeout=_PATIENCE_S, context=context)

    def _claim(self, event: pb.Event) -> Claim:
        event_id = UUID(event.id)
        delivery = WebhookDelivery(
            id=uuid5(_DELIVERIES, event.id),
            webhook_id=self._webhook.id,
            event_id=event_id,
            event_type=event.event_type,
            rendering=Rendering.of(self._webhook).stored,
        )
        meeting_id = event.meeting_id if event.HasField("meeting_id") else None
        return Claim(
            delivery,
            self._webhook,
            event.payload.encode(),
            rank=Rank(event.sequence) if event.HasField("sequence") else None,
            facts=EventFacts(meeting_id, event.occurred_at.ToDatetime(tzinfo=UTC)),
        )


class Forwarding(Follower):
    """The events that are told, each posted and printed; it goes on behind the last one that was."""

    position = "cursor"
    missing = "what was stored meanwhile is missing"

    def __init__(
        self, request: pb.WatchEventsRequest, forwarder: Forwarder, *, as_json: bool, welcome: str = ""
    ) -> None:
        """``welcome`` is printed once the server has begun to tell; with ``as_json`` on stderr."""
        super().__init__(request)
        self._forwarder = forwarder
        self._as_json = as_json
        self._welcome = welcome

    @override
    def begun(self, server: Client) -> Iterable[Any]:
        messages: Iterable[Any] = server.events.WatchEvents(self.request)
        return messages

    @override
    def has_begun(self) -> None:
        if self._welcome:
            click.echo(self._welcome, err=self._as_json)

    @override
    def take(self, message: Any, server: Client) -> bool:
        if message.missed:
            # They are told again, from behind the last one that came.
            return False
        if message.HasField("event"):
            self._print(message.event, self._forwarder.post(message.event))
        self.request.ClearField("since")
        self.request.cursor = message.cursor
        return True

    def _print(self, event: pb.Event, posted: Posted) -> None:
        if self._as_json:
            click.echo(json.dumps(row_of(event, posted)))
        else:
            click.echo(line_of(event, posted), color=screen().has_colours)


def row_of(event: pb.Event, posted: Posted) -> dict[str, Any]:
    """Return what a program is told of a posted event."""
    row = {
        "at": iso(datetime.now(UTC)),
        "event_id": event.id,
        "event_type": event.event_type,
        "meeting_id": event.meeting_id if event.HasField("meeting_id") else None,
        "status_code": posted.status_code,
        "duration_ms": posted.duration_ms,
        "error": posted.error,
        "answer": posted.answer or None,
    }
    return {name: value for name, value in row.items() if value is not None}


def line_of(event: pb.Event, posted: Posted) -> str:
    """Return what is printed of a posted event."""
    is_well = posted.status_code in _WELL
    said = str(posted.status_code) if posted.error is None else f"no answer: {posted.error}"
    answer = click.style(cell(said), fg="green" if is_well else "red")
    moment = f"{datetime.now(UTC):%H:%M:%S}Z"
    line = f"{moment}  {cell(event.event_type):<17}  {event.id}  {answer}  {posted.duration_ms} ms"
    return f"{line}  {cell(posted.answer)}" if posted.answer else line


def _config(url: str, secret: str, headers: Iterable[tuple[str, str]], *, payload_version: int) -> WebhookConfig:
    """Return what posts need of an endpoint; raise InvalidInputError that names the option which is wrong."""
    try:
        return WebhookConfig.create(
            UUID(int=0),
            url,
            (),
            secret=secret,
            headers=headers,
            payload_version=payload_version,
            allow_http_loopback=True,
        )
    except InvalidInputError as error:
        raise by_option(error, _OPTIONS) from None


def by_option(error: InvalidInputError, options: Mapping[str, str]) -> InvalidInputError:
    """Return the error with the options that stand for its fields in their place."""
    return InvalidInputError.of_all([InvalidInputError(options.get(name, name), why) for name, why in error.violations])


def _format(like: pb.Webhook) -> Format:
    return Format(like.format) if like.format in Format.__members__.values() else Format.NOTEFLOW


def _words(failure: Exception) -> str:
    """Return why there is no answer, without what it would tell of the request."""
    if isinstance(failure, TimeoutError):
        return "timed out"
    return getattr(failure, "strerror", None) or type(failure).__name__
