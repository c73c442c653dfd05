"""An endpoint's options beyond the usual, and why a delivery is skipped.

Up adds columns with constant defaults, which costs no rewrite, and checks that look at each row once: servers and
workers of 0014 go on. They know none of the options, and must send nothing without them. So the triggers of 0013 look
for the word `options` in the session's setting `noteflow_hooks.options` now, which those of this release have, and take
away from all others each claim of a delivery whose endpoint has an option that they don't know. It stays pending, for a
worker of this release. Migrate before the processes of this release start, since they read the columns.

Down: endpoints with such an option are paused, and named.
"""

from __future__ import annotations

from alembic import op

revision = "0015"
down_revision = "0014"
branch_labels = None
depends_on = None

_CONFIG = """
ALTER TABLE noteflow.webhook_configs
    ADD COLUMN filter text DEFAULT '' NOT NULL,
    ADD COLUMN format text DEFAULT 'noteflow' NOT NULL,
    ADD COLUMN batch_max integer DEFAULT 0 NOT NULL,
    ADD COLUMN batch_wait_ms integer DEFAULT 0 NOT NULL,
    ADD COLUMN batch_partial boolean DEFAULT false NOT NULL,
    ADD COLUMN ordering text DEFAULT 'none' NOT NULL,
    ADD COLUMN on_dead text DEFAULT 'skip' NOT NULL,
    ADD CONSTRAINT ck_webhook_configs_options CHECK (
        length(filter) <= 1024
        AND format IN ('noteflow', 'standard', 'cloudevents', 'cloudevents-binary', 'slack', 'discord', 'teams')
        AND (batch_max = 0 OR batch_max BETWEEN 2 AND 100) AND batch_wait_ms BETWEEN 0 AND 60000
        AND ordering IN ('none', 'per_meeting') AND on_dead IN ('skip', 'stop')
    )
"""
_OPTIONS = ("filter", "format", "batch_max", "batch_wait_ms", "batch_partial", "ordering", "on_dead")
_SKIP_REASON = """
ALTER TABLE noteflow.webhook_deliveries
    ADD COLUMN skip_reason text,
    ADD CONSTRAINT ck_webhook_deliveries_skip_reason CHECK (
        skip_reason IS NULL
        OR skip_reason IN ('disabled', 'not_subscribed', 'gone', 'deleted', 'filtered', 'filter_failed', 'given_up')
    )
"""
#: What 0013 knew and 0014 widened.
_SIGNED = "signing <> 'hmac' OR client_certificate IS NOT NULL OR server_ca IS NOT NULL"
_OPTIONAL = "filter <> '' OR format <> 'noteflow' OR batch_max <> 0 OR ordering <> 'none'"
#: For whoever knows signing and no more, the newer options alone count.
_UNKNOWN = f"""({_OPTIONAL})
        OR position('signing' IN coalesce(current_setting('noteflow_hooks.options', true), '')) = 0 AND ({_SIGNED})"""
_REFUSE = """
CREATE OR REPLACE FUNCTION noteflow.refuse_claim_without_signing() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF NOT EXISTS (SELECT FROM noteflow.webhook_configs WHERE id = NEW.webhook_id AND ({unknown})) THEN
        RETURN NEW;
    END IF;
    IF TG_OP = 'INSERT' THEN
        NEW.id := noteflow.ordered_id();
        NEW.status := 'pending';
        NEW.claim_no := 0;
        NEW.claimed_at := NULL;
        NEW.lease_expires_at := NULL;
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
_REFUSES = """
CREATE OR REPLACE TRIGGER refuse_{when}_without_signing BEFORE {event} ON noteflow.{table} FOR EACH ROW
    WHEN (NEW.status = 'sending' {changed}
          AND position('{word}' IN coalesce(current_setting('noteflow_hooks.options', true), '')) = 0)
    EXECUTE FUNCTION noteflow.refuse_claim_without_signing()
"""
_TABLES = ("delivery_queue", "webhook_deliveries")
_PAUSE = f"""
DO $do$
DECLARE
    own record;
BEGIN
    FOR own IN
        UPDATE noteflow.webhook_configs SET paused_at = coalesce(paused_at, now())
        WHERE ({_OPTIONAL}) AND deleted_at IS NULL
        RETURNING id, workspace_id
    LOOP
        RAISE WARNING 'webhook % of workspace % has a filter, a format, batches or an order: it is paused, since this'
            ' release would send without that', own.id, own.workspace_id;
    END LOOP;
END
$do$
"""  # noqa: S608 - put together from constants of this file


def upgrade() -> None:
    """Change the schema."""
    op.execute(_CONFIG)
    op.execute(_SKIP_REASON)
    op.execute(_REFUSE.format(unknown=_UNKNOWN))
    _look_for("options")


def downgrade() -> None:
    """Change it back."""
    op.execute(_PAUSE)
    _look_for("signing")
    op.execute(_REFUSE.format(unknown=_SIGNED))
    op.execute("ALTER TABLE noteflow.webhook_deliveries DROP COLUMN skip_reason")
    dropped = ", ".join(f"DROP COLUMN {name}" for name in _OPTIONS)
    op.execute(f"ALTER TABLE noteflow.webhook_configs DROP CONSTRAINT ck_webhook_configs_options, {dropped}")


def _look_for(word: str) -> None:
    """Have claims looked at of sessions that don't say this word."""
    changed = "AND NEW.claim_no IS DISTINCT FROM OLD.claim_no"
    for table in _TABLES:
        op.execute(_REFUSES.format(table=table, when="claim", event="UPDATE OF claim_no", changed=changed, word=word))
        op.execute(_REFUSES.format(table=table, when="claim_at_dispatch", event="INSERT", changed="", word=word))
