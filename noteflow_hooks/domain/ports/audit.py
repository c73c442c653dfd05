"""The audit trail as the store keeps it, and what of endpoints' breakers is not in it yet."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

from noteflow_hooks.domain.audit.entries import ALL_ENTRIES

if TYPE_CHECKING:
    from collections.abc import Sequence
    from uuid import UUID

    from noteflow_hooks.domain.audit.entries import AuditEntry, AuditFilter
    from noteflow_hooks.domain.paging import IdRange, Position


class AuditTrail(Protocol):
    """The entries. Nothing changes one, and only retention removes any."""

    def add(self, entry: AuditEntry) -> None:
        """Store an entry with the rest of the unit: where the one is undone, the other is too."""
        ...

    def list_page(
        self,
        workspace_id: UUID,
        criteria: AuditFilter = ALL_ENTRIES,
        *,
        limit: int,
        after: Position | None = None,
        ids: IdRange | None = None,
    ) -> Sequence[AuditEntry]:
        """Return a page of a workspace's entries, newest first."""
        ...

    def count(self, workspace_id: UUID, criteria: AuditFilter = ALL_ENTRIES, *, ids: IdRange | None = None) -> int:
        """Return how many entries all pages have together, up to :data:`MAX_TOTAL`."""
        ...


class BreakerLog(Protocol):
    """What endpoints' breakers have done since an entry last told of them."""

    def tell(self, *, limit: int) -> int:
        """Write the entries that may be written by now, for at most ``limit`` endpoints; return how many there were.

        What somebody else has locked is passed over, and found by a later call.
        """
        ...
