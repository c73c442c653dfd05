"""Which endpoints have yet to show that they want deliveries, where they are to move, and what they are asked.

Up adds columns without defaults, and an index that none of the rows is in: nothing is rewritten, and servers and
workers of the release before go on. An endpoint without any of it was never asked, and counts as verified: so do all
that exist. What is for an endpoint that is asked can't be claimed by workers that know nothing of it: to them it would
be an ordinary one, and they would send the event that asks with a mark in place of the challenge. So the function of
0013, which takes claims away from them, looks for these endpoints, too. An endpoint's deletion by a server of that
release leaves no challenge: a trigger erases it. Migrate before the processes of this release start, since they read
the columns.

Down: endpoints that were not verified are paused, and named: nothing would keep deliveries from them. Those that were
to move stay where they are, and no challenge is sent any more.
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0021"
down_revision = "0020"
branch_labels = None
depends_on = None

_COLUMNS = (
    ("unverified_since", sa.DateTime(timezone=True)),
    ("verified_at", sa.DateTime(timezone=True)),
    ("pending_url", sa.Text()),
    ("challenge", sa.LargeBinary()),
    ("challenge_event_id", sa.Uuid()),
    ("challenge_expires_at", sa.DateTime(timezone=True)),
)
_POSTABLE = r"{0} ~ '^https://[^/]' OR {0} ~ '^http://(localhost|127\.0\.0\.1|\[::1\])([:/?]|$)'"
_CHECKS = {
    "ck_webhook_configs_pending_url": _POSTABLE.format("pending_url"),
    "ck_webhook_configs_deleted_challenge": "deleted_at IS NULL OR (challenge IS NULL AND pending_url IS NULL)",
    "ck_webhook_configs_challenge": "num_nulls(challenge, challenge_event_id, challenge_expires_at) IN (0, 3)",
}
_AWAITED = "unverified_since IS NOT NULL OR pending_url IS NOT NULL"
_ERASE = """
CREATE FUNCTION noteflow.erase_challenge() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    NEW.pending_url := NULL;
    NEW.challenge := NULL;
    NEW.challenge_event_id := NULL;
    NEW.challenge_expires_at := NULL;
    RETURN NEW;
END
$$
"""
_ERASES = """
CREATE TRIGGER erase_challenge BEFORE UPDATE ON noteflow.webhook_configs FOR EACH ROW
    WHEN (NEW.deleted_at IS NOT NULL AND (NEW.challenge IS NOT NULL OR NEW.pending_url IS NOT NULL))
    EXECUTE FUNCTION noteflow.erase_challenge()
"""
#: What 0015 looks for.
_SIGNED = "signing <> 'hmac' OR client_certificate IS NOT NULL OR server_ca IS NOT NULL"
_UNKNOWN = f"""filter <> '' OR format <> 'noteflow' OR batch_max <> 0 OR ordering <> 'none'
        OR position('signing' IN coalesce(current_setting('noteflow_hooks.options', true), '')) = 0 AND ({_SIGNED})"""
_ASKED = "unverified_since IS NOT NULL OR challenge IS NOT NULL"
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
_PAUSE = """
DO $do$
DECLARE
    own record;
BEGIN
    FOR own IN
        UPDATE noteflow.webhook_configs SET paused_at = coalesce(paused_at, now())
        WHERE unverified_since IS NOT NULL AND deleted_at IS NULL
        RETURNING id, workspace_id
    LOOP
        RAISE WARNING 'webhook % of workspace % is not verified: it is paused, since this release would send to it',
            own.id, own.workspace_id;
    END LOOP;
END
$do$
"""
#: The sweep files what is settled here.
_SKIP_CHALLENGES = """
UPDATE noteflow.delivery_queue
SET status = 'skipped', error_message = 'This release asks no endpoint', next_attempt_at = NULL, held = false,
    forced = false
WHERE event_type = 'webhook.verification' AND status = 'pending'
"""
_CLOSE_CHALLENGES = """
UPDATE noteflow.webhook_events SET dispatched_at = now()
WHERE event_type = 'webhook.verification' AND dispatched_at IS NULL
"""


def upgrade() -> None:
    """Change the schema."""
    for name, kind in _COLUMNS:
        op.add_column("webhook_configs", sa.Column(name, kind, nullable=True), schema="noteflow")
    for name, condition in _CHECKS.items():
        op.create_check_constraint(op.f(name), "webhook_configs", condition, schema="noteflow")
    op.create_index(
        "ix_webhook_configs_awaited",
        "webhook_configs",
        ["workspace_id"],
        schema="noteflow",
        postgresql_where=sa.text(_AWAITED),
    )
    for statement in (_ERASE, _ERASES, _REFUSE.format(unknown=f"{_UNKNOWN} OR {_ASKED}")):
        op.execute(statement)


def downgrade() -> None:
    """Change it back."""
    for statement in (_PAUSE, _SKIP_CHALLENGES, _CLOSE_CHALLENGES, _REFUSE.format(unknown=_UNKNOWN)):
        op.execute(statement)
    op.execute("DROP TRIGGER erase_challenge ON noteflow.webhook_configs")
    op.execute("DROP FUNCTION noteflow.erase_challenge()")
    op.drop_index("ix_webhook_configs_awaited", table_name="webhook_configs", schema="noteflow")
    for name in _CHECKS:
        op.drop_constraint(op.f(name), "webhook_configs", schema="noteflow")
    for name, _ in reversed(_COLUMNS):
        op.drop_column("webhook_configs", name, schema="noteflow")
