"""Events: the outbox and the history in one."""

from __future__ import annotations

import uuid
from datetime import datetime

from sqlalchemy import BigInteger, CheckConstraint, Index, Text, UniqueConstraint, text
from sqlalchemy.orm import Mapped, mapped_column

from noteflow_hooks.persistence.sql.orm.base import Base, ExactJson, belongs_to, ordered_key


class WebhookEventRow(Base):
    """An event: the outbox and the history in one."""

    __tablename__ = "webhook_events"
    __table_args__ = (
        CheckConstraint("octet_length(payload::text) <= 10240", name="payload"),
        UniqueConstraint("workspace_id", "idempotency_key"),
        # What dispatch tops itself up with, and the relay looks for.
        Index(
            "ix_webhook_events_undispatched",
            "created_at",
            "id",
            postgresql_where=text("dispatched_at IS NULL"),
        ),
        Index(
            "ix_webhook_events_workspace_id_created_at_id",
            "workspace_id",
            text("created_at DESC"),
            text("id DESC"),
        ),
        # What retention looks for: first payloads, then whole events.
        Index(
            "ix_webhook_events_target_webhook_id",
            "target_webhook_id",
            postgresql_where=text("target_webhook_id IS NOT NULL"),
        ),
        Index("ix_webhook_events_with_payload", "created_at", postgresql_where=text("payload_erased_at IS NULL")),
        Index(
            "ix_webhook_events_without_payload", "created_at", postgresql_where=text("payload_erased_at IS NOT NULL")
        ),
        # A meeting's events in their order; and what its erasure looks for.
        Index(
            "ix_webhook_events_meeting_id",
            "workspace_id",
            "meeting_id",
            "sequence",
            postgresql_where=text("meeting_id IS NOT NULL"),
        ),
    )

    id: Mapped[uuid.UUID] = ordered_key()
    workspace_id: Mapped[uuid.UUID] = belongs_to("workspaces.id")
    event_type: Mapped[str]
    meeting_id: Mapped[str | None]
    target_webhook_id: Mapped[uuid.UUID | None] = belongs_to("webhook_configs.id")
    payload: Mapped[str] = mapped_column(ExactJson())
    idempotency_key: Mapped[str | None]
    request_digest: Mapped[bytes | None]
    occurred_at: Mapped[datetime]
    # clock_timestamp(), not now(): two events of one transaction keep their order.
    created_at: Mapped[datetime] = mapped_column(server_default=text("clock_timestamp()"))
    dispatched_at: Mapped[datetime | None]
    #: The endpoint with the highest id that a large fan-out has reached.
    dispatch_cursor: Mapped[uuid.UUID | None]
    #: Since then ``payload`` is an empty object, and nothing of the event can be sent any more.
    payload_erased_at: Mapped[datetime | None]
    #: Its number among its meeting's events; NULL for those that are older than such numbers.
    sequence: Mapped[int | None] = mapped_column(BigInteger)
    #: Where its trace goes on, as W3C's header says it; NULL where it has none.
    traceparent: Mapped[str | None]


class MeetingSequenceRow(Base):
    """The last number that an event of a meeting has got. It outlives the events."""

    __tablename__ = "meeting_sequences"

    workspace_id: Mapped[uuid.UUID] = belongs_to("workspaces.id", primary_key=True)
    #: In the order of its bytes, in which rows are locked.
    meeting_id: Mapped[str] = mapped_column(Text(collation="C"), primary_key=True)
    last: Mapped[int] = mapped_column(BigInteger)
