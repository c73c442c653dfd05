"""The audit trail in memory, and what breakers have done that is not in it yet."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from typing_extensions import override

from noteflow_hooks.domain.audit.breakers import BreakerTally, settle
from noteflow_hooks.domain.audit.entries import ALL_ENTRIES, is_listed
from noteflow_hooks.domain.ports.audit import AuditTrail, BreakerLog
from noteflow_hooks.persistence.memory.tables import counted, newest

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence
    from uuid import UUID

    from noteflow_hooks.domain.audit.entries import AuditEntry, AuditFilter
    from noteflow_hooks.domain.paging import IdRange, Position
    from noteflow_hooks.domain.webhooks import WebhookConfig
    from noteflow_hooks.persistence.memory.store import MemoryStore, Session


class InMemoryAuditTrail(AuditTrail):
    """The audit trail in memory."""

    def __init__(self, session: Session) -> None:
        """Work in this transaction."""
        self._session = session

    @override
    def add(self, entry: AuditEntry) -> None:
        self._session.tables.audit[entry.id] = replace(entry, at=self._session.now())

    @override
    def list_page(
        self,
        workspace_id: UUID,
        criteria: AuditFilter = ALL_ENTRIES,
        *,
        limit: int,
        after: Position | None = None,
        ids: IdRange | None = None,
    ) -> Sequence[AuditEntry]:
        return newest(self._own(workspace_id, criteria), limit=limit, after=after, ids=ids)

    @override
    def count(self, workspace_id: UUID, criteria: AuditFilter = ALL_ENTRIES, *, ids: IdRange | None = None) -> int:
        return counted(self._own(workspace_id, criteria), ids)

    def _own(self, workspace_id: UUID, criteria: AuditFilter) -> Iterator[AuditEntry]:
        stored = self._session.tables.audit.values()
        return (each for each in stored if each.workspace_id == workspace_id and is_listed(each, criteria))


class InMemoryBreakerLog(BreakerLog):
    """The breakers' changes in memory."""

    def __init__(self, store: MemoryStore) -> None:
        """Work on this store."""
        self._store = store

    @override
    def tell(self, *, limit: int) -> int:
        with self._store.transaction() as session:
            kept = session.tables.breakers.values()
            due = [each for each in kept if not each.is_told and each.is_ripe(session.now())][:limit]
            _settle(session, due)
            return len(due)


def add_entries(session: Session, entries: Iterable[AuditEntry]) -> None:
    """Write entries in a transaction without a unit of work."""
    trail = InMemoryAuditTrail(session)
    for each in entries:
        trail.add(each)


def note_breaker(session: Session, webhook: WebhookConfig, *, is_open: bool) -> None:
    """Count a change of an endpoint's breaker, and tell what may be told."""
    kept = session.tables.breakers.get(webhook.id)
    tally = kept if kept is not None else BreakerTally(webhook_id=webhook.id, workspace_id=webhook.workspace_id)
    _settle(session, [tally.changed(is_open=is_open, now=session.now())])


def _settle(session: Session, tallies: Sequence[BreakerTally]) -> None:
    after, entries = settle(tallies, now=session.now())
    session.tables.breakers.update({each.webhook_id: each for each in after})
    add_entries(session, entries)
