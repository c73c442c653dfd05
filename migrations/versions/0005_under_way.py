"""Counts the POSTs under way of many endpoints in one call: a claim of fifty endpoints' deliveries made fifty calls.

Up adds a function, down takes it away; neither locks a table. Everything of 0004 goes on as it did.
"""

from __future__ import annotations

from alembic import op

revision = "0005"
down_revision = "0004"
branch_labels = None
depends_on = None

#: VOLATILE, so that it looks anew when it is called, see 0002.
UNDER_WAY = """
CREATE FUNCTION noteflow.under_way(endpoints uuid[])
RETURNS TABLE (webhook_id uuid, posts bigint, lagging bigint) LANGUAGE plpgsql VOLATILE AS $$
#variable_conflict use_column
BEGIN
    RETURN QUERY
    SELECT webhook_id, count(*), count(*) FILTER (WHERE claimed_at < clock_timestamp() - interval '0.2 s')
    FROM noteflow.webhook_deliveries WHERE webhook_id = ANY(endpoints) AND status = 'sending'
    GROUP BY webhook_id;
END
$$
"""


def upgrade() -> None:
    """Change the schema."""
    op.execute(UNDER_WAY)


def downgrade() -> None:
    """Change it back."""
    op.execute("DROP FUNCTION noteflow.under_way(uuid[])")
