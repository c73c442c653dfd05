"""Replays in memory: a step makes a page of deliveries due and moves its replay on, in one transaction."""

from __future__ import annotations

from typing import TYPE_CHECKING, cast

from typing_extensions import override

from noteflow_hooks.domain.matching import is_sent_again
from noteflow_hooks.domain.paging import Position
from noteflow_hooks.domain.ports.repositories import ReplayRepository
from noteflow_hooks.domain.replays import Redelivery, ReplayState, check_running
from noteflow_hooks.errors import NotFoundError
from noteflow_hooks.persistence.memory.health import wake
from noteflow_hooks.persistence.memory.tables import age, counted, newest, require

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import datetime
    from uuid import UUID

    from noteflow_hooks.domain.deliveries import WebhookDelivery
    from noteflow_hooks.domain.paging import IdRange
    from noteflow_hooks.domain.replays import Replay
    from noteflow_hooks.persistence.memory.store import Session


class InMemoryReplayRepository(ReplayRepository):
    """The replays in memory."""

    def __init__(self, session: Session) -> None:
        """Work in this transaction."""
        self._session = session

    @override
    def preview(self, replay: Replay) -> Replay:
        begun = replay.begun(now=self._session.now())
        return begun.matching(len(self._matching(begun)))

    @override
    def create(self, replay: Replay) -> Replay:
        require(self._session.tables.workspaces, replay.workspace_id, called="workspace")
        own = (each for each in self._session.tables.replays.values() if each.workspace_id == replay.workspace_id)
        check_running(sum(each.state is ReplayState.RUNNING for each in own))
        return self._store(self.preview(replay))

    @override
    def get(self, workspace_id: UUID, replay_id: UUID) -> Replay | None:
        replay = self._session.tables.replays.get(replay_id)
        return replay if replay is not None and replay.workspace_id == workspace_id else None

    @override
    def list_page(
        self, workspace_id: UUID, *, limit: int, after: Position | None = None, ids: IdRange | None = None
    ) -> Sequence[Replay]:
        return newest(self._own(workspace_id), limit=limit, after=after, ids=ids)

    @override
    def count(self, workspace_id: UUID, *, ids: IdRange | None = None) -> int:
        return counted(self._own(workspace_id), ids)

    @override
    def cancel(self, workspace_id: UUID, replay_id: UUID) -> Replay:
        replay = self.get(workspace_id, replay_id)
        if replay is None:
            raise NotFoundError(f"replay_id: no replay {replay_id} in this workspace")
        return self._store(replay.cancelled(now=self._session.now()))

    @override
    def advance(self, *, limit: int) -> int | None:
        now = self._session.now()
        running = (each for each in self._session.tables.replays.values() if each.state is ReplayState.RUNNING)
        due = min((each for each in running if each.allowed(now=now)), key=_paced, default=None)
        if due is None:
            return None
        room = min(limit, due.allowed(now=now))
        left = [each for each in self._matching(due) if due.cursor is None or age(each) > _place(due.cursor)]
        for each in left[:room]:
            send_again(self._session, each, forced=False, unfiltered=due.include_filtered, replay_id=due.id)
        sent = len(left[:room])
        cursor = Position(*age(left[sent - 1])) if sent else None
        self._store(due.stepped(sent, cursor=cursor, more=len(left) > room, now=now))
        return sent

    def _own(self, workspace_id: UUID) -> list[Replay]:
        return [each for each in self._session.tables.replays.values() if each.workspace_id == workspace_id]

    def _store(self, replay: Replay) -> Replay:
        self._session.tables.replays[replay.id] = replay
        return replay

    def _matching(self, replay: Replay) -> list[WebhookDelivery]:
        """Return the deliveries that the replay is about, oldest first, wherever it has come to."""
        tables = self._session.tables
        matching = (
            each
            for each in tables.deliveries.values()
            if is_sent_again(replay, each, tables.webhooks[each.webhook_id], tables.events[each.event_id])
        )
        return sorted(matching, key=age)


def send_again(
    session: Session,
    delivery: WebhookDelivery,
    *,
    forced: bool,
    unfiltered: bool = False,
    replay_id: UUID | None = None,
) -> WebhookDelivery:
    """Make a delivery in a final status due once more and put that on record; unless forced, it waits for a slot."""
    now = session.now()
    again = delivery.sent_again(now=now, forced=forced, unfiltered=unfiltered)
    ended = session.tables.ended_before
    ended[delivery.id] = (*ended.get(delivery.id, ()), delivery)
    session.tables.deliveries[delivery.id] = again
    record = Redelivery(delivery.id, delivery.status, delivery.attempt_count, requested_at=now, replay_id=replay_id)
    session.tables.redeliveries[delivery.id] = (*session.tables.redeliveries.get(delivery.id, ()), record)
    if again.held:
        wake(session, delivery.webhook_id)
    return again


def _paced(stored: Replay) -> datetime:
    return cast("datetime", stored.paced_at)


def _place(cursor: Position) -> tuple[datetime, UUID]:
    return cursor.created_at, cursor.id
