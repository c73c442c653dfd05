"""What lists are narrowed by: the kind of the last attempt's failure on a delivery, and all filters on a replay.

Up adds columns without defaults, which costs no rewrite, and indexes that know failures alone, so that what succeeds at
once is written as before. They are made while the tables stand still, in seconds for a million rows. Servers and
workers of the revision before go on. What they settle has no kind, and is not found by one; nor is what was settled
before.

They know none of the new filters of a replay either, and would send more than was asked for. So a replay that has one
is paced by `narrowed_paced_at`, while its `paced_at` is so far off that no step of theirs is ever due.

Down: such replays are cancelled, and named.
"""

from __future__ import annotations

from alembic import op

revision = "0030"
down_revision = "0025"
branch_labels = None
depends_on = None

_DELIVERIES = """
ALTER TABLE noteflow.webhook_deliveries ADD COLUMN error_kind varchar(32)
"""
_REPLAYS = """
ALTER TABLE noteflow.webhook_replays
    ADD COLUMN statuses text[],
    ADD COLUMN event_id uuid,
    ADD COLUMN meeting_id text,
    ADD COLUMN error_kind varchar(32),
    ADD COLUMN status_code integer,
    ADD COLUMN id_prefix varchar(36),
    ADD COLUMN narrowed_paced_at timestamptz
"""
_REPLAY_COLUMNS = (
    "statuses",
    "event_id",
    "meeting_id",
    "error_kind",
    "status_code",
    "id_prefix",
    "narrowed_paced_at",
)
_INDEXES = (
    ("error_kind", "workspace_id, error_kind, created_at DESC, id DESC", "error_kind IS NOT NULL"),
    (
        "status_code",
        "workspace_id, status_code, created_at DESC, id DESC",
        "status <> 'succeeded' AND status_code IS NOT NULL",
    ),
)
#: Of settled deliveries alone.
_OF_SETTLED = (("dead", "status = 'dead'"), ("unsettled", "status IN ('pending', 'sending')"))
_TABLES = ("webhook_deliveries", "delivery_queue")
_CANCEL = """
DO $do$
DECLARE
    own record;
BEGIN
    FOR own IN
        UPDATE noteflow.webhook_replays
        SET state = 'cancelled', finished_at = now(), paced_at = narrowed_paced_at
        WHERE narrowed_paced_at IS NOT NULL AND state = 'running'
        RETURNING id, workspace_id
    LOOP
        RAISE WARNING 'replay % of workspace % is cancelled, since this release would send more than it asks for',
            own.id, own.workspace_id;
    END LOOP;
    UPDATE noteflow.webhook_replays SET paced_at = narrowed_paced_at WHERE narrowed_paced_at IS NOT NULL;
END
$do$
"""


def upgrade() -> None:
    """Change the schema."""
    op.execute(_DELIVERIES)
    op.execute(_REPLAYS)
    for name, condition in _OF_SETTLED:
        op.execute(
            f"CREATE INDEX ix_webhook_deliveries_{name} ON noteflow.webhook_deliveries"
            f" (workspace_id, created_at DESC, id DESC) WHERE {condition}"
        )
    for table in _TABLES:
        for name, columns, condition in _INDEXES:
            op.execute(f"CREATE INDEX ix_{table}_{name} ON noteflow.{table} ({columns}) WHERE {condition}")


def downgrade() -> None:
    """Change it back."""
    op.execute(_CANCEL)
    for name, _ in _OF_SETTLED:
        op.execute(f"DROP INDEX noteflow.ix_webhook_deliveries_{name}")
    for table in _TABLES:
        for name, _, _ in _INDEXES:
            op.execute(f"DROP INDEX noteflow.ix_{table}_{name}")
    dropped = ", ".join(f"DROP COLUMN {name}" for name in _REPLAY_COLUMNS)
    op.execute(f"ALTER TABLE noteflow.webhook_replays {dropped}")
    op.execute("ALTER TABLE noteflow.webhook_deliveries DROP COLUMN error_kind")
