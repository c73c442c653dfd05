"""What only PostgreSQL can get wrong: ciphertext and its keys, ancient rows, and locks that others wait for."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING
from uuid import uuid4

import pytest
from sqlalchemy import text

from noteflow_hooks.crypto import SecretBox, generate_key, parse_keys
from noteflow_hooks.errors import InvalidTransitionError, NotFoundError
from noteflow_hooks.persistence.sql.delivery.store import SqlAlchemyDeliveryStore
from noteflow_hooks.persistence.sql.engine import create_engine
from noteflow_hooks.persistence.sql.unit_of_work import SqlAlchemyUnitOfWork
from tests.support.builders import a_webhook, a_workspace, an_event

if TYPE_CHECKING:
    from collections.abc import Iterator

    from sqlalchemy.engine import Engine

    from noteflow_hooks.domain.webhooks import WebhookConfig

OLD, NEW = (parse_keys(generate_key())[0] for _ in range(2))
SLACK = timedelta(seconds=10)
CANARY = "c4n4ry-of-a-header"
HEADERS = (("Authorization", f"Bearer {CANARY}"), ("X-Zone", "eu"))
NAMES = ("Authorization", "X-Zone")


@pytest.fixture
def engine(clean_database: str) -> Iterator[Engine]:
    made = create_engine(clean_database)
    yield made
    made.dispose()


def registered(engine: Engine, box: SecretBox, **overrides: object) -> WebhookConfig:
    """Store an endpoint in a workspace of its own."""
    with SqlAlchemyUnitOfWork(engine, box) as unit:
        workspace = unit.access.create_workspace(a_workspace())
        webhook = unit.webhooks.create(a_webhook(workspace_id=workspace.id, **overrides))
        unit.commit()
    return webhook


def changed(engine: Engine, box: SecretBox, webhook: WebhookConfig) -> WebhookConfig:
    """Store a changed endpoint and return it as stored."""
    with SqlAlchemyUnitOfWork(engine, box) as unit:
        stored = unit.webhooks.update(webhook)
        unit.commit()
    return stored


def published(engine: Engine, webhook: WebhookConfig) -> None:
    with SqlAlchemyUnitOfWork(engine, SecretBox([])) as unit:
        unit.events.append(an_event(workspace_id=webhook.workspace_id))
        unit.commit()


def read(engine: Engine, webhook: WebhookConfig, *keys: bytes) -> WebhookConfig:
    with SqlAlchemyUnitOfWork(engine, SecretBox(keys)) as unit:
        found = unit.webhooks.get_by_id(webhook.id)
    assert found is not None
    return found


def test_a_secret_that_no_key_opens_is_unavailable_and_not_lost(engine: Engine) -> None:
    """A change of something else leaves the ciphertext as it is, for when the key is back."""
    webhook = registered(engine, SecretBox([OLD]), secret="a-secret")
    blind = read(engine, webhook, NEW)
    assert (blind.secret, blind.secret_unavailable) == (None, True)
    with SqlAlchemyUnitOfWork(engine, SecretBox([NEW])) as unit:
        unit.webhooks.update(replace(blind, name="renamed"))
        unit.commit()
    again = read(engine, webhook, OLD)
    assert (again.name, again.secret) == ("renamed", "a-secret")


def test_a_previous_secret_that_no_key_opens_costs_the_newest_nothing(engine: Engine) -> None:
    """The newest one signs, and the other stays stored."""
    until = datetime.now(UTC) + timedelta(hours=1)
    first = registered(engine, SecretBox([OLD]), secret="first-secret")
    with SqlAlchemyUnitOfWork(engine, SecretBox([NEW, OLD])) as unit:
        rotated = replace(
            first, secret="second-secret", previous_secret="first-secret", previous_secret_expires_at=until
        )
        unit.webhooks.update(rotated)
        unit.commit()
    with engine.begin() as connection:
        sealed = SecretBox([OLD]).encrypt("first-secret", webhook_id=first.id, column="previous_secret")
        connection.execute(text("UPDATE noteflow.webhook_configs SET previous_secret = :sealed"), {"sealed": sealed})
    half = read(engine, first, NEW)
    assert (half.secret, half.previous_secret, half.secret_unavailable) == ("second-secret", None, False)
    assert half.secrets_at(datetime.now(UTC)) == ("second-secret",)
    with SqlAlchemyUnitOfWork(engine, SecretBox([NEW])) as unit:
        unit.webhooks.update(replace(half, name="renamed"))
        unit.commit()
    assert read(engine, first, NEW, OLD).previous_secret == "first-secret"


def test_a_headers_value_is_stored_as_ciphertext_alone(engine: Engine) -> None:
    """It stands in no column, in no encoding that a dump would show; its name does."""
    registered(engine, SecretBox([OLD]), headers=HEADERS, header_names=NAMES)
    with engine.begin() as connection:
        [row] = connection.execute(text("SELECT webhook::text, headers FROM noteflow.webhook_configs AS webhook"))
    for hidden in (CANARY, CANARY.encode().hex()):
        assert hidden not in row.webhook
    assert CANARY.encode() not in row.headers
    assert "Authorization" in row.webhook


def test_headers_that_no_key_opens_are_unavailable_and_not_lost(engine: Engine) -> None:
    """A change of something else leaves them as they are, for when the key is back; an unsigned endpoint stays so."""
    webhook = registered(engine, SecretBox([OLD]), headers=HEADERS, header_names=NAMES)
    blind = read(engine, webhook, NEW)
    assert (blind.headers, blind.header_names) == ((), NAMES)
    assert (blind.secret_unavailable, blind.is_signed) == (True, False)
    changed(engine, SecretBox([NEW]), replace(blind, name="renamed", max_concurrency=2))
    again = read(engine, webhook, OLD)
    assert (again.name, again.max_concurrency, again.headers) == ("renamed", 2, HEADERS)
    assert not again.secret_unavailable


def test_headers_that_no_key_opens_can_be_replaced_or_taken_away(engine: Engine) -> None:
    """After either the endpoint can be sent to again."""
    for wanted in ((("X-New", "new"),), ()):
        webhook = registered(engine, SecretBox([OLD]), headers=HEADERS, header_names=NAMES)
        names = tuple(name for name, _ in wanted)
        changed(engine, SecretBox([NEW]), replace(read(engine, webhook, NEW), headers=wanted, header_names=names))
        stored = read(engine, webhook, NEW)
        assert (stored.headers, stored.header_names, stored.secret_unavailable) == (wanted, names, False)


def test_headers_that_no_key_opens_outlast_a_new_secret(engine: Engine) -> None:
    """The endpoint stays unavailable, says so when it is read, and lets no claim be sent."""
    webhook = registered(engine, SecretBox([OLD]), secret="a-secret", headers=HEADERS, header_names=NAMES)
    blind = read(engine, webhook, NEW)
    assert (blind.is_signed, blind.secret_unavailable) == (True, True)
    rotated = replace(blind, secret="a-new-secret", secret_unreadable=False)
    assert changed(engine, SecretBox([NEW]), rotated).secret_unavailable
    half = read(engine, webhook, NEW)
    assert (half.secret, half.headers, half.secret_unavailable) == ("a-new-secret", (), True)
    published(engine, webhook)
    store = SqlAlchemyDeliveryStore(engine, SecretBox([NEW]))
    store.dispatch([], limit=10)
    [claim] = store.claim([], limit=10, lease_slack=SLACK)
    assert claim.webhook.secret_unavailable
    whole = read(engine, webhook, NEW, OLD)
    assert (whole.secret, whole.headers, whole.secret_unavailable) == ("a-new-secret", HEADERS, False)


def test_a_secret_that_no_key_opens_outlasts_new_headers(engine: Engine) -> None:
    """And the endpoint is never taken for an unsigned one."""
    webhook = registered(engine, SecretBox([OLD]), secret="a-secret", headers=HEADERS, header_names=NAMES)
    new = replace(read(engine, webhook, NEW), headers=(("X-New", "new"),), header_names=("X-New",))
    stored = changed(engine, SecretBox([NEW]), new)
    assert (stored.secret, stored.is_signed, stored.secret_unavailable) == (None, True, True)
    assert read(engine, webhook, OLD, NEW).secret == "a-secret"


@pytest.mark.parametrize("packed", ["not-json", "7", "[7]", '[["X"]]', '[["X", null]]', "[]"])
def test_headers_that_are_none_once_decrypted_are_unavailable(engine: Engine, packed: str) -> None:
    """As in a row whose ciphertexts changed places before each was bound to its column: rather no POST."""
    box = SecretBox([OLD])
    webhook = registered(engine, box, headers=HEADERS, header_names=NAMES)
    with engine.begin() as connection:
        sealed = box.encrypt(packed, webhook_id=webhook.id, column="headers")
        connection.execute(text("UPDATE noteflow.webhook_configs SET headers = :sealed"), {"sealed": sealed})
    found = read(engine, webhook, OLD)
    assert (found.headers, found.secret_unavailable) == ((), True)


def test_a_deleted_endpoints_headers_are_erased(engine: Engine) -> None:
    """Ciphertext and names: what is deleted can't be decrypted later."""
    webhook = registered(engine, SecretBox([OLD]), headers=HEADERS, header_names=NAMES)
    with SqlAlchemyUnitOfWork(engine, SecretBox([])) as unit:
        assert unit.webhooks.delete(webhook.id)
        unit.commit()
    with engine.begin() as connection:
        [row] = connection.execute(text("SELECT headers, header_names FROM noteflow.webhook_configs"))
    assert (row.headers, row.header_names) == (None, [])


def test_a_lease_that_ended_long_ago_is_taken_back_like_any_other(engine: Engine) -> None:
    """After a month in which nothing ran: its attempt lasted no longer than the lease."""
    store = SqlAlchemyDeliveryStore(engine, SecretBox([]))
    published(engine, registered(engine, SecretBox([]), timeout_ms=5000))
    store.dispatch([], limit=10)
    [claim] = store.claim([], limit=10, lease_slack=SLACK)
    with engine.begin() as connection:
        connection.execute(
            text(
                "UPDATE noteflow.webhook_deliveries SET claimed_at = claimed_at - interval '40 days',"
                " lease_expires_at = lease_expires_at - interval '40 days'"
            )
        )
    assert store.reclaim_expired(limit=10) == 1
    with SqlAlchemyUnitOfWork(engine, SecretBox([])) as unit:
        [attempt] = unit.deliveries.attempts(claim.delivery.id)
    assert attempt.duration_ms == 15_000


def test_a_change_of_an_endpoint_holds_up_no_dispatch(engine: Engine) -> None:
    """While one is under way, its own workspace's events and all others are dispatched."""
    store = SqlAlchemyDeliveryStore(engine, SecretBox([]))
    webhook, other = (registered(engine, SecretBox([])) for _ in range(2))
    for each in (webhook, other):
        published(engine, each)
    with SqlAlchemyUnitOfWork(engine, SecretBox([])) as unit:
        locked = unit.webhooks.get_by_id(webhook.id, lock=True)
        assert locked is not None
        unit.webhooks.update(replace(locked, name="renamed"))
        assert len(store.dispatch([], limit=10).delivery_ids) == 2
        unit.commit()


def test_a_refused_redelivery_hides_nothing_from_a_claim(engine: Engine) -> None:
    """Who asks for a delivery that is due already holds no lock on it."""
    store = SqlAlchemyDeliveryStore(engine, SecretBox([]))
    webhook = registered(engine, SecretBox([]))
    published(engine, webhook)
    [delivery_id] = store.dispatch([], limit=10).delivery_ids
    with SqlAlchemyUnitOfWork(engine, SecretBox([])) as unit:
        with pytest.raises(InvalidTransitionError, match="is pending"):
            unit.deliveries.send_again(webhook.workspace_id, delivery_id)
        assert len(store.claim([delivery_id], limit=1, lease_slack=SLACK)) == 1


def test_nothing_is_known_of_another_workspaces_delivery(engine: Engine) -> None:
    """It is not found, whatever its state."""
    with SqlAlchemyUnitOfWork(engine, SecretBox([])) as unit, pytest.raises(NotFoundError, match="no delivery"):
        unit.deliveries.send_again(uuid4(), uuid4())


def test_earlier_secrets_are_stored_encrypted_and_go_with_the_endpoint(engine: Engine) -> None:
    """A release that knows nothing of them deletes by setting ``deleted_at`` and the columns that it knows."""
    first = registered(engine, SecretBox([NEW]), secret="secret-0")
    now = datetime.now(UTC)
    rotated = first
    for number in range(1, 4):
        rotated = rotated.rotated(f"secret-{number}", now=now, overlap=timedelta(hours=1))
    with SqlAlchemyUnitOfWork(engine, SecretBox([NEW])) as unit:
        unit.webhooks.update(rotated)
        unit.commit()
    assert read(engine, first, NEW).secrets_at(now) == ("secret-3", "secret-2", "secret-1", "secret-0")
    with engine.begin() as connection:
        row = connection.execute(text("SELECT earlier_secrets FROM noteflow.webhook_configs")).one()
        assert b"secret" not in row.earlier_secrets
        connection.execute(
            text(
                "UPDATE noteflow.webhook_configs SET deleted_at = now(), enabled = false, secret = NULL,"
                " previous_secret = NULL, headers = NULL, header_names = '{}'"
            )
        )
        row = connection.execute(text("SELECT earlier_secrets FROM noteflow.webhook_configs")).one()
        assert row.earlier_secrets is None


def test_earlier_secrets_that_no_key_opens_stay_as_they_are(engine: Engine) -> None:
    """A change of something else leaves them for the day when their key is back."""
    first = registered(engine, SecretBox([NEW]), secret="secret-0")
    now = datetime.now(UTC)
    rotated = first.rotated("secret-1", now=now, overlap=timedelta(hours=1))
    with SqlAlchemyUnitOfWork(engine, SecretBox([NEW])) as unit:
        unit.webhooks.update(rotated.rotated("secret-2", now=now, overlap=timedelta(hours=1)))
        unit.commit()
    sealed = SecretBox([OLD]).encrypt(
        f'[["secret-0", "{now.isoformat()}"]]', webhook_id=first.id, column="earlier_secrets"
    )
    with engine.begin() as connection:
        connection.execute(text("UPDATE noteflow.webhook_configs SET earlier_secrets = :sealed"), {"sealed": sealed})
    lost = read(engine, first, NEW)
    assert (lost.earlier_secrets, lost.earlier_secrets_unreadable, lost.secret_unavailable) == ((), True, False)
    with SqlAlchemyUnitOfWork(engine, SecretBox([NEW])) as unit:
        unit.webhooks.update(replace(lost, name="Other"))
        unit.commit()
    assert [each.secret for each in read(engine, first, NEW, OLD).earlier_secrets] == ["secret-0"]
