"""The audit trail, and what is not told yet of breakers. Without foreign keys: a trail outlives what it is about."""

from __future__ import annotations

import uuid
from datetime import datetime

from sqlalchemy import Index, Integer, text
from sqlalchemy.orm import Mapped, mapped_column

from noteflow_hooks.persistence.sql.orm.base import Base, ExactJson, ordered_key


class AuditEntryRow(Base):
    """Who changed what. Triggers keep the rows as they are; only ``noteflow.purge_audit_log`` removes old ones."""

    __tablename__ = "audit_log"
    __table_args__ = (
        # What retention walks.
        Index("ix_audit_log_at_id", "at", "id"),
        Index("ix_audit_log_workspace_id_at_id", "workspace_id", "at", "id"),
        Index("ix_audit_log_workspace_id_target_id_at_id", "workspace_id", "target_id", "at", "id"),
    )

    id: Mapped[uuid.UUID] = ordered_key()
    at: Mapped[datetime] = mapped_column(server_default=text("clock_timestamp()"))
    workspace_id: Mapped[uuid.UUID]
    actor_kind: Mapped[str]
    actor: Mapped[str]
    actor_hint: Mapped[str] = mapped_column(server_default="")
    action: Mapped[str]
    target_kind: Mapped[str]
    target_id: Mapped[str]
    old: Mapped[str | None] = mapped_column(ExactJson())
    new: Mapped[str | None] = mapped_column(ExactJson())
    request_id: Mapped[str | None]


class BreakerTallyRow(Base):
    """What of an endpoint's breaker is not in the audit trail yet."""

    __tablename__ = "breaker_tallies"
    # What the sweep looks for.
    __table_args__ = (Index("ix_breaker_tallies_told_at", "told_at"),)

    webhook_id: Mapped[uuid.UUID] = mapped_column(primary_key=True)
    workspace_id: Mapped[uuid.UUID]
    is_open: Mapped[bool]
    told_at: Mapped[datetime]
    since: Mapped[datetime | None]
    opened: Mapped[int] = mapped_column(Integer)
    closed: Mapped[int] = mapped_column(Integer)
