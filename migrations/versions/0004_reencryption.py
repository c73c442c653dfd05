"""Endpoints whose secrets are re-encrypted keep their ``updated_at``: nobody has changed them.

Up and down replace the trigger's function, which locks no table and changes no row. Everything of 0003 goes on as it
did: only a transaction that asks for it, as `keys rotate` does, is passed by.
"""

from __future__ import annotations

from alembic import op

revision = "0004"
down_revision = "0003"
branch_labels = None
depends_on = None

SET_UPDATED_AT = """
CREATE OR REPLACE FUNCTION noteflow.set_updated_at() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    NEW.updated_at := now();
    RETURN NEW;
END
$$
"""
SET_UPDATED_AT_UNLESS_REENCRYPTED = """
CREATE OR REPLACE FUNCTION noteflow.set_updated_at() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    -- NULL where it was never set, and empty where an earlier transaction of the connection set it.
    IF current_setting('noteflow.reencrypting', true) IS DISTINCT FROM 'on' THEN
        NEW.updated_at := now();
    END IF;
    RETURN NEW;
END
$$
"""


def upgrade() -> None:
    """Change the schema."""
    op.execute(SET_UPDATED_AT_UNLESS_REENCRYPTED)


def downgrade() -> None:
    """Change it back."""
    op.execute(SET_UPDATED_AT)
