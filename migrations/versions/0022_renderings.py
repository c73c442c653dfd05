"""By what a delivery is rendered, from its first claim on.

Up adds a column without a default, which costs no rewrite: servers and workers of the release before go on, and know
nothing of it. A delivery that was begun in a format may belong to an endpoint that has none any more. So what 0015
takes away from sessions that don't know options is widened to deliveries with a rendering: a worker of that release
would send the payload alone. It stays pending, for a worker of this release.

Down: endpoints with deliveries that were begun in a format, and wait for another attempt, are paused, and named.
"""

from __future__ import annotations

from alembic import op

revision = "0022"
down_revision = "0021"
branch_labels = None
depends_on = None

#: What 0021 looks for.
_UNKNOWN = """filter <> '' OR format <> 'noteflow' OR batch_max <> 0 OR ordering <> 'none'
        OR position('signing' IN coalesce(current_setting('noteflow_hooks.options', true), '')) = 0
           AND (signing <> 'hmac' OR client_certificate IS NOT NULL OR server_ca IS NOT NULL)
        OR unverified_since IS NOT NULL OR challenge IS NOT NULL"""
_REFUSE = """
CREATE OR REPLACE FUNCTION noteflow.refuse_claim_without_signing() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF {begun}NOT EXISTS (SELECT FROM noteflow.webhook_configs WHERE id = NEW.webhook_id AND ({unknown})) THEN
        RETURN NEW;
    END IF;
    IF TG_OP = 'INSERT' THEN
        NEW.id := noteflow.ordered_id();
        NEW.status := 'pending';
        NEW.claim_no := 0;
        NEW.claimed_at := NULL;
        NEW.lease_expires_at := NULL;
{forget}        NEW.next_attempt_at := now();
        NEW.forced := coalesce(
            (SELECT target_webhook_id IS NOT NULL FROM noteflow.webhook_events WHERE id = NEW.event_id), false
        );
        INSERT INTO noteflow.delivery_queue SELECT NEW.* ON CONFLICT DO NOTHING;
    END IF;
    RETURN NULL;
END
$$
"""
#: A delivery that is made again is as new as any.
_FORGET = """        NEW.rendering := NULL;
"""
_PAUSE = """
DO $do$
DECLARE
    own record;
BEGIN
    FOR own IN
        UPDATE noteflow.webhook_configs SET paused_at = coalesce(paused_at, now())
        WHERE deleted_at IS NULL AND id IN (
            SELECT webhook_id FROM noteflow.delivery_queue
            WHERE rendering IS NOT NULL AND (budget_used > 0 OR interruptions > 0)
        )
        RETURNING id, workspace_id
    LOOP
        RAISE WARNING 'webhook % of workspace % has deliveries that were begun in a format: it is paused, since this'
            ' release would go on with other bytes', own.id, own.workspace_id;
    END LOOP;
END
$do$
"""


def upgrade() -> None:
    """Change the schema."""
    op.execute("ALTER TABLE noteflow.webhook_deliveries ADD COLUMN rendering text")
    op.execute(_REFUSE.format(begun="NEW.rendering IS NULL AND ", forget=_FORGET, unknown=_UNKNOWN))


def downgrade() -> None:
    """Change it back."""
    op.execute(_PAUSE)
    op.execute(_REFUSE.format(begun="", forget="", unknown=_UNKNOWN))
    op.execute("ALTER TABLE noteflow.webhook_deliveries DROP COLUMN rendering")
