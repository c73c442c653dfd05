"""Batches that are leased as their deliveries are made: how many POSTs endpoints have, and a lock that is waited for.

Up adds two functions, and down removes them. Servers and workers of the revision before go on.
"""

from __future__ import annotations

from alembic import op

revision = "0033"
down_revision = "0032"
branch_labels = None
depends_on = None

#: As `noteflow.under_way`, see 0005, but that a batch is one POST.
_UNDER_WAY = """
CREATE FUNCTION noteflow.requests_under_way(endpoints uuid[])
RETURNS TABLE (webhook_id uuid, posts bigint, lagging bigint) LANGUAGE plpgsql VOLATILE AS $$
#variable_conflict use_column
BEGIN
    RETURN QUERY
    SELECT webhook_id, count(*), count(*) FILTER (WHERE claimed_at < clock_timestamp() - interval '0.2 s')
    FROM (
        SELECT webhook_id, min(claimed_at) AS claimed_at
        FROM noteflow.webhook_deliveries WHERE webhook_id = ANY(endpoints) AND status = 'sending'
        GROUP BY webhook_id, coalesce(batch_id, id)
    ) AS post
    GROUP BY webhook_id;
END
$$
"""
#: Locks endpoints' health, and waits for whoever has it, but no more than a moment: others are in line behind this one.
_AWAIT = """
CREATE FUNCTION noteflow.await_health(endpoints uuid[]) RETURNS void LANGUAGE plpgsql VOLATILE AS $$
DECLARE
    usual text := current_setting('lock_timeout');
BEGIN
    IF cardinality(endpoints) = 0 THEN
        RETURN;
    END IF;
    PERFORM set_config('lock_timeout', '100ms', true);
    BEGIN
        PERFORM FROM noteflow.webhook_health WHERE webhook_id = ANY(endpoints)
        ORDER BY webhook_id
        FOR NO KEY UPDATE;
    EXCEPTION WHEN lock_not_available THEN
        NULL;
    END;
    PERFORM set_config('lock_timeout', usual, true);
END
$$
"""


def upgrade() -> None:
    """Change the schema."""
    op.execute(_UNDER_WAY)
    op.execute(_AWAIT)


def downgrade() -> None:
    """Change it back."""
    op.execute("DROP FUNCTION noteflow.await_health(uuid[])")
    op.execute("DROP FUNCTION noteflow.requests_under_way(uuid[])")
