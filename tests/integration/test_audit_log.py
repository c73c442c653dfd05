"""The table of the audit trail, in PostgreSQL: it takes rows, and lets go of old ones through one function alone."""

from __future__ import annotations

import json
import re
import threading
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final
from uuid import UUID, uuid4

import psycopg
import pytest
from psycopg.errors import InsufficientPrivilege

from noteflow_hooks.application.endpoints import EndpointRules, change_webhook
from noteflow_hooks.application.webhooks import WebhookService
from noteflow_hooks.crypto import SecretBox
from noteflow_hooks.domain.audit.entries import Action
from noteflow_hooks.domain.deliveries import Settlement
from noteflow_hooks.domain.health.state import HealthRules
from noteflow_hooks.domain.paging import Position
from noteflow_hooks.maintenance.retention import Periods, RetentionService
from noteflow_hooks.persistence.sql.delivery.store import SqlAlchemyDeliveryStore
from noteflow_hooks.persistence.sql.engine import create_engine
from noteflow_hooks.persistence.sql.maintenance.retention import SqlAlchemyRetentionStore
from noteflow_hooks.persistence.sql.unit_of_work import SqlAlchemyUnitOfWork
from tests.support.builders import BY, EXACT, NOON, a_failure, a_webhook, a_workspace, an_entry, an_event
from tests.support.waiting import PATIENCE_S, until

if TYPE_CHECKING:
    from collections.abc import Iterator

    from sqlalchemy.engine import Engine

    from noteflow_hooks.domain.access import Workspace
    from noteflow_hooks.domain.audit.entries import AuditEntry

#: What must be refused, whoever asks.
CHANGES: Final = (
    "UPDATE noteflow.audit_log SET actor = 'somebody else'",
    "UPDATE noteflow.audit_log SET at = now() - interval '10 years'",
    "DELETE FROM noteflow.audit_log",
    "TRUNCATE noteflow.audit_log",
    "INSERT INTO noteflow.audit_log SELECT * FROM noteflow.audit_log ON CONFLICT (id) DO UPDATE SET actor = ''",
    "MERGE INTO noteflow.audit_log AS kept USING noteflow.audit_log AS o ON o.id = kept.id WHEN MATCHED THEN DELETE",
    # What retention's function sets, set by hand.
    "SET noteflow.audit_age = '0 s'; DELETE FROM noteflow.audit_log",
    "SET noteflow.audit_age = '0 s'; UPDATE noteflow.audit_log SET actor = ''",
)
BOX: Final = SecretBox([bytes(32)])
SLACK: Final = timedelta(seconds=10)
_PURGE: Final = "SELECT removed FROM noteflow.purge_audit_log(%s, %s)"


@pytest.fixture
def owner(clean_database: str) -> Iterator[psycopg.Connection]:
    """A superuser's connection, to a trail with one entry from a year and a day ago and one from now."""
    with psycopg.connect(clean_database.replace("+psycopg", ""), autocommit=True) as connection:
        for days in (366, 0):
            connection.execute(
                "INSERT INTO noteflow.audit_log (at, workspace_id, actor_kind, actor, action, target_kind, target_id)"
                " VALUES (now() - make_interval(days => %s), %s, 'cli', 'ada', 'keys.rotated', 'keys', 'k')",
                (days, uuid4()),
            )
        yield connection


@pytest.fixture
def application(owner: psycopg.Connection) -> Iterator[psycopg.Connection]:
    """A connection of a role that owns nothing and may do anything with all tables."""
    role = f"application_{uuid4().hex}"
    for statement in (
        f"CREATE ROLE {role} LOGIN",
        f"GRANT USAGE ON SCHEMA noteflow TO {role}",
        f"GRANT ALL ON ALL TABLES IN SCHEMA noteflow TO {role}",
    ):
        owner.execute(statement)
    info = owner.info
    with psycopg.connect(host=info.host, port=info.port, dbname=info.dbname, user=role, autocommit=True) as connection:
        yield connection
    owner.execute(f"DROP OWNED BY {role}")
    owner.execute(f"DROP ROLE {role}")


def _rows(connection: psycopg.Connection) -> list[Any]:
    return connection.execute("SELECT * FROM noteflow.audit_log ORDER BY at").fetchall()


@pytest.mark.parametrize("statement", CHANGES)
@pytest.mark.parametrize("who", ["owner", "application"])
def test_nobody_changes_or_removes_an_entry(
    owner: psycopg.Connection, application: psycopg.Connection, who: str, statement: str
) -> None:
    """Neither the application's role nor a superuser, however old the entry is."""
    before = _rows(owner)
    with pytest.raises(InsufficientPrivilege, match="audit_log keeps its rows"):
        {"owner": owner, "application": application}[who].execute(statement)
    assert (_rows(owner), len(before)) == (before, 2)


def test_retention_s_function_removes_what_is_old_and_nothing_else(owner: psycopg.Connection) -> None:
    """So many at once; and what it has set is not left for the statements behind it."""
    year = timedelta(days=365)
    assert owner.execute(_PURGE, (timedelta(days=367), 10)).fetchall() == [(0,)]
    with owner.transaction():
        assert owner.execute(_PURGE, (year, 10)).fetchall() == [(1,)]
        assert len(_rows(owner)) == 1
        assert owner.execute("SELECT current_setting('noteflow.audit_age')").fetchall() == [("",)]
        with pytest.raises(InsufficientPrivilege), owner.transaction():
            owner.execute("DELETE FROM noteflow.audit_log")
    assert owner.execute(_PURGE, (year, 10)).fetchall() == [(0,)]
    assert len(_rows(owner)) == 1


def _purge_without_a_look(owner: psycopg.Connection) -> None:
    """Put a function into retention's place that removes everything, and call it for what is older than a year."""
    owner.execute(
        "CREATE OR REPLACE FUNCTION noteflow.purge_audit_log("
        " age interval, most integer, OUT removed bigint, OUT moment timestamptz, OUT id uuid"
        ") LANGUAGE plpgsql SET search_path = pg_catalog AS $$ BEGIN"
        " PERFORM set_config('noteflow.audit_age', age::text, true); DELETE FROM noteflow.audit_log; END $$"
    )
    owner.execute(_PURGE, (timedelta(days=365), 10))


def test_a_function_that_forgets_the_age_is_refused_what_is_young(owner: psycopg.Connection) -> None:
    """The trigger looks at each row itself: even in the function's place, a year is a year."""
    with pytest.raises(InsufficientPrivilege, match="audit_log keeps its rows"), owner.transaction():
        _purge_without_a_look(owner)
    assert len(_rows(owner)) == 2


def test_only_whom_it_is_granted_may_call_it(owner: psycopg.Connection, application: psycopg.Connection) -> None:
    """With that alone, and no right to delete, a role of the programs' own removes what is old."""
    [(role,)] = application.execute("SELECT current_user").fetchall()
    with pytest.raises(InsufficientPrivilege, match="permission denied"):
        application.execute(_PURGE, (timedelta(days=365), 10))
    owner.execute(f"GRANT EXECUTE ON FUNCTION noteflow.purge_audit_log(interval, integer) TO {role}")
    owner.execute(f"REVOKE UPDATE, DELETE, TRUNCATE ON noteflow.audit_log FROM {role}")
    assert application.execute(_PURGE, (timedelta(days=365), 10)).fetchall() == [(1,)]


def test_programs_of_a_role_that_owns_nothing_go_on(owner: psycopg.Connection, application: psycopg.Connection) -> None:
    """With the rights that the page names, endpoints are registered, deliveries made, and what is old is removed."""
    [(role,)] = application.execute("SELECT current_user").fetchall()
    owner.execute(f"REVOKE ALL ON ALL TABLES IN SCHEMA noteflow FROM {role}")
    for statement in _grants():
        owner.execute(statement.replace("hooks", role))
    info = application.info
    url = f"postgresql+psycopg://{role}@/{info.dbname}?host={info.host}&port={info.port}"
    engine = create_engine(url, connections=2, wait_s=PATIENCE_S)
    try:
        workspace, store = _workspace(engine), SqlAlchemyDeliveryStore(engine, BOX, HealthRules(breaker_failures=1))
        service = WebhookService(lambda: _unit(engine), lambda _: None)
        webhook = service.register_webhook(a_webhook(workspace_id=workspace.id))
        with _unit(engine) as unit:
            event = unit.events.append(an_event(workspace_id=workspace.id))
            unit.commit()
        for claim in store.claim(store.dispatch([event.id], limit=9).delivery_ids, limit=9, lease_slack=SLACK):
            after, _ = claim.delivery.attempted(a_failure(), max_retries=1, policy=EXACT, draw=0.5)
            store.settle([Settlement(after, attempt=a_failure())])
        assert service.unregister_webhook(webhook.id)
        assert "1 audit entries" in str(RetentionService(SqlAlchemyRetentionStore(engine), Periods()).purge())
        with _unit(engine) as unit:
            entries = unit.audit.list_page(workspace.id, limit=9)
    finally:
        engine.dispose()
    assert [(each.action, each.actor) for each in reversed(entries)] == [
        ("webhook.registered", "program"),
        ("webhook.breaker_opened", "worker"),
        ("webhook.deleted", "program"),
    ]


def _grants() -> list[str]:
    """Return the statements that the page tells to whoever wants two roles."""
    page = (Path(__file__).parents[2] / "docs" / "audit.md").read_text("utf-8")
    found = re.findall(r"^(?:GRANT|REVOKE) .*;$", page, re.MULTILINE)
    assert len(found) == 4
    return found


def test_another_function_of_that_name_is_not_retention_s(owner: psycopg.Connection) -> None:
    """The schema counts, and so do the kinds of its arguments."""
    body = "BEGIN PERFORM set_config('noteflow.audit_age', age::text, true); DELETE FROM noteflow.audit_log; END"
    for name in ("public.purge_audit_log(age interval, most integer)", "noteflow.purge_audit_log(age interval)"):
        owner.execute(f"CREATE FUNCTION {name} RETURNS void LANGUAGE plpgsql AS $$ {body} $$")
    try:
        for call in ("public.purge_audit_log('0 s', 1)", "noteflow.purge_audit_log('0 s')"):
            with pytest.raises(InsufficientPrivilege, match="audit_log keeps its rows"):
                owner.execute(f"SET search_path = public; SELECT {call}")
    finally:
        owner.execute("DROP FUNCTION public.purge_audit_log(interval, integer)")
        owner.execute("DROP FUNCTION noteflow.purge_audit_log(interval)")
    assert len(_rows(owner)) == 2


def test_an_age_that_is_given_by_hand_lets_nothing_go_that_is_young(owner: psycopg.Connection) -> None:
    """Called for what is older than a year, it passes by what is younger, whatever was set before."""
    owner.execute("SET noteflow.audit_age = '0 s'")
    assert owner.execute(_PURGE, (timedelta(days=365), 10)).fetchall() == [(1,)]
    with pytest.raises(InsufficientPrivilege):
        owner.execute("DELETE FROM noteflow.audit_log")


@pytest.fixture
def engine(clean_database: str) -> Iterator[Engine]:
    """An engine for as many units at once as a test has."""
    made = create_engine(clean_database, connections=8, wait_s=PATIENCE_S)
    yield made
    made.dispose()


def _unit(engine: Engine) -> SqlAlchemyUnitOfWork:
    return SqlAlchemyUnitOfWork(engine, BOX)


def test_two_purges_at_once_remove_each_entry_once(engine: Engine) -> None:
    """Neither waits for what the other is about to remove."""
    workspace = _workspace(engine)
    with _unit(engine) as unit:
        for _ in range(40):
            unit.audit.add(an_entry(workspace_id=workspace.id))
        unit.commit()
    retention, removed = SqlAlchemyRetentionStore(engine), []

    def purge() -> None:
        while rows := retention.remove_audit_entries(timedelta(0), limit=7).rows:
            removed.append(rows)

    threads = [threading.Thread(target=purge) for _ in range(4)]
    for each in threads:
        each.start()
    for each in threads:
        each.join()
    assert sum(removed) == 40


def test_entries_come_in_the_order_of_the_changes_that_they_tell_of(engine: Engine) -> None:
    """Who began first and waited for the endpoint comes behind whom it waited for: each begins where the last ended."""
    workspace = _workspace(engine)
    with _unit(engine) as unit:
        webhook = unit.webhooks.create(a_webhook(workspace_id=workspace.id, name="0"))
        unit.commit()
    service = WebhookService(lambda: _unit(engine), lambda _: None)

    def change(name: str) -> None:
        with _unit(engine) as unit:
            # Its transaction begins here, before it waits for the others.
            unit.access.list_workspaces()
            fields = {"name": name}
            change_webhook(unit, service, workspace.id, webhook.id, fields, rules=EndpointRules(), now=NOON, by=BY)
            unit.commit()

    threads = [threading.Thread(target=change, args=(str(number),)) for number in range(1, 9)]
    for each in threads:
        each.start()
    for each in threads:
        each.join()
    with _unit(engine) as unit:
        entries = list(reversed(unit.audit.list_page(workspace.id, limit=99)))
    assert [each.action for each in entries] == [Action.WEBHOOK_UPDATED] * 8
    ends = [(each.old or {})["name"] for each in entries], [(each.new or {})["name"] for each in entries]
    assert ends[0] == ["0", *ends[1][:-1]]


def test_pages_hold_still_while_others_write(engine: Engine) -> None:
    """What was there when the first page was read is on the pages once, in order, whatever is written meanwhile."""
    workspace = _workspace(engine)
    ended = threading.Event()

    def write() -> None:
        while not ended.is_set():
            with _unit(engine) as unit:
                unit.audit.add(an_entry(workspace_id=workspace.id))
                unit.commit()

    def page(after: Position | None = None, limit: int = 7) -> list[AuditEntry]:
        with _unit(engine) as unit:
            return list(unit.audit.list_page(workspace.id, limit=limit, after=after))

    threads = [threading.Thread(target=write) for _ in range(3)]
    for each in threads:
        each.start()
    try:
        until(lambda: len(page(limit=100)) == 100, what="there is something to list")
        there = {each.id for each in page(limit=1000)}
        seen = found = page()
        while found:
            assert found[-1].at is not None
            found = page(Position(found[-1].at, found[-1].id))
            seen = seen + found
    finally:
        ended.set()
        for each in threads:
            each.join()
    ids = [each.id for each in seen]
    assert len(set(ids)) == len(ids)
    assert there <= set(ids)
    places = [(each.at, each.id) for each in seen]
    assert places == sorted(places, reverse=True)


def test_the_trail_outlives_its_workspace(engine: Engine, clean_database: str) -> None:
    """With a workspace go its endpoints, tokens and events, and not what was done with them."""
    workspace = _workspace(engine)
    service = WebhookService(lambda: _unit(engine), lambda _: None)
    service.register_webhook(a_webhook(workspace_id=workspace.id))
    with psycopg.connect(clean_database.replace("+psycopg", ""), autocommit=True) as connection:
        connection.execute("DELETE FROM noteflow.workspaces WHERE id = %s", (workspace.id,))
        assert connection.execute("SELECT count(*) FROM noteflow.webhook_configs").fetchall() == [(0,)]
        rows = connection.execute("SELECT action, workspace_id, new FROM noteflow.audit_log").fetchall()
    [(action, workspace_id, new)] = rows
    assert (action, workspace_id, new["url"]) == ("webhook.registered", workspace.id, "https://receiver.example/…")


def test_a_page_of_a_workspace_and_of_an_endpoint_walk_an_index(engine: Engine, clean_database: str) -> None:
    """However many entries others have, a list reads its own."""
    workspace = _workspace(engine)
    with psycopg.connect(clean_database.replace("+psycopg", ""), autocommit=True) as connection:
        connection.execute(
            "INSERT INTO noteflow.audit_log (workspace_id, actor_kind, actor, action, target_kind, target_id)"
            " SELECT CASE WHEN n %% 100 = 0 THEN %s ELSE gen_random_uuid() END, 'cli', 'ada', 'webhook.updated',"
            " 'webhook', (n %% 50)::text FROM generate_series(1, 20000) AS n",
            (workspace.id,),
        )
        connection.execute("ANALYZE noteflow.audit_log")
        for narrowed, index in (("", "ix_audit_log_workspace_id_at_id"), ("AND target_id = '0'", "target_id_at_id")):
            [(plan,)] = connection.execute(
                "EXPLAIN (FORMAT json) SELECT * FROM noteflow.audit_log WHERE workspace_id = %s"  # noqa: S608 - constants
                f" {narrowed} ORDER BY at DESC, id DESC LIMIT 50",
                (workspace.id,),
            ).fetchall()
            said = json.dumps(plan)
            assert (index in said, "Seq Scan" in said) == (True, False), said


def test_a_command_of_the_release_before_goes_on_without_entries(engine: Engine, clean_database: str) -> None:
    """It knows nothing of the trail, and none of its statements meets it."""
    workspace = _workspace(engine)
    with psycopg.connect(clean_database.replace("+psycopg", ""), autocommit=True) as connection:
        for statement in (
            "INSERT INTO noteflow.webhook_configs (id, workspace_id, url) VALUES (%(id)s, %(id)s, 'https://h.example/')",
            "UPDATE noteflow.webhook_configs SET enabled = false WHERE id = %(id)s",
            "UPDATE noteflow.webhook_health SET open_until = now() WHERE webhook_id = %(id)s",
            "DELETE FROM noteflow.webhook_configs WHERE id = %(id)s",
        ):
            connection.execute(statement, {"id": workspace.id})
        assert _rows(connection) == []


def _workspace(engine: Engine, workspace_id: UUID | None = None) -> Workspace:
    with _unit(engine) as unit:
        made = unit.access.create_workspace(a_workspace(id=workspace_id if workspace_id is not None else uuid4()))
        unit.commit()
    return made
