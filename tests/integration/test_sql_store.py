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
from noteflow_hooks.persistence.delivery_store import SqlAlchemyDeliveryStore
from noteflow_hooks.persistence.engine import create_engine
from noteflow_hooks.persistence.unit_of_work import SqlAlchemyUnitOfWork
from tests.builders import a_webhook, a_workspace, an_event

if TYPE_CHECKING:
    from collections.abc import Iterator

    from sqlalchemy.engine import Engine

    from noteflow_hooks.domain.webhooks import WebhookConfig

OLD, NEW = (parse_keys(generate_key())[0] for _ in range(2))
SLACK = timedelta(seconds=10)


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
        sealed = SecretBox([OLD]).encrypt("first-secret", webhook_id=first.id)
        connection.execute(text("UPDATE noteflow.webhook_configs SET previous_secret = :sealed"), {"sealed": sealed})
    half = read(engine, first, NEW)
    assert (half.secret, half.previous_secret, half.secret_unavailable) == ("second-secret", None, False)
    assert half.secrets_at(datetime.now(UTC)) == ("second-secret",)
    with SqlAlchemyUnitOfWork(engine, SecretBox([NEW])) as unit:
        unit.webhooks.update(replace(half, name="renamed"))
        unit.commit()
    assert read(engine, first, NEW, OLD).previous_secret == "first-secret"


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
    assert store.take_back(limit=10) == 1
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
