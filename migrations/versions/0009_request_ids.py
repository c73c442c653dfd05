"""Several previous secrets of an endpoint, and requests that may be repeated.

Up adds two columns without defaults and a table, and rewrites nothing: servers and workers of 0008 go on. Such a
worker signs with the newest two secrets only. Such a server's rotation ends the secret before the last one at once, as
ever, and leaves the earlier ones to their ends; a request that is repeated notices it by the secret's hint alone. Its
deletion would leave the earlier ones stored, so the trigger erases them with the others. Migrate before the processes
of this release start, since they read the columns. Down: what the new columns hold is lost, and with it the earlier
secrets' overlap.
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0009"
down_revision = "0008"
branch_labels = None
depends_on = None

_ERASE = """
CREATE FUNCTION noteflow.erase_earlier_secrets() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    NEW.earlier_secrets := NULL;
    RETURN NEW;
END
$$
"""


def upgrade() -> None:
    """Change the schema."""
    op.add_column("webhook_configs", sa.Column("earlier_secrets", sa.LargeBinary(), nullable=True), schema="noteflow")
    op.add_column("webhook_configs", sa.Column("secret_id", sa.Uuid(), nullable=True), schema="noteflow")
    op.create_check_constraint(
        op.f("ck_webhook_configs_deleted_earlier"),
        "webhook_configs",
        "deleted_at IS NULL OR earlier_secrets IS NULL",
        schema="noteflow",
    )
    op.execute(_ERASE)
    op.execute(
        "CREATE TRIGGER erase_earlier_secrets BEFORE UPDATE ON noteflow.webhook_configs FOR EACH ROW"
        " WHEN (NEW.deleted_at IS NOT NULL AND NEW.earlier_secrets IS NOT NULL)"
        " EXECUTE FUNCTION noteflow.erase_earlier_secrets()"
    )
    _create_request_ids()


def downgrade() -> None:
    """Change it back."""
    op.drop_table("request_ids", schema="noteflow")
    op.execute("DROP TRIGGER erase_earlier_secrets ON noteflow.webhook_configs")
    op.execute("DROP FUNCTION noteflow.erase_earlier_secrets()")
    op.drop_constraint(op.f("ck_webhook_configs_deleted_earlier"), "webhook_configs", schema="noteflow")
    op.drop_column("webhook_configs", "secret_id", schema="noteflow")
    op.drop_column("webhook_configs", "earlier_secrets", schema="noteflow")


def _create_request_ids() -> None:
    op.create_table(
        "request_ids",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("workspace_id", sa.Uuid(), nullable=False),
        sa.Column("request_id", sa.String(64), nullable=False),
        sa.Column("method", sa.Text(), nullable=False),
        sa.Column("token_id", sa.Uuid(), nullable=False),
        sa.Column("digest", sa.LargeBinary(), nullable=False),
        sa.Column("target_id", sa.Uuid(), nullable=True),
        sa.Column("secret_id", sa.Uuid(), nullable=True),
        sa.Column("secret_hint", sa.String(4), server_default="", nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.ForeignKeyConstraint(
            ["workspace_id"],
            ["noteflow.workspaces.id"],
            name=op.f("fk_request_ids_workspace_id"),
            ondelete="CASCADE",
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_request_ids")),
        sa.UniqueConstraint("workspace_id", "request_id", name=op.f("uq_request_ids_workspace_id_request_id")),
        schema="noteflow",
    )
    op.create_index("ix_request_ids_created_at", "request_ids", ["created_at", "id"], schema="noteflow")
