"""A preset's URL in the database: encrypted, bound to its endpoint, gone with it, and out of older releases' reach."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from typing import TYPE_CHECKING, Any, Final
from uuid import UUID, uuid4

import psycopg
import pytest
from alembic import command
from alembic.config import Config
from sqlalchemy import text
from sqlalchemy.exc import IntegrityError

from noteflow_hooks import bootstrap
from noteflow_hooks.crypto import SecretBox, generate_key, parse_keys
from noteflow_hooks.domain.options import NO_OPTIONS, Format
from noteflow_hooks.domain.presets import PRESETS
from noteflow_hooks.executor.http.faults import ExchangeError
from noteflow_hooks.executor.http.prepared import PreparedEndpoint
from noteflow_hooks.persistence.sql.engine import create_engine
from noteflow_hooks.persistence.sql.maintenance.diagnostics import DatabaseDiagnostics
from noteflow_hooks.persistence.sql.maintenance.reencryption import StoredSecrets
from noteflow_hooks.persistence.sql.unit_of_work import SqlAlchemyUnitOfWork
from noteflow_hooks.settings import Settings
from tests.integration.test_migration_signing import Releases, claim, dispatch, former_claims
from tests.support.builders import BY, PRESET_URLS, a_preset, a_webhook, a_workspace, an_event

if TYPE_CHECKING:
    from collections.abc import Iterator

    from sqlalchemy.engine import Engine

    from noteflow_hooks.domain.webhooks import WebhookConfig
    from noteflow_hooks.local.servers import EmbeddedPostgres

OLD, NEW = (parse_keys(generate_key())[0] for _ in range(2))
BOX: Final = SecretBox([OLD])


@pytest.fixture
def engine(clean_database: str) -> Iterator[Engine]:
    made = create_engine(clean_database)
    yield made
    made.dispose()


def stored(engine: Engine, webhook: WebhookConfig) -> WebhookConfig:
    with SqlAlchemyUnitOfWork(engine, BOX) as unit:
        workspace = unit.access.create_workspace(a_workspace())
        made = unit.webhooks.create(replace(webhook, workspace_id=workspace.id))
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


@pytest.mark.parametrize("form", PRESETS)
def test_no_column_has_the_url_as_it_is(engine: Engine, form: Format) -> None:
    """Also where whoever stores the endpoint has forgotten to hide it."""
    careless = a_webhook(url=PRESET_URLS[form], options=replace(NO_OPTIONS, format=form))
    for webhook in (a_preset(form), careless):
        columns = row(engine, stored(engine, webhook))
        assert PRESET_URLS[form].rpartition("/")[2] not in str(columns)
        assert columns["url"] == f"https://{PRESET_URLS[form].split('/')[2]}/…"
        assert read(engine, webhook).address == PRESET_URLS[form]


def test_moved_to_another_row_it_opens_nowhere(engine: Engine) -> None:
    """By SQL: nothing is sent then, and the endpoint says so."""
    one, other = stored(engine, a_preset()), stored(engine, a_preset())
    overwrite(engine, one, url_ciphertext=row(engine, other)["url_ciphertext"])
    found = read(engine, one)
    assert (found.hidden_url, found.url_unreadable, found.secret_unavailable, found.lost) == (None, True, True, "URL")
    with pytest.raises(ExchangeError, match="No key decrypts the webhook's URL"):
        PreparedEndpoint(found, user_agent="x", allow_http_loopback=False)


def test_what_can_not_be_read_stays_as_it_is_until_a_new_one_is_given(engine: Engine) -> None:
    """Its key may come back."""
    webhook, strange = stored(engine, a_preset()), SecretBox([NEW])
    before = row(engine, webhook)
    with SqlAlchemyUnitOfWork(engine, strange) as unit:
        unit.webhooks.update(replace(read(engine, webhook, strange), name="renamed"))
        unit.commit()
    after = row(engine, webhook)
    assert [after[name] for name in ("url", "url_ciphertext")] == [before["url"], before["url_ciphertext"]]
    assert read(engine, webhook).address == PRESET_URLS[Format.SLACK]


def test_rotation_reencrypts_it_and_it_is_counted(engine: Engine) -> None:
    """It is a ciphertext as all others are."""
    webhook, both = stored(engine, a_preset()), SecretBox([NEW, OLD])
    [old_key] = BOX.key_ids
    assert StoredSecrets(engine, both).use()[old_key].ciphertexts == 1
    assert [each.column for each in DatabaseDiagnostics(engine).samples()] == ["url_ciphertext"]
    rotation = StoredSecrets(engine, both).rotate(by=BY)
    assert (rotation.reencrypted, rotation.unreadable) == (1, [])
    assert read(engine, webhook, SecretBox([NEW])).address == PRESET_URLS[Format.SLACK]


def test_an_endpoint_that_an_older_server_deletes_keeps_no_url(engine: Engine) -> None:
    """It knows nothing of the column, and it is erased."""
    webhook = stored(engine, a_preset())
    with engine.begin() as connection:
        connection.execute(
            text("UPDATE noteflow.webhook_configs SET deleted_at = now(), secret = NULL WHERE id = :id"),
            {"id": webhook.id},
        )
    assert row(engine, webhook)["url_ciphertext"] is None


def test_an_older_server_can_not_give_a_preset_a_plain_url(engine: Engine) -> None:
    """It would be shown whole, and nothing would be posted there."""
    webhook = stored(engine, a_preset())
    with pytest.raises(IntegrityError):
        overwrite(engine, webhook, url="https://hooks.slack.com/services/T1/B1/other")


@pytest.fixture
def releases(clean_database: str) -> Iterator[Releases]:
    made = Releases(clean_database)
    yield made
    made.close()


def publish(releases: Releases, webhook: WebhookConfig, *, is_test: bool) -> WebhookConfig:
    """Store an endpoint, and an event for it."""
    made = stored(releases.engine, webhook)
    with SqlAlchemyUnitOfWork(releases.engine, BOX) as unit:
        unit.events.append(an_event(workspace_id=made.workspace_id, target_webhook_id=made.id if is_test else None))
        unit.commit()
    return made


@pytest.mark.parametrize("is_test", [False, True], ids=["event", "test"])
@pytest.mark.parametrize("form", PRESETS)
def test_a_session_that_knows_no_options_claims_nothing_of_a_preset_s(
    releases: Releases, form: Format, *, is_test: bool
) -> None:
    """Neither as it dispatches, nor later, nor in the endpoint's slots, nor by the statements of 0009."""
    own, plain = publish(releases, a_preset(form), is_test=is_test), publish(releases, a_webhook(), is_test=is_test)
    assert dispatch(releases.former_store, claim=10) == [plain.id]
    assert claim(releases.former_store) == []
    slack = timedelta(seconds=10)
    assert list(releases.former_store.claim_throttled(limit=9, slow=False, lease_slack=slack)) == []
    assert former_claims(releases.former) == set()
    assert releases.rows(own) == [("pending", 0)]
    # As the sweep does: whoever may not claim has used the endpoint's slot up.
    releases.present_store.count_throttled(limit=9)
    present = claim(releases.present_store) or [
        each.webhook.id for each in releases.present_store.claim_throttled(limit=9, slow=False, lease_slack=slack)
    ]
    assert present == [own.id]


@pytest.fixture
def database(postgres: EmbeddedPostgres) -> Iterator[tuple[psycopg.Connection, Config, str]]:
    """A database of its own, at any revision."""
    name, server = f"presets_{uuid4().hex}", postgres.url.replace("+psycopg", "")
    with psycopg.connect(server, autocommit=True) as connection:
        connection.execute(f"CREATE DATABASE {name}")
        url = postgres.url.replace("@/noteflow", f"@/{name}")
        config = Config()
        config.set_main_option("script_location", str(bootstrap.migrations_folder()))
        config.set_main_option("sqlalchemy.url", url.replace("%", "%%"))
        with psycopg.connect(url.replace("+psycopg", ""), autocommit=True) as inside:
            yield inside, config, url
        connection.execute(f"DROP DATABASE {name} WITH (FORCE)")


def test_on_the_way_down_presets_are_disabled_and_nothing_of_their_urls_is_left(
    database: tuple[psycopg.Connection, Config, str],
) -> None:
    """What is left is no address; up again they stay disabled, and are no presets where the formats went, too."""
    connection, config, url = database
    bootstrap.migrate(Settings(_env_file=None, database_url=url))
    own, plain = (_endpoint(connection, is_preset=each) for each in (True, False))
    command.downgrade(config, "0014")
    found = connection.execute("SELECT id, enabled, disabled_reason, url FROM noteflow.webhook_configs").fetchall()
    reason = "The release that kept its URL was rolled back; give it a whole one"
    assert sorted(found, key=lambda each: each[1]) == [
        (own, False, reason, "https://hooks.slack.com/…"),
        (plain, True, None, "https://h/"),
    ]
    bootstrap.migrate(Settings(_env_file=None, database_url=url))
    assert connection.execute("SELECT DISTINCT format FROM noteflow.webhook_configs").fetchall() == [("noteflow",)]


def _endpoint(connection: psycopg.Connection, *, is_preset: bool) -> UUID:
    key = uuid4()
    connection.execute("INSERT INTO noteflow.workspaces (id, name) VALUES (%s, 'w')", [key])
    columns = ["slack", "https://hooks.slack.com/…", b"sealed"] if is_preset else ["noteflow", "https://h/", None]
    connection.execute(
        "INSERT INTO noteflow.webhook_configs (id, workspace_id, format, url, url_ciphertext)"
        " VALUES (%s, %s, %s, %s, %s)",
        [key, key, *columns],
    )
    return key
