"""Replays in PostgreSQL: a step makes a page of deliveries due and moves its replay on, in one transaction.

The replay's row is locked for the step, so that no two steps of one replay run at once. Deliveries are waited for and
not skipped, since the cursor never comes back; they are settled ones, so hardly anybody else holds them.
"""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, TypeVarTuple

from sqlalchemy import Float, any_, bindparam, exists, func, select, text, tuple_, update
from sqlalchemy.dialects.postgresql import insert
from typing_extensions import override

from noteflow_hooks.domain.challenges import VERIFICATION
from noteflow_hooks.domain.deliveries import DeliveryStatus
from noteflow_hooks.domain.paging import IdRange, Position
from noteflow_hooks.domain.ports.repositories import ReplayRepository
from noteflow_hooks.domain.replays import RATE_PER_S, SPACING, ReplayState, check_running
from noteflow_hooks.errors import NotFoundError
from noteflow_hooks.persistence.sql.converters import replay_to_domain, replay_to_orm_kwargs
from noteflow_hooks.persistence.sql.delivery_log import NOT_FILTERED, NOT_SUCCEEDED, narrowed, of_endpoint
from noteflow_hooks.persistence.sql.moves import SENT_AGAIN
from noteflow_hooks.persistence.sql.orm import (
    WebhookConfigRow,
    WebhookDeliveryRow,
    WebhookEventRow,
    WebhookReplayRow,
    WorkspaceRow,
)
from noteflow_hooks.persistence.sql.paging import among, counted, newest_first

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import datetime
    from uuid import UUID

    from sqlalchemy import Select
    from sqlalchemy.orm import Session

    from noteflow_hooks.domain.paging import DeliveryFilter
    from noteflow_hooks.domain.replays import Replay

Columns = TypeVarTuple("Columns")
log = logging.getLogger(__name__)

#: Makes settled deliveries, whose rows are locked, due once more: throttled, with a fresh budget, each on record, and
#: their endpoints with a scheduling slot.
SEND_AGAIN = text(f"""
WITH chosen AS MATERIALIZED (
    SELECT id, webhook_id, status, attempt_count FROM noteflow.webhook_deliveries WHERE id = ANY(CAST(:ids AS uuid[]))
), {SENT_AGAIN}, recorded AS (
    INSERT INTO noteflow.webhook_redeliveries (delivery_id, replay_id, previous_status, after_attempt)
    SELECT id, :replay_id, status, attempt_count FROM chosen
), locked AS MATERIALIZED (
    SELECT webhook_id FROM noteflow.webhook_health WHERE webhook_id IN (SELECT webhook_id FROM chosen)
    ORDER BY webhook_id
    FOR NO KEY UPDATE
)
UPDATE noteflow.webhook_health AS health
SET turn_at = CASE WHEN health.gathering THEN now() ELSE coalesce(health.turn_at, now()) END
FROM locked WHERE health.webhook_id = locked.webhook_id
""").bindparams(forced=False)  # noqa: S608 - put together from constants

#: Up to when its rate has been used, whichever column has it.
_PACED_AT = func.coalesce(
    WebhookReplayRow.reasoned_paced_at, WebhookReplayRow.narrowed_paced_at, WebhookReplayRow.paced_at
)
#: A replay's rate, within what is allowed whatever stands in its row.
_RATE = func.least(func.greatest(WebhookReplayRow.rate_per_s, RATE_PER_S[0]), RATE_PER_S[1])
#: The running replay that has waited longest for a step, and the database's clock. One that somebody else is busy with
#: has its step right now.
# rule of domain.replays.Replay.allowed
_NEXT = (
    select(WebhookReplayRow, func.now())
    .where(
        WebhookReplayRow.state == ReplayState.RUNNING,
        func.now() - func.make_interval(0, 0, 0, 0, 0, 0, func.greatest(bindparam("spacing_s", type_=Float), 1 / _RATE))
        >= _PACED_AT,
    )
    .order_by(_PACED_AT)
    .limit(1)
    .with_for_update(key_share=True, skip_locked=True)
    .execution_options(populate_existing=True)
)


class SqlAlchemyReplayRepository(ReplayRepository):
    """The replays in PostgreSQL."""

    def __init__(self, session: Session) -> None:
        """Work in that session."""
        self._session = session

    @override
    def preview(self, replay: Replay) -> Replay:
        begun = replay.begun(now=self._session.scalars(select(func.now())).one())
        matching = _matching(select(func.count()).select_from(WebhookDeliveryRow), begun)
        return begun.matching(self._session.scalars(matching).one())

    @override
    def create(self, replay: Replay) -> Replay:
        # Of two that come at once, the second one counts the first.
        owner = select(WorkspaceRow.id).where(WorkspaceRow.id == replay.workspace_id)
        self._session.execute(owner.with_for_update(key_share=True))
        running = WebhookReplayRow.workspace_id == replay.workspace_id, WebhookReplayRow.state == ReplayState.RUNNING
        check_running(self._session.scalars(select(func.count()).select_from(WebhookReplayRow).where(*running)).one())
        columns = replay_to_orm_kwargs(self.preview(replay))
        return replay_to_domain(
            self._session.scalars(insert(WebhookReplayRow).values(columns).returning(WebhookReplayRow)).one()
        )

    @override
    def get(self, workspace_id: UUID, replay_id: UUID) -> Replay | None:
        row = self._session.scalars(_wanted(workspace_id, replay_id)).one_or_none()
        return None if row is None else replay_to_domain(row)

    @override
    def list_page(
        self, workspace_id: UUID, *, limit: int, after: Position | None = None, ids: IdRange | None = None
    ) -> Sequence[Replay]:
        statement = select(WebhookReplayRow).where(WebhookReplayRow.workspace_id == workspace_id)
        rows = self._session.scalars(newest_first(statement, WebhookReplayRow, after=after, limit=limit, ids=ids))
        return [replay_to_domain(row) for row in rows]

    @override
    def count(self, workspace_id: UUID, *, ids: IdRange | None = None) -> int:
        own = select(WebhookReplayRow).where(WebhookReplayRow.workspace_id == workspace_id)
        return self._session.scalars(counted(among(own, WebhookReplayRow, ids))).one()

    @override
    def cancel(self, workspace_id: UUID, replay_id: UUID) -> Replay:
        # Waits for a step that is under way; there is no further one.
        locked = _wanted(workspace_id, replay_id).with_for_update(key_share=True)
        row = self._session.scalars(locked).one_or_none()
        if row is None:
            raise NotFoundError(f"replay_id: no replay {replay_id} in this workspace")
        now = self._session.scalars(select(func.now())).one()
        return self._store(replay_to_domain(row).cancelled(now=now))

    @override
    def advance(self, *, limit: int) -> int | None:
        found = self._session.execute(_NEXT, {"spacing_s": SPACING.total_seconds()}).one_or_none()
        if found is None:
            return None
        row, now = found
        return self._step(replay_to_domain(row), now=now, limit=limit)

    def _step(self, replay: Replay, *, now: datetime, limit: int) -> int:
        room = min(limit, replay.allowed(now=now))
        # One more than are sent tells whether there is a next step.
        found = self._session.execute(_page(replay, room + 1)).all()
        page = found[:room]
        if page:
            params = {
                "ids": [each.id for each in page],
                "replay_id": replay.id,
                "unfiltered": replay.include_filtered,
            }
            self._session.execute(SEND_AGAIN, params)
        cursor = Position(page[-1].created_at, page[-1].id) if page else None
        after = self._store(replay.stepped(len(page), cursor=cursor, more=len(found) > room, now=now))
        if after.state is not ReplayState.RUNNING:
            log.warning("replay %s has ended: %d of %d deliveries are sent again", after.id, after.sent, after.matched)
        return len(page)

    def _store(self, replay: Replay) -> Replay:
        statement = update(WebhookReplayRow).where(WebhookReplayRow.id == replay.id)
        # Named in SET, the key would be locked like one that changes, and the deliveries' records refer to it.
        columns = {name: value for name, value in replay_to_orm_kwargs(replay).items() if name != "id"}
        self._session.execute(statement.values(columns).execution_options(synchronize_session=False))
        return replay


def _wanted(workspace_id: UUID, replay_id: UUID) -> Select[WebhookReplayRow]:
    wanted = WebhookReplayRow.workspace_id == workspace_id, WebhookReplayRow.id == replay_id
    return select(WebhookReplayRow).where(*wanted).execution_options(populate_existing=True)


def _matching(statement: Select[*Columns], replay: Replay) -> Select[*Columns]:
    """Return the statement for the deliveries that the replay is about, wherever it has come to."""
    # rule of domain.matching.is_sent_again
    table, config, event = WebhookDeliveryRow, WebhookConfigRow, WebhookEventRow
    statement = of_endpoint(narrowed(statement, table, replay.workspace_id, replay.criteria), replay.criteria)
    statement = _of_attempt(_of_event(statement, replay), replay.criteria)
    if DeliveryStatus.SUCCEEDED not in replay.statuses:
        statement = statement.where(NOT_SUCCEEDED)
    if not replay.takes_filtered:
        statement = statement.where(NOT_FILTERED)
    active = select(config.id).where(
        config.workspace_id == replay.workspace_id, config.enabled, config.deleted_at.is_(None)
    )
    erased = exists().where(event.id == table.event_id, event.payload_erased_at.is_not(None))
    wanted = table.status.in_(sorted(replay.statuses)), table.event_type != VERIFICATION
    return statement.where(*wanted, table.webhook_id.in_(active), ~erased)


def _of_event(statement: Select[*Columns], replay: Replay) -> Select[*Columns]:
    """Return the statement for the deliveries of the event, or of the meeting's events, that the replay names."""
    table, event, criteria = WebhookDeliveryRow, WebhookEventRow, replay.criteria
    if criteria.event_id is not None:
        statement = statement.where(table.event_id == criteria.event_id)
    if criteria.meeting_id is not None:
        own = event.workspace_id == replay.workspace_id, event.meeting_id == criteria.meeting_id
        # Looked up first, whatever the planner believes of their number.
        statement = statement.where(table.event_id == any_(func.array(select(event.id).where(*own).scalar_subquery())))
    return statement


def _of_attempt(statement: Select[*Columns], criteria: DeliveryFilter) -> Select[*Columns]:
    """Return the statement for the deliveries whose end, and whose id, are as the criteria say."""
    table = WebhookDeliveryRow
    if criteria.error_kind is not None:
        statement = statement.where(table.error_kind == criteria.error_kind)
    if criteria.status_code is not None:
        statement = statement.where(table.status_code == criteria.status_code)
    if criteria.skip_reason is not None:
        statement = statement.where(table.skip_reason == criteria.skip_reason)
    return among(statement, table, criteria.ids)


def _page(replay: Replay, limit: int) -> Select[UUID, datetime]:
    """Return the statement that locks the next deliveries behind the replay's cursor, oldest first."""
    table, cursor = WebhookDeliveryRow, replay.cursor
    statement = _matching(select(table.id, table.created_at), replay)
    if cursor is not None:
        statement = statement.where(tuple_(table.created_at, table.id) > (cursor.created_at, cursor.id))
    locked = statement.with_for_update(key_share=True, of=table)
    return locked.order_by(table.created_at, table.id).limit(limit)
