"""Endpoints' contacts, and the mails to them.

Up adds columns, of which the one that is not empty has a constant default, an index that none of the rows is in, and a
table. Nothing is rewritten, and servers and workers of the release before go on: they know nothing of contacts, and
tell them nothing. An endpoint's deletion by one of those leaves no address: a trigger erases it, and those of the mails
that wait. Migrate before the processes of this release start, since they read the columns.

Down: contacts and mails are gone, and nobody is told by mail any more.
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0039"
down_revision = "0038"
branch_labels = None
depends_on = None

_MOMENT = sa.DateTime(timezone=True)
#: Those of an endpoint.
_COLUMNS = ("contact", "digest", "contact_asked_at", "contact_confirmed_at", "digest_at")
_CHECKS = {
    "ck_webhook_configs_contact": "num_nulls(contact, contact_asked_at) IN (0, 2) AND (contact IS NOT NULL OR"
    " (contact_confirmed_at IS NULL AND digest_at IS NULL AND digest = 'none'))",
    "ck_webhook_configs_deleted_contact": "deleted_at IS NULL OR contact IS NULL",
    "ck_webhook_configs_digest": "digest IN ('none', 'weekly')",
}
_ERASE = """
CREATE FUNCTION noteflow.erase_contact() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    NEW.contact := NULL;
    NEW.digest := 'none';
    NEW.contact_asked_at := NULL;
    NEW.contact_confirmed_at := NULL;
    NEW.digest_at := NULL;
    UPDATE noteflow.webhook_mails
    SET state = 'given_up', ended_at = now(), next_attempt_at = NULL, lease_expires_at = NULL, recipient = NULL,
        error = 'the endpoint has this contact no more'
    WHERE webhook_id = NEW.id AND recipient IS NOT NULL;
    RETURN NEW;
END
$$
"""
_ERASES = """
CREATE TRIGGER erase_contact BEFORE UPDATE ON noteflow.webhook_configs FOR EACH ROW
    WHEN (NEW.deleted_at IS NOT NULL AND OLD.deleted_at IS NULL)
    EXECUTE FUNCTION noteflow.erase_contact()
"""
_WAITING = sa.text("state = 'waiting'")


def upgrade() -> None:
    """Change the schema."""
    for column in (
        sa.Column("contact", sa.Text(), nullable=True),
        sa.Column("digest", sa.Text(), server_default="none", nullable=False),
        sa.Column("contact_asked_at", _MOMENT, nullable=True),
        sa.Column("contact_confirmed_at", _MOMENT, nullable=True),
        sa.Column("digest_at", _MOMENT, nullable=True),
    ):
        op.add_column("webhook_configs", column, schema="noteflow")
    for name, condition in _CHECKS.items():
        op.create_check_constraint(op.f(name), "webhook_configs", condition, schema="noteflow")
    op.create_index(
        "ix_webhook_configs_digest_at",
        "webhook_configs",
        ["digest_at"],
        schema="noteflow",
        postgresql_where=sa.text("digest_at IS NOT NULL"),
    )
    _create_mails()
    op.execute(_ERASE)
    op.execute(_ERASES)


def _create_mails() -> None:
    op.create_table(
        "webhook_mails",
        sa.Column("id", sa.Uuid(), server_default=sa.text("noteflow.ordered_id()"), nullable=False),
        sa.Column("workspace_id", sa.Uuid(), nullable=False),
        sa.Column("webhook_id", sa.Uuid(), nullable=False),
        sa.Column("kind", sa.Text(), nullable=False),
        sa.Column("recipient", sa.Text(), nullable=True),
        sa.Column("recipient_digest", sa.LargeBinary(), nullable=False),
        sa.Column("about", sa.Text(), server_default="", nullable=False),
        sa.Column("state", sa.Text(), server_default="waiting", nullable=False),
        sa.Column("attempt_count", sa.Integer(), server_default=sa.text("0"), nullable=False),
        sa.Column("created_at", _MOMENT, server_default=sa.text("now()"), nullable=False),
        sa.Column("next_attempt_at", _MOMENT, server_default=sa.text("now()"), nullable=True),
        sa.Column("lease_expires_at", _MOMENT, nullable=True),
        sa.Column("sent_at", _MOMENT, nullable=True),
        sa.Column("ended_at", _MOMENT, nullable=True),
        sa.Column("error", sa.Text(), nullable=True),
        sa.CheckConstraint(
            "kind IN ('confirmation', 'failing', 'disabled', 'certificate_expiring', 'digest')",
            name=op.f("ck_webhook_mails_kind"),
        ),
        sa.CheckConstraint("state IN ('waiting', 'sending', 'sent', 'given_up')", name=op.f("ck_webhook_mails_state")),
        sa.CheckConstraint(
            "(recipient IS NULL) = (state IN ('sent', 'given_up'))", name=op.f("ck_webhook_mails_recipient")
        ),
        sa.CheckConstraint(
            "(next_attempt_at IS NOT NULL) = (state = 'waiting')", name=op.f("ck_webhook_mails_next_attempt_at")
        ),
        sa.CheckConstraint(
            "(lease_expires_at IS NOT NULL) = (state = 'sending')", name=op.f("ck_webhook_mails_lease_expires_at")
        ),
        sa.ForeignKeyConstraint(
            ["workspace_id"],
            ["noteflow.workspaces.id"],
            name=op.f("fk_webhook_mails_workspace_id"),
            ondelete="CASCADE",
        ),
        sa.ForeignKeyConstraint(
            ["webhook_id"],
            ["noteflow.webhook_configs.id"],
            name=op.f("fk_webhook_mails_webhook_id"),
            ondelete="CASCADE",
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_webhook_mails")),
        schema="noteflow",
    )
    for name, columns, where in (
        ("next_attempt_at", ["next_attempt_at"], _WAITING),
        ("lease_expires_at", ["lease_expires_at"], sa.text("state = 'sending'")),
        ("recipient_digest", ["recipient_digest", "sent_at"], sa.text("sent_at IS NOT NULL")),
        ("workspace_id", ["workspace_id", "sent_at"], None),
        ("webhook_id", ["webhook_id", "created_at", "id"], None),
        ("created_at", ["created_at", "id"], None),
    ):
        op.create_index(f"ix_webhook_mails_{name}", "webhook_mails", columns, schema="noteflow", postgresql_where=where)


def downgrade() -> None:
    """Change it back."""
    op.execute("DROP TRIGGER erase_contact ON noteflow.webhook_configs")
    op.execute("DROP FUNCTION noteflow.erase_contact()")
    op.drop_table("webhook_mails", schema="noteflow")
    op.drop_index("ix_webhook_configs_digest_at", table_name="webhook_configs", schema="noteflow")
    for name in _CHECKS:
        op.drop_constraint(op.f(name), "webhook_configs", schema="noteflow")
    for name in reversed(_COLUMNS):
        op.drop_column("webhook_configs", name, schema="noteflow")
