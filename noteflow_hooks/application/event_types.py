"""The catalogue as a workspace sees it: our event types, and its own. All of it is in the caller's unit of work."""

from __future__ import annotations

import json
import logging
from dataclasses import dataclass
from typing import TYPE_CHECKING

from noteflow_hooks.domain.audit.entries import Action, TargetKind, entry_of
from noteflow_hooks.domain.audit.telling import tell_event_type, tell_put
from noteflow_hooks.domain.catalogue import CATALOGUE, EventType
from noteflow_hooks.domain.event_types import CustomEventType, check_custom_name
from noteflow_hooks.domain.events import is_custom
from noteflow_hooks.domain.payload_versions import FIRST
from noteflow_hooks.domain.payloads import check_name
from noteflow_hooks.domain.publishing import custom_digest, custom_event_from_json, not_publishable
from noteflow_hooks.domain.webhooks import check_range, not_subscribable
from noteflow_hooks.errors import InvalidInputError, NotFoundError

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping
    from datetime import datetime
    from uuid import UUID

    from noteflow_hooks.domain.audit.entries import Actor
    from noteflow_hooks.domain.events import Event
    from noteflow_hooks.domain.ports.schemas import SchemaChecker
    from noteflow_hooks.domain.ports.unit_of_work import UnitOfWork

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class EventTypeView:
    """One type of the catalogue, in one version of its payload; schema and example are JSON texts."""

    name: str
    description: str
    #: The release that had it first; empty for a workspace's own.
    since: str
    deprecated: bool
    payload_version: int
    payload_versions: tuple[int, ...]
    schema: str
    #: Empty where a workspace's own type has none.
    example: str
    #: Both None for ours.
    created_at: datetime | None = None
    updated_at: datetime | None = None


@dataclass(frozen=True, slots=True)
class OwnTypes:
    """Those of a workspace's own types that a call publishes, and what checks them."""

    found: Mapping[str, CustomEventType]
    checker: SchemaChecker

    def new_event(
        self, event_id: UUID, event_type: str, payload_json: str, *, idempotency_key: str | None, now: datetime
    ) -> Event:
        """Make an event of such a type, or raise InvalidInputError that names the fields at fault."""
        kind = self.found.get(event_type)
        if kind is None:
            raise not_publishable(event_type)
        return custom_event_from_json(
            event_id, payload_json, kind=kind, checker=self.checker, idempotency_key=idempotency_key, now=now
        )


def list_event_types(unit: UnitOfWork, workspace_id: UUID) -> list[EventTypeView]:
    """Return ours in their newest versions, then the workspace's own, each by name."""
    return [*map(_view_of_ours, CATALOGUE.values()), *map(view_of_own, unit.event_types.get_all(workspace_id))]


def read_event_type(
    unit: UnitOfWork, workspace_id: UUID, name: str, *, payload_version: int | None = None
) -> EventTypeView:
    """Return one type, in its newest version where none is named; raise NotFoundError, or InvalidInputError."""
    ours = CATALOGUE.get(name)
    if ours is not None:
        return _view_of_ours(ours, payload_version)
    own = unit.event_types.get(workspace_id, [name] if is_custom(name) else [])
    if name not in own:
        raise NotFoundError(f"name: no event type {name[:100]!r} in this workspace")
    _check_version(payload_version, (FIRST,))
    return view_of_own(own[name])


def checked_type(kind: CustomEventType, checker: SchemaChecker) -> CustomEventType:
    """Return the type if its schema can be used and its example fits it; raise InvalidInputError that names the field.

    Takes long for a schema that is made to: call it in a thread.
    """
    checker.check_schema(kind.schema)
    if kind.example is not None:
        found = checker.problems(kind.schema, kind.shown(json.loads(kind.example)))
        if found:
            raise InvalidInputError.of_all(found).within("example")
    return kind


def put_event_type(unit: UnitOfWork, kind: CustomEventType, *, by: Actor) -> EventTypeView:
    """Store a type that was checked, in place of one of that name."""
    before = unit.event_types.get(kind.workspace_id, [kind.name]).get(kind.name)
    stored = unit.event_types.put(kind)
    old, new = tell_put(before, stored)
    target = (TargetKind.EVENT_TYPE, kind.name)
    unit.audit.add(entry_of(by, Action.EVENT_TYPE_PUT, kind.workspace_id, target, old=old, new=new))
    unit.on_commit(lambda: log.info("event type %s of workspace %s put", kind.name, kind.workspace_id))
    return view_of_own(stored)


def delete_event_type(unit: UnitOfWork, workspace_id: UUID, name: str, *, by: Actor) -> None:
    """Remove a type of the workspace's own, or raise NotFoundError; what was published of it is delivered."""
    before = unit.event_types.get(workspace_id, [check_custom_name("name", name)]).get(name)
    if before is None or not unit.event_types.delete(workspace_id, name):
        raise NotFoundError(f"name: no event type {name!r} in this workspace")
    target = (TargetKind.EVENT_TYPE, name)
    unit.audit.add(entry_of(by, Action.EVENT_TYPE_DELETED, workspace_id, target, old=tell_event_type(before)))
    unit.on_commit(lambda: log.info("event type %s of workspace %s removed", name, workspace_id))


def own_types(unit: UnitOfWork, workspace_id: UUID, names: Collection[str]) -> Mapping[str, CustomEventType]:
    """Return those of these types that the workspace has of its own, by name."""
    return unit.event_types.get(workspace_id, names)


@dataclass(frozen=True, slots=True)
class KeyedRequest:
    """A request under a key that is refused now. Its event may have been stored when it was not.

    The type may have been removed since, or have another schema: a key stands for its event all the same.
    """

    idempotency_key: str
    digest: bytes

    @classmethod
    def of(cls, event_type: str, payload_json: str, *, idempotency_key: str, now: datetime) -> KeyedRequest | None:
        """Return it; None for one that could never have been stored."""
        try:
            key = check_name("idempotency_key", idempotency_key)
            return cls(key, custom_digest(event_type, payload_json, now=now))
        except InvalidInputError:
            return None

    def find(self, unit: UnitOfWork, workspace_id: UUID) -> Event | None:
        """Return the event that it has stored, or None."""
        found = unit.events.get_by_key(workspace_id, self.idempotency_key)
        return found if found is not None and found.request_digest == self.digest else None


def check_subscribed(unit: UnitOfWork, workspace_id: UUID, events: Collection[str]) -> None:
    """Raise InvalidInputError for a type that is named like one of the workspace's own and is none."""
    wanted = [each for each in events if is_custom(each)]
    if wanted:
        known = unit.event_types.get(workspace_id, wanted)
        unknown = [each for each in wanted if each not in known]
        if unknown:
            raise not_subscribable(unknown[0])


def view_of_own(kind: CustomEventType) -> EventTypeView:
    """Return a workspace's own type as the catalogue shows it."""
    return EventTypeView(
        name=kind.name,
        description=kind.description,
        since="",
        deprecated=kind.deprecated,
        payload_version=FIRST,
        payload_versions=(FIRST,),
        schema=kind.schema,
        example=kind.example or "",
        created_at=kind.created_at,
        updated_at=kind.updated_at,
    )


def _view_of_ours(kind: EventType, payload_version: int | None = None) -> EventTypeView:
    version = _check_version(payload_version, kind.versions)
    return EventTypeView(
        name=kind.name,
        description=kind.description,
        since=kind.since,
        deprecated=kind.deprecated,
        payload_version=version,
        payload_versions=kind.versions,
        schema=kind.schema_text(version),
        example=kind.example_text(version),
    )


def _check_version(wanted: int | None, versions: tuple[int, ...]) -> int:
    if wanted is None:
        return versions[-1]
    return check_range("payload_version", wanted, range(versions[0], versions[-1] + 1))
