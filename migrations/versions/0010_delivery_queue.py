"""Deliveries that wait or are under way stand in a small table of their own, and are written twice in place of thrice.

`delivery_queue` inherits from `webhook_deliveries`: whoever reads or changes `webhook_deliveries` has the rows of both,
and what that table holds itself is the settled deliveries. Workers of this release dispatch into the queue, and
settling moves a row on. Those of 0009 go on with the same names: what they dispatch waits in `webhook_deliveries`
itself, and what they settle stays in the queue; the sweep of this release moves both to where they belong. All of them
lock the rows that they take, so no delivery is claimed by both.

Up, step by step: foreign keys of deliveries, attempts and redeliveries go, since each cost a check for each row, and
none of them can name a row of either of two tables; triggers on what is deleted take their place. That waits for the
tables' locks, and rewrites nothing. The index of events' targets is made anew without the many that have none, which
takes seconds for a million. Nothing is moved: the sweep does that with what waits.

Down: the queue's rows go back, whatever names a row that is gone goes, and the keys look at each row.
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0010"
down_revision = "0009"
branch_labels = None
depends_on = None

#: A column, by table, and the table whose row it names.
_KEYS = (
    ("webhook_deliveries", "workspace_id", "workspaces"),
    ("webhook_deliveries", "webhook_id", "webhook_configs"),
    ("webhook_deliveries", "event_id", "webhook_events"),
    ("webhook_attempts", "delivery_id", "webhook_deliveries"),
    ("webhook_redeliveries", "delivery_id", "webhook_deliveries"),
)
#: A worker may just be moving a row from one table to the other: the first statement waits for it, and the second one
#: sees where it went.
_REMOVE_DELIVERIES = """
CREATE FUNCTION noteflow.remove_deliveries() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE
    gone uuid[] := ARRAY(SELECT id FROM removed);
BEGIN
    FOR time IN 1..2 LOOP
        IF TG_TABLE_NAME = 'webhook_events' THEN
            DELETE FROM noteflow.webhook_deliveries WHERE event_id = ANY(gone);
        ELSE
            DELETE FROM noteflow.webhook_deliveries WHERE webhook_id = ANY(gone);
        END IF;
    END LOOP;
    RETURN NULL;
END
$$
"""
#: A row that was only moved is there when this runs, at the end of the statement that moved it.
_REMOVE_ATTEMPTS = """
CREATE FUNCTION noteflow.remove_attempts() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE
    gone uuid[] := ARRAY(
        SELECT id FROM removed
        WHERE NOT EXISTS (SELECT FROM noteflow.webhook_deliveries AS delivery WHERE delivery.id = removed.id)
    );
BEGIN
    DELETE FROM noteflow.webhook_attempts WHERE delivery_id = ANY(gone);
    DELETE FROM noteflow.webhook_redeliveries WHERE delivery_id = ANY(gone);
    RETURN NULL;
END
$$
"""
_TRIGGERS = (
    ("webhook_events", "remove_deliveries"),
    ("webhook_configs", "remove_deliveries"),
    ("webhook_deliveries", "remove_attempts"),
)
#: From 18 on PostgreSQL makes such ids itself, in two thirds of the time.
_ORDERED_ID = """
DO $do$
BEGIN
    IF current_setting('server_version_num')::int >= 180000 THEN
        CREATE OR REPLACE FUNCTION noteflow.ordered_id() RETURNS uuid LANGUAGE sql VOLATILE AS 'SELECT uuidv7()';
    END IF;
END
$do$
"""
#: As 0006 made it.
_ORDERED_ID_BEFORE = """
CREATE OR REPLACE FUNCTION noteflow.ordered_id() RETURNS uuid LANGUAGE sql VOLATILE AS $$
    SELECT encode(set_bit(set_bit(overlay(
        uuid_send(gen_random_uuid())
        PLACING substring(int8send((extract(epoch FROM clock_timestamp()) * 1000)::bigint) FROM 3)
        FROM 1 FOR 6
    ), 52, 1), 53, 1), 'hex')::uuid
$$
"""


def upgrade() -> None:
    """Change the schema."""
    for table, column, _ in _KEYS:
        op.drop_constraint(op.f(f"fk_{table}_{column}"), table, schema="noteflow", type_="foreignkey")
    for function in (_REMOVE_DELIVERIES, _REMOVE_ATTEMPTS, _ORDERED_ID):
        op.execute(function)
    for table, name in _TRIGGERS:
        op.execute(
            f"CREATE TRIGGER {name} AFTER DELETE ON noteflow.{table} REFERENCING OLD TABLE AS removed"
            f" FOR EACH STATEMENT EXECUTE FUNCTION noteflow.{name}()"
        )
    _create_queue()
    _index_targets(condition="target_webhook_id IS NOT NULL")


def downgrade() -> None:
    """Change it back."""
    _index_targets(condition=None)
    # Attempts would go with them.
    for table, name in _TRIGGERS:
        op.execute(f"DROP TRIGGER {name} ON noteflow.{table}")
    op.execute("ALTER TABLE noteflow.delivery_queue NO INHERIT noteflow.webhook_deliveries")
    op.execute("INSERT INTO noteflow.webhook_deliveries SELECT * FROM noteflow.delivery_queue ON CONFLICT DO NOTHING")
    op.drop_table("delivery_queue", schema="noteflow")
    op.execute("DROP FUNCTION noteflow.remove_deliveries(), noteflow.remove_attempts()")
    op.execute(_ORDERED_ID_BEFORE)
    for table, column, target in _KEYS:
        op.execute(
            f"DELETE FROM noteflow.{table} AS own"  # noqa: S608 - put together from our own names
            f" WHERE NOT EXISTS (SELECT FROM noteflow.{target} AS target WHERE target.id = own.{column})"
        )
        name = op.f(f"fk_{table}_{column}")
        op.create_foreign_key(
            name,
            table,
            target,
            [column],
            ["id"],
            ondelete="CASCADE",
            source_schema="noteflow",
            referent_schema="noteflow",
        )


def _create_queue() -> None:
    """Make the table as its parent is, with the indexes that what waits needs."""
    op.execute("CREATE TABLE noteflow.delivery_queue () INHERITS (noteflow.webhook_deliveries)")
    op.create_primary_key(op.f("pk_delivery_queue"), "delivery_queue", ["id"], schema="noteflow")
    op.create_unique_constraint(
        op.f("uq_delivery_queue_event_id_webhook_id"), "delivery_queue", ["event_id", "webhook_id"], schema="noteflow"
    )
    for name, columns, condition in (
        ("due", "next_attempt_at", "status = 'pending' AND NOT held"),
        ("waiting", "held, webhook_id, next_attempt_at", "status = 'pending'"),
        ("sending", "webhook_id", "status = 'sending'"),
        ("settled", "id", "status IN ('dead', 'skipped', 'succeeded')"),
        ("workspace_id_created_at_id", "workspace_id, created_at DESC, id DESC", "true"),
        ("webhook_id_created_at_id", "webhook_id, created_at DESC, id DESC", "true"),
    ):
        where = f" WHERE {condition}" if condition != "true" else ""
        op.execute(f"CREATE INDEX ix_delivery_queue_{name} ON noteflow.delivery_queue ({columns}){where}")


def _index_targets(*, condition: str | None) -> None:
    name, table = op.f("ix_webhook_events_target_webhook_id"), "webhook_events"
    op.drop_index(name, table, schema="noteflow")
    where = sa.text(condition) if condition is not None else None
    op.create_index(name, table, ["target_webhook_id"], schema="noteflow", postgresql_where=where)
