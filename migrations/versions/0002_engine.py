"""The endpoints' health, held deliveries, replays, custom headers, pausing, limits, and what retention needs.

All of it adds: workers and servers of 0001 go on with this schema, but for one thing: such a server can't delete an
endpoint that has custom headers. Such workers know nothing of held deliveries and send them at once; what a breaker, a
pause or a limit holds back is only held once they are gone. Each table is locked while its new indexes are made.
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None

_NOW = sa.text("now()")
_NEW_ID = sa.text("gen_random_uuid()")

#: How many POSTs to an endpoint are under way; no end of them where ``lag_limit`` of them began over 0.2 s ago.
#: VOLATILE, so that each call looks anew: called after the endpoint's health row was locked, it counts what the lock's
#: last holder has claimed, which its caller's own snapshot doesn't show.
IN_FLIGHT = """
CREATE FUNCTION noteflow.in_flight(endpoint uuid, lag_limit integer) RETURNS integer LANGUAGE plpgsql VOLATILE AS $$
DECLARE
    under_way integer;
    lagging integer;
BEGIN
    SELECT count(*), count(*) FILTER (WHERE claimed_at < clock_timestamp() - interval '0.2 s')
    INTO under_way, lagging
    FROM noteflow.webhook_deliveries WHERE webhook_id = endpoint AND status = 'sending';
    RETURN CASE WHEN lagging >= lag_limit THEN 2147483647 ELSE under_way END;
END
$$
"""
#: Every endpoint has its health row from the start, whoever stores it: claims lock that row.
ADD_HEALTH = """
CREATE FUNCTION noteflow.add_health() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    INSERT INTO noteflow.webhook_health (webhook_id) VALUES (NEW.id) ON CONFLICT DO NOTHING;
    RETURN NULL;
END
$$
"""


def upgrade() -> None:
    """Change the schema."""
    _extend_configs()
    _create_health()
    _extend_events()
    _extend_deliveries()
    _create_replays()


def downgrade() -> None:
    """Change it back."""
    op.execute("DROP TRIGGER add_health ON noteflow.webhook_configs")
    op.execute("DROP FUNCTION noteflow.add_health()")
    op.execute("DROP FUNCTION noteflow.in_flight(uuid, integer)")
    for table in ("webhook_redeliveries", "webhook_replays", "webhook_health"):
        op.drop_table(table, schema="noteflow")
    op.drop_index("ix_webhook_attempts_started_at", "webhook_attempts", schema="noteflow")
    for index in ("waiting", "sending", "undelivered", "due"):
        op.drop_index(f"ix_webhook_deliveries_{index}", "webhook_deliveries", schema="noteflow")
    op.create_index(
        "ix_webhook_deliveries_due",
        "webhook_deliveries",
        ["next_attempt_at", "id"],
        schema="noteflow",
        postgresql_where=sa.text("status = 'pending'"),
    )
    op.create_index(
        "ix_webhook_deliveries_webhook_id_waiting",
        "webhook_deliveries",
        ["webhook_id"],
        schema="noteflow",
        postgresql_where=sa.text("status IN ('pending', 'sending')"),
    )
    op.drop_column("webhook_deliveries", "held", schema="noteflow")
    op.drop_column("webhook_deliveries", "forced", schema="noteflow")
    for index in ("with_payload", "without_payload", "meeting_id"):
        op.drop_index(f"ix_webhook_events_{index}", "webhook_events", schema="noteflow")
    op.drop_column("webhook_events", "payload_erased_at", schema="noteflow")
    op.drop_index("ix_webhook_configs_deleted_at", "webhook_configs", schema="noteflow")
    for constraint in ("rate_limit_per_s", "max_concurrency", "deleted"):
        op.drop_constraint(f"ck_webhook_configs_{constraint}", "webhook_configs", schema="noteflow")
    op.create_check_constraint(
        op.f("ck_webhook_configs_deleted"),
        "webhook_configs",
        "deleted_at IS NULL OR (secret IS NULL AND previous_secret IS NULL)",
        schema="noteflow",
    )
    for column in ("headers", "header_names", "rate_limit_per_s", "max_concurrency", "paused_at"):
        op.drop_column("webhook_configs", column, schema="noteflow")


def _extend_configs() -> None:
    table = "webhook_configs"
    op.add_column(table, sa.Column("headers", sa.LargeBinary(), nullable=True), schema="noteflow")
    op.add_column(
        table,
        sa.Column("header_names", sa.ARRAY(sa.Text()), server_default=sa.text("'{}'"), nullable=False),
        schema="noteflow",
    )
    op.add_column(table, sa.Column("rate_limit_per_s", sa.Float(), nullable=True), schema="noteflow")
    op.add_column(table, sa.Column("max_concurrency", sa.Integer(), nullable=True), schema="noteflow")
    op.add_column(table, sa.Column("paused_at", sa.DateTime(timezone=True), nullable=True), schema="noteflow")
    op.create_check_constraint(
        op.f("ck_webhook_configs_rate_limit_per_s"),
        table,
        "rate_limit_per_s BETWEEN 0.01 AND 1000",
        schema="noteflow",
    )
    op.create_check_constraint(
        op.f("ck_webhook_configs_max_concurrency"), table, "max_concurrency BETWEEN 1 AND 1000", schema="noteflow"
    )
    op.create_index(
        "ix_webhook_configs_deleted_at",
        table,
        ["deleted_at"],
        schema="noteflow",
        postgresql_where=sa.text("deleted_at IS NOT NULL"),
    )
    op.drop_constraint(op.f("ck_webhook_configs_deleted"), table, schema="noteflow")
    op.create_check_constraint(
        op.f("ck_webhook_configs_deleted"),
        table,
        "deleted_at IS NULL OR (secret IS NULL AND previous_secret IS NULL AND headers IS NULL)",
        schema="noteflow",
    )


def _create_health() -> None:
    op.create_table(
        "webhook_health",
        sa.Column("webhook_id", sa.Uuid(), nullable=False),
        sa.Column("turn_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("awaiting_room", sa.Boolean(), server_default=sa.text("false"), nullable=False),
        sa.Column("failures", sa.Integer(), server_default=sa.text("0"), nullable=False),
        sa.Column("failing_since", sa.DateTime(timezone=True), nullable=True),
        sa.Column("last_failure_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("warned_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("open_until", sa.DateTime(timezone=True), nullable=True),
        sa.Column("opened", sa.Integer(), server_default=sa.text("0"), nullable=False),
        sa.Column("probing_until", sa.DateTime(timezone=True), nullable=True),
        sa.Column("ramp", sa.Integer(), nullable=True),
        sa.Column("slow_since", sa.DateTime(timezone=True), nullable=True),
        sa.Column("quick", sa.Integer(), server_default=sa.text("0"), nullable=False),
        sa.Column("rate_at", sa.DateTime(timezone=True), nullable=True),
        sa.ForeignKeyConstraint(
            ["webhook_id"],
            ["noteflow.webhook_configs.id"],
            name=op.f("fk_webhook_health_webhook_id"),
            ondelete="CASCADE",
        ),
        sa.PrimaryKeyConstraint("webhook_id", name=op.f("pk_webhook_health")),
        schema="noteflow",
    )
    for name, condition in (("quick", "slow_since IS NULL"), ("slow", "slow_since IS NOT NULL")):
        op.create_index(
            f"ix_webhook_health_{name}_turn_at",
            "webhook_health",
            ["turn_at"],
            schema="noteflow",
            postgresql_where=sa.text(f"turn_at IS NOT NULL AND {condition}"),
        )
    op.execute(ADD_HEALTH)
    op.execute(
        "CREATE TRIGGER add_health AFTER INSERT ON noteflow.webhook_configs"
        " FOR EACH ROW EXECUTE FUNCTION noteflow.add_health()"
    )
    # The trigger's table lock is held by now, so no endpoint comes in between.
    op.execute("INSERT INTO noteflow.webhook_health (webhook_id) SELECT id FROM noteflow.webhook_configs")


def _extend_events() -> None:
    op.add_column(
        "webhook_events", sa.Column("payload_erased_at", sa.DateTime(timezone=True), nullable=True), schema="noteflow"
    )
    for name, columns, condition in (
        ("with_payload", ["created_at"], "payload_erased_at IS NULL"),
        ("without_payload", ["created_at"], "payload_erased_at IS NOT NULL"),
        ("meeting_id", ["workspace_id", "meeting_id"], "payload_erased_at IS NULL"),
    ):
        op.create_index(
            f"ix_webhook_events_{name}",
            "webhook_events",
            columns,
            schema="noteflow",
            postgresql_where=sa.text(condition),
        )


def _extend_deliveries() -> None:
    table = "webhook_deliveries"
    for name in ("held", "forced"):
        column: sa.Column[bool] = sa.Column(name, sa.Boolean(), server_default=sa.text("false"), nullable=False)
        op.add_column(table, column, schema="noteflow")
    op.drop_index("ix_webhook_deliveries_due", table, schema="noteflow")
    op.drop_index("ix_webhook_deliveries_webhook_id_waiting", table, schema="noteflow")
    indexes: tuple[tuple[str, list[str | sa.ColumnElement[object]], str], ...] = (
        ("due", ["next_attempt_at", "id"], "status = 'pending' AND NOT held"),
        ("waiting", ["held", "webhook_id", "next_attempt_at"], "status = 'pending'"),
        ("sending", ["webhook_id"], "status = 'sending'"),
        (
            "undelivered",
            ["workspace_id", sa.literal_column("created_at DESC"), sa.literal_column("id DESC")],
            "status <> 'succeeded'",
        ),
    )
    for name, columns, condition in indexes:
        op.create_index(
            f"ix_webhook_deliveries_{name}", table, columns, schema="noteflow", postgresql_where=sa.text(condition)
        )
    op.create_index("ix_webhook_attempts_started_at", "webhook_attempts", ["started_at"], schema="noteflow")
    op.execute(IN_FLIGHT)


def _create_replays() -> None:
    op.create_table(
        "webhook_replays",
        sa.Column("id", sa.Uuid(), server_default=_NEW_ID, nullable=False),
        sa.Column("workspace_id", sa.Uuid(), nullable=False),
        sa.Column("webhook_id", sa.Uuid(), nullable=True),
        sa.Column("event_type", sa.Text(), nullable=True),
        sa.Column("status", sa.String(length=16), nullable=True),
        sa.Column("created_after", sa.DateTime(timezone=True), nullable=True),
        sa.Column("created_before", sa.DateTime(timezone=True), nullable=False),
        sa.Column("rate_per_s", sa.Float(), nullable=False),
        sa.Column("state", sa.String(length=16), server_default="running", nullable=False),
        sa.Column("matched", sa.Integer(), nullable=False),
        sa.Column("sent", sa.Integer(), server_default=sa.text("0"), nullable=False),
        sa.Column("cursor_created_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("cursor_id", sa.Uuid(), nullable=True),
        sa.Column("paced_at", sa.DateTime(timezone=True), server_default=_NOW, nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), server_default=_NOW, nullable=False),
        sa.Column("finished_at", sa.DateTime(timezone=True), nullable=True),
        sa.CheckConstraint("state IN ('running', 'done', 'cancelled')", name=op.f("ck_webhook_replays_state")),
        sa.CheckConstraint("(state = 'running') = (finished_at IS NULL)", name=op.f("ck_webhook_replays_finished_at")),
        sa.CheckConstraint("status IN ('succeeded', 'dead', 'skipped')", name=op.f("ck_webhook_replays_status")),
        sa.CheckConstraint("matched >= 0 AND sent >= 0 AND rate_per_s > 0", name=op.f("ck_webhook_replays_counts")),
        sa.ForeignKeyConstraint(
            ["workspace_id"],
            ["noteflow.workspaces.id"],
            name=op.f("fk_webhook_replays_workspace_id"),
            ondelete="CASCADE",
        ),
        sa.ForeignKeyConstraint(
            ["webhook_id"],
            ["noteflow.webhook_configs.id"],
            name=op.f("fk_webhook_replays_webhook_id"),
            ondelete="CASCADE",
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_webhook_replays")),
        schema="noteflow",
    )
    op.create_index(
        "ix_webhook_replays_workspace_id_created_at_id",
        "webhook_replays",
        ["workspace_id", sa.literal_column("created_at DESC"), sa.literal_column("id DESC")],
        schema="noteflow",
    )
    op.create_index(
        "ix_webhook_replays_running",
        "webhook_replays",
        ["paced_at"],
        schema="noteflow",
        postgresql_where=sa.text("state = 'running'"),
    )
    op.create_index(
        "ix_webhook_replays_finished_at",
        "webhook_replays",
        ["finished_at"],
        schema="noteflow",
        postgresql_where=sa.text("finished_at IS NOT NULL"),
    )
    op.create_index(op.f("ix_webhook_replays_webhook_id"), "webhook_replays", ["webhook_id"], schema="noteflow")
    op.create_table(
        "webhook_redeliveries",
        sa.Column("id", sa.Uuid(), server_default=_NEW_ID, nullable=False),
        sa.Column("delivery_id", sa.Uuid(), nullable=False),
        sa.Column("replay_id", sa.Uuid(), nullable=True),
        sa.Column("requested_at", sa.DateTime(timezone=True), server_default=_NOW, nullable=False),
        sa.Column("previous_status", sa.String(length=16), nullable=False),
        sa.Column("after_attempt", sa.Integer(), nullable=False),
        sa.ForeignKeyConstraint(
            ["delivery_id"],
            ["noteflow.webhook_deliveries.id"],
            name=op.f("fk_webhook_redeliveries_delivery_id"),
            ondelete="CASCADE",
        ),
        sa.ForeignKeyConstraint(
            ["replay_id"],
            ["noteflow.webhook_replays.id"],
            name=op.f("fk_webhook_redeliveries_replay_id"),
            ondelete="SET NULL",
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_webhook_redeliveries")),
        schema="noteflow",
    )
    op.create_index(
        "ix_webhook_redeliveries_delivery_id_requested_at",
        "webhook_redeliveries",
        ["delivery_id", "requested_at"],
        schema="noteflow",
    )
    op.create_index(op.f("ix_webhook_redeliveries_replay_id"), "webhook_redeliveries", ["replay_id"], schema="noteflow")
