"""Certificates and keys in the database: encrypted, bound to endpoint and column, guarded against older releases."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any, Final
from uuid import UUID, uuid4

import psycopg
import pytest
from alembic import command
from alembic.config import Config
from sqlalchemy import text

from noteflow_hooks import bootstrap
from noteflow_hooks.crypto import GUARD, GUARD_ALONE, SecretBox, generate_key, parse_keys
from noteflow_hooks.domain.client_certificates import CERTIFICATE_FIELDS, PLAIN_TLS, CertificateInfo, ClientTls
from noteflow_hooks.persistence.sql.engine import create_engine
from noteflow_hooks.persistence.sql.maintenance.diagnostics import DatabaseDiagnostics
from noteflow_hooks.persistence.sql.maintenance.reencryption import StoredSecrets
from noteflow_hooks.persistence.sql.unit_of_work import SqlAlchemyUnitOfWork
from noteflow_hooks.settings import Settings
from tests.support.builders import BY, a_webhook, a_workspace

if TYPE_CHECKING:
    from collections.abc import Iterator

    from sqlalchemy.engine import Engine

    from noteflow_hooks.domain.webhooks import WebhookConfig
    from noteflow_hooks.local.servers import EmbeddedPostgres

OLD, NEW = (parse_keys(generate_key())[0] for _ in range(2))
BOX: Final = SecretBox([OLD])
INFO: Final = CertificateInfo("CN=client", "CN=root", datetime.now(UTC) + timedelta(days=90), "ab" * 32)
TLS: Final = ClientTls("the certificate", "the client key", "the authority", info=INFO, server_ca_info=(INFO,))
HEADERS: Final[dict[str, Any]] = {"headers": (("X-Key", "value"),), "header_names": ("X-Key",)}
#: The versions of ciphertexts that the release before reads.
FORMER_VERSIONS: Final = (1, 2)


@pytest.fixture
def engine(clean_database: str) -> Iterator[Engine]:
    made = create_engine(clean_database)
    yield made
    made.dispose()


def stored(engine: Engine, **overrides: Any) -> WebhookConfig:  # noqa: ANN401 - its fields
    with SqlAlchemyUnitOfWork(engine, BOX) as unit:
        workspace = unit.access.create_workspace(a_workspace())
        made = unit.webhooks.create(a_webhook(workspace_id=workspace.id, **{"tls": TLS} | overrides))
        unit.commit()
    return made


def read(engine: Engine, webhook: WebhookConfig, box: SecretBox = BOX) -> WebhookConfig:
    with SqlAlchemyUnitOfWork(engine, box) as unit:
        found = unit.webhooks.get_by_id(webhook.id)
    assert found is not None
    return found


def row(engine: Engine, webhook: WebhookConfig) -> dict[str, Any]:
    with engine.begin() as connection:
        found = connection.execute(text("SELECT * FROM noteflow.webhook_configs WHERE id = :id"), {"id": webhook.id})
        return dict(found.mappings().one())


def overwrite(engine: Engine, webhook: WebhookConfig, **columns: Any) -> None:  # noqa: ANN401 - its columns
    changes = ", ".join(f"{name} = :{name}" for name in columns)
    with engine.begin() as connection:
        statement = f"UPDATE noteflow.webhook_configs SET {changes} WHERE id = :id"  # noqa: S608 - names of this file
        connection.execute(text(statement), {"id": webhook.id, **columns})


def is_sent_by_the_release_before(columns: dict[str, Any]) -> bool:
    """Tell whether it would send: it takes headers of a version that it doesn't know for such that no key decrypts."""
    return columns["headers"] is None or columns["headers"][0] in FORMER_VERSIONS


def test_nothing_of_them_is_stored_as_it_is(engine: Engine) -> None:
    """Certificates are encrypted like the key."""
    columns = row(engine, stored(engine))
    for name in CERTIFICATE_FIELDS:
        assert getattr(TLS, name).encode() not in columns[name]
    assert all("the " not in str(each) for name, each in columns.items() if name != "url")


def test_moved_to_another_row_or_column_they_open_nowhere(engine: Engine) -> None:
    """By SQL: a certificate belongs to its endpoint, a key to its column; nothing is sent then."""
    one, other = stored(engine), stored(engine)
    columns = row(engine, other)
    overwrite(engine, one, **{name: columns[name] for name in CERTIFICATE_FIELDS})
    overwrite(engine, other, client_certificate=columns["client_key"], client_key=columns["client_certificate"])
    assert read(engine, one).tls.unreadable == set(CERTIFICATE_FIELDS)
    assert read(engine, other).tls.unreadable == {"client_certificate", "client_key"}
    assert read(engine, one).secret_unavailable
    assert read(engine, other).secret_unavailable
    assert not read(engine, other).tls.is_plain


def test_what_can_not_be_read_stays_as_it_is_under_other_changes(engine: Engine) -> None:
    """Its key may come back; a new certificate with a new key takes its place."""
    webhook, strange = stored(engine), SecretBox([NEW])
    before = row(engine, webhook)
    with SqlAlchemyUnitOfWork(engine, strange) as unit:
        unit.webhooks.update(replace(read(engine, webhook, strange), name="renamed"))
        unit.commit()
    assert all(row(engine, webhook)[name] == before[name] for name in CERTIFICATE_FIELDS)
    assert read(engine, webhook).tls == TLS


def test_rotation_reencrypts_them_and_they_are_counted(engine: Engine) -> None:
    """Each of the three columns is a ciphertext; a guard alone is none, and stays."""
    webhook, both = stored(engine), SecretBox([NEW, OLD])
    [old_key] = BOX.key_ids
    assert StoredSecrets(engine, both).use()[old_key].ciphertexts == 3
    assert sum(each.ciphertexts for each in DatabaseDiagnostics(engine).samples()) == 3
    rotation = StoredSecrets(engine, both).rotate(by=BY)
    assert (rotation.reencrypted, rotation.current, rotation.unreadable) == (3, 0, [])
    assert read(engine, webhook, SecretBox([NEW])).tls == TLS
    assert row(engine, webhook)["headers"] == GUARD_ALONE
    again = StoredSecrets(engine, both).rotate(by=BY)
    assert (again.reencrypted, again.current) == (0, 3)


def test_rotation_keeps_the_guard_on_headers(engine: Engine) -> None:
    """They are re-encrypted like all others, and an older release sends nothing all the same."""
    webhook = stored(engine, **HEADERS)
    rotation = StoredSecrets(engine, SecretBox([NEW, OLD])).rotate(by=BY)
    assert (rotation.reencrypted, rotation.unreadable) == (4, [])
    found = read(engine, webhook, SecretBox([NEW]))
    assert (found.headers, found.tls, found.secret_unavailable) == (HEADERS["headers"], TLS, False)
    assert not is_sent_by_the_release_before(row(engine, webhook))
    again = StoredSecrets(engine, SecretBox([NEW, OLD])).rotate(by=BY)
    assert (again.reencrypted, again.current) == (0, 4)


@pytest.mark.parametrize("own", [{}, HEADERS, {"secret": "a-secret-x"}, {"secret": "a-secret-x", **HEADERS}])
@pytest.mark.parametrize("tls", [TLS, replace(TLS, server_ca=None), ClientTls(server_ca="ca")])
def test_a_release_that_knows_no_options_sends_nothing_to_who_has_one(
    engine: Engine, own: dict[str, Any], tls: ClientTls
) -> None:
    """Signed or not, with headers or without; without options it sends as ever, and gets its headers back."""
    webhook = stored(engine, tls=tls, **own)
    assert not is_sent_by_the_release_before(row(engine, webhook))
    assert not read(engine, webhook).secret_unavailable
    with SqlAlchemyUnitOfWork(engine, BOX) as unit:
        unit.webhooks.update(replace(read(engine, webhook), tls=PLAIN_TLS))
        unit.commit()
    columns = row(engine, webhook)
    assert is_sent_by_the_release_before(columns)
    assert (columns["headers"] is None) == ("headers" not in own)
    assert not read(engine, webhook).secret_unavailable


def test_a_server_of_that_release_can_not_take_the_guard_away(engine: Engine) -> None:
    """It writes back what it believes the headers to be, none; or others, in the version that it knows."""
    webhook = stored(engine)
    for written in (None, BOX.encrypt('[["X-Key","value"]]', webhook_id=webhook.id, column="headers")):
        overwrite(engine, webhook, headers=written)
        columns = row(engine, webhook)
        assert not is_sent_by_the_release_before(columns)
        assert columns["headers"][0] & GUARD
        assert not read(engine, webhook).secret_unavailable
    assert read(engine, webhook).headers == (("X-Key", "value"),)


def test_an_endpoint_that_such_a_server_deletes_keeps_no_key(engine: Engine) -> None:
    """It knows nothing of the columns, and they are erased."""
    webhook = stored(engine, **HEADERS)
    overwrite(engine, webhook, deleted_at=datetime.now(UTC), secret=None, headers=None, header_names=[])
    columns = row(engine, webhook)
    assert [columns[name] for name in (*CERTIFICATE_FIELDS, "certificate_info", "headers")] == [None] * 5


@pytest.fixture
def database(postgres: EmbeddedPostgres) -> Iterator[tuple[psycopg.Connection, Config, str]]:
    """A database of its own, at any revision."""
    name, server = f"certificates_{uuid4().hex}", postgres.url.replace("+psycopg", "")
    with psycopg.connect(server, autocommit=True) as connection:
        connection.execute(f"CREATE DATABASE {name}")
        url = postgres.url.replace("@/noteflow", f"@/{name}")
        config = Config()
        config.set_main_option("script_location", str(bootstrap.migrations_folder()))
        config.set_main_option("sqlalchemy.url", url.replace("%", "%%"))
        with psycopg.connect(url.replace("+psycopg", ""), autocommit=True) as inside:
            yield inside, config, url
        connection.execute(f"DROP DATABASE {name} WITH (FORCE)")


def test_on_the_way_down_who_has_certificates_is_paused_named_and_still_guarded(
    database: tuple[psycopg.Connection, Config, str],
) -> None:
    """The release before would send without them, also once a person lets the endpoint resume."""
    connection, config, url = database
    bootstrap.migrate(Settings(_env_file=None, database_url=url), "0014")
    keys = [_endpoint(connection, column) for column in ("client_certificate, client_key", "server_ca", None)]
    names: dict[str, Any] = {}
    script = next(each for each in bootstrap.migrations_folder().glob("versions/0014*"))
    exec(compile(script.read_text("utf-8"), str(script), "exec"), names)  # noqa: S102 - the migration itself
    said: list[str] = []
    connection.add_notice_handler(lambda notice: said.append(str(notice.message_primary)))
    connection.execute("BEGIN")
    connection.execute(names["_PAUSE"])
    connection.execute("ROLLBACK")
    assert sorted(line.split()[1] for line in said) == sorted(str(each) for each in keys[:2])
    command.downgrade(config, names["down_revision"])
    found = {
        key: (paused_at is not None, headers, events)
        for key, paused_at, headers, events in connection.execute(
            "SELECT id, paused_at, headers, events FROM noteflow.webhook_configs"
        )
    }
    assert found == {
        keys[0]: (True, GUARD_ALONE, ["webhook.failing"]),
        keys[1]: (True, GUARD_ALONE, ["webhook.failing"]),
        keys[2]: (False, None, ["webhook.failing"]),
    }
    with pytest.raises(psycopg.errors.CheckViolation):
        connection.execute("UPDATE noteflow.webhook_configs SET events = '{webhook.certificate_expiring}'")
    bootstrap.migrate(Settings(_env_file=None, database_url=url))
    connection.execute("UPDATE noteflow.webhook_configs SET paused_at = NULL")
    assert connection.execute("SELECT DISTINCT headers FROM noteflow.webhook_configs").fetchall() == [(None,)]


def _endpoint(connection: psycopg.Connection, columns: str | None) -> UUID:
    key = uuid4()
    connection.execute("INSERT INTO noteflow.workspaces (id, name) VALUES (%s, 'w')", [key])
    connection.execute(
        "INSERT INTO noteflow.webhook_configs (id, workspace_id, url, events)"
        " VALUES (%s, %s, 'https://h/', '{webhook.certificate_expiring,webhook.failing}')",
        [key, key],
    )
    if columns is not None:
        changes = ", ".join(f"{each} = 'x'" for each in columns.split(", "))
        connection.execute(f"UPDATE noteflow.webhook_configs SET {changes} WHERE id = %s", [key])  # noqa: S608 - names of this file
    return key
