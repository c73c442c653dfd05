"""Replays of what was skipped for one reason, and the undelivered counted by reason without a look at their rows.

Up adds columns without defaults, which costs no rewrite. Servers and workers of the revision before go on. They know
nothing of the filter, and would send more than was asked for: so such a replay is paced by `reasoned_paced_at`, while
all that they look at is so far off that no step of theirs is ever due.

The indexes of what is not delivered, and of failures, are made anew with the columns that tell those apart: while the
table stands still, in seconds for a million rows. What succeeds at once is in none of them.

Down: such replays are cancelled, and named.
"""

from __future__ import annotations

from alembic import op

revision = "0034"
down_revision = "0033"
branch_labels = None
depends_on = None

_INDEXES = (
    ("undelivered", "", "status, skip_reason, error_kind", "status <> 'succeeded'"),
    (
        "owed",
        "",
        "status, skip_reason, error_kind",
        "status <> 'succeeded' AND skip_reason IS DISTINCT FROM 'filtered'",
    ),
    ("error_kind", "error_kind, ", "status, status_code", "error_kind IS NOT NULL"),
    ("status_code", "status_code, ", "error_kind", "status <> 'succeeded' AND status_code IS NOT NULL"),
)
_CANCEL = """
DO $do$
DECLARE
    own record;
BEGIN
    FOR own IN
        UPDATE noteflow.webhook_replays
        SET state = 'cancelled', finished_at = now(), narrowed_paced_at = reasoned_paced_at
        WHERE skip_reason IS NOT NULL AND state = 'running'
        RETURNING id, workspace_id
    LOOP
        RAISE WARNING 'replay % of workspace % is cancelled, since this release would send more than it asks for',
            own.id, own.workspace_id;
    END LOOP;
    UPDATE noteflow.webhook_replays SET narrowed_paced_at = reasoned_paced_at WHERE reasoned_paced_at IS NOT NULL;
END
$do$
"""


def upgrade() -> None:
    """Change the schema."""
    op.execute(
        "ALTER TABLE noteflow.webhook_replays ADD COLUMN skip_reason text, ADD COLUMN reasoned_paced_at timestamptz"
    )
    _make_indexes(includes=True)


def downgrade() -> None:
    """Change it back."""
    op.execute(_CANCEL)
    _make_indexes(includes=False)
    op.execute("ALTER TABLE noteflow.webhook_replays DROP COLUMN skip_reason, DROP COLUMN reasoned_paced_at")


def _make_indexes(*, includes: bool) -> None:
    for name, key, beside, condition in _INDEXES:
        include = f" INCLUDE ({beside})" if includes else ""
        op.execute(f"DROP INDEX noteflow.ix_webhook_deliveries_{name}")
        op.execute(
            f"CREATE INDEX ix_webhook_deliveries_{name} ON noteflow.webhook_deliveries"
            f" (workspace_id, {key}created_at DESC, id DESC){include} WHERE {condition}"
        )
