"""Batches as wholes in PostgreSQL: leased as their deliveries are made, and settled by one result for all members."""

from __future__ import annotations

import logging
from datetime import datetime
from typing import TYPE_CHECKING, Any, Final
from uuid import UUID

from noteflow_hooks.domain.renderings import USUAL, Rendering
from noteflow_hooks.domain.whole_batches import FreshColumns, fresh_batch
from noteflow_hooks.persistence.sql.delivery import fresh_statements, settle_statements
from noteflow_hooks.persistence.sql.delivery.direct import DirectUsual
from noteflow_hooks.persistence.sql.delivery.fresh_statements import SEPARATOR
from noteflow_hooks.persistence.sql.delivery.rows import stored_results, whole_params

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from sqlalchemy import Connection

    from noteflow_hooks.domain.whole_batches import FreshBatch, WholeSuccess
    from noteflow_hooks.persistence.sql.delivery.direct import DirectStatements
    from noteflow_hooks.persistence.sql.delivery.endpoint_cache import EndpointCache
    from noteflow_hooks.persistence.sql.delivery.fresh_statements import FreshRow
    from noteflow_hooks.persistence.sql.delivery.rows import ClaimRow, DispatchReport, StoredResults

log = logging.getLogger(__name__)


_DISPATCH: Final = DirectUsual.of(fresh_statements.DISPATCH_BATCHES)
_SETTLE: Final = DirectUsual.of(settle_statements.SETTLE_WHOLE)


class FreshBatches:
    """What the store does of batches without a value for each member."""

    def __init__(self, direct: DirectStatements, endpoints: EndpointCache) -> None:
        """``endpoints`` are those as last read, for what is claimed."""
        self._direct = direct
        self._endpoints = endpoints

    def dispatch(self, params: Mapping[str, Any]) -> tuple[list[ClaimRow], DispatchReport, list[FreshBatch]]:
        """Make deliveries of events; return what was claimed alone, the report, and the batches that were leased."""
        claims, report, fresh = fresh_statements.parted(self._direct.rows_of_new(_DISPATCH, params))
        return claims, report, fresh_batches(fresh, self._endpoints)

    def settle(self, settlements: Sequence[WholeSuccess]) -> StoredResults:
        """Store that batches have succeeded, none of them slowly."""
        return stored_results(self._direct.rows_of_new(_SETTLE, whole_params((each, False) for each in settlements)))

    def settle_with(
        self, connection: Connection, settlements: Sequence[WholeSuccess], notable: Sequence[bool]
    ) -> StoredResults:
        """Store the same in the caller's transaction, each with whether it is notable."""
        params = whole_params(zip(settlements, notable, strict=True))
        return stored_results(connection.execute(settle_statements.SETTLE_WHOLE.careful, params))


def fresh_batches(rows: Sequence[FreshRow], endpoints: EndpointCache) -> list[FreshBatch]:
    """Return the claims of such batches, each with its endpoint.

    One whose endpoint can't be read, or that holds what it may not, is left to its lease, as claims are.
    """
    if not rows:
        return []
    webhooks = endpoints.read({UUID(row.batch_of): row.batch_version for row in rows})
    found = []
    for row in rows:
        webhook, columns = webhooks.get(UUID(row.batch_of)), _columns(row)
        if not columns.is_whole:
            log.error("batch %s can't be read", row.batch_id)
        elif webhook is not None:
            found.append(fresh_batch(columns, webhook))
    return found


def _columns(row: FreshRow) -> FreshColumns:
    return FreshColumns(
        id=UUID(row.batch_id),
        rendering=Rendering.read(row.batch_rendering) or USUAL,
        lease_expires_at=datetime.fromisoformat(row.leased_until),
        created_at=datetime.fromisoformat(row.made_at),
        delivery_ids=row.members.split(","),
        event_ids=row.events.split(","),
        event_types=row.types.split(SEPARATOR),
        sequences=row.sequences.split(","),
        payloads=row.payloads.split(SEPARATOR),
        facts=row.contents,
    )
