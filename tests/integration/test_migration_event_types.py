"""Migration 0011 on a system that is running: what was there goes on beside it, and is there still on the way down."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final
from uuid import UUID, uuid4

import psycopg
import pytest
from alembic import command
from alembic.config import Config

from noteflow_hooks import bootstrap
from noteflow_hooks.settings import Settings

if TYPE_CHECKING:
    from collections.abc import Iterator

    from noteflow_hooks.local.servers import EmbeddedPostgres

OURS: Final = ["meeting.completed"]
OWN: Final = ["custom.order_paid", "meeting.completed"]


class Database:
    """A database of its own, at any revision."""

    def __init__(self, url: str, connection: psycopg.Connection) -> None:
        self.url = url
        self.connection = connection
        self.config = Config()
        self.config.set_main_option("script_location", str(bootstrap.migrations_folder()))
        self.config.set_main_option("sqlalchemy.url", url.replace("%", "%%"))

    def up(self, revision: str) -> None:
        bootstrap.migrate(Settings(_env_file=None, database_url=self.url), revision)

    def down(self, revision: str) -> None:
        command.downgrade(self.config, revision)

    def webhook(self, events: list[str], **columns: Any) -> UUID:  # noqa: ANN401 - columns
        """Store an endpoint as a server of the release before does: it names no column that is new."""
        key = uuid4()
        self.connection.execute("INSERT INTO noteflow.workspaces (id, name) VALUES (%s, 'w')", [key])
        self.connection.execute(
            "INSERT INTO noteflow.webhook_configs (id, workspace_id, url, events) VALUES (%s, %s, 'https://h/', %s)",
            [key, key, events],
        )
        for name, value in columns.items():
            self.connection.execute(f"UPDATE noteflow.webhook_configs SET {name} = %s WHERE id = %s", [value, key])  # noqa: S608 - the tests' own names
        return key

    def read(self, columns: str, key: UUID) -> tuple[Any, ...]:
        statement = f"SELECT {columns} FROM noteflow.webhook_configs WHERE id = %s"  # noqa: S608 - as above
        [row] = self.connection.execute(statement, [key]).fetchall()
        return row


@pytest.fixture
def database(postgres: EmbeddedPostgres) -> Iterator[Database]:
    name, server = f"event_types_{uuid4().hex}", postgres.url.replace("+psycopg", "")
    with psycopg.connect(server, autocommit=True) as connection:
        connection.execute(f"CREATE DATABASE {name}")
        url = postgres.url.replace("@/noteflow", f"@/{name}")
        with psycopg.connect(url.replace("+psycopg", ""), autocommit=True) as inside:
            yield Database(url, inside)
        connection.execute(f"DROP DATABASE {name} WITH (FORCE)")


def test_endpoints_of_the_release_before_get_the_first_version(database: Database) -> None:
    """Those that were there, and those that one of its servers registers after the migration."""
    database.up("0010")
    before = database.webhook(OURS)
    database.up("0011")
    for key in (before, database.webhook(OURS)):
        assert database.read("payload_version, events", key) == (1, OURS)


def test_a_server_of_the_release_before_may_change_an_endpoint_that_subscribes_to_an_own_type(
    database: Database,
) -> None:
    """It writes the subscription back as it has read it."""
    database.up("0011")
    key = database.webhook(OWN)
    database.connection.execute("UPDATE noteflow.webhook_configs SET name = 'n', events = %s WHERE id = %s", [OWN, key])
    assert database.read("name, events", key) == ("n", OWN)


def test_on_the_way_down_who_wants_a_later_version_is_paused_and_named(database: Database) -> None:
    """The release before would send it the first one, and say nothing."""
    database.up("0011")
    first, later, paused = (database.webhook(OURS, payload_version=version) for version in (1, 2, 3))
    database.connection.execute("UPDATE noteflow.webhook_configs SET paused_at = '2024-01-31' WHERE id = %s", [paused])
    database.down("0010")
    assert database.read("paused_at", first) == (None,)
    assert database.read("paused_at > now() - interval '1 hour'", later) == (True,)
    assert database.read("paused_at < now() - interval '1 hour'", paused) == (True,)


def test_the_warning_names_the_endpoint_its_workspace_and_its_version(database: Database) -> None:
    """An operator has to know which they are."""
    database.up("0011")
    key = database.webhook(OURS, payload_version=2)
    said: list[str] = []
    database.connection.add_notice_handler(lambda notice: said.append(str(notice.message_primary)))
    script = next(each for each in bootstrap.migrations_folder().glob("versions/0011*"))
    names: dict[str, Any] = {}
    exec(compile(script.read_text("utf-8"), str(script), "exec"), names)  # noqa: S102 - the migration itself
    database.connection.execute(names["_PAUSE_LATER"])
    [line] = said
    assert f"webhook {key} of workspace {key} wants payload version 2: it is paused" in line


def test_without_own_types_the_former_check_is_back_on_the_way_down(database: Database) -> None:
    """And nothing of the new one is left."""
    database.up("0011")
    key = database.webhook(OURS)
    database.down("0010")
    with pytest.raises(psycopg.errors.CheckViolation):
        database.connection.execute("UPDATE noteflow.webhook_configs SET events = %s WHERE id = %s", [OWN, key])
    functions = "SELECT proname FROM pg_proc WHERE proname IN ('is_subscription', 'is_custom_type')"
    assert database.connection.execute(functions).fetchall() == []
    database.up("head")


def test_a_subscription_to_an_own_type_stays_on_the_way_down_and_up_again(database: Database) -> None:
    """What was published of it and waits for dispatch finds its endpoint, and the endpoint can be changed."""
    database.up("0011")
    key = database.webhook(OWN)
    database.connection.execute(
        "INSERT INTO noteflow.event_types (workspace_id, name, schema) VALUES (%s, %s, '{}')", [key, OWN[0]]
    )
    database.down("0010")
    database.connection.execute("UPDATE noteflow.webhook_configs SET name = 'n' WHERE id = %s", [key])
    assert database.read("events", key) == (OWN,)
    database.up("head")
    assert database.read("events, payload_version", key) == (OWN, 1)
    with pytest.raises(psycopg.errors.CheckViolation):
        database.connection.execute("UPDATE noteflow.webhook_configs SET events = '{no.such}' WHERE id = %s", [key])


def test_a_workspace_takes_its_types_with_it(database: Database) -> None:
    """They belong to nobody else."""
    database.up("head")
    key = database.webhook(OURS)
    insert = "INSERT INTO noteflow.event_types (workspace_id, name, schema) VALUES (%s, 'custom.a', '{}')"
    database.connection.execute(insert, [key])
    database.connection.execute("DELETE FROM noteflow.workspaces WHERE id = %s", [key])
    assert database.connection.execute("SELECT count(*) FROM noteflow.event_types").fetchall() == [(0,)]
