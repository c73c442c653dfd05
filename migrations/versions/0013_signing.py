"""What signs each endpoint's requests, and its key pairs.

Up adds two columns, which costs no rewrite, and a check that looks at each endpoint once: servers and workers of 0012
go on. They know nothing of key pairs, and so may not send to an endpoint that signs with one: triggers on deliveries
look at the session's setting `noteflow_hooks.options`, which those of this release have, and take each claim of such a
delivery away from those that have not. It stays pending, for a worker of this release. An endpoint's deletion by such
a server would leave its private keys stored, so a trigger erases them. Migrate before the processes of this release
start, since they read the columns.

Down: endpoints that sign with a key pair are paused, and named: a worker of 0012 would send to them without it. The
keys go, and their public keys are of no more use.
"""

from __future__ import annotations

from alembic import op

revision = "0013"
down_revision = "0012"
branch_labels = None
depends_on = None

_ERASE = """
CREATE FUNCTION noteflow.erase_signing_keys() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    NEW.signing_keys := NULL;
    RETURN NEW;
END
$$
"""
_ERASES = """
CREATE TRIGGER erase_signing_keys BEFORE UPDATE ON noteflow.webhook_configs FOR EACH ROW
    WHEN (NEW.deleted_at IS NOT NULL AND NEW.signing_keys IS NOT NULL)
    EXECUTE FUNCTION noteflow.erase_signing_keys()
"""
#: A delivery that is claimed as it is made is made again, unclaimed and under another id: whoever claimed it finds its
#: own id nowhere.
_REFUSE = """
CREATE FUNCTION noteflow.refuse_claim_without_signing() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF NOT EXISTS (SELECT FROM noteflow.webhook_configs WHERE id = NEW.webhook_id AND signing <> 'hmac') THEN
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
#: Where deliveries are claimed; workers of 0009 do so in the second one, too.
_TABLES = ("delivery_queue", "webhook_deliveries")
#: For who knows the option, neither function is called.
_REFUSES = """
CREATE TRIGGER refuse_{when}_without_signing BEFORE {event} ON noteflow.{table} FOR EACH ROW
    WHEN (NEW.status = 'sending' {changed}
          AND position('signing' IN coalesce(current_setting('noteflow_hooks.options', true), '')) = 0)
    EXECUTE FUNCTION noteflow.refuse_claim_without_signing()
"""
_PAUSE = """
DO $do$
DECLARE
    keyed record;
BEGIN
    FOR keyed IN
        UPDATE noteflow.webhook_configs SET paused_at = coalesce(paused_at, now())
        WHERE signing <> 'hmac' AND deleted_at IS NULL
        RETURNING id, workspace_id, signing
    LOOP
        RAISE WARNING 'webhook % of workspace % has signing %: it is paused, since this release would not sign so',
            keyed.id, keyed.workspace_id, keyed.signing;
    END LOOP;
END
$do$
"""


def upgrade() -> None:
    """Change the schema."""
    op.execute(
        "ALTER TABLE noteflow.webhook_configs ADD COLUMN signing text DEFAULT 'hmac' NOT NULL"
        " CONSTRAINT ck_webhook_configs_signing CHECK (signing IN ('hmac', 'ed25519', 'both')),"
        " ADD COLUMN signing_keys bytea,"
        " ADD CONSTRAINT ck_webhook_configs_deleted_keys CHECK (deleted_at IS NULL OR signing_keys IS NULL)"
    )
    for statement in (_ERASE, _ERASES, _REFUSE):
        op.execute(statement)
    changed = "AND NEW.claim_no IS DISTINCT FROM OLD.claim_no"
    for table in _TABLES:
        op.execute(_REFUSES.format(table=table, when="claim", event="UPDATE OF claim_no", changed=changed))
        op.execute(_REFUSES.format(table=table, when="claim_at_dispatch", event="INSERT", changed=""))


def downgrade() -> None:
    """Change it back."""
    op.execute(_PAUSE)
    for table in _TABLES:
        for name in ("claim", "claim_at_dispatch"):
            op.execute(f"DROP TRIGGER refuse_{name}_without_signing ON noteflow.{table}")
    op.execute("DROP FUNCTION noteflow.refuse_claim_without_signing()")
    op.execute("DROP TRIGGER erase_signing_keys ON noteflow.webhook_configs")
    op.execute("DROP FUNCTION noteflow.erase_signing_keys()")
    op.execute(
        "ALTER TABLE noteflow.webhook_configs DROP CONSTRAINT ck_webhook_configs_deleted_keys,"
        " DROP COLUMN signing_keys, DROP COLUMN signing"
    )
