"""Batches as wholes in PostgreSQL: leased as their deliveries are made, and settled by one result for all members."""

from __future__ import annotations

import logging
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any, Final
from uuid import UUID

from noteflow_hooks.domain.ports.delivery_store import SchedulingSlot, Settled
from noteflow_hooks.domain.renderings import USUAL, Rendering
from noteflow_hooks.domain.whole_batches import FreshColumns, fresh_batch
from noteflow_hooks.persistence.sql.delivery import fresh_statements, settle_statements
from noteflow_hooks.persistence.sql.delivery.direct import DirectUsual
from noteflow_hooks.persistence.sql.delivery.fresh_statements import SEPARATOR
from noteflow_hooks.persistence.sql.delivery.rows import stored_results, whole_params

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from sqlalchemy import Connection
    from sqlalchemy.engine import Engine

    from noteflow_hooks.domain.deliveries import Settlement
    from noteflow_hooks.domain.health.state import HealthRules
    from noteflow_hooks.domain.whole_batches import FreshBatch, WholeSuccess
    from noteflow_hooks.persistence.sql.delivery.direct import DirectStatements
    from noteflow_hooks.persistence.sql.delivery.endpoint_cache import EndpointCache
    from noteflow_hooks.persistence.sql.delivery.fresh_statements import FreshRow
    from noteflow_hooks.persistence.sql.delivery.rows import ClaimRow, DispatchReport, HeaderForms, StoredResults

log = logging.getLogger(__name__)


_DISPATCH: Final = DirectUsual.of(fresh_statements.DISPATCH_BATCHES)
_TRACED_DISPATCH: Final = DirectUsual.of(fresh_statements.TRACED_DISPATCH_BATCHES)
_SETTLE: Final = DirectUsual.of(settle_statements.SETTLE_WHOLE)


class FreshBatches:
    """What the store does of batches without a value for each member."""

    def __init__(
        self,
        engine: Engine,
        direct: DirectStatements,
        endpoints: EndpointCache,
        *,
        forms: HeaderForms,
        rules: HealthRules,
    ) -> None:
        """``endpoints`` are those as last read, for what is claimed; attempts' headers are stored by ``forms``."""
        self._engine = engine
        self._direct = direct
        self._endpoints = endpoints
        self._forms = forms
        self._rules = rules

    def dispatch(
        self, params: Mapping[str, Any], *, traced: bool = False
    ) -> tuple[list[ClaimRow], DispatchReport, list[FreshBatch]]:
        """Make deliveries of events; return what was claimed alone, the report, and the batches that were leased.

        ``traced`` has the report tell of the events' traces.
        """
        claims, report, fresh = fresh_statements.parted(
            self._direct.rows_of_new(_TRACED_DISPATCH if traced else _DISPATCH, params)
        )
        return claims, report, fresh_batches(fresh, self._endpoints)

    def settle(
        self,
        settlements: Sequence[WholeSuccess],
        examined: Callable[[Connection, Sequence[Settlement], StoredResults], Settled],
    ) -> Settled:
        """Store that batches have succeeded as wholes; the statement sees by itself what was erased meanwhile.

        ``examined`` brings the health of those endpoints up to date that call for it.
        """
        notable = [each.is_notable(self._rules.slow_after) for each in settlements]
        params = whole_params(zip(settlements, notable, strict=True), self._forms)
        if any(notable):
            with self._engine.begin() as connection:
                stored = stored_results(connection.execute(settle_statements.SETTLE_WHOLE.careful, params))
                return examined(connection, settlements, stored)
        stored = stored_results(self._direct.rows_of_new(_SETTLE, params))
        if not stored.examined:
            slots = (SchedulingSlot(timedelta(0), slow=False),) if stored.has_slot else ()
            return Settled(stored.fencing_keys, slots=slots)
        with self._engine.begin() as connection:
            return examined(connection, settlements, stored)


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
        traceparents=() if row.traces is None else tuple(row.traces.split(",")),
    )
