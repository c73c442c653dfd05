"""What follows in PostgreSQL from an endpoint's right answer to its challenge. Its caller has begun.

The endpoints are locked before the deliveries and the health that a transaction touches, as by whoever changes them.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from sqlalchemy import text

from noteflow_hooks.domain.audit.entries import WORKER
from noteflow_hooks.domain.audit.telling import entry_of_verification
from noteflow_hooks.domain.health.state import after_change
from noteflow_hooks.domain.ports.delivery_store import next_slots
from noteflow_hooks.domain.verification import verified
from noteflow_hooks.persistence.sql import health_statements
from noteflow_hooks.persistence.sql.audit_statements import add_entries
from noteflow_hooks.persistence.sql.converters import health_to_domain
from noteflow_hooks.persistence.sql.delivery.health_keeper import store_health

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Mapping
    from uuid import UUID

    from sqlalchemy import Connection, Row

    from noteflow_hooks.domain.deliveries import Settlement
    from noteflow_hooks.domain.ports.delivery_store import SchedulingSlot
    from noteflow_hooks.persistence.sql.converters import WebhookConverter

_LOCK: Final = text("""
SELECT config.*, now() AS moment FROM noteflow.webhook_configs AS config
WHERE id = ANY(CAST(:ids AS uuid[])) AND deleted_at IS NULL
ORDER BY id
FOR NO KEY UPDATE
""")
# rule of domain.verification.verified
_VERIFY: Final = text("""
UPDATE noteflow.webhook_configs
SET url = coalesce(pending_url, url), pending_url = NULL, unverified_since = NULL, verified_at = now(),
    challenge = NULL, challenge_event_id = NULL, challenge_expires_at = NULL
WHERE id = :id
""")


class VerificationKeeper:
    """Marks endpoints as verified, and moves those that were to move."""

    def __init__(self, converter: WebhookConverter) -> None:
        """``converter`` makes endpoints of rows."""
        self._converter = converter

    def lock(self, connection: Connection, settlements: Iterable[Settlement]) -> Mapping[UUID, Row[Any]]:
        """Lock the endpoints that have given a challenge back."""
        ids = [each.delivery.webhook_id for each in settlements if each.verifies]
        return {row.id: row for row in connection.execute(_LOCK, {"ids": ids})}

    def apply(
        self,
        connection: Connection,
        endpoints: Mapping[UUID, Row[Any]],
        settlements: Iterable[Settlement],
        *,
        kept: Collection[tuple[UUID, int]],
    ) -> list[SchedulingSlot]:
        """Store what the answers have changed, of those results that were ``kept``; return the endpoints' next slots.

        An answer counts only while the endpoint is still asked with that very challenge.
        """
        slots: list[SchedulingSlot] = []
        for each in settlements:
            row = endpoints.get(each.delivery.webhook_id)
            counts = each.verifies and each.fencing_key in kept
            if counts and row is not None and row.challenge_event_id == each.delivery.event_id:
                slots += self._verify(connection, row)
        return slots

    def _verify(self, connection: Connection, row: Row[Any]) -> list[SchedulingSlot]:
        before = self._converter.config_to_domain(row)
        after = verified(before, now=row.moment)
        connection.execute(_VERIFY, {"id": before.id})
        add_entries(connection, [entry_of_verification(WORKER, before, after)])
        [found] = connection.execute(health_statements.HEALTH, {"ids": [before.id]}).all()
        health = after_change(health_to_domain(found), before, after, now=row.moment)
        store_health(connection, [health])
        return next_slots([health], now=row.moment)
