"""Migration 0022 on a system that is running: what was begun in a format is ended in it, by who knows of formats."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from typing import TYPE_CHECKING, Any, Final
from uuid import uuid4

import psycopg
import pytest

from noteflow_hooks import bootstrap
from noteflow_hooks.crypto import SecretBox, generate_key, parse_keys
from noteflow_hooks.domain.deliveries import Settlement
from noteflow_hooks.domain.options import NO_OPTIONS, EndpointOptions, Format
from noteflow_hooks.persistence.sql.delivery.store import SqlAlchemyDeliveryStore
from noteflow_hooks.persistence.sql.engine import create_engine
from noteflow_hooks.persistence.sql.unit_of_work import SqlAlchemyUnitOfWork
from tests.integration.test_migration_event_types import OURS, Database
from tests.support.builders import EXACT, a_failure, a_webhook, a_workspace, an_event

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from sqlalchemy.engine import Engine

    from noteflow_hooks.domain.deliveries import Claim

BOX: Final = SecretBox(parse_keys(generate_key()))
SLACK: Final = timedelta(seconds=10)


@pytest.fixture
def database(postgres: Any) -> Iterator[Database]:  # noqa: ANN401 - the embedded server
    name, server = f"renderings_{uuid4().hex}", postgres.url.replace("+psycopg", "")
    with psycopg.connect(server, autocommit=True) as connection:
        connection.execute(f"CREATE DATABASE {name}")
        url = postgres.url.replace("@/noteflow", f"@/{name}")
        with psycopg.connect(url.replace("+psycopg", ""), autocommit=True) as inside:
            yield Database(url, inside)
        connection.execute(f"DROP DATABASE {name} WITH (FORCE)")


@pytest.fixture
def store_of(clean_database: str) -> Iterator[Callable[[str], SqlAlchemyDeliveryStore]]:
    """Return what makes a worker's store whose release knows these words."""
    made: list[Engine] = []

    def store(words: str) -> SqlAlchemyDeliveryStore:
        made.append(create_engine(f"{clean_database}&options=-c%20noteflow_hooks.options%3D{words}"))
        return SqlAlchemyDeliveryStore(made[-1], BOX)

    yield store
    for each in made:
        each.dispose()


def begun(url: str, store: SqlAlchemyDeliveryStore) -> Claim:
    """Fail a first attempt in a format, and then take the format away; the delivery is due again."""
    engine = create_engine(url)
    with SqlAlchemyUnitOfWork(engine, BOX) as unit:
        workspace = unit.access.create_workspace(a_workspace())
        options = EndpointOptions(format=Format.CLOUDEVENTS)
        webhook = unit.webhooks.create(a_webhook(workspace_id=workspace.id, options=options))
        event = unit.events.append(an_event(workspace_id=workspace.id))
        unit.commit()
    [claim] = store.dispatch([event.id], limit=9, claim=9, lease_slack=SLACK).claims
    after, _ = claim.delivery.attempted(a_failure(), max_retries=3, policy=EXACT, draw=0)
    store.settle([Settlement(after, wait=timedelta(0), attempt=a_failure())])
    with SqlAlchemyUnitOfWork(engine, BOX) as unit:
        unit.webhooks.update(replace(webhook, options=NO_OPTIONS))
        unit.commit()
    engine.dispose()
    return claim


def claimed(store: SqlAlchemyDeliveryStore) -> list[str | None]:
    """Claim in both ways in which a retry is; return by what each is rendered."""
    found = [
        *store.claim([], limit=9, lease_slack=SLACK),
        *store.claim_throttled(limit=9, slow=False, lease_slack=SLACK),
    ]
    return [each.delivery.rendering for each in found]


def test_what_was_begun_in_a_format_waits_for_who_knows_it(
    clean_database: str, store_of: Callable[[str], SqlAlchemyDeliveryStore]
) -> None:
    """Though its endpoint has none any more: the release before would send the payload alone."""
    former, present = store_of("signing"), store_of("signing,options")
    begun(clean_database, present)
    assert claimed(former) == []
    with psycopg.connect(clean_database.replace("+psycopg", ""), autocommit=True) as connection:
        row = connection.execute("SELECT status, claim_no, attempt_count FROM noteflow.delivery_queue").fetchone()
        assert row == ("pending", 1, 1)
        # The former release's claims may have taken the slot that nobody used.
        connection.execute("UPDATE noteflow.webhook_health SET turn_at = now()")
    assert claimed(present) == ["cloudevents/1/1"]


def test_deliveries_that_were_there_are_the_usual(database: Database) -> None:
    """Nothing is rewritten, and a retry of theirs is what the first attempt was."""
    database.up("0021")
    key = database.webhook(OURS)
    database.connection.execute(
        "INSERT INTO noteflow.delivery_queue (workspace_id, webhook_id, event_id, event_type, next_attempt_at)"
        " SELECT workspace_id, id, gen_random_uuid(), 'meeting.completed', now() FROM noteflow.webhook_configs"
    )
    database.up("0022")
    assert database.read("format", key) == ("noteflow",)
    assert database.connection.execute("SELECT rendering FROM noteflow.delivery_queue").fetchall() == [(None,)]


def test_on_the_way_down_who_has_such_deliveries_is_paused(database: Database) -> None:
    """The release before would go on with other bytes; what is settled counts no more."""
    database.up("0022")
    waiting, settled, plain = (database.webhook(OURS) for _ in range(3))
    for key, used in ((waiting, 1), (plain, 0)):
        database.connection.execute(
            "INSERT INTO noteflow.delivery_queue (workspace_id, webhook_id, event_id, event_type, next_attempt_at,"
            " rendering, budget_used) SELECT workspace_id, id, gen_random_uuid(), 'meeting.completed', now(),"
            " CASE %s WHEN 1 THEN 'cloudevents/1/1' END, %s FROM noteflow.webhook_configs WHERE id = %s",
            [used, used, key],
        )
    database.connection.execute(
        "INSERT INTO noteflow.webhook_deliveries (workspace_id, webhook_id, event_id, event_type, status, rendering)"
        " SELECT workspace_id, id, gen_random_uuid(), 'meeting.completed', 'dead', 'cloudevents/1/1'"
        " FROM noteflow.webhook_configs WHERE id = %s",
        [settled],
    )
    database.down("0021")
    assert database.read("paused_at IS NOT NULL", waiting) == (True,)
    assert database.read("paused_at", settled) == database.read("paused_at", plain) == (None,)
    database.up("head")


def test_on_the_way_down_who_has_an_option_is_paused_and_named_and_what_was_blocked_is_due(database: Database) -> None:
    """The release before would send without filter, format, batches and order; an endpoint without any goes on."""
    database.up("0024")
    options: list[dict[str, Any]] = [
        {"filter": "true"},
        {"format": "standard"},
        {"batch_max": 2},
        {"ordering": "per_meeting"},
    ]
    optional = [database.webhook(OURS, **each) for each in options]
    plain = database.webhook(OURS, batch_wait_ms=5, on_dead="stop")
    database.connection.execute(
        "INSERT INTO noteflow.delivery_queue (workspace_id, webhook_id, event_id, event_type, held, next_attempt_at)"
        " SELECT workspace_id, id, gen_random_uuid(), 'meeting.completed', true, now() + interval '8766000 hours'"
        " FROM noteflow.webhook_configs WHERE ordering <> 'none'"
    )
    said: list[str] = []
    database.connection.add_notice_handler(lambda notice: said.append(str(notice.message_primary)))
    script = next(each for each in bootstrap.migrations_folder().glob("versions/0015*"))
    names: dict[str, Any] = {}
    exec(compile(script.read_text("utf-8"), str(script), "exec"), names)  # noqa: S102 - the migration itself
    with database.connection.transaction(force_rollback=True):
        database.connection.execute(names["_PAUSE"])
    told = "webhook {0} of workspace {0} has a filter, a format, batches or an order: it is paused"
    assert len(said) == len(optional)
    assert all(any(told.format(key) in each for each in said) for key in optional)
    database.down("0014")
    assert [database.read("paused_at IS NOT NULL", key)[0] for key in (*optional, plain)] == [True] * 4 + [False]
    due = "SELECT count(*) FROM noteflow.delivery_queue WHERE next_attempt_at <= now()"
    assert database.connection.execute(due).fetchone() == (1,)
