"""Client certificates and authorities of an endpoint's own, and a guard on what earlier releases may send.

Up adds columns without defaults and an index, and rewrites nothing: servers and workers of the release before go on.
They know no client certificates, and must send nothing without them. So what 0013 takes away from those that know no
key pairs is widened to endpoints that have a certificate or a ``server_ca``: their claims of such deliveries, which
stay pending for a worker of this release. And should anything else read such an endpoint, a trigger puts a guard on its
headers, where it has none, too: a release that knows no certificates takes that for headers that no key decrypts, and
sends nothing. The trigger puts the guard back whatever such a server writes, and erases certificates with an endpoint
that such a server deletes. Migrate before the processes of this release start, since they read the columns.

Down: endpoints with a client certificate or a ``server_ca`` are paused, and named; certificates and keys are gone.
Their guard stays, so that nothing goes out even where one resumes, until its headers are set anew. Nobody subscribes to
``webhook.certificate_expiring`` any more.
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0014"
down_revision = "0013"
branch_labels = None
depends_on = None

_FORMER = (
    "'meeting.completed', 'recording.started', 'recording.stopped', 'summary.generated', 'webhook.disabled',"
    " 'webhook.failing'"
)
_TYPES = (
    "'meeting.completed', 'recording.started', 'recording.stopped', 'summary.generated',"
    " 'webhook.certificate_expiring', 'webhook.disabled', 'webhook.failing'"
)
_IS_SUBSCRIPTION = """
CREATE OR REPLACE FUNCTION noteflow.is_subscription(events text[]) RETURNS boolean LANGUAGE sql IMMUTABLE AS $$
    SELECT coalesce(bool_and(coalesce(name IN ({types}) OR noteflow.is_custom_type(name), false)), true)
    FROM unnest(events) AS each (name)
$$
"""
#: 16 is the guard's bit in the first byte, which is the ciphertext's version.
_GUARD = """
CREATE FUNCTION noteflow.guard_options() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE
    has_options boolean;
BEGIN
    IF NEW.deleted_at IS NOT NULL THEN
        NEW.client_certificate := NULL;
        NEW.client_key := NULL;
        NEW.server_ca := NULL;
        NEW.certificate_info := NULL;
        NEW.certificate_warn_at := NULL;
    END IF;
    has_options := NEW.client_certificate IS NOT NULL OR NEW.server_ca IS NOT NULL;
    IF coalesce(length(NEW.headers), 0) = 0 OR NEW.headers = '\\x10' THEN
        NEW.headers := CASE WHEN has_options THEN '\\x10'::bytea END;
    ELSIF has_options THEN
        NEW.headers := set_byte(NEW.headers, 0, get_byte(NEW.headers, 0) | 16);
    ELSE
        NEW.headers := set_byte(NEW.headers, 0, get_byte(NEW.headers, 0) & 239);
    END IF;
    RETURN NEW;
END
$$
"""
_GUARDS = """
CREATE TRIGGER guard_options BEFORE INSERT OR UPDATE ON noteflow.webhook_configs FOR EACH ROW
    WHEN (NEW.client_certificate IS NOT NULL OR NEW.server_ca IS NOT NULL
          OR substring(NEW.headers FROM 1 FOR 1) IN ('\\x10', '\\x11', '\\x12'))
    EXECUTE FUNCTION noteflow.guard_options()
"""
#: What 0013 made, with one condition more. Who knows key pairs knows certificates: one release has both.
_REFUSE = """
CREATE OR REPLACE FUNCTION noteflow.refuse_claim_without_signing() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF NOT EXISTS (SELECT FROM noteflow.webhook_configs WHERE id = NEW.webhook_id AND ({has_option})) THEN
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
_KEYED = "signing <> 'hmac'"
_PAUSE = """
DO $do$
DECLARE
    own record;
BEGIN
    FOR own IN
        UPDATE noteflow.webhook_configs SET paused_at = coalesce(paused_at, now())
        WHERE client_certificate IS NOT NULL OR server_ca IS NOT NULL
        RETURNING id, workspace_id
    LOOP
        RAISE WARNING 'webhook % of workspace % has a certificate of its own: it is paused, and sends nothing until its'
            ' headers are set anew, since this release would send without it', own.id, own.workspace_id;
    END LOOP;
END
$do$
"""
_NO_SUBSCRIPTION = """
UPDATE noteflow.webhook_configs SET events = array_remove(events, 'webhook.certificate_expiring')
WHERE 'webhook.certificate_expiring' = ANY(events)
"""
_COLUMNS = (
    ("client_certificate", sa.LargeBinary()),
    ("client_key", sa.LargeBinary()),
    ("server_ca", sa.LargeBinary()),
    ("certificate_info", sa.Text()),
    ("certificate_warn_at", sa.DateTime(timezone=True)),
)
_CHECKS = {
    "ck_webhook_configs_deleted_certificates": (
        "deleted_at IS NULL OR (client_certificate IS NULL AND client_key IS NULL AND server_ca IS NULL)"
    ),
    "ck_webhook_configs_client_key": "(client_certificate IS NULL) = (client_key IS NULL)",
}


def upgrade() -> None:
    """Change the schema."""
    op.execute(_IS_SUBSCRIPTION.format(types=_TYPES))
    for name, kind in _COLUMNS:
        op.add_column("webhook_configs", sa.Column(name, kind, nullable=True), schema="noteflow")
    for name, condition in _CHECKS.items():
        op.create_check_constraint(op.f(name), "webhook_configs", condition, schema="noteflow")
    op.create_index(
        "ix_webhook_configs_certificate_warn_at",
        "webhook_configs",
        ["certificate_warn_at"],
        schema="noteflow",
        postgresql_where=sa.text("certificate_warn_at IS NOT NULL"),
    )
    op.execute(_GUARD)
    op.execute(_GUARDS)
    op.execute(_REFUSE.format(has_option=f"{_KEYED} OR client_certificate IS NOT NULL OR server_ca IS NOT NULL"))


def downgrade() -> None:
    """Change it back."""
    op.execute(_PAUSE)
    op.execute(_NO_SUBSCRIPTION)
    op.execute(_REFUSE.format(has_option=_KEYED))
    op.execute("DROP TRIGGER guard_options ON noteflow.webhook_configs")
    op.execute("DROP FUNCTION noteflow.guard_options()")
    op.drop_index("ix_webhook_configs_certificate_warn_at", table_name="webhook_configs", schema="noteflow")
    for name in _CHECKS:
        op.drop_constraint(op.f(name), "webhook_configs", schema="noteflow")
    for name, _ in reversed(_COLUMNS):
        op.drop_column("webhook_configs", name, schema="noteflow")
    op.execute(_IS_SUBSCRIPTION.format(types=_FORMER))
