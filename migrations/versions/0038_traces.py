"""Where an event's trace goes on, and which endpoints are told of it.

Up adds a column without a default and one with a constant, which costs no rewrite. Servers and workers of the revision
before go on; those know nothing of traces, and so, as for each option, the trigger takes from them the claim of a
delivery whose endpoint wants to be told. Migrate before the processes of this release start: they read the columns.

Down: endpoints that are told of traces are paused, and named.
"""

from __future__ import annotations

from alembic import op

revision = "0038"
down_revision = "0034"
branch_labels = None
depends_on = None

#: What 0022 looks for.
_UNKNOWN = """filter <> '' OR format <> 'noteflow' OR batch_max <> 0 OR ordering <> 'none'
        OR position('signing' IN coalesce(current_setting('noteflow_hooks.options', true), '')) = 0
           AND (signing <> 'hmac' OR client_certificate IS NOT NULL OR server_ca IS NOT NULL)
        OR unverified_since IS NOT NULL OR challenge IS NOT NULL"""
_REFUSE = """
CREATE OR REPLACE FUNCTION noteflow.refuse_claim_without_signing() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF NEW.rendering IS NULL
       AND NOT EXISTS (SELECT FROM noteflow.webhook_configs WHERE id = NEW.webhook_id AND ({unknown})) THEN
        RETURN NEW;
    END IF;
    IF TG_OP = 'INSERT' THEN
        NEW.id := noteflow.ordered_id();
        NEW.status := 'pending';
        NEW.claim_no := 0;
        NEW.claimed_at := NULL;
        NEW.lease_expires_at := NULL;
        NEW.rendering := NULL;
        NEW.next_attempt_at := now();
        NEW.forced := coalesce(
            (SELECT target_webhook_id IS NOT NULL FROM noteflow.webhook_events WHERE id = NEW.event_id), false
        );
        INSERT INTO noteflow.delivery_queue SELECT NEW.* ON CONFLICT DO NOTHING;
    END IF;
    RETURN NULL;
END
$$
"""
_PAUSE = """
DO $do$
DECLARE
    own record;
BEGIN
    FOR own IN
        UPDATE noteflow.webhook_configs SET paused_at = coalesce(paused_at, now())
        WHERE send_traceparent AND deleted_at IS NULL
        RETURNING id, workspace_id
    LOOP
        RAISE WARNING 'webhook % of workspace % is told of traces: it is paused, since this release would send without',
            own.id, own.workspace_id;
    END LOOP;
END
$do$
"""


def upgrade() -> None:
    """Change the schema."""
    op.execute("ALTER TABLE noteflow.webhook_events ADD COLUMN traceparent text")
    op.execute("ALTER TABLE noteflow.webhook_configs ADD COLUMN send_traceparent boolean DEFAULT false NOT NULL")
    op.execute(_REFUSE.format(unknown=f"{_UNKNOWN} OR send_traceparent"))


def downgrade() -> None:
    """Change it back."""
    op.execute(_PAUSE)
    op.execute(_REFUSE.format(unknown=_UNKNOWN))
    op.execute("ALTER TABLE noteflow.webhook_configs DROP COLUMN send_traceparent")
    op.execute("ALTER TABLE noteflow.webhook_events DROP COLUMN traceparent")
