"""The lines of attempts that were cut off, which no worker is left to write."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

from sqlalchemy import text

from noteflow_hooks.domain.attempt_line import Destination, attempt_line, death_line
from noteflow_hooks.domain.deliveries import DeliveryStatus
from noteflow_hooks.domain.urls import host_of

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping, Sequence
    from datetime import datetime
    from uuid import UUID

    from sqlalchemy import Connection

    from noteflow_hooks.domain.deliveries import Settlement

log = logging.getLogger(__name__)

_ENDPOINTS = text("SELECT id, workspace_id, url FROM noteflow.webhook_configs WHERE id = ANY(:ids)")


def tell_interrupted(
    connection: Connection, settlements: Sequence[Settlement], kept: Collection[tuple[UUID, int]], *, now: datetime
) -> None:
    """Log each attempt that was reclaimed, and each delivery that is dead by it."""
    counted = [each for each in settlements if each.attempt is not None and each.fencing_key in kept]
    places = _places(connection, {each.delivery.webhook_id for each in counted}) if counted else {}
    for each in counted:
        to = places.get(each.delivery.webhook_id, Destination(each.delivery.webhook_id, None, None))
        if each.attempt is not None:
            level, words, fields = attempt_line(each, each.attempt, to, now=now)
            log.log(level, words, extra={"fields": fields})
        if each.delivery.status is DeliveryStatus.DEAD:
            level, words, fields = death_line(each, to)
            log.log(level, words, extra={"fields": fields})


def _places(connection: Connection, ids: Collection[UUID]) -> Mapping[UUID, Destination]:
    rows = connection.execute(_ENDPOINTS, {"ids": list(ids)})
    return {row.id: Destination(row.id, row.workspace_id, host_of(row.url)) for row in rows}
