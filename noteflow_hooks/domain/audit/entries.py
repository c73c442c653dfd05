"""Entries of the audit trail: who did what, to what, and how it was before and after.

An entry is written in the change's own transaction and never changes. It holds no secret, no header's value, no path of
a URL and no text of a meeting.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from enum import StrEnum
from typing import TYPE_CHECKING, Any, Final, TypeAlias, cast

from noteflow_hooks.domain.ids import ordered_id

if TYPE_CHECKING:
    from collections.abc import Mapping
    from datetime import datetime
    from uuid import UUID

    from noteflow_hooks.domain.access import ApiToken
    from noteflow_hooks.domain.requests import NamedRequest

#: How something is told: by field, in what JSON has. None where it was not there, or is no more.
Details: TypeAlias = "Mapping[str, Any] | None"


class ActorKind(StrEnum):
    """Whether a caller, an operator or the system itself has done something."""

    #: A call with an API token.
    TOKEN = "token"  # noqa: S105 - a kind, no secret
    #: A command that works on the database itself.
    CLI = "cli"
    #: The system, of its own accord.
    SYSTEM = "system"


class Action(StrEnum):
    """What was done."""

    WEBHOOK_REGISTERED = "webhook.registered"
    WEBHOOK_UPDATED = "webhook.updated"
    WEBHOOK_DELETED = "webhook.deleted"
    WEBHOOK_SECRET_ROTATED = "webhook.secret_rotated"  # noqa: S105 - an action, no secret
    WEBHOOK_TESTED = "webhook.tested"
    #: Somebody had its challenge sent anew.
    WEBHOOK_ASKED_TO_VERIFY = "webhook.asked_to_verify"
    #: It has given its challenge back, at the URL that it has.
    WEBHOOK_VERIFIED = "webhook.verified"
    #: It has given its challenge back at its new URL, and has moved there.
    WEBHOOK_MOVED = "webhook.moved"
    #: Its contact has given the code of the confirmation mail back.
    WEBHOOK_CONTACT_CONFIRMED = "webhook.contact_confirmed"
    #: The system has disabled it, since it failed for too long.
    WEBHOOK_DISABLED = "webhook.disabled"
    #: The system has disabled it, since it answered 410 Gone, or what a chat has for that.
    WEBHOOK_GONE = "webhook.gone"
    BREAKER_OPENED = "webhook.breaker_opened"
    BREAKER_CLOSED = "webhook.breaker_closed"
    DELIVERY_REDELIVERED = "delivery.redelivered"
    DELIVERY_SKIPPED = "delivery.skipped"
    REPLAY_STARTED = "replay.started"
    REPLAY_CANCELLED = "replay.cancelled"
    MEETING_ERASED = "meeting.erased"
    EVENT_TYPE_PUT = "event_type.put"
    EVENT_TYPE_DELETED = "event_type.deleted"
    WORKSPACE_CREATED = "workspace.created"
    TOKEN_CREATED = "token.created"  # noqa: S105 - an action, no secret
    TOKEN_REVOKED = "token.revoked"  # noqa: S105 - an action, no secret
    KEYS_ROTATED = "keys.rotated"


class TargetKind(StrEnum):
    """What something was done to."""

    WEBHOOK = "webhook"
    DELIVERY = "delivery"
    REPLAY = "replay"
    MEETING = "meeting"
    #: One of the workspace's own, by its name.
    EVENT_TYPE = "event_type"
    WORKSPACE = "workspace"
    TOKEN = "token"  # noqa: S105 - a kind, no secret
    #: The keys of the stored secrets.
    KEYS = "keys"


@dataclass(frozen=True, slots=True)
class Actor:
    """Who does something, and under which request id, if the caller chose one."""

    kind: ActorKind
    #: The token's id, the operator's name on its machine, or the part of the system.
    name: str
    #: A token's last four characters.
    token_hint: str = ""
    request_id: str | None = None

    @classmethod
    def of_token(cls, token: ApiToken) -> Actor:
        """Return who calls with that token."""
        return cls(ActorKind.TOKEN, str(token.id), token.hint)

    def asking(self, request: NamedRequest | None) -> Actor:
        """Return the same one, who asks under that request's id."""
        return self if request is None else replace(self, request_id=request.request_id)


#: A worker, of its own accord.
WORKER: Final = Actor(ActorKind.SYSTEM, "worker")
#: A program that has the service inside itself, and calls it without a token.
PROGRAM: Final = Actor(ActorKind.SYSTEM, "program")


@dataclass(frozen=True, slots=True, kw_only=True)
class AuditEntry:
    """One entry. Its words are those that its release knew: another one's may be new to us."""

    id: UUID = field(default_factory=ordered_id)
    #: When it was written, by the store's clock, while the change held its locks; None until it is stored.
    at: datetime | None = None
    #: It stays when the workspace is gone.
    workspace_id: UUID
    actor_kind: str
    actor: str
    actor_hint: str = ""
    action: str
    target_kind: str
    target_id: str
    old: Details = None
    new: Details = None
    request_id: str | None = None

    @property
    def created_at(self) -> datetime | None:
        """What it is listed by."""
        return self.at


def entry_of(
    by: Actor,
    action: Action,
    workspace_id: UUID,
    target: tuple[TargetKind, UUID | str],
    *,
    old: Details = None,
    new: Details = None,
) -> AuditEntry:
    """Make an entry: ``by`` whom, what, in which workspace, to what, and how that was told before and after."""
    kind, target_id = target
    return AuditEntry(
        workspace_id=workspace_id,
        actor_kind=by.kind,
        actor=by.name,
        actor_hint=by.token_hint,
        action=action,
        target_kind=kind,
        target_id=str(target_id),
        old=old,
        new=new,
        request_id=by.request_id,
    )


@dataclass(frozen=True, slots=True)
class AuditFilter:
    """Which entries of a workspace to list; None matches all. ``at`` must lie in [created_after, created_before)."""

    actor_kind: ActorKind | None = None
    actor: str | None = None
    action: Action | None = None
    target_kind: TargetKind | None = None
    target_id: str | None = None
    created_after: datetime | None = None
    created_before: datetime | None = None


#: The filter that matches all entries.
ALL_ENTRIES: Final = AuditFilter()


def is_listed(entry: AuditEntry, criteria: AuditFilter) -> bool:
    """Tell whether a stored entry matches the filter."""
    at = cast("datetime", entry.at)
    return (
        criteria.actor_kind in (None, entry.actor_kind)
        and criteria.actor in (None, entry.actor)
        and criteria.action in (None, entry.action)
        and criteria.target_kind in (None, entry.target_kind)
        and criteria.target_id in (None, entry.target_id)
        and (criteria.created_after is None or criteria.created_after <= at)
        and (criteria.created_before is None or at < criteria.created_before)
    )
