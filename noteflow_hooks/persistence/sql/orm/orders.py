"""How far endpoints that get a meeting's events in order are with each meeting."""

from __future__ import annotations

import uuid
from datetime import datetime

from sqlalchemy import BigInteger, Identity, Index, Integer, Text, text
from sqlalchemy.orm import Mapped, mapped_column

from noteflow_hooks.persistence.sql.orm.base import NOW, Base, belongs_to


class MeetingOrderRow(Base):
    """How far an endpoint is with a meeting. Where the row is gone, a walk through the meeting finds it out."""

    __tablename__ = "meeting_orders"
    __table_args__ = (
        Index("ix_meeting_orders_stopped", "webhook_id", postgresql_where=text("stopped_by IS NOT NULL")),
        Index("ix_meeting_orders_stopped_by", "stopped_by", postgresql_where=text("stopped_by IS NOT NULL")),
        Index("ix_meeting_orders_updated_at", "updated_at"),
    )

    webhook_id: Mapped[uuid.UUID] = belongs_to("webhook_configs.id", primary_key=True)
    meeting_id: Mapped[str] = mapped_column(Text, primary_key=True)
    through: Mapped[int] = mapped_column(BigInteger)
    sent: Mapped[int] = mapped_column(BigInteger)
    gap: Mapped[int] = mapped_column(Integer)
    stopped_by: Mapped[uuid.UUID | None]
    updated_at: Mapped[datetime] = mapped_column(server_default=NOW)


class ReleasedMeetingRow(Base):
    """A meeting to look at, since what others of it wait for has gone. Written by a trigger of the queue, too."""

    __tablename__ = "released_meetings"
    __table_args__ = (Index("ix_released_meetings_webhook_id", "webhook_id", "id"),)

    id: Mapped[int] = mapped_column(BigInteger, Identity(always=True), primary_key=True)
    webhook_id: Mapped[uuid.UUID] = belongs_to("webhook_configs.id")
    meeting_id: Mapped[str] = mapped_column(Text)
