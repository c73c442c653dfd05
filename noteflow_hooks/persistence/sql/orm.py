"""The tables of schema ``noteflow``. Names are public; what the columns mean is in the domain's values.

CHECK constraints repeat the domain's rules, so that rows damaged by hand are refused by the database already.
"""

from __future__ import annotations

import uuid
from datetime import datetime
from typing import Any

from sqlalchemy import (
    ARRAY,
    BigInteger,
    CheckConstraint,
    ColumnElement,
    DateTime,
    Float,
    ForeignKey,
    Identity,
    Index,
    Integer,
    LargeBinary,
    MetaData,
    SmallInteger,
    String,
    Text,
    UniqueConstraint,
    Uuid,
    cast,
    text,
)
from sqlalchemy.dialects.postgresql import JSON
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column
from sqlalchemy.types import UserDefinedType

SCHEMA = "noteflow"
_NOW = text("now()")
_NEW_ID = text("gen_random_uuid()")


class ExactJson(UserDefinedType[str]):
    """PostgreSQL's ``json``, in and out as the very text: that text is what gets signed and sent."""

    cache_ok = True

    def get_col_spec(self, **_: Any) -> str:  # noqa: ANN401 - SQLAlchemy's signature
        """Return the column's type."""
        return "JSON"

    def bind_expression(self, bindvalue: Any) -> ColumnElement[Any]:  # noqa: ANN401 - SQLAlchemy's signature
        """Send text and let PostgreSQL check that it is JSON."""
        return cast(cast(bindvalue, Text), JSON)

    def column_expression(self, colexpr: Any) -> ColumnElement[Any]:  # noqa: ANN401 - SQLAlchemy's signature
        """Read the stored text, unparsed."""
        return cast(colexpr, Text)


class Base(DeclarativeBase):
    """The declarative base: one schema, constraints with names that migrations can rely on."""

    metadata = MetaData(
        schema=SCHEMA,
        naming_convention={
            "ix": "ix_%(table_name)s_%(column_0_N_name)s",
            "uq": "uq_%(table_name)s_%(column_0_N_name)s",
            "ck": "ck_%(table_name)s_%(constraint_name)s",
            "fk": "fk_%(table_name)s_%(column_0_N_name)s",
            "pk": "pk_%(table_name)s",
        },
    )
    type_annotation_map = {  # noqa: RUF012 - SQLAlchemy reads it from the class
        datetime: DateTime(timezone=True),
        uuid.UUID: Uuid(),
        str: Text(),
        bytes: LargeBinary(),
        float: Float(),
    }


def _key() -> Mapped[uuid.UUID]:
    return mapped_column(primary_key=True, server_default=_NEW_ID)


def _ordered_key() -> Mapped[uuid.UUID]:
    return mapped_column(primary_key=True, server_default=text("noteflow.ordered_id()"))


def _belongs_to(target: str, **options: Any) -> Mapped[Any]:  # noqa: ANN401 - handed on as they are
    return mapped_column(ForeignKey(f"{SCHEMA}.{target}", ondelete="CASCADE"), **options)


class WorkspaceRow(Base):
    """A tenant."""

    __tablename__ = "workspaces"

    id: Mapped[uuid.UUID] = _key()
    name: Mapped[str] = mapped_column(String(255))
    created_at: Mapped[datetime] = mapped_column(server_default=_NOW)


class ApiTokenRow(Base):
    """A token's record: its hash, never itself."""

    __tablename__ = "api_tokens"
    __table_args__ = (
        CheckConstraint(
            "scopes <@ ARRAY['manage', 'publish', 'read']::text[] AND cardinality(scopes) > 0", name="scopes"
        ),
    )

    id: Mapped[uuid.UUID] = _key()
    workspace_id: Mapped[uuid.UUID] = _belongs_to("workspaces.id", index=True)
    name: Mapped[str] = mapped_column(String(255))
    token_hash: Mapped[bytes] = mapped_column(unique=True)
    hint: Mapped[str] = mapped_column(String(8))
    scopes: Mapped[list[str]] = mapped_column(ARRAY(Text), server_default=text("'{manage,publish,read}'"))
    expires_at: Mapped[datetime | None]
    created_at: Mapped[datetime] = mapped_column(server_default=_NOW)
    revoked_at: Mapped[datetime | None]
    last_used_at: Mapped[datetime | None]


class MeetingRow(Base):
    """A meeting."""

    __tablename__ = "meetings"
    __table_args__ = (
        CheckConstraint("state IN ('active', 'completed')", name="state"),
        CheckConstraint("(state = 'completed') = (stopped_at IS NOT NULL)", name="stopped_at"),
        Index("ix_meetings_workspace_id_created_at_id", "workspace_id", text("created_at DESC"), text("id DESC")),
    )

    id: Mapped[uuid.UUID] = _key()
    workspace_id: Mapped[uuid.UUID] = _belongs_to("workspaces.id")
    title: Mapped[str | None] = mapped_column(String(500))
    state: Mapped[str] = mapped_column(String(16), server_default="active")
    created_at: Mapped[datetime] = mapped_column(server_default=_NOW)
    stopped_at: Mapped[datetime | None]


class RecordingRow(Base):
    """An audio stream of a meeting; at most one of a meeting has not ended."""

    __tablename__ = "recordings"
    __table_args__ = (
        Index("uq_recordings_open", "meeting_id", unique=True, postgresql_where=text("ended_at IS NULL")),
        Index("ix_recordings_open_seen_at", "seen_at", postgresql_where=text("ended_at IS NULL")),
        CheckConstraint("duration_seconds >= 0", name="duration_seconds"),
    )

    id: Mapped[uuid.UUID] = _key()
    meeting_id: Mapped[uuid.UUID] = _belongs_to("meetings.id", index=True)
    workspace_id: Mapped[uuid.UUID] = _belongs_to("workspaces.id", index=True)
    server: Mapped[str]
    started_at: Mapped[datetime] = mapped_column(server_default=_NOW)
    seen_at: Mapped[datetime] = mapped_column(server_default=_NOW)
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
    meeting_id: Mapped[uuid.UUID] = _belongs_to("meetings.id")
    text: Mapped[str]
    start_seconds: Mapped[float]
    end_seconds: Mapped[float]
    speaker: Mapped[str | None] = mapped_column(String(255))


class SummaryRow(Base):
    """A meeting's summary."""

    __tablename__ = "summaries"

    meeting_id: Mapped[uuid.UUID] = _belongs_to("meetings.id", primary_key=True)
    executive_summary: Mapped[str]
    key_points: Mapped[list[str]] = mapped_column(ARRAY(Text))
    action_items: Mapped[list[str]] = mapped_column(ARRAY(Text))
    created_at: Mapped[datetime] = mapped_column(server_default=_NOW)


class WebhookConfigRow(Base):
    """An endpoint. Secrets are ciphertext."""

    __tablename__ = "webhook_configs"
    __table_args__ = (
        CheckConstraint(
            r"url ~ '^https://[^/]' OR url ~ '^http://(localhost|127\.0\.0\.1|\[::1\])([:/?]|$)'", name="url"
        ),
        CheckConstraint("timeout_ms BETWEEN 100 AND 30000", name="timeout_ms"),
        CheckConstraint("max_retries BETWEEN 1 AND 20", name="max_retries"),
        CheckConstraint(
            "events <@ ARRAY['meeting.completed', 'summary.generated', 'recording.started', 'recording.stopped',"
            " 'webhook.failing', 'webhook.disabled']::text[]",
            name="events",
        ),
        CheckConstraint("rate_limit_per_s BETWEEN 0.01 AND 1000", name="rate_limit_per_s"),
        CheckConstraint("max_concurrency BETWEEN 1 AND 1000", name="max_concurrency"),
        CheckConstraint(
            "deleted_at IS NULL OR (secret IS NULL AND previous_secret IS NULL AND headers IS NULL)", name="deleted"
        ),
        Index(
            "ix_webhook_configs_workspace_id_id",
            "workspace_id",
            "id",
            postgresql_where=text("deleted_at IS NULL"),
        ),
        Index(
            "ix_webhook_configs_workspace_id_created_at_id",
            "workspace_id",
            text("created_at DESC"),
            text("id DESC"),
        ),
        # What retention removes once nothing is left of it.
        Index("ix_webhook_configs_deleted_at", "deleted_at", postgresql_where=text("deleted_at IS NOT NULL")),
    )

    id: Mapped[uuid.UUID] = _key()
    workspace_id: Mapped[uuid.UUID] = _belongs_to("workspaces.id")
    name: Mapped[str] = mapped_column(String(255), server_default="Webhook")
    url: Mapped[str]
    events: Mapped[list[str]] = mapped_column(ARRAY(Text), server_default=text("'{}'"))
    secret: Mapped[bytes | None]
    secret_hint: Mapped[str] = mapped_column(String(4), server_default="")
    previous_secret: Mapped[bytes | None]
    previous_secret_expires_at: Mapped[datetime | None]
    enabled: Mapped[bool] = mapped_column(server_default=text("true"))
    timeout_ms: Mapped[int] = mapped_column(Integer, server_default=text("10000"))
    max_retries: Mapped[int] = mapped_column(Integer, server_default=text("3"))
    created_at: Mapped[datetime] = mapped_column(server_default=_NOW)
    updated_at: Mapped[datetime] = mapped_column(server_default=_NOW)
    disabled_reason: Mapped[str | None]
    deleted_at: Mapped[datetime | None]
    #: The custom headers as ciphertext, and their names, which are no secret.
    headers: Mapped[bytes | None]
    header_names: Mapped[list[str]] = mapped_column(ARRAY(Text), server_default=text("'{}'"))
    rate_limit_per_s: Mapped[float | None]
    max_concurrency: Mapped[int | None] = mapped_column(Integer)
    paused_at: Mapped[datetime | None]


class WebhookHealthRow(Base):
    """How an endpoint does, and when its held deliveries have their next turn. A trigger adds it with the endpoint."""

    __tablename__ = "webhook_health"
    __table_args__ = (
        # Where workers look for turns: those of quick endpoints, and those of slow ones.
        Index(
            "ix_webhook_health_quick_turn_at",
            "turn_at",
            postgresql_where=text("turn_at IS NOT NULL AND slow_since IS NULL"),
        ),
        Index(
            "ix_webhook_health_slow_turn_at",
            "turn_at",
            postgresql_where=text("turn_at IS NOT NULL AND slow_since IS NOT NULL"),
        ),
    )

    webhook_id: Mapped[uuid.UUID] = _belongs_to("webhook_configs.id", primary_key=True)
    turn_at: Mapped[datetime | None]
    awaiting_room: Mapped[bool] = mapped_column(server_default=text("false"))
    failures: Mapped[int] = mapped_column(Integer, server_default=text("0"))
    failing_since: Mapped[datetime | None]
    last_failure_at: Mapped[datetime | None]
    warned_at: Mapped[datetime | None]
    open_until: Mapped[datetime | None]
    opened: Mapped[int] = mapped_column(Integer, server_default=text("0"))
    probing_until: Mapped[datetime | None]
    ramp: Mapped[int | None] = mapped_column(Integer)
    slow_since: Mapped[datetime | None]
    quick: Mapped[int] = mapped_column(Integer, server_default=text("0"))
    rate_at: Mapped[datetime | None]


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
        # What retention looks for: first payloads, then whole events; and what one meeting's erasure does.
        Index("ix_webhook_events_with_payload", "created_at", postgresql_where=text("payload_erased_at IS NULL")),
        Index(
            "ix_webhook_events_without_payload", "created_at", postgresql_where=text("payload_erased_at IS NOT NULL")
        ),
        Index(
            "ix_webhook_events_meeting_id",
            "workspace_id",
            "meeting_id",
            postgresql_where=text("payload_erased_at IS NULL"),
        ),
    )

    id: Mapped[uuid.UUID] = _ordered_key()
    workspace_id: Mapped[uuid.UUID] = _belongs_to("workspaces.id")
    event_type: Mapped[str]
    meeting_id: Mapped[str | None]
    target_webhook_id: Mapped[uuid.UUID | None] = _belongs_to("webhook_configs.id", index=True)
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


class WebhookDeliveryRow(Base):
    """One event for one endpoint."""

    __tablename__ = "webhook_deliveries"
    __table_args__ = (
        CheckConstraint("status IN ('pending', 'sending', 'succeeded', 'dead', 'skipped')", name="status"),
        CheckConstraint("(status = 'pending') = (next_attempt_at IS NOT NULL)", name="next_attempt_at"),
        CheckConstraint(
            "(status = 'sending') = (lease_expires_at IS NOT NULL) AND (status = 'sending') = (claimed_at IS NOT NULL)",
            name="lease",
        ),
        CheckConstraint(
            "(status = 'succeeded') = (delivered_at IS NOT NULL)"
            " AND (status <> 'succeeded' OR status_code BETWEEN 200 AND 299)",
            name="succeeded",
        ),
        CheckConstraint(
            "attempt_count >= 0 AND claim_no >= 0 AND budget_used >= 0 AND interruptions >= 0", name="counts"
        ),
        UniqueConstraint("event_id", "webhook_id"),
        # What claims top themselves up with, and the sweep looks for.
        Index(
            "ix_webhook_deliveries_due",
            "next_attempt_at",
            "id",
            postgresql_where=text("status = 'pending' AND NOT held"),
        ),
        Index("ix_webhook_deliveries_leased", "lease_expires_at", postgresql_where=text("status = 'sending'")),
        # An endpoint's turn takes the held ones; its end skips all.
        Index(
            "ix_webhook_deliveries_waiting",
            "held",
            "webhook_id",
            "next_attempt_at",
            postgresql_where=text("status = 'pending'"),
        ),
        # What counts against an endpoint's cap.
        Index("ix_webhook_deliveries_sending", "webhook_id", postgresql_where=text("status = 'sending'")),
        Index(
            "ix_webhook_deliveries_undelivered",
            "workspace_id",
            text("created_at DESC"),
            text("id DESC"),
            postgresql_where=text("status <> 'succeeded'"),
        ),
        Index(
            "ix_webhook_deliveries_workspace_id_created_at_id",
            "workspace_id",
            text("created_at DESC"),
            text("id DESC"),
        ),
        Index(
            "ix_webhook_deliveries_webhook_id_created_at_id",
            "webhook_id",
            text("created_at DESC"),
            text("id DESC"),
        ),
    )

    id: Mapped[uuid.UUID] = _ordered_key()
    workspace_id: Mapped[uuid.UUID] = _belongs_to("workspaces.id")
    webhook_id: Mapped[uuid.UUID] = _belongs_to("webhook_configs.id")
    event_id: Mapped[uuid.UUID] = _belongs_to("webhook_events.id")
    event_type: Mapped[str]
    status: Mapped[str] = mapped_column(String(16), server_default="pending")
    status_code: Mapped[int | None] = mapped_column(Integer)
    response_body: Mapped[str | None]
    error_message: Mapped[str | None]
    attempt_count: Mapped[int] = mapped_column(Integer, server_default=text("0"))
    duration_ms: Mapped[int | None] = mapped_column(Integer)
    next_attempt_at: Mapped[datetime | None]
    lease_expires_at: Mapped[datetime | None]
    claimed_at: Mapped[datetime | None]
    delivered_at: Mapped[datetime | None]
    created_at: Mapped[datetime] = mapped_column(server_default=_NOW)
    budget_used: Mapped[int] = mapped_column(SmallInteger, server_default=text("0"))
    interruptions: Mapped[int] = mapped_column(SmallInteger, server_default=text("0"))
    claim_no: Mapped[int] = mapped_column(Integer, server_default=text("0"))
    #: While it is pending: waits for its endpoint's turn, out of what claims top themselves up with.
    held: Mapped[bool] = mapped_column(server_default=text("false"))
    #: Somebody asked for this very attempt: it goes past the endpoint's breaker, pause and limits.
    forced: Mapped[bool] = mapped_column(server_default=text("false"))


class WebhookAttemptRow(Base):
    """One POST on record."""

    __tablename__ = "webhook_attempts"
    __table_args__ = (
        UniqueConstraint("delivery_id", "attempt_number"),
        Index("ix_webhook_attempts_started_at", "started_at"),
        CheckConstraint("attempt_number >= 1 AND duration_ms >= 0", name="counts"),
        CheckConstraint("octet_length(response_body) <= 4096", name="response_body"),
        CheckConstraint(
            "error_kind IN ('timeout', 'dns', 'address_not_allowed', 'connect', 'tls', 'protocol', 'redirect',"
            " 'status', 'interrupted', 'secret_unavailable', 'internal')",
            name="error_kind",
        ),
    )

    id: Mapped[uuid.UUID] = _ordered_key()
    delivery_id: Mapped[uuid.UUID] = _belongs_to("webhook_deliveries.id")
    attempt_number: Mapped[int] = mapped_column(Integer)
    started_at: Mapped[datetime]
    duration_ms: Mapped[int] = mapped_column(Integer)
    status_code: Mapped[int | None] = mapped_column(Integer)
    response_body: Mapped[str | None]
    error_kind: Mapped[str | None] = mapped_column(String(32))
    error_message: Mapped[str | None]
    #: Sent a second time, over a new connection: the kept one had ended before any byte of an answer.
    redialled: Mapped[bool] = mapped_column(server_default=text("false"))


class WebhookReplayRow(Base):
    """A request to send many deliveries again, and how far it has come."""

    __tablename__ = "webhook_replays"
    __table_args__ = (
        CheckConstraint("state IN ('running', 'done', 'cancelled')", name="state"),
        CheckConstraint("(state = 'running') = (finished_at IS NULL)", name="finished_at"),
        CheckConstraint("status IN ('succeeded', 'dead', 'skipped')", name="status"),
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

    id: Mapped[uuid.UUID] = _key()
    workspace_id: Mapped[uuid.UUID] = _belongs_to("workspaces.id")
    webhook_id: Mapped[uuid.UUID | None] = _belongs_to("webhook_configs.id", index=True)
    event_type: Mapped[str | None]
    #: None stands for what was not delivered: dead and skipped.
    status: Mapped[str | None] = mapped_column(String(16))
    created_after: Mapped[datetime | None]
    created_before: Mapped[datetime]
    rate_per_s: Mapped[float]
    state: Mapped[str] = mapped_column(String(16), server_default="running")
    matched: Mapped[int] = mapped_column(Integer)
    sent: Mapped[int] = mapped_column(Integer, server_default=text("0"))
    #: The last delivery that was looked at, oldest first.
    cursor_created_at: Mapped[datetime | None]
    cursor_id: Mapped[uuid.UUID | None]
    #: Up to when its rate has been used.
    paced_at: Mapped[datetime] = mapped_column(server_default=_NOW)
    created_at: Mapped[datetime] = mapped_column(server_default=_NOW)
    finished_at: Mapped[datetime | None]


class WebhookRedeliveryRow(Base):
    """That a delivery was made due once more, by a person or by a replay."""

    __tablename__ = "webhook_redeliveries"
    __table_args__ = (Index("ix_webhook_redeliveries_delivery_id_requested_at", "delivery_id", "requested_at"),)

    id: Mapped[uuid.UUID] = _key()
    delivery_id: Mapped[uuid.UUID] = _belongs_to("webhook_deliveries.id")
    replay_id: Mapped[uuid.UUID | None] = mapped_column(
        ForeignKey(f"{SCHEMA}.webhook_replays.id", ondelete="SET NULL"), index=True
    )
    requested_at: Mapped[datetime] = mapped_column(server_default=_NOW)
    previous_status: Mapped[str] = mapped_column(String(16))
    after_attempt: Mapped[int] = mapped_column(Integer)


class TaskRunRow(Base):
    """When a task that beat calls last ran to its end, and when the last of those that did had begun."""

    __tablename__ = "task_runs"

    name: Mapped[str] = mapped_column(primary_key=True)
    began_at: Mapped[datetime] = mapped_column(server_default=_NOW)
    ended_at: Mapped[datetime] = mapped_column(server_default=_NOW)
