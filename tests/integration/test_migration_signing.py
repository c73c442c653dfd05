"""Migration 0013 on a system that is running: nothing is sent to an endpoint with a key pair by who knows of none."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING, Any, Final
from uuid import UUID, uuid4

import psycopg
import pytest
from sqlalchemy import text

from noteflow_hooks import bootstrap
from noteflow_hooks.crypto import SecretBox, generate_key, parse_keys
from noteflow_hooks.domain.endpoint_keys import Signing
from noteflow_hooks.domain.skipping import DISABLED
from noteflow_hooks.key_pairs import generate_key_pair
from noteflow_hooks.persistence.sql.delivery.store import SqlAlchemyDeliveryStore
from noteflow_hooks.persistence.sql.engine import create_engine
from noteflow_hooks.persistence.sql.unit_of_work import SqlAlchemyUnitOfWork
from tests.integration.test_former_release import FORMER
from tests.integration.test_migration_event_types import OURS, Database
from tests.support.builders import a_webhook, a_workspace, an_event

if TYPE_CHECKING:
    from collections.abc import Iterator

    from sqlalchemy.engine import Engine

    from noteflow_hooks.domain.webhooks import WebhookConfig

BOX: Final = SecretBox(parse_keys(generate_key()))
SLACK: Final = timedelta(seconds=10)
KEYED: Final = [Signing.ED25519, Signing.BOTH]


@pytest.fixture
def database(postgres: Any) -> Iterator[Database]:  # noqa: ANN401 - the embedded server
    name, server = f"signing_{uuid4().hex}", postgres.url.replace("+psycopg", "")
    with psycopg.connect(server, autocommit=True) as connection:
        connection.execute(f"CREATE DATABASE {name}")
        url = postgres.url.replace("@/noteflow", f"@/{name}")
        with psycopg.connect(url.replace("+psycopg", ""), autocommit=True) as inside:
            yield Database(url, inside)
        connection.execute(f"DROP DATABASE {name} WITH (FORCE)")


class Releases:
    """A worker of this release and one of the release before, which tells its sessions nothing of options."""

    def __init__(self, url: str, *, is_pooled: bool = False) -> None:
        before = f"{url}&options=-c%20noteflow_hooks.options%3Dnone"
        self.engine, self.former = create_engine(url, is_pooled=is_pooled), create_engine(before)
        self.present_store = SqlAlchemyDeliveryStore(self.engine, BOX)
        self.former_store = SqlAlchemyDeliveryStore(self.former, BOX)

    def close(self) -> None:
        self.engine.dispose()
        self.former.dispose()

    def publish(self, signing: Signing) -> WebhookConfig:
        """Store an endpoint, and an event for it."""
        with SqlAlchemyUnitOfWork(self.engine, BOX) as unit:
            workspace = unit.access.create_workspace(a_workspace())
            made = a_webhook(workspace_id=workspace.id, signing=signing, signing_key=generate_key_pair())
            webhook = unit.webhooks.create(made)
            unit.events.append(an_event(workspace_id=workspace.id))
            unit.commit()
        return webhook

    def rows(self, webhook: WebhookConfig) -> list[tuple[Any, ...]]:
        statement = text("SELECT status, claim_no FROM noteflow.webhook_deliveries WHERE webhook_id = :id")
        with self.engine.connect() as connection:
            return [tuple(row) for row in connection.execute(statement, {"id": webhook.id})]


@pytest.fixture
def releases(clean_database: str) -> Iterator[Releases]:
    made = Releases(clean_database)
    yield made
    made.close()


def claim(store: SqlAlchemyDeliveryStore, ids: list[UUID] | None = None) -> list[UUID]:
    found = store.claim(ids or [], limit=10, lease_slack=SLACK)
    return [each.delivery.webhook_id for each in found.claims]


def dispatch(store: SqlAlchemyDeliveryStore, *, claim: int) -> list[UUID]:
    made = store.dispatch([], limit=10, claim=claim, lease_slack=SLACK)
    return [each.delivery.webhook_id for each in made.claims]


@pytest.mark.parametrize("signing", KEYED)
def test_the_release_before_claims_nothing_that_a_key_pair_signs(releases: Releases, signing: Signing) -> None:
    """Neither as it dispatches nor later; it stays, and a worker of this release claims it once."""
    keyed, plain = releases.publish(signing), releases.publish(Signing.HMAC)
    assert dispatch(releases.former_store, claim=10) == [plain.id]
    assert releases.rows(keyed) == [("pending", 0)]
    assert claim(releases.former_store) == []
    assert releases.rows(keyed) == [("pending", 0)]
    assert claim(releases.present_store) == [keyed.id]
    assert releases.rows(keyed) == [("sending", 1)]
    assert claim(releases.present_store) == []


def test_it_claims_on_what_secrets_alone_sign(releases: Releases) -> None:
    """Also of an endpoint that has a key pair from earlier."""
    plain = releases.publish(Signing.HMAC)
    assert dispatch(releases.former_store, claim=0) == []
    assert claim(releases.former_store) == [plain.id]


def test_this_release_claims_as_it_dispatches(releases: Releases) -> None:
    """The triggers cost its deliveries no second statement."""
    keyed = releases.publish(Signing.BOTH)
    assert dispatch(releases.present_store, claim=10) == [keyed.id]
    assert releases.rows(keyed) == [("sending", 1)]


def test_this_release_claims_behind_a_pooler(clean_database: str) -> None:
    """There each transaction is told what it knows."""
    pooled = Releases(clean_database, is_pooled=True)
    keyed = pooled.publish(Signing.ED25519)
    assert dispatch(pooled.present_store, claim=10) == [keyed.id]
    pooled.close()


def test_a_test_event_that_the_release_before_dispatched_is_still_one(releases: Releases) -> None:
    """It is sent even while the endpoint is throttled."""
    with SqlAlchemyUnitOfWork(releases.engine, BOX) as unit:
        workspace = unit.access.create_workspace(a_workspace())
        made = a_webhook(workspace_id=workspace.id, signing=Signing.BOTH, signing_key=generate_key_pair())
        keyed = unit.webhooks.create(made)
        unit.events.append(an_event(workspace_id=workspace.id, target_webhook_id=keyed.id))
        unit.commit()
    assert dispatch(releases.former_store, claim=10) == []
    with releases.engine.begin() as connection:
        assert connection.scalar(text("SELECT forced FROM noteflow.delivery_queue"))
        connection.execute(text("UPDATE noteflow.webhook_configs SET paused_at = now()"))
    assert claim(releases.present_store) == [keyed.id]


def test_workers_of_0009_claim_none_either(releases: Releases) -> None:
    """By their statements to the letter, which know of one table alone."""
    keyed, plain = releases.publish(Signing.ED25519), releases.publish(Signing.HMAC)
    assert former_claims(releases.former) == {plain.id}
    assert releases.rows(keyed) == [("pending", 0)]
    assert claim(releases.present_store) == [keyed.id]


def former_claims(engine: Engine) -> set[UUID]:
    """Dispatch and claim as they do; return the endpoints of what they claimed."""
    lease = {"slack_s": SLACK.total_seconds(), "concurrency": 100}
    given = {"ids": [], "others": 10, "limit": 10, "burst": 50, "disabled": DISABLED.message, "gone": "", "claim": 10}
    with engine.execution_options(isolation_level="AUTOCOMMIT").connect() as connection:
        made = connection.execute(FORMER["dispatch_and_claim"], {**given, **lease}).all()
        rows = [*made, *connection.execute(FORMER["claim"], {"ids": [], "limit": 10, **lease}).all()]
    return {row.webhook_id for row in rows if row.id is not None}


def test_endpoints_of_the_release_before_sign_with_secrets(database: Database) -> None:
    """Those that were there, and those that one of its servers registers after the migration."""
    database.up("0012")
    before = database.webhook(OURS)
    database.up("0013")
    for key in (before, database.webhook(OURS)):
        assert database.read("signing, signing_keys", key) == ("hmac", None)


def test_a_server_of_the_release_before_deletes_private_keys_too(database: Database) -> None:
    """It names the columns that it knows, and the database erases the other one."""
    database.up("0013")
    key = database.webhook(OURS, signing="both", signing_keys=b"sealed")
    database.connection.execute("UPDATE noteflow.webhook_configs SET deleted_at = now(), secret = NULL")
    assert database.read("signing_keys", key) == (None,)


def test_on_the_way_down_who_signs_with_a_key_pair_is_paused(database: Database) -> None:
    """The release before would send to it without; who was paused stays so since when that was."""
    database.up("0013")
    plain, *keyed = (database.webhook(OURS, signing=each) for each in ("hmac", "ed25519", "both"))
    database.connection.execute(
        "UPDATE noteflow.webhook_configs SET paused_at = '2024-01-31' WHERE id = %s", [keyed[1]]
    )
    database.down("0012")
    assert database.read("paused_at", plain) == (None,)
    assert database.read("paused_at > now() - interval '1 hour'", keyed[0]) == (True,)
    assert database.read("paused_at < now() - interval '1 hour'", keyed[1]) == (True,)
    assert database.connection.execute("SELECT proname FROM pg_proc WHERE proname LIKE '%signing%'").fetchall() == []
    database.up("head")
    assert database.read("signing", keyed[0]) == ("hmac",)


def test_the_warning_names_the_endpoint_its_workspace_and_what_signs(database: Database) -> None:
    """An operator has to know which they are."""
    database.up("0013")
    key = database.webhook(OURS, signing="ed25519")
    said: list[str] = []
    database.connection.add_notice_handler(lambda notice: said.append(str(notice.message_primary)))
    script = next(each for each in bootstrap.migrations_folder().glob("versions/0013*"))
    names: dict[str, Any] = {}
    exec(compile(script.read_text("utf-8"), str(script), "exec"), names)  # noqa: S102 - the migration itself
    database.connection.execute(names["_PAUSE"])
    [line] = said
    assert f"webhook {key} of workspace {key} has signing ed25519: it is paused" in line
