"""Where a preset's whole URL is stored: a credential, as ciphertext; the column ``url`` has what is shown of it.

Up adds a column and a check that looks at each row once. Presets there were none before: who knows the option knows the
column. An endpoint's deletion by a server of 0014 would leave its URL stored, so a trigger erases it; the check keeps
such a server from giving a preset another URL, which would be plain. Migrate before the processes of this release
start, since they read the column.

Down: presets are disabled, and named: their whole URLs are gone, and nothing may be posted to what is left of them.
"""

from __future__ import annotations

from alembic import op

revision = "0020"
down_revision = "0016"
branch_labels = None
depends_on = None

_COLUMN = """
ALTER TABLE noteflow.webhook_configs
    ADD COLUMN url_ciphertext bytea,
    ADD CONSTRAINT ck_webhook_configs_url_ciphertext CHECK (
        CASE WHEN format IN ('slack', 'discord', 'teams')
        THEN url ~ '/…$' AND (url_ciphertext IS NULL) = (deleted_at IS NOT NULL)
        ELSE url_ciphertext IS NULL END
    )
"""
_ERASE = """
CREATE FUNCTION noteflow.erase_preset_url() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    NEW.url_ciphertext := NULL;
    RETURN NEW;
END
$$
"""
_ERASES = """
CREATE TRIGGER erase_preset_url BEFORE UPDATE ON noteflow.webhook_configs FOR EACH ROW
    WHEN (NEW.deleted_at IS NOT NULL AND NEW.url_ciphertext IS NOT NULL)
    EXECUTE FUNCTION noteflow.erase_preset_url()
"""
_DISABLE = """
DO $do$
DECLARE
    own record;
BEGIN
    FOR own IN
        UPDATE noteflow.webhook_configs
        SET enabled = false, disabled_reason = 'The release that kept its URL was rolled back; give it a whole one'
        WHERE url_ciphertext IS NOT NULL
        RETURNING id, workspace_id, format
    LOOP
        RAISE WARNING 'webhook % of workspace % has format %: it is disabled, since its whole URL is gone',
            own.id, own.workspace_id, own.format;
    END LOOP;
END
$do$
"""


def upgrade() -> None:
    """Change the schema."""
    for statement in (_COLUMN, _ERASE, _ERASES):
        op.execute(statement)


def downgrade() -> None:
    """Change it back."""
    op.execute(_DISABLE)
    op.execute("DROP TRIGGER erase_preset_url ON noteflow.webhook_configs")
    op.execute("DROP FUNCTION noteflow.erase_preset_url()")
    op.execute(
        "ALTER TABLE noteflow.webhook_configs"
        " DROP CONSTRAINT ck_webhook_configs_url_ciphertext, DROP COLUMN url_ciphertext"
    )
