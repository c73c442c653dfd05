"""Sending many deliveries again: a caller begins a replay, and workers take its steps.

Each function works in the caller's unit of work.
"""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

from noteflow_hooks.application.endpoints import find_webhook
from noteflow_hooks.domain.audit.entries import Action, TargetKind, entry_of
from noteflow_hooks.domain.audit.telling import tell_replay
from noteflow_hooks.domain.replays import ReplayState, check_enabled
from noteflow_hooks.errors import NotFoundError

if TYPE_CHECKING:
    from collections.abc import Sequence
    from uuid import UUID

    from noteflow_hooks.domain.audit.entries import Actor
    from noteflow_hooks.domain.paging import Page
    from noteflow_hooks.domain.ports.unit_of_work import UnitOfWork
    from noteflow_hooks.domain.replays import Replay

log = logging.getLogger(__name__)


def begin_replay(unit: UnitOfWork, asked: Replay, *, by: Actor, dry_run: bool = False) -> Replay:
    """Store a new replay and return it with how many deliveries match; a dry run only counts them.

    Raise NotFoundError where it is about an endpoint that is not there, PreconditionError where that is disabled, and
    LimitError where too many replays of the workspace run.
    """
    if asked.criteria.webhook_id is not None:
        check_enabled(find_webhook(unit, asked.workspace_id, asked.criteria.webhook_id))
    if dry_run:
        return unit.replays.preview(asked)
    replay = unit.replays.create(asked)
    target = (TargetKind.REPLAY, replay.id)
    unit.audit.add(entry_of(by, Action.REPLAY_STARTED, replay.workspace_id, target, new=tell_replay(replay)))
    unit.on_commit(lambda: log.info("replay %s begins, of %d deliveries", replay.id, replay.matched))
    return replay


def read_replay(unit: UnitOfWork, workspace_id: UUID, replay_id: UUID) -> Replay:
    """Return one replay, as far as it has come, or raise NotFoundError."""
    replay = unit.replays.get(workspace_id, replay_id)
    if replay is None:
        raise NotFoundError(f"replay_id: no replay {replay_id} in this workspace")
    return replay


def cancel_replay(unit: UnitOfWork, workspace_id: UUID, replay_id: UUID, *, by: Actor) -> Replay:
    """End a running replay; raise NotFoundError or PreconditionError where that can't be."""
    replay = unit.replays.cancel(workspace_id, replay_id)
    old, new = {"state": ReplayState.RUNNING.value}, {"state": replay.state.value, "sent": replay.sent}
    target = (TargetKind.REPLAY, replay_id)
    unit.audit.add(entry_of(by, Action.REPLAY_CANCELLED, workspace_id, target, old=old, new=new))
    unit.on_commit(lambda: log.warning("replay %s is cancelled", replay_id))
    return replay


def list_replays(unit: UnitOfWork, workspace_id: UUID, page: Page) -> tuple[Sequence[Replay], int]:
    """Return a page of the workspace's replays, newest first, and how many there are where the page asks."""
    rows = unit.replays.list_page(workspace_id, limit=page.limit, after=page.after, ids=page.ids)
    return rows, unit.replays.count(workspace_id, ids=page.ids) if page.counts else 0
