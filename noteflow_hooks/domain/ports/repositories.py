"""The repositories, one for each kind of thing that is kept; each works in its caller's unit of work."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

from noteflow_hooks.domain.paging import ALL_EVENTS, ALL_WEBHOOKS, DEFAULT_PAGE_SIZE

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Mapping, Sequence
    from datetime import datetime
    from uuid import UUID

    from noteflow_hooks.domain.access import ApiToken, Workspace
    from noteflow_hooks.domain.attempts import WebhookAttempt
    from noteflow_hooks.domain.deliveries import WebhookDelivery
    from noteflow_hooks.domain.event_types import CustomEventType
    from noteflow_hooks.domain.events import Event
    from noteflow_hooks.domain.filters import FilterTrouble
    from noteflow_hooks.domain.health.state import EndpointHealth
    from noteflow_hooks.domain.paging import (
        DeliveryChange,
        DeliveryFilter,
        EventFilter,
        IdRange,
        Position,
        Undelivered,
        WebhookFilter,
    )
    from noteflow_hooks.domain.ports.maintenance import Signs
    from noteflow_hooks.domain.replays import Redelivery, Replay
    from noteflow_hooks.domain.requests import NamedRequest
    from noteflow_hooks.domain.webhooks import WebhookConfig
    from noteflow_hooks.errors import AlreadyExistsError


class WebhookRepository(Protocol):
    """The endpoints. Deleted ones are hidden."""

    def get_all_enabled(self, workspace_id: UUID | None = None) -> Sequence[WebhookConfig]:
        """Return the enabled endpoints of one workspace, or of all, oldest first."""
        ...

    def get_all(self, workspace_id: UUID) -> Sequence[WebhookConfig]:
        """Return the endpoints of a workspace, oldest first."""
        ...

    def list_page(
        self, workspace_id: UUID, *, limit: int, after: Position | None = None, ids: IdRange | None = None
    ) -> Sequence[WebhookConfig]:
        """Return a page of a workspace's endpoints, newest first."""
        ...

    def list_with_health(
        self,
        workspace_id: UUID,
        criteria: WebhookFilter = ALL_WEBHOOKS,
        *,
        limit: int,
        after: Position | None = None,
        ids: IdRange | None = None,
    ) -> Sequence[tuple[WebhookConfig, EndpointHealth]]:
        """Return such a page with each endpoint's health."""
        ...

    def count(self, workspace_id: UUID, criteria: WebhookFilter = ALL_WEBHOOKS, *, ids: IdRange | None = None) -> int:
        """Return how many endpoints all pages have together, up to :data:`MAX_TOTAL`."""
        ...

    def get_by_id(self, webhook_id: UUID, *, lock: bool = False, with_deleted: bool = False) -> WebhookConfig | None:
        """Return an endpoint, or None; with ``lock`` nobody else changes it before this unit ends."""
        ...

    def create(self, config: WebhookConfig) -> WebhookConfig:
        """Store a new endpoint and return it as stored."""
        ...

    def update(self, config: WebhookConfig) -> WebhookConfig:
        """Store a changed endpoint and return it as stored; raise :class:`NotFoundError` where there is none."""
        ...

    def delete(self, webhook_id: UUID) -> bool:
        """Mark it deleted, erase its secrets, and skip its pending deliveries; False where there is none."""
        ...

    def get_health(self, webhook_ids: Iterable[UUID]) -> Mapping[UUID, EndpointHealth]:
        """Return these endpoints' health, by their ids."""
        ...

    def get_filter_trouble(self, webhook_ids: Iterable[UUID]) -> Mapping[UUID, FilterTrouble]:
        """Return what the present filters of these endpoints have failed on, of those that have."""
        ...

    def add_delivery(self, delivery: WebhookDelivery) -> WebhookDelivery:
        """Store a delivery and return it as stored."""
        ...

    def get_deliveries(self, webhook_id: UUID, limit: int = DEFAULT_PAGE_SIZE) -> Sequence[WebhookDelivery]:
        """Return an endpoint's deliveries, newest first."""
        ...


class RequestRepository(Protocol):
    """The requests that may be repeated, each for :data:`noteflow_hooks.domain.requests.REMEMBERED`."""

    def get(self, request: NamedRequest) -> NamedRequest | None:
        """Return the first request of the same workspace and id, or None."""
        ...

    def claim(self, request: NamedRequest) -> NamedRequest | None:
        """Store the request and return None; where its id is taken, return the first one and store nothing.

        If another caller is just storing the same id, this waits for it: exactly one of them is the first.
        """
        ...

    def complete(self, request: NamedRequest) -> None:
        """Store the result of a request that this unit has claimed: its target, and the secret that it made."""
        ...


class EventOutbox(Protocol):
    """The outbox: events, stored in the transaction of the change that caused them."""

    def append(self, event: Event) -> Event:
        """Store the event and return it as stored.

        If the idempotency key was used for the same request, return that event and store nothing; if it was used for
        another one, raise :class:`AlreadyExistsError`.
        """
        ...

    def append_many(self, events: Sequence[Event]) -> Sequence[Event | AlreadyExistsError]:
        """Store the events, in their order and at once; return each as stored, as :meth:`append` would.

        An event whose key stands for another request is an AlreadyExistsError in its place, and costs the others
        nothing. One that is there already, by its id, is returned as it is: a store whose answer was lost may be
        repeated.
        """
        ...

    def get_by_id(self, event_id: UUID) -> Event | None:
        """Return an event, or None."""
        ...

    def newest_filterable(self, workspace_id: UUID, types: Collection[str] | None = None, *, limit: int) -> list[Event]:
        """Return the newest that filters apply to, of these types if any, among the newest :data:`NEWEST_EVENTS`."""
        ...

    def get_by_key(self, workspace_id: UUID, idempotency_key: str) -> Event | None:
        """Return the event that a key of the workspace stands for, or None."""
        ...

    def list_page(
        self,
        workspace_id: UUID,
        criteria: EventFilter = ALL_EVENTS,
        *,
        limit: int,
        after: Position | None = None,
        ids: IdRange | None = None,
    ) -> Sequence[Event]:
        """Return a page of a workspace's events, newest first."""
        ...

    def count(self, workspace_id: UUID, criteria: EventFilter = ALL_EVENTS, *, ids: IdRange | None = None) -> int:
        """Return how many events all pages have together, up to :data:`MAX_TOTAL`."""
        ...

    def horizon(self) -> datetime:
        """Return the moment before which no event is stored any more: all of them can be seen, and none will come.

        By the store's clock. Who asks reads :meth:`stored_after` after that.
        """
        ...

    def stored_after(
        self, workspace_ids: Collection[UUID], position: Position, *, until: datetime, limit: int
    ) -> Sequence[Event]:
        """Return so many events behind the position, created before ``until``, in the order of creation and id."""
        ...

    def erase_meeting(self, workspace_id: UUID, meeting_id: str) -> tuple[int, int]:
        """Erase the payloads of a meeting's events, and what receivers answered to them.

        Pending deliveries are skipped; an attempt that is under way goes on, and is the last one. An event that was not
        dispatched counts as dispatched, with the deliveries that it has. Return how many events there were, and how
        many deliveries were pending.
        """
        ...


class DeliveryLog(Protocol):
    """Deliveries and their attempts, as integrators look at them."""

    def get_by_id(self, workspace_id: UUID, delivery_id: UUID) -> WebhookDelivery | None:
        """Return a delivery of that workspace, or None."""
        ...

    def get_by_event(self, event_id: UUID) -> Sequence[WebhookDelivery]:
        """Return the deliveries of one event, oldest first."""
        ...

    def list_page(
        self,
        workspace_id: UUID,
        criteria: DeliveryFilter,
        *,
        limit: int,
        after: Position | None = None,
        ids: IdRange | None = None,
    ) -> Sequence[WebhookDelivery]:
        """Return a page of a workspace's deliveries, newest first."""
        ...

    def count(self, workspace_id: UUID, criteria: DeliveryFilter, *, ids: IdRange | None = None) -> int:
        """Return how many deliveries all pages have together, up to :data:`MAX_TOTAL`."""
        ...

    def attempts(self, delivery_id: UUID) -> Sequence[WebhookAttempt]:
        """Return a delivery's attempts, first one first."""
        ...

    def reasons(self, deliveries: Iterable[WebhookDelivery]) -> Mapping[UUID, str]:
        """Return in words why each of the deliveries that has not succeeded is not delivered."""
        ...

    def undelivered_page(
        self,
        workspace_id: UUID,
        criteria: DeliveryFilter,
        *,
        limit: int,
        after: Position | None = None,
        ids: IdRange | None = None,
    ) -> Sequence[Undelivered]:
        """Return a page of what was accepted and not delivered, newest first, whatever status ``criteria`` names.

        Events that wait to be matched belong to it, unless ``criteria`` names an endpoint.
        """
        ...

    def count_undelivered(self, workspace_id: UUID, criteria: DeliveryFilter, *, ids: IdRange | None = None) -> int:
        """Return how many entries of that list all pages have together, up to :data:`MAX_TOTAL`."""
        ...

    def horizon(self) -> datetime:
        """Return the moment before which nothing is made or recorded any more: what is older can all be seen.

        By the store's clock, and a little behind it. Who asks looks at :meth:`changes` after that.
        """
        ...

    def changes(self, workspace_ids: Collection[UUID], *, since: datetime, until: datetime) -> Sequence[DeliveryChange]:
        """Return what was made, or attempted last, in [since, until), as it is now; the one made first comes first."""
        ...

    def present(self, delivery_ids: Collection[UUID]) -> Sequence[DeliveryChange]:
        """Return those of these deliveries that are there, as they are now; the one made first comes first."""
        ...

    def redeliveries(self, delivery_id: UUID) -> Sequence[Redelivery]:
        """Return each time that a delivery was sent again, first one first."""
        ...

    def send_again(self, workspace_id: UUID, delivery_id: UUID) -> WebhookDelivery:
        """Make a delivery in a final status due once more, on record; no breaker, limit or pause holds it back.

        Raise NotFoundError or PreconditionError where that can't be.
        """
        ...

    def give_up(self, workspace_id: UUID, delivery_id: UUID) -> WebhookDelivery:
        """Skip a pending or dead one and let go what waits for it; NotFound- or PreconditionError where it can't be."""
        ...


class ReplayRepository(Protocol):
    """Requests to send many deliveries again."""

    def preview(self, replay: Replay) -> Replay:
        """Return a new replay as it would be stored, with how many deliveries match; store nothing."""
        ...

    def create(self, replay: Replay) -> Replay:
        """Store a new replay and return it as stored; raise LimitError where too many of its workspace run."""
        ...

    def get(self, workspace_id: UUID, replay_id: UUID) -> Replay | None:
        """Return a replay of that workspace, or None."""
        ...

    def list_page(
        self, workspace_id: UUID, *, limit: int, after: Position | None = None, ids: IdRange | None = None
    ) -> Sequence[Replay]:
        """Return a page of a workspace's replays, newest first."""
        ...

    def count(self, workspace_id: UUID, *, ids: IdRange | None = None) -> int:
        """Return how many replays all pages have together, up to :data:`MAX_TOTAL`."""
        ...

    def cancel(self, workspace_id: UUID, replay_id: UUID) -> Replay:
        """End a running replay; raise NotFoundError or PreconditionError where that can't be."""
        ...

    def advance(self, *, limit: int) -> int | None:
        """Take one step of the replay that has waited longest, in any workspace; None where no step is due.

        Return how many deliveries it made due, at most ``limit``. They are throttled, and their endpoints have a slot
        coming. Deliveries of disabled and deleted endpoints, and those whose payload was erased, are passed over.
        """
        ...


class EventTypeRepository(Protocol):
    """The event types of the workspaces' own. Ours are in no store."""

    def put(self, kind: CustomEventType) -> CustomEventType:
        """Store a type, in place of one of that name, and return it as stored.

        Raise LimitError where the workspace has as many as it may have, NotFoundError where there is no such workspace.
        """
        ...

    def get(self, workspace_id: UUID, names: Collection[str]) -> Mapping[str, CustomEventType]:
        """Return those of these types that the workspace has, by name."""
        ...

    def get_all(self, workspace_id: UUID) -> Sequence[CustomEventType]:
        """Return the workspace's types by name, in the order of their characters' codes."""
        ...

    def delete(self, workspace_id: UUID, name: str) -> bool:
        """Remove it; False where there is none. Events of the type, and subscriptions to it, stay as they are."""
        ...


class AccessRepository(Protocol):
    """Workspaces and the tokens that open them."""

    def create_workspace(self, workspace: Workspace) -> Workspace:
        """Store a new workspace."""
        ...

    def get_workspace(self, workspace_id: UUID) -> Workspace | None:
        """Return a workspace, or None."""
        ...

    def list_workspaces(self) -> Sequence[Workspace]:
        """Return all workspaces, oldest first."""
        ...

    def create_token(self, token: ApiToken) -> ApiToken:
        """Store a new token's record; raise NotFoundError where its workspace does not exist."""
        ...

    def list_tokens(self, workspace_id: UUID | None = None) -> Sequence[ApiToken]:
        """Return the tokens' records, of one workspace or all, oldest first."""
        ...

    def revoke_token(self, token_id: UUID) -> ApiToken | None:
        """Revoke it, once, and return its record; None where there is none or it was revoked."""
        ...

    def find_token(self, token_hash: bytes) -> ApiToken | None:
        """Return the record of a token that is neither revoked nor expired, by the store's clock; or None."""
        ...

    def live_tokens(self, token_ids: Collection[UUID]) -> Collection[UUID]:
        """Return those of these tokens that are neither revoked nor expired."""
        ...

    def note_use(self, token_id: UUID) -> bool:
        """Record, without waiting, that it is used now; False if done within :data:`USE_NOTED_EVERY` or being done."""
        ...


class SystemLog(Protocol):
    """What the store knows of those who work on it."""

    def signs(self) -> Signs:
        """Return when relay and sweep last ran, and since when the first of what waits has waited."""
        ...
