"""The workers' store where they trace: it looks at the events' traces as it dispatches, and records each round."""

from __future__ import annotations

import time
from datetime import timedelta
from typing import TYPE_CHECKING, ClassVar, Final

from typing_extensions import override

from noteflow_hooks.domain.ports.delivery_store import EVENTS_PER_ROUND
from noteflow_hooks.persistence.sql.delivery import dispatch_statements
from noteflow_hooks.persistence.sql.delivery.direct import DirectUsual
from noteflow_hooks.persistence.sql.delivery.store import SqlAlchemyDeliveryStore
from noteflow_hooks.telemetry.tracing import SpanOf

if TYPE_CHECKING:
    from collections.abc import Sequence
    from uuid import UUID

    from sqlalchemy.engine import Engine

    from noteflow_hooks.crypto import SecretBox
    from noteflow_hooks.domain.health.state import HealthRules
    from noteflow_hooks.domain.ports.delivery_store import Dispatched
    from noteflow_hooks.telemetry.tracing import SpanRecorder

_NAME: Final = "process dispatch"
#: By the conventions for messaging; deliveries are ours alone.
_ABOUT: Final = {
    "messaging.system": "celery",
    "messaging.destination.name": "dispatch",
    "messaging.operation.type": "process",
    "messaging.operation.name": "dispatch",
}


class TracedDeliveryStore(SqlAlchemyDeliveryStore):
    """The same, with a span for each round of dispatching that some recorded trace has an event in."""

    dispatching: ClassVar = DirectUsual.of(dispatch_statements.TRACED_DISPATCH)
    dispatching_and_claiming: ClassVar = DirectUsual.of(dispatch_statements.TRACED_DISPATCH_AND_CLAIM)
    is_traced: ClassVar = True

    def __init__(
        self,
        engine: Engine,
        box: SecretBox,
        rules: HealthRules | None = None,
        *,
        sweep_every: timedelta = timedelta(seconds=5),
        recorder: SpanRecorder,
    ) -> None:
        """``recorder`` is told of each round."""
        super().__init__(engine, box, rules, sweep_every=sweep_every)
        self._recorder = recorder

    @override
    def dispatch(
        self,
        event_ids: Sequence[UUID],
        *,
        limit: int,
        events: int = EVENTS_PER_ROUND,
        claim: int = 0,
        batches: bool = False,
        lease_slack: timedelta = timedelta(0),
    ) -> Dispatched:
        began_ns = time.time_ns()
        page = super().dispatch(
            event_ids, limit=limit, events=events, claim=claim, batches=batches, lease_slack=lease_slack
        )
        if page.traceparents is not None:
            self._recorder.dispatched(SpanOf(_NAME, _attributes(page), began_ns), page.traceparents)
        return page


def delivery_store(
    engine: Engine, box: SecretBox, rules: HealthRules, *, sweep_every: timedelta, recorder: SpanRecorder | None
) -> SqlAlchemyDeliveryStore:
    """Return the workers' store; without a recorder, the one that looks at no traces."""
    if recorder is None:
        return SqlAlchemyDeliveryStore(engine, box, rules, sweep_every=sweep_every)
    return TracedDeliveryStore(engine, box, rules, sweep_every=sweep_every, recorder=recorder)


def _attributes(page: Dispatched) -> dict[str, str | int]:
    return _ABOUT | {
        "messaging.batch.message_count": page.events,
        "noteflow.dispatch.leased": len(page.claims),
        "noteflow.dispatch.enqueued": len(page.delivery_ids),
    }
