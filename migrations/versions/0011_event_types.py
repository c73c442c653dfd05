"""Each endpoint's version of payloads, and event types of the workspaces' own.

Up adds a column with a default, which costs no rewrite, a table, and a wider check of what endpoints subscribe to,
which looks at each endpoint once: servers and workers of 0010 go on. An endpoint that was there, and one that a server
of 0010 registers meanwhile, gets the first version, which is what 0010 sends; workers of 0010 send it without its
header. They deliver events of a workspace's own types as any other's. Migrate before the processes of this release
start, since they read the column. A server of 0010 refuses such types.

Down: endpoints that want a later version are paused, and named: a worker of 0010 would send them the first one. The
types go. Events of them, and deliveries, stay and are delivered. So do subscriptions, and where there are any the wider
check stays with them: a narrower one would refuse each change of such an endpoint, and events that wait for dispatch
would find nobody.
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0011"
down_revision = "0010"
branch_labels = None
depends_on = None

_OURS = (
    "'meeting.completed', 'recording.started', 'recording.stopped', 'summary.generated', 'webhook.disabled',"
    " 'webhook.failing'"
)
_IS_CUSTOM_TYPE = r"""
CREATE OR REPLACE FUNCTION noteflow.is_custom_type(name text) RETURNS boolean LANGUAGE sql IMMUTABLE AS $$
    SELECT name ~ '^custom(\.[a-z0-9_]+)+$' AND length(name) <= 128
$$
"""
_IS_SUBSCRIPTION = f"""
CREATE OR REPLACE FUNCTION noteflow.is_subscription(events text[]) RETURNS boolean LANGUAGE sql IMMUTABLE AS $$
    SELECT coalesce(bool_and(coalesce(name IN ({_OURS}) OR noteflow.is_custom_type(name), false)), true)
    FROM unnest(events) AS each (name)
$$
"""  # noqa: S608 - put together from our own names
_PAUSE_LATER = """
DO $do$
DECLARE
    later record;
BEGIN
    FOR later IN
        UPDATE noteflow.webhook_configs SET paused_at = coalesce(paused_at, now())
        WHERE payload_version > 1 AND deleted_at IS NULL
        RETURNING id, workspace_id, payload_version
    LOOP
        RAISE WARNING 'webhook % of workspace % wants payload version %: it is paused, since this release would send 1',
            later.id, later.workspace_id, later.payload_version;
    END LOOP;
END
$do$
"""
_NARROW = f"""
DO $do$
BEGIN
    IF NOT EXISTS (SELECT FROM noteflow.webhook_configs WHERE NOT events <@ ARRAY[{_OURS}]::text[]) THEN
        ALTER TABLE noteflow.webhook_configs DROP CONSTRAINT ck_webhook_configs_events,
            ADD CONSTRAINT ck_webhook_configs_events CHECK (events <@ ARRAY[{_OURS}]::text[]);
        DROP FUNCTION noteflow.is_subscription(text[]), noteflow.is_custom_type(text);
    END IF;
END
$do$
"""


def upgrade() -> None:
    """Change the schema."""
    op.execute(_IS_CUSTOM_TYPE)
    op.execute(_IS_SUBSCRIPTION)
    op.execute(
        "ALTER TABLE noteflow.webhook_configs ADD COLUMN payload_version integer DEFAULT 1 NOT NULL"
        " CONSTRAINT ck_webhook_configs_payload_version CHECK (payload_version >= 1),"
        " DROP CONSTRAINT ck_webhook_configs_events,"
        " ADD CONSTRAINT ck_webhook_configs_events CHECK (noteflow.is_subscription(events))"
    )
    op.create_table(
        "event_types",
        sa.Column("workspace_id", sa.Uuid(), nullable=False),
        sa.Column("name", sa.Text(collation="C"), nullable=False),
        sa.Column("schema", sa.Text(), nullable=False),
        sa.Column("description", sa.Text(), server_default="", nullable=False),
        sa.Column("example", sa.Text(), nullable=True),
        sa.Column("deprecated", sa.Boolean(), server_default=sa.text("false"), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.Column("updated_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.CheckConstraint("noteflow.is_custom_type(name)", name=op.f("ck_event_types_name")),
        sa.CheckConstraint("octet_length(schema) <= 16384", name=op.f("ck_event_types_schema")),
        sa.ForeignKeyConstraint(
            ["workspace_id"],
            ["noteflow.workspaces.id"],
            name=op.f("fk_event_types_workspace_id"),
            ondelete="CASCADE",
        ),
        sa.PrimaryKeyConstraint("workspace_id", "name", name=op.f("pk_event_types")),
        schema="noteflow",
    )


def downgrade() -> None:
    """Change it back."""
    op.execute(_PAUSE_LATER)
    op.drop_table("event_types", schema="noteflow")
    op.drop_column("webhook_configs", "payload_version", schema="noteflow")
    op.execute(_NARROW)
