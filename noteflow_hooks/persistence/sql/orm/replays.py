"""Replays, and the record of what was sent again."""

from __future__ import annotations

import uuid
from datetime import datetime

from sqlalchemy import ARRAY, CheckConstraint, ForeignKey, Index, Integer, String, Text, text
from sqlalchemy.orm import Mapped, mapped_column

from noteflow_hooks.domain.deliveries import FINAL_STATUSES
from noteflow_hooks.domain.replays import ReplayState
from noteflow_hooks.persistence.sql.conditions import one_of
from noteflow_hooks.persistence.sql.orm.base import NOW, SCHEMA, Base, belongs_to, key


class WebhookReplayRow(Base):
    """A request to send many deliveries again, and how far it has come."""

    __tablename__ = "webhook_replays"
    __table_args__ = (
        CheckConstraint(one_of("state", ReplayState), name="state"),
        CheckConstraint("(state = 'running') = (finished_at IS NULL)", name="finished_at"),
        CheckConstraint(one_of("status", sorted(FINAL_STATUSES)), name="status"),
        CheckConstraint("matched >= 0 AND sent >= 0 AND rate_per_s > 0", name="counts"),
        Index("ix_webhook_replays_running", "paced_at", postgresql_where=text("state = 'running'")),
        Index("ix_webhook_replays_finished_at", "finished_at", postgresql_where=text("finished_at IS NOT NULL")),
        Index(
            "ix_webhook_replays_workspace_id_created_at_id",
            "workspace_id",
            text("created_at DESC"),
            text("id DESC"),
        ),
    )

    id: Mapped[uuid.UUID] = key()
    workspace_id: Mapped[uuid.UUID] = belongs_to("workspaces.id")
    webhook_id: Mapped[uuid.UUID | None] = belongs_to("webhook_configs.id", index=True)
    event_type: Mapped[str | None]
    #: None stands for what was not delivered: dead and skipped.
    status: Mapped[str | None] = mapped_column(String(16))
    created_after: Mapped[datetime | None]
    created_before: Mapped[datetime]
    #: Several statuses of which each will do, with ``status``; None for none.
    statuses: Mapped[list[str] | None] = mapped_column(ARRAY(Text))
    event_id: Mapped[uuid.UUID | None]
    meeting_id: Mapped[str | None]
    error_kind: Mapped[str | None] = mapped_column(String(32))
    status_code: Mapped[int | None] = mapped_column(Integer)
    id_prefix: Mapped[str | None] = mapped_column(String(36))
    skip_reason: Mapped[str | None]
    rate_per_s: Mapped[float]
    include_filtered: Mapped[bool] = mapped_column(server_default=text("false"))
    state: Mapped[str] = mapped_column(String(16), server_default="running")
    matched: Mapped[int] = mapped_column(Integer)
    sent: Mapped[int] = mapped_column(Integer, server_default=text("0"))
    #: The last delivery that was looked at, oldest first.
    cursor_created_at: Mapped[datetime | None]
    cursor_id: Mapped[uuid.UUID | None]
    #: Up to when its rate has been used.
    paced_at: Mapped[datetime] = mapped_column(server_default=NOW)
    #: The same of one with filters that releases before don't know: there ``paced_at`` is too far off for a step.
    narrowed_paced_at: Mapped[datetime | None]
    #: The same of one by a reason, of which releases that know ``narrowed_paced_at`` know nothing.
    reasoned_paced_at: Mapped[datetime | None]
    created_at: Mapped[datetime] = mapped_column(server_default=NOW)
    finished_at: Mapped[datetime | None]


class WebhookRedeliveryRow(Base):
    """That a delivery was made due once more, by a person or by a replay."""

    __tablename__ = "webhook_redeliveries"
    __table_args__ = (Index("ix_webhook_redeliveries_delivery_id_requested_at", "delivery_id", "requested_at"),)

    id: Mapped[uuid.UUID] = key()
    delivery_id: Mapped[uuid.UUID]
    replay_id: Mapped[uuid.UUID | None] = mapped_column(
        ForeignKey(f"{SCHEMA}.webhook_replays.id", ondelete="SET NULL"), index=True
    )
    requested_at: Mapped[datetime] = mapped_column(server_default=NOW)
    previous_status: Mapped[str] = mapped_column(String(16))
    after_attempt: Mapped[int] = mapped_column(Integer)
