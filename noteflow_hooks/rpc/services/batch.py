"""Many events in one call: each is checked, stored and answered by itself, as in a call of its own."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Final

from noteflow_hooks.application.event_types import KeyedRequest, OwnTypes, own_types
from noteflow_hooks.application.events import EVENTS_LIMIT
from noteflow_hooks.domain.events import is_custom
from noteflow_hooks.errors import InvalidInputError, SchemasMissingError, UnavailableError
from noteflow_hooks.rpc.interceptors.errors import status_of
from noteflow_hooks.rpc.messages.convert import event_message
from noteflow_hooks.rpc.messages.details import status_message
from noteflow_hooks.rpc.messages.parse import parse_event
from noteflow_hooks.rpc.proto.noteflow.v1 import noteflow_pb2 as pb
from noteflow_hooks.rpc.runtime.aside import aside
from noteflow_hooks.rpc.runtime.groups import ITEMS_PER_GROUP
from noteflow_hooks.rpc.services.host import with_webhooks

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from uuid import UUID

    from noteflow_hooks.application.webhooks import WebhookService
    from noteflow_hooks.domain.events import Event
    from noteflow_hooks.domain.ports.schemas import SchemaChecker
    from noteflow_hooks.rpc.runtime.database import Database

    Outcome = Event | Exception

#: An answer with all payloads may have so many bytes: gRPC's clients take 4 MiB by default.
_ANSWER_BYTES: Final = 3 * 1024 * 1024


async def publish_batch(
    database: Database,
    service: WebhookService,
    request: pb.PublishEventsRequest,
    checker: SchemaChecker,
    *,
    workspace_id: UUID,
) -> pb.PublishEventsResponse:
    """Store a request's events; raise InvalidInputError for none or too many, UnavailableError for a lost store."""
    if not 1 <= len(request.requests) <= EVENTS_LIMIT:
        raise InvalidInputError("requests", f"has {len(request.requests)} entries; 1 to {EVENTS_LIMIT} are allowed")
    if any(is_custom(each.event_type) for each in request.requests):
        parsed = await parse_own(request.requests, database, checker, workspace_id=workspace_id)
    else:
        parsed = await aside(request, lambda: [_parsed(each, workspace_id, None) for each in request.requests])
    events = [each for each in parsed if not isinstance(each, Exception)]
    stored = iter(await _stored(database, service, events) if events else [])
    outcomes = [each if isinstance(each, Exception) else next(stored) for each in parsed]
    return await aside(request, lambda: _answer(outcomes))


async def parse_own(
    requests: Sequence[pb.PublishEventRequest], database: Database, checker: SchemaChecker, *, workspace_id: UUID
) -> list[Outcome]:
    """Return the events to publish, some of them of the workspace's own types, as these are now; or why one is refused.

    One that is refused now and was stored earlier under its key is that event.
    """
    names = {each.event_type for each in requests if is_custom(each.event_type)}
    found = await database.run(lambda unit: own_types(with_webhooks(unit), workspace_id, names))
    own = OwnTypes(found, checker)
    # In a thread: to check by a schema may take long.
    parsed, keyed = await asyncio.to_thread(lambda: _own_parsed(requests, workspace_id, own))
    if keyed:
        earlier = await database.run(
            lambda unit: [each.find(with_webhooks(unit), workspace_id) for each in keyed.values()]
        )
        for place, event in zip(keyed, earlier, strict=True):
            parsed[place] = event if event is not None else parsed[place]
    return parsed


def _own_parsed(
    requests: Sequence[pb.PublishEventRequest], workspace_id: UUID, own: OwnTypes
) -> tuple[list[Outcome], dict[int, KeyedRequest]]:
    """Return what they come to, and by its place each that is refused and may have been stored under its key."""
    parsed = [_parsed(each, workspace_id, own) for each in requests]
    keyed = ((place, _keyed(requests[place])) for place, each in enumerate(parsed) if isinstance(each, Exception))
    return parsed, {place: each for place, each in keyed if each is not None}


def _keyed(request: pb.PublishEventRequest) -> KeyedRequest | None:
    if not is_custom(request.event_type) or not request.HasField("idempotency_key"):
        return None
    key, now = request.idempotency_key, datetime.now(UTC)
    return KeyedRequest.of(request.event_type, request.payload_json, idempotency_key=key, now=now)


def _parsed(request: pb.PublishEventRequest, workspace_id: UUID, own: OwnTypes | None) -> Outcome:
    try:
        return parse_event(request, workspace_id=workspace_id, own=own)
    except (InvalidInputError, SchemasMissingError) as error:
        return error


async def _stored(database: Database, service: WebhookService, events: Sequence[Event]) -> Sequence[Outcome]:
    """Store them in groups, in their order, between which other workspaces have their turns."""
    groups = [events[start : start + ITEMS_PER_GROUP] for start in range(0, len(events), ITEMS_PER_GROUP)]
    found = await asyncio.gather(
        *(database.store(service.publish_all, each) for each in groups), return_exceptions=True
    )
    outcomes: list[Outcome] = []
    for group, outcome in zip(groups, found, strict=True):
        if isinstance(outcome, UnavailableError):
            outcomes += [outcome] * len(group)
        elif isinstance(outcome, BaseException):
            raise outcome
        else:
            outcomes += outcome
    if all(isinstance(each, UnavailableError) for each in outcomes):
        raise outcomes[0]  # type: ignore[misc]  # an error, as was just asked
    return outcomes


def _answer(outcomes: Iterable[Outcome]) -> pb.PublishEventsResponse:
    answer = pb.PublishEventsResponse(results=map(_result, outcomes))
    if answer.ByteSize() > _ANSWER_BYTES:
        for each in answer.results:
            if each.HasField("event"):
                each.event.ClearField("payload")
    return answer


def _result(outcome: Outcome) -> pb.PublishEventResult:
    if isinstance(outcome, Exception):
        code, line = status_of(outcome)
        return pb.PublishEventResult(status=status_message(outcome, code=code, line=line))
    return pb.PublishEventResult(event=event_message(outcome))
