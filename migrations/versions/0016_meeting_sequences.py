"""Each event of a meeting has a number: from 1, without gaps, in the order in which they were recorded.

Up adds a column without a default and a table of counters, and makes the index of events' meetings anew with the
numbers in it, which takes seconds for a million events. Nothing is rewritten: events that were there have no number,
and the counters begin with the next event. Servers of 0015 go on, and know nothing of numbers: a trigger numbers what
they record, behind the insert, so that an event that is there already takes none.

Down: the numbers go, and the counters.
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0016"
down_revision = "0015"
branch_labels = None
depends_on = None

#: What the statement that records numbered events calls where another one has recorded one of them meanwhile: nothing
#: of it is kept, the numbers neither, and its caller runs it once more.
_RECORDED_MEANWHILE = """
CREATE FUNCTION noteflow.recorded_meanwhile() RETURNS boolean LANGUAGE plpgsql AS $$
BEGIN
    RAISE EXCEPTION 'an event was recorded meanwhile; try again' USING ERRCODE = 'NF001';
END
$$
"""
_NUMBER = """
CREATE FUNCTION noteflow.number_event() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE
    own bigint;
BEGIN
    INSERT INTO noteflow.meeting_sequences AS counter (workspace_id, meeting_id, last)
    VALUES (NEW.workspace_id, NEW.meeting_id, 1)
    ON CONFLICT (workspace_id, meeting_id) DO UPDATE SET last = counter.last + 1
    RETURNING last INTO own;
    UPDATE noteflow.webhook_events SET sequence = own WHERE id = NEW.id;
    RETURN NULL;
END
$$
"""
_NUMBERS = """
CREATE TRIGGER number_event AFTER INSERT ON noteflow.webhook_events FOR EACH ROW
    WHEN (NEW.sequence IS NULL AND NEW.meeting_id IS NOT NULL)
    EXECUTE FUNCTION noteflow.number_event()
"""
_INDEX = "ix_webhook_events_meeting_id"


def upgrade() -> None:
    """Change the schema."""
    op.create_table(
        "meeting_sequences",
        sa.Column("workspace_id", sa.Uuid(), nullable=False),
        sa.Column("meeting_id", sa.Text(collation="C"), nullable=False),
        sa.Column("last", sa.BigInteger(), nullable=False),
        sa.ForeignKeyConstraint(
            ["workspace_id"],
            ["noteflow.workspaces.id"],
            name=op.f("fk_meeting_sequences_workspace_id"),
            ondelete="CASCADE",
        ),
        sa.PrimaryKeyConstraint("workspace_id", "meeting_id", name=op.f("pk_meeting_sequences")),
        schema="noteflow",
    )
    # A counter changes with each event: there is room beside each for its next version.
    op.execute("ALTER TABLE noteflow.meeting_sequences SET (fillfactor = 50)")
    op.add_column("webhook_events", sa.Column("sequence", sa.BigInteger(), nullable=True), schema="noteflow")
    op.drop_index(_INDEX, "webhook_events", schema="noteflow")
    op.create_index(
        _INDEX,
        "webhook_events",
        ["workspace_id", "meeting_id", "sequence"],
        schema="noteflow",
        postgresql_where=sa.text("meeting_id IS NOT NULL"),
    )
    for statement in (_RECORDED_MEANWHILE, _NUMBER, _NUMBERS):
        op.execute(statement)


def downgrade() -> None:
    """Change it back."""
    op.execute("DROP TRIGGER number_event ON noteflow.webhook_events")
    op.execute("DROP FUNCTION noteflow.number_event(), noteflow.recorded_meanwhile()")
    op.drop_index(_INDEX, "webhook_events", schema="noteflow")
    op.create_index(
        _INDEX,
        "webhook_events",
        ["workspace_id", "meeting_id"],
        schema="noteflow",
        postgresql_where=sa.text("payload_erased_at IS NULL"),
    )
    op.drop_column("webhook_events", "sequence", schema="noteflow")
    op.drop_table("meeting_sequences", schema="noteflow")
