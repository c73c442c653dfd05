"""The roll-ups: what is counted by the minute and by the hour, the running totals, and how far counting has come."""

from __future__ import annotations

import uuid
from datetime import datetime

from sqlalchemy import BigInteger, CheckConstraint, Index, Integer, SmallInteger, Text, text
from sqlalchemy.orm import Mapped, mapped_column

from noteflow_hooks.persistence.sql.orm.base import Base, ordered_key


class _Counts:
    """What both have. A row without an endpoint's id is about all endpoints of the workspace together."""

    workspace_id: Mapped[uuid.UUID] = mapped_column(primary_key=True)
    webhook_id: Mapped[uuid.UUID] = mapped_column(primary_key=True)
    at: Mapped[datetime] = mapped_column(primary_key=True)
    event_type: Mapped[str] = mapped_column(Text(collation="C"), primary_key=True)
    #: One of :class:`noteflow_hooks.domain.stats.Measure`.
    measure: Mapped[str] = mapped_column(Text(collation="C"), primary_key=True)
    kind: Mapped[str] = mapped_column(Text(collation="C"), primary_key=True)
    bin: Mapped[int] = mapped_column(SmallInteger, primary_key=True, autoincrement=False)
    count: Mapped[int] = mapped_column(BigInteger)
    total_ms: Mapped[int] = mapped_column(BigInteger)


class StatsMinuteRow(_Counts, Base):
    """What happened in a minute."""

    __tablename__ = "stats_minutes"
    __table_args__ = (Index("ix_stats_minutes_age", text("(at AT TIME ZONE 'UTC')"), postgresql_using="brin"),)


class StatsHourRow(_Counts, Base):
    """What happened in an hour."""

    __tablename__ = "stats_hours"
    __table_args__ = (Index("ix_stats_hours_age", text("(at AT TIME ZONE 'UTC')"), postgresql_using="brin"),)


class StatsTotalRow(Base):
    """What has happened ever, in the whole system."""

    __tablename__ = "stats_totals"

    measure: Mapped[str] = mapped_column(Text(collation="C"), primary_key=True)
    kind: Mapped[str] = mapped_column(Text(collation="C"), primary_key=True)
    bin: Mapped[int] = mapped_column(SmallInteger, primary_key=True, autoincrement=False)
    count: Mapped[int] = mapped_column(BigInteger)
    total_ms: Mapped[int] = mapped_column(BigInteger)


class StatsEndpointRow(Base):
    """When an endpoint last took something, and when it last did not."""

    __tablename__ = "stats_endpoints"

    webhook_id: Mapped[uuid.UUID] = mapped_column(primary_key=True)
    workspace_id: Mapped[uuid.UUID] = mapped_column(index=True)
    last_success_at: Mapped[datetime | None]
    last_failure_at: Mapped[datetime | None]


class StatsResentRow(Base):
    """How a delivery had ended that was sent again before that was counted; it goes once it is."""

    __tablename__ = "stats_resent"

    id: Mapped[uuid.UUID] = ordered_key()
    settled_at: Mapped[datetime]
    workspace_id: Mapped[uuid.UUID]
    webhook_id: Mapped[uuid.UUID]
    event_type: Mapped[str] = mapped_column(Text(collation="C"))
    status: Mapped[str] = mapped_column(Text(collation="C"))
    kind: Mapped[str] = mapped_column(Text(collation="C"))
    attempt_count: Mapped[int] = mapped_column(Integer)


class StatsProgressRow(Base):
    """How far counting has come: a single row, whose lock lets one count at a time."""

    __tablename__ = "stats_progress"
    __table_args__ = (CheckConstraint("id = 1", name="single"),)

    id: Mapped[int] = mapped_column(SmallInteger, primary_key=True, autoincrement=False)
    #: Everything before it is counted, as it was when it was looked at last.
    counted_to: Mapped[datetime | None]
    #: What may not have been seen of it is not before this; earlier than the other after the clock was set back.
    seen_to: Mapped[datetime | None]
