"""What the use cases need of the world: stores and units of work. Two implementations each: SQL and in memory."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, Protocol, Self, TypeAlias

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
    from contextlib import AbstractContextManager
    from datetime import datetime, timedelta
    from types import TracebackType
    from uuid import UUID

    from noteflow_hooks.domain.access import ApiToken, Workspace
    from noteflow_hooks.domain.deliveries import (
        Claim,
        DeliveryStatus,
        Settlement,
        WebhookAttempt,
        WebhookDelivery,
    )
    from noteflow_hooks.domain.events import Event
    from noteflow_hooks.domain.health import EndpointHealth
    from noteflow_hooks.domain.meetings import Meeting, Recording, Segment, Summary
    from noteflow_hooks.domain.replays import Redelivery, Replay
    from noteflow_hooks.domain.webhooks import WebhookConfig

#: Tells the workers of these events or deliveries. Returns at once and never raises: it is a hint.
Announce: TypeAlias = "Callable[[Sequence[UUID]], None]"
#: The names under which :class:`TaskRuns` has the two tasks that find whatever waits.
RELAY: Final = "relay"
SWEEP: Final = "sweep"


@dataclass(frozen=True, slots=True)
class DeliveryFilter:
    """Which deliveries of a workspace to list; None leaves that open. Times bound ``created_at``: [after, before)."""

    webhook_id: UUID | None = None
    status: DeliveryStatus | None = None
    event_type: str | None = None
    created_after: datetime | None = None
    created_before: datetime | None = None


@dataclass(frozen=True, slots=True)
class Position:
    """Where a page ended, newest first: the last row's ``created_at`` and id."""

    created_at: datetime
    id: UUID


@dataclass(frozen=True, slots=True)
class Undelivered:
    """An event that was accepted, and an endpoint that does not have it."""

    event_id: UUID
    event_type: str
    #: When the event was stored, or matched with the endpoint.
    created_at: datetime
    #: None while the event waits to be matched with endpoints, also where it was with some of them.
    delivery: WebhookDelivery | None = None

    @property
    def id(self) -> UUID:
        """What tells it from others of the list: the delivery's id, or the event's."""
        return self.event_id if self.delivery is None else self.delivery.id


class WebhookRepository(Protocol):
    """The endpoints. Deleted ones are hidden."""

    def get_all_enabled(self, workspace_id: UUID | None = None) -> Sequence[WebhookConfig]:
        """Return the enabled endpoints of one workspace, or of all."""
        ...

    def get_all(self, workspace_id: UUID) -> Sequence[WebhookConfig]:
        """Return the endpoints of a workspace, oldest first."""
        ...

    def list_page(self, workspace_id: UUID, *, limit: int, after: Position | None = None) -> Sequence[WebhookConfig]:
        """Return a page of a workspace's endpoints, newest first."""
        ...

    def get_by_id(self, webhook_id: UUID, *, lock: bool = False) -> WebhookConfig | None:
        """Return an endpoint, or None; with ``lock`` nobody else changes it before this unit ends."""
        ...

    def create(self, config: WebhookConfig) -> WebhookConfig:
        """Store a new endpoint and return it as stored."""
        ...

    def update(self, config: WebhookConfig) -> WebhookConfig:
        """Store a changed endpoint and return it as stored; raise :class:`NotFoundError` where there is none."""
        ...

    def delete(self, webhook_id: UUID) -> bool:
        """Mark it deleted, erase its secrets, and skip what waits for it; False where there is none."""
        ...

    def get_health(self, webhook_ids: Iterable[UUID]) -> Mapping[UUID, EndpointHealth]:
        """Return how these endpoints do, by their ids."""
        ...

    def add_delivery(self, delivery: WebhookDelivery) -> WebhookDelivery:
        """Store a delivery and return it as stored."""
        ...

    def get_deliveries(self, webhook_id: UUID, limit: int = 50) -> Sequence[WebhookDelivery]:
        """Return an endpoint's deliveries, newest first."""
        ...


class EventOutbox(Protocol):
    """The committed promises: events, in the transaction of what caused them."""

    def append(self, event: Event) -> Event:
        """Store the event and return it as stored.

        Under an idempotency key that stands for the same request already, return that event and store nothing; raise
        :class:`AlreadyExistsError` where it stands for another.
        """
        ...

    def get_by_id(self, event_id: UUID) -> Event | None:
        """Return an event, or None."""
        ...

    def list_page(self, workspace_id: UUID, *, limit: int, after: Position | None = None) -> Sequence[Event]:
        """Return a page of a workspace's events, newest first."""
        ...

    def erase_meeting(self, workspace_id: UUID, meeting_id: str) -> tuple[int, int]:
        """Erase the payloads of a meeting's events, and what receivers answered to them.

        What waits to be sent is skipped; an attempt that is under way ends as it ends, and is the last one. An event
        that was not dispatched is, with the deliveries that it has. Return how many events there were, and how many
        deliveries waited.
        """
        ...


class DeliveryLog(Protocol):
    """What was delivered, as integrators look at it."""

    def get_by_id(self, workspace_id: UUID, delivery_id: UUID) -> WebhookDelivery | None:
        """Return a delivery of that workspace, or None."""
        ...

    def get_by_event(self, event_id: UUID) -> Sequence[WebhookDelivery]:
        """Return the deliveries of one event."""
        ...

    def list_page(
        self, workspace_id: UUID, criteria: DeliveryFilter, *, limit: int, after: Position | None = None
    ) -> Sequence[WebhookDelivery]:
        """Return a page of a workspace's deliveries, newest first."""
        ...

    def attempts(self, delivery_id: UUID) -> Sequence[WebhookAttempt]:
        """Return a delivery's attempts, first one first."""
        ...

    def reasons(self, deliveries: Iterable[WebhookDelivery]) -> Mapping[UUID, str]:
        """Return why each of the deliveries that has not succeeded is not delivered, in words."""
        ...

    def undelivered_page(
        self, workspace_id: UUID, criteria: DeliveryFilter, *, limit: int, after: Position | None = None
    ) -> Sequence[Undelivered]:
        """Return a page of what was accepted and not delivered, newest first, whatever status ``criteria`` names.

        Events that wait to be matched belong to it, unless ``criteria`` names an endpoint.
        """
        ...

    def redeliveries(self, delivery_id: UUID) -> Sequence[Redelivery]:
        """Return each time that a delivery was sent again, first one first."""
        ...

    def send_again(self, workspace_id: UUID, delivery_id: UUID) -> WebhookDelivery:
        """Make a settled delivery due once more, past all that would hold it back, and put that on record.

        Raise NotFoundError or PreconditionError where that can't be.
        """
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

    def list_page(self, workspace_id: UUID, *, limit: int, after: Position | None = None) -> Sequence[Replay]:
        """Return a page of a workspace's replays, newest first."""
        ...

    def cancel(self, workspace_id: UUID, replay_id: UUID) -> Replay:
        """End a running replay; raise NotFoundError or PreconditionError where that can't be."""
        ...

    def advance(self, *, limit: int) -> int | None:
        """Take one step of the replay that has waited longest for one, of any workspace; None where none is due.

        Return how many deliveries it made due, at most ``limit``: pending, held for their endpoint's turn, which comes.
        Those of disabled and deleted endpoints, and those whose payload was erased, are passed over.
        """
        ...


class MeetingRepository(Protocol):
    """Meetings and what belongs to them."""

    def create(self, meeting: Meeting) -> Meeting:
        """Store a new meeting."""
        ...

    def get(self, workspace_id: UUID, meeting_id: UUID, *, lock: bool = False) -> Meeting | None:
        """Return a meeting of that workspace, or None; with ``lock`` nobody else changes it before this unit ends."""
        ...

    def list_page(self, workspace_id: UUID, *, limit: int, after: Position | None = None) -> Sequence[Meeting]:
        """Return a page of a workspace's meetings, newest first."""
        ...

    def complete(self, meeting_id: UUID) -> None:
        """Mark it stopped, now by the store's clock."""
        ...

    def add_segments(self, meeting_id: UUID, segments: Iterable[Segment]) -> None:
        """Store finished segments behind those that are there."""
        ...

    def get_segments(self, meeting_id: UUID) -> Sequence[Segment]:
        """Return the segments in the order in which they came."""
        ...

    def put_summary(self, meeting_id: UUID, summary: Summary) -> None:
        """Store the meeting's summary in place of an earlier one."""
        ...

    def get_summary(self, meeting_id: UUID) -> Summary | None:
        """Return the meeting's summary, or None."""
        ...

    def start_recording(self, recording: Recording) -> bool:
        """Store a new recording; False where the meeting has one that has not ended."""
        ...

    def open_recording(self, meeting_id: UUID) -> Recording | None:
        """Return the recording that has not ended, or None."""
        ...

    def end_recording(self, recording_id: UUID, duration_seconds: float) -> bool:
        """End it, once: False where it had ended. The longer of the stored and the given duration stands."""
        ...

    def touch_recordings(self, durations: Mapping[UUID, float]) -> Collection[UUID]:
        """Say that these recordings live, and how long they are in seconds; return those that have not ended."""
        ...

    def abandoned_recordings(self, *, silent_for: timedelta, server: str | None = None) -> Sequence[Recording]:
        """Return open recordings without a sign of life for so long, and all open ones of ``server``, oldest first."""
        ...


class AccessRepository(Protocol):
    """Workspaces and the tokens that open them."""

    def create_workspace(self, workspace: Workspace) -> Workspace:
        """Store a new workspace."""
        ...

    def list_workspaces(self) -> Sequence[Workspace]:
        """Return all workspaces, oldest first."""
        ...

    def create_token(self, token: ApiToken) -> ApiToken:
        """Store a new token's record; raise NotFoundError where its workspace is not."""
        ...

    def list_tokens(self, workspace_id: UUID | None = None) -> Sequence[ApiToken]:
        """Return the tokens' records, of one workspace or all, oldest first."""
        ...

    def revoke_token(self, token_id: UUID) -> bool:
        """Revoke it, once: False where there is none or it was revoked."""
        ...

    def find_token(self, token_hash: bytes) -> ApiToken | None:
        """Return the record of a token that is neither revoked nor, by the store's clock, past its end; or None."""
        ...

    def live_tokens(self, token_ids: Collection[UUID]) -> Collection[UUID]:
        """Return those of these that are neither revoked nor past their end."""
        ...

    def note_use(self, token_id: UUID) -> bool:
        """Record that it is used now. False where that was done within :data:`USE_NOTED_EVERY`, or is being done.

        Waits for no other transaction.
        """
        ...


class UnitOfWork(Protocol):
    """One transaction. Leaving the ``with`` block without :meth:`commit` rolls everything back.

    Used outside its ``with`` block every member raises :class:`UnitOfWorkNotStartedError`. A database that can't be
    reached raises :class:`UnavailableError`.
    """

    @property
    def webhooks(self) -> WebhookRepository:
        """The endpoints."""
        ...

    @property
    def supports_webhooks(self) -> bool:
        """Whether :attr:`webhooks`, :attr:`events`, :attr:`deliveries` and :attr:`replays` are there."""
        ...

    @property
    def events(self) -> EventOutbox:
        """The outbox."""
        ...

    @property
    def deliveries(self) -> DeliveryLog:
        """The deliveries."""
        ...

    @property
    def replays(self) -> ReplayRepository:
        """The requests to send many deliveries again."""
        ...

    @property
    def meetings(self) -> MeetingRepository:
        """The meetings."""
        ...

    @property
    def access(self) -> AccessRepository:
        """The workspaces and tokens."""
        ...

    def __enter__(self) -> Self:
        """Begin."""
        ...

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Roll back what was not committed."""
        ...

    def commit(self) -> None:
        """Make it durable, then run what :meth:`on_commit` took."""
        ...

    def on_commit(self, call: Callable[[], None]) -> None:
        """Have ``call`` run once after the commit, and not at all where there is none."""
        ...

    def savepoint(self) -> AbstractContextManager[None]:
        """Undo what happens inside, and only that, if an error leaves it; the error goes on."""
        ...


class DeliveryStore(Protocol):
    """The workers' half: each method is one transaction of its own, and safe to run beside any other."""

    def now(self) -> datetime:
        """Return the time by the store's clock, from which all due times come."""
        ...

    def dispatch(
        self, event_ids: Sequence[UUID], *, limit: int, claim: int = 0, lease_slack: timedelta = ...
    ) -> Dispatched:
        """Make deliveries of the named events, topped up with others that wait; at most about ``limit`` deliveries.

        The first ``claim`` of those that are due at once are claimed with it, as :meth:`claim` does. What their
        endpoints have no room for stays pending, and is not held. Where something is held, nothing is claimed.
        """
        ...

    def claim(self, delivery_ids: Sequence[UUID], *, limit: int, lease_slack: timedelta) -> Claimed:
        """Take up to ``limit`` due deliveries, the named ones first, each for its endpoint's timeout and the slack.

        What its endpoint's breaker, limits or pause hold back stays pending, and is left to that endpoint's turns.
        """
        ...

    def take_turns(self, *, limit: int, slow: bool, lease_slack: timedelta) -> Claimed:
        """Take up to ``limit`` held deliveries of the endpoints whose turn it is, in the quick or the slow lane."""
        ...

    def settle(self, settlements: Sequence[Settlement]) -> Settled:
        """Store results, each only under its own claim, and what they say of their endpoints."""
        ...

    def mark_slow(self, webhook_ids: Collection[UUID]) -> None:
        """Send these endpoints to the slow lane, from now on."""
        ...

    def waits(self, delivery_ids: Sequence[UUID]) -> Mapping[UUID, timedelta]:
        """Return how long those of the deliveries that are pending and not yet due have to wait."""
        ...

    def take_back(self, *, limit: int) -> int:
        """Take deliveries from workers that hold them past their lease; return how many."""
        ...

    def undispatched(self, *, older_than: timedelta, limit: int) -> list[UUID]:
        """Return events committed at least so long ago that no delivery was made of yet, oldest first."""
        ...

    def due(self, *, overdue_by: timedelta, limit: int) -> list[UUID]:
        """Return deliveries that are not held and have been due for at least so long, longest first."""
        ...

    def held(self, *, limit: int) -> Held:
        """Count the held deliveries of the endpoints whose turn it is, up to ``limit``.

        An endpoint whose turn was forgotten, which only a change by hand does, is given one first.
        """
        ...


class RetentionStore(Protocol):
    """What goes once it is old: each method is one short transaction, and safe to run beside any other.

    A call looks at about ``limit`` rows, oldest first, from behind ``after`` on: where the call before it came to. What
    is not settled stays, and so does for now what somebody else holds.
    """

    def erase_payloads(self, older_than: timedelta, *, limit: int, after: Position | None = None) -> Swept:
        """Erase the payloads of settled events that were stored so long ago, and what receivers answered to them."""
        ...

    def remove_attempts(self, older_than: timedelta, *, limit: int, after: Position | None = None) -> Swept:
        """Remove attempts that were made so long ago, of deliveries that are settled."""
        ...

    def remove_events(self, older_than: timedelta, *, limit: int, after: Position | None = None) -> Swept:
        """Remove settled events that were stored so long ago and whose payloads are erased, with all below them."""
        ...

    def remove_replays(self, older_than: timedelta, *, limit: int, after: Position | None = None) -> Swept:
        """Remove replays that ended so long ago, once what they sent again is gone."""
        ...

    def remove_webhooks(self, older_than: timedelta, *, limit: int, after: Position | None = None) -> Swept:
        """Remove endpoints that were deleted so long ago, once nothing that names them is left."""
        ...


class TaskRuns(Protocol):
    """When the tasks that beat calls last ran to their end, by the store's clock."""

    def note(self, name: str, *, took: timedelta) -> None:
        """Record that the task of that name has just run to its end, in so long. A crash of the store may lose it."""
        ...

    def ages(self) -> Mapping[str, timedelta]:
        """Return how long ago each task last did, by its name; one that never did is not there."""
        ...


@dataclass(frozen=True, slots=True)
class Swept:
    """What came of one call of retention."""

    #: How many rows were erased or removed; what lies below a removed row is not counted.
    rows: int
    #: The last row that was looked at, its moment whichever it is judged by; None where it was the last old enough.
    cursor: Position | None


@dataclass(frozen=True, slots=True)
class Dispatched:
    """What one round of dispatching made."""

    #: The new deliveries that are due at once, neither held nor claimed.
    delivery_ids: tuple[UUID, ...]
    #: How many events were finished with.
    events: int
    #: Whether the round stopped at its limit, so that there may be more.
    more: bool
    #: Whether some were left to their endpoints' turns, in the quick and in the slow lane.
    turns: bool = False
    slow_turns: bool = False
    #: The new deliveries that were claimed.
    claims: tuple[Claim, ...] = ()


@dataclass(frozen=True, slots=True)
class Turn:
    """That an endpoint has a turn, so long from now, in the quick or the slow lane."""

    wait: timedelta
    slow: bool


@dataclass(frozen=True, slots=True)
class Claimed:
    """The deliveries that were taken, and what else was found on the way."""

    claims: Sequence[Claim]
    #: How many were left to their endpoints' turns.
    held: int = 0
    #: Whether a named delivery was passed over, since somebody else was busy with it or its endpoint at that moment.
    passed_over: bool = False
    #: Whether an endpoint of the quick lane has a turn now.
    turns_due: bool = False
    #: Whether something was left to the turns of slow endpoints.
    slow_turns_due: bool = False
    #: When the endpoints that had a turn have their next one.
    turns: Sequence[Turn] = ()

    def __iter__(self) -> Iterator[Claim]:
        """Go through the claims."""
        return iter(self.claims)

    def __len__(self) -> int:
        """Return how many were taken."""
        return len(self.claims)


@dataclass(frozen=True, slots=True)
class Settled:
    """What was stored of some results."""

    #: The claims whose results were, see :attr:`Settlement.claim`; the others were lost. One batch may have several
    #: results of the same delivery, of which one counts.
    claims: frozenset[tuple[UUID, int]]
    #: The turns that endpoints have next, because of these results.
    turns: Sequence[Turn] = ()
    #: Events that were recorded, to be announced: an endpoint is failing, or was disabled.
    event_ids: Sequence[UUID] = ()


@dataclass(frozen=True, slots=True)
class Held:
    """How many held deliveries have a turn now, by lane."""

    quick: int
    slow: int
