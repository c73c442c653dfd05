"""The first schema: workspaces and tokens, meetings, and the webhooks' configurations, events, deliveries, attempts."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None

SET_UPDATED_AT = """
CREATE FUNCTION noteflow.set_updated_at() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    NEW.updated_at := now();
    RETURN NEW;
END
$$
"""
#: Each before those that it refers to.
TABLES = (
    "webhook_attempts",
    "webhook_deliveries",
    "webhook_events",
    "summaries",
    "segments",
    "recordings",
    "webhook_configs",
    "meetings",
    "api_tokens",
    "workspaces",
)


def upgrade() -> None:
    """Change the schema."""
    op.create_table(
        "workspaces",
        sa.Column("id", sa.Uuid(), server_default=sa.text("gen_random_uuid()"), nullable=False),
        sa.Column("name", sa.String(length=255), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_workspaces")),
        schema="noteflow",
    )
    op.create_table(
        "api_tokens",
        sa.Column("id", sa.Uuid(), server_default=sa.text("gen_random_uuid()"), nullable=False),
        sa.Column("workspace_id", sa.Uuid(), nullable=False),
        sa.Column("name", sa.String(length=255), nullable=False),
        sa.Column("token_hash", sa.LargeBinary(), nullable=False),
        sa.Column("hint", sa.String(length=8), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.Column("revoked_at", sa.DateTime(timezone=True), nullable=True),
        sa.ForeignKeyConstraint(
            ["workspace_id"],
            ["noteflow.workspaces.id"],
            name=op.f("fk_api_tokens_workspace_id"),
            ondelete="CASCADE",
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_api_tokens")),
        sa.UniqueConstraint("token_hash", name=op.f("uq_api_tokens_token_hash")),
        schema="noteflow",
    )
    op.create_index(op.f("ix_api_tokens_workspace_id"), "api_tokens", ["workspace_id"], unique=False, schema="noteflow")
    op.create_table(
        "meetings",
        sa.Column("id", sa.Uuid(), server_default=sa.text("gen_random_uuid()"), nullable=False),
        sa.Column("workspace_id", sa.Uuid(), nullable=False),
        sa.Column("title", sa.String(length=500), nullable=True),
        sa.Column("state", sa.String(length=16), server_default="active", nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.Column("stopped_at", sa.DateTime(timezone=True), nullable=True),
        sa.CheckConstraint("(state = 'completed') = (stopped_at IS NOT NULL)", name=op.f("ck_meetings_stopped_at")),
        sa.CheckConstraint("state IN ('active', 'completed')", name=op.f("ck_meetings_state")),
        sa.ForeignKeyConstraint(
            ["workspace_id"],
            ["noteflow.workspaces.id"],
            name=op.f("fk_meetings_workspace_id"),
            ondelete="CASCADE",
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_meetings")),
        schema="noteflow",
    )
    op.create_index(
        "ix_meetings_workspace_id_created_at_id",
        "meetings",
        ["workspace_id", sa.literal_column("created_at DESC"), sa.literal_column("id DESC")],
        unique=False,
        schema="noteflow",
    )
    op.create_table(
        "webhook_configs",
        sa.Column("id", sa.Uuid(), server_default=sa.text("gen_random_uuid()"), nullable=False),
        sa.Column("workspace_id", sa.Uuid(), nullable=False),
        sa.Column("name", sa.String(length=255), server_default="Webhook", nullable=False),
        sa.Column("url", sa.Text(), nullable=False),
        sa.Column("events", sa.ARRAY(sa.Text()), server_default=sa.text("'{}'"), nullable=False),
        sa.Column("secret", sa.LargeBinary(), nullable=True),
        sa.Column("secret_hint", sa.String(length=4), server_default="", nullable=False),
        sa.Column("previous_secret", sa.LargeBinary(), nullable=True),
        sa.Column("previous_secret_expires_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("enabled", sa.Boolean(), server_default=sa.text("true"), nullable=False),
        sa.Column("timeout_ms", sa.Integer(), server_default=sa.text("10000"), nullable=False),
        sa.Column("max_retries", sa.Integer(), server_default=sa.text("3"), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.Column("updated_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.Column("disabled_reason", sa.Text(), nullable=True),
        sa.Column("deleted_at", sa.DateTime(timezone=True), nullable=True),
        sa.CheckConstraint(
            "events <@ ARRAY['meeting.completed', 'summary.generated', 'recording.started', 'recording.stopped',"
            " 'webhook.failing', 'webhook.disabled']::text[]",
            name=op.f("ck_webhook_configs_events"),
        ),
        sa.CheckConstraint(
            "url ~ '^https://[^/]' OR url ~ '^http://(localhost|127\\.0\\.0\\.1|\\[::1\\])([:/?]|$)'",
            name=op.f("ck_webhook_configs_url"),
        ),
        sa.CheckConstraint(
            "deleted_at IS NULL OR (secret IS NULL AND previous_secret IS NULL)",
            name=op.f("ck_webhook_configs_deleted"),
        ),
        sa.CheckConstraint("max_retries BETWEEN 1 AND 20", name=op.f("ck_webhook_configs_max_retries")),
        sa.CheckConstraint("timeout_ms BETWEEN 100 AND 30000", name=op.f("ck_webhook_configs_timeout_ms")),
        sa.ForeignKeyConstraint(
            ["workspace_id"],
            ["noteflow.workspaces.id"],
            name=op.f("fk_webhook_configs_workspace_id"),
            ondelete="CASCADE",
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_webhook_configs")),
        schema="noteflow",
    )
    op.create_index(
        "ix_webhook_configs_workspace_id_created_at_id",
        "webhook_configs",
        ["workspace_id", sa.literal_column("created_at DESC"), sa.literal_column("id DESC")],
        unique=False,
        schema="noteflow",
    )
    op.create_index(
        "ix_webhook_configs_workspace_id_id",
        "webhook_configs",
        ["workspace_id", "id"],
        unique=False,
        schema="noteflow",
        postgresql_where=sa.text("deleted_at IS NULL"),
    )
    op.create_table(
        "recordings",
        sa.Column("id", sa.Uuid(), server_default=sa.text("gen_random_uuid()"), nullable=False),
        sa.Column("meeting_id", sa.Uuid(), nullable=False),
        sa.Column("workspace_id", sa.Uuid(), nullable=False),
        sa.Column("server", sa.Text(), nullable=False),
        sa.Column("started_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.Column("seen_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.Column("duration_seconds", sa.Float(), server_default=sa.text("0"), nullable=False),
        sa.Column("ended_at", sa.DateTime(timezone=True), nullable=True),
        sa.CheckConstraint("duration_seconds >= 0", name=op.f("ck_recordings_duration_seconds")),
        sa.ForeignKeyConstraint(
            ["meeting_id"],
            ["noteflow.meetings.id"],
            name=op.f("fk_recordings_meeting_id"),
            ondelete="CASCADE",
        ),
        sa.ForeignKeyConstraint(
            ["workspace_id"],
            ["noteflow.workspaces.id"],
            name=op.f("fk_recordings_workspace_id"),
            ondelete="CASCADE",
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_recordings")),
        schema="noteflow",
    )
    op.create_index(op.f("ix_recordings_meeting_id"), "recordings", ["meeting_id"], unique=False, schema="noteflow")
    op.create_index(
        "ix_recordings_open_seen_at",
        "recordings",
        ["seen_at"],
        unique=False,
        schema="noteflow",
        postgresql_where=sa.text("ended_at IS NULL"),
    )
    op.create_index(op.f("ix_recordings_workspace_id"), "recordings", ["workspace_id"], unique=False, schema="noteflow")
    op.create_index(
        "uq_recordings_open",
        "recordings",
        ["meeting_id"],
        unique=True,
        schema="noteflow",
        postgresql_where=sa.text("ended_at IS NULL"),
    )
    op.create_table(
        "segments",
        sa.Column("id", sa.BigInteger(), sa.Identity(always=True), nullable=False),
        sa.Column("meeting_id", sa.Uuid(), nullable=False),
        sa.Column("text", sa.Text(), nullable=False),
        sa.Column("start_seconds", sa.Float(), nullable=False),
        sa.Column("end_seconds", sa.Float(), nullable=False),
        sa.Column("speaker", sa.String(length=255), nullable=True),
        sa.CheckConstraint("start_seconds >= 0 AND end_seconds >= start_seconds", name=op.f("ck_segments_times")),
        sa.ForeignKeyConstraint(
            ["meeting_id"], ["noteflow.meetings.id"], name=op.f("fk_segments_meeting_id"), ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_segments")),
        schema="noteflow",
    )
    op.create_index("ix_segments_meeting_id_id", "segments", ["meeting_id", "id"], unique=False, schema="noteflow")
    op.create_table(
        "summaries",
        sa.Column("meeting_id", sa.Uuid(), nullable=False),
        sa.Column("executive_summary", sa.Text(), nullable=False),
        sa.Column("key_points", sa.ARRAY(sa.Text()), nullable=False),
        sa.Column("action_items", sa.ARRAY(sa.Text()), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.ForeignKeyConstraint(
            ["meeting_id"], ["noteflow.meetings.id"], name=op.f("fk_summaries_meeting_id"), ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("meeting_id", name=op.f("pk_summaries")),
        schema="noteflow",
    )
    op.create_table(
        "webhook_events",
        sa.Column("id", sa.Uuid(), server_default=sa.text("gen_random_uuid()"), nullable=False),
        sa.Column("workspace_id", sa.Uuid(), nullable=False),
        sa.Column("event_type", sa.Text(), nullable=False),
        sa.Column("meeting_id", sa.Text(), nullable=True),
        sa.Column("target_webhook_id", sa.Uuid(), nullable=True),
        sa.Column("payload", postgresql.JSON(), nullable=False),
        sa.Column("idempotency_key", sa.Text(), nullable=True),
        sa.Column("request_digest", sa.LargeBinary(), nullable=True),
        sa.Column("occurred_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column(
            "created_at",
            sa.DateTime(timezone=True),
            server_default=sa.text("clock_timestamp()"),
            nullable=False,
        ),
        sa.Column("dispatched_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("dispatch_cursor", sa.Uuid(), nullable=True),
        sa.CheckConstraint("octet_length(payload::text) <= 10240", name=op.f("ck_webhook_events_payload")),
        sa.ForeignKeyConstraint(
            ["target_webhook_id"],
            ["noteflow.webhook_configs.id"],
            name=op.f("fk_webhook_events_target_webhook_id"),
            ondelete="CASCADE",
        ),
        sa.ForeignKeyConstraint(
            ["workspace_id"],
            ["noteflow.workspaces.id"],
            name=op.f("fk_webhook_events_workspace_id"),
            ondelete="CASCADE",
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_webhook_events")),
        sa.UniqueConstraint(
            "workspace_id", "idempotency_key", name=op.f("uq_webhook_events_workspace_id_idempotency_key")
        ),
        schema="noteflow",
    )
    op.create_index(
        op.f("ix_webhook_events_target_webhook_id"),
        "webhook_events",
        ["target_webhook_id"],
        unique=False,
        schema="noteflow",
    )
    op.create_index(
        "ix_webhook_events_undispatched",
        "webhook_events",
        ["created_at", "id"],
        unique=False,
        schema="noteflow",
        postgresql_where=sa.text("dispatched_at IS NULL"),
    )
    op.create_index(
        "ix_webhook_events_workspace_id_created_at_id",
        "webhook_events",
        ["workspace_id", sa.literal_column("created_at DESC"), sa.literal_column("id DESC")],
        unique=False,
        schema="noteflow",
    )
    op.create_table(
        "webhook_deliveries",
        sa.Column("id", sa.Uuid(), server_default=sa.text("gen_random_uuid()"), nullable=False),
        sa.Column("workspace_id", sa.Uuid(), nullable=False),
        sa.Column("webhook_id", sa.Uuid(), nullable=False),
        sa.Column("event_id", sa.Uuid(), nullable=False),
        sa.Column("event_type", sa.Text(), nullable=False),
        sa.Column("status", sa.String(length=16), server_default="pending", nullable=False),
        sa.Column("status_code", sa.Integer(), nullable=True),
        sa.Column("response_body", sa.Text(), nullable=True),
        sa.Column("error_message", sa.Text(), nullable=True),
        sa.Column("attempt_count", sa.Integer(), server_default=sa.text("0"), nullable=False),
        sa.Column("duration_ms", sa.Integer(), nullable=True),
        sa.Column("next_attempt_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("lease_expires_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("claimed_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("delivered_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("created_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.Column("budget_used", sa.SmallInteger(), server_default=sa.text("0"), nullable=False),
        sa.Column("interruptions", sa.SmallInteger(), server_default=sa.text("0"), nullable=False),
        sa.Column("claim_no", sa.Integer(), server_default=sa.text("0"), nullable=False),
        sa.CheckConstraint(
            "(status = 'pending') = (next_attempt_at IS NOT NULL)",
            name=op.f("ck_webhook_deliveries_next_attempt_at"),
        ),
        sa.CheckConstraint(
            "(status = 'sending') = (lease_expires_at IS NOT NULL) AND (status = 'sending') = (claimed_at IS NOT NULL)",
            name=op.f("ck_webhook_deliveries_lease"),
        ),
        sa.CheckConstraint(
            "(status = 'succeeded') = (delivered_at IS NOT NULL)"
            " AND (status <> 'succeeded' OR status_code BETWEEN 200 AND 299)",
            name=op.f("ck_webhook_deliveries_succeeded"),
        ),
        sa.CheckConstraint(
            "status IN ('pending', 'sending', 'succeeded', 'dead', 'skipped')",
            name=op.f("ck_webhook_deliveries_status"),
        ),
        sa.CheckConstraint(
            "attempt_count >= 0 AND claim_no >= 0 AND budget_used >= 0 AND interruptions >= 0",
            name=op.f("ck_webhook_deliveries_counts"),
        ),
        sa.ForeignKeyConstraint(
            ["event_id"],
            ["noteflow.webhook_events.id"],
            name=op.f("fk_webhook_deliveries_event_id"),
            ondelete="CASCADE",
        ),
        sa.ForeignKeyConstraint(
            ["webhook_id"],
            ["noteflow.webhook_configs.id"],
            name=op.f("fk_webhook_deliveries_webhook_id"),
            ondelete="CASCADE",
        ),
        sa.ForeignKeyConstraint(
            ["workspace_id"],
            ["noteflow.workspaces.id"],
            name=op.f("fk_webhook_deliveries_workspace_id"),
            ondelete="CASCADE",
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_webhook_deliveries")),
        sa.UniqueConstraint("event_id", "webhook_id", name=op.f("uq_webhook_deliveries_event_id_webhook_id")),
        schema="noteflow",
    )
    op.create_index(
        "ix_webhook_deliveries_due",
        "webhook_deliveries",
        ["next_attempt_at", "id"],
        unique=False,
        schema="noteflow",
        postgresql_where=sa.text("status = 'pending'"),
    )
    op.create_index(
        "ix_webhook_deliveries_leased",
        "webhook_deliveries",
        ["lease_expires_at"],
        unique=False,
        schema="noteflow",
        postgresql_where=sa.text("status = 'sending'"),
    )
    op.create_index(
        "ix_webhook_deliveries_webhook_id_created_at_id",
        "webhook_deliveries",
        ["webhook_id", sa.literal_column("created_at DESC"), sa.literal_column("id DESC")],
        unique=False,
        schema="noteflow",
    )
    op.create_index(
        "ix_webhook_deliveries_webhook_id_waiting",
        "webhook_deliveries",
        ["webhook_id"],
        unique=False,
        schema="noteflow",
        postgresql_where=sa.text("status IN ('pending', 'sending')"),
    )
    op.create_index(
        "ix_webhook_deliveries_workspace_id_created_at_id",
        "webhook_deliveries",
        ["workspace_id", sa.literal_column("created_at DESC"), sa.literal_column("id DESC")],
        unique=False,
        schema="noteflow",
    )
    op.create_table(
        "webhook_attempts",
        sa.Column("id", sa.Uuid(), server_default=sa.text("gen_random_uuid()"), nullable=False),
        sa.Column("delivery_id", sa.Uuid(), nullable=False),
        sa.Column("attempt_number", sa.Integer(), nullable=False),
        sa.Column("started_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("duration_ms", sa.Integer(), nullable=False),
        sa.Column("status_code", sa.Integer(), nullable=True),
        sa.Column("response_body", sa.Text(), nullable=True),
        sa.Column("error_kind", sa.String(length=32), nullable=True),
        sa.Column("error_message", sa.Text(), nullable=True),
        sa.CheckConstraint(
            "error_kind IN ('timeout', 'dns', 'address_not_allowed', 'connect', 'tls', 'protocol', 'redirect',"
            " 'status', 'interrupted', 'secret_unavailable', 'internal')",
            name=op.f("ck_webhook_attempts_error_kind"),
        ),
        sa.CheckConstraint("attempt_number >= 1 AND duration_ms >= 0", name=op.f("ck_webhook_attempts_counts")),
        sa.CheckConstraint("octet_length(response_body) <= 4096", name=op.f("ck_webhook_attempts_response_body")),
        sa.ForeignKeyConstraint(
            ["delivery_id"],
            ["noteflow.webhook_deliveries.id"],
            name=op.f("fk_webhook_attempts_delivery_id"),
            ondelete="CASCADE",
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_webhook_attempts")),
        sa.UniqueConstraint(
            "delivery_id", "attempt_number", name=op.f("uq_webhook_attempts_delivery_id_attempt_number")
        ),
        schema="noteflow",
    )
    op.execute(SET_UPDATED_AT)
    op.execute(
        "CREATE TRIGGER set_updated_at BEFORE UPDATE ON noteflow.webhook_configs"
        " FOR EACH ROW EXECUTE FUNCTION noteflow.set_updated_at()"
    )


def downgrade() -> None:
    """Change it back. The schema stays, since Alembic's own table is in it."""
    for table in TABLES:
        op.drop_table(table, schema="noteflow")
    op.execute("DROP FUNCTION noteflow.set_updated_at()")
