"""How an endpoint's breaker gets into the audit trail: at most once an hour, with how often it has changed.

The first change is told at once. Those of the hour after it are counted, and told together when the hour is over, by
the next change or by the sweep. So none is lost, and one that flaps does not fill the trail.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import timedelta
from typing import TYPE_CHECKING, Final

from noteflow_hooks.domain.audit.entries import WORKER, Action, AuditEntry, TargetKind, entry_of

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import datetime
    from uuid import UUID

#: The least time between two entries about one endpoint's breaker.
TOLD_EVERY: Final = timedelta(hours=1)


@dataclass(frozen=True, slots=True, kw_only=True)
class BreakerTally:
    """What of an endpoint's breaker has not been told yet. It is kept for an hour after the last entry."""

    webhook_id: UUID
    workspace_id: UUID
    #: What the breaker is now.
    is_open: bool = False
    #: When the last entry was written; None before the first.
    told_at: datetime | None = None
    #: When the first change was that is not told; None where all are.
    since: datetime | None = None
    #: How often it has opened and closed since then.
    opened: int = 0
    closed: int = 0

    @property
    def is_told(self) -> bool:
        """Whether nothing is left to tell."""
        return self.since is None

    def is_ripe(self, now: datetime) -> bool:
        """Tell whether the last entry is so old that another may follow."""
        return self.told_at is None or self.told_at <= now - TOLD_EVERY

    def changed(self, *, is_open: bool, now: datetime) -> BreakerTally:
        """Count a change."""
        return replace(
            self,
            is_open=is_open,
            since=self.since if self.since is not None else now,
            opened=self.opened + is_open,
            closed=self.closed + (not is_open),
        )

    def recorded(self, *, now: datetime) -> BreakerTally:
        """Begin a new hour, now that all is told."""
        return replace(self, told_at=now, since=None, opened=0, closed=0)

    def entry(self) -> AuditEntry:
        """Return the entry that tells what is not told."""
        new = {"breaker": _word(is_open=self.is_open), "opened": self.opened, "closed": self.closed}
        if self.since is not None:
            new["since"] = self.since.isoformat()
        return entry_of(
            WORKER,
            Action.BREAKER_OPENED if self.is_open else Action.BREAKER_CLOSED,
            self.workspace_id,
            (TargetKind.WEBHOOK, self.webhook_id),
            old={"breaker": _word(is_open=self._was_open)},
            new=new,
        )

    @property
    def _was_open(self) -> bool:
        """What it was before the first change that is not told."""
        return self.is_open if self.opened == self.closed else self.closed > self.opened


def settle(tallies: Sequence[BreakerTally], *, now: datetime) -> tuple[list[BreakerTally], list[AuditEntry]]:
    """Return the tallies as they are once what may be told is told, and the entries that tell it."""
    due = [each for each in tallies if not each.is_told and each.is_ripe(now)]
    after = [each.recorded(now=now) if each in due else each for each in tallies]
    return after, [each.entry() for each in due]


def _word(*, is_open: bool) -> str:
    return "open" if is_open else "closed"
