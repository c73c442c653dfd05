"""Meetings, and what belongs to one."""

from __future__ import annotations

import uuid
from datetime import datetime

from sqlalchemy import ARRAY, BigInteger, CheckConstraint, Identity, Index, String, Text, text
from sqlalchemy.orm import Mapped, mapped_column

from noteflow_hooks.persistence.sql.orm.base import NOW, Base, belongs_to, key


class MeetingRow(Base):
    """A meeting."""

    __tablename__ = "meetings"
    __table_args__ = (
        CheckConstraint("state IN ('active', 'completed')", name="state"),
        CheckConstraint("(state = 'completed') = (stopped_at IS NOT NULL)", name="stopped_at"),
        Index("ix_meetings_workspace_id_created_at_id", "workspace_id", text("created_at DESC"), text("id DESC")),
    )

    id: Mapped[uuid.UUID] = key()
    workspace_id: Mapped[uuid.UUID] = belongs_to("workspaces.id")
    title: Mapped[str | None] = mapped_column(String(500))
    state: Mapped[str] = mapped_column(String(16), server_default="active")
    created_at: Mapped[datetime] = mapped_column(server_default=NOW)
    stopped_at: Mapped[datetime | None]


class RecordingRow(Base):
    """An audio stream of a meeting; at most one of a meeting has not ended."""

    __tablename__ = "recordings"
    __table_args__ = (
        Index("uq_recordings_open", "meeting_id", unique=True, postgresql_where=text("ended_at IS NULL")),
        Index("ix_recordings_open_seen_at", "seen_at", postgresql_where=text("ended_at IS NULL")),
        CheckConstraint("duration_seconds >= 0", name="duration_seconds"),
    )

    id: Mapped[uuid.UUID] = key()
    meeting_id: Mapped[uuid.UUID] = belongs_to("meetings.id", index=True)
    workspace_id: Mapped[uuid.UUID] = belongs_to("workspaces.id", index=True)
    server: Mapped[str]
    started_at: Mapped[datetime] = mapped_column(server_default=NOW)
    seen_at: Mapped[datetime] = mapped_column(server_default=NOW)
    duration_seconds: Mapped[float] = mapped_column(server_default=text("0"))
    ended_at: Mapped[datetime | None]


class SegmentRow(Base):
    """A finished piece of transcript, in the order of arrival."""

    __tablename__ = "segments"
    __table_args__ = (
        CheckConstraint("start_seconds >= 0 AND end_seconds >= start_seconds", name="times"),
        Index("ix_segments_meeting_id_id", "meeting_id", "id"),
    )

    id: Mapped[int] = mapped_column(BigInteger, Identity(always=True), primary_key=True)
    meeting_id: Mapped[uuid.UUID] = belongs_to("meetings.id")
    text: Mapped[str]
    start_seconds: Mapped[float]
    end_seconds: Mapped[float]
    speaker: Mapped[str | None] = mapped_column(String(255))


class SummaryRow(Base):
    """A meeting's summary."""

    __tablename__ = "summaries"

    meeting_id: Mapped[uuid.UUID] = belongs_to("meetings.id", primary_key=True)
    executive_summary: Mapped[str]
    key_points: Mapped[list[str]] = mapped_column(ARRAY(Text))
    action_items: Mapped[list[str]] = mapped_column(ARRAY(Text))
    created_at: Mapped[datetime] = mapped_column(server_default=NOW)
