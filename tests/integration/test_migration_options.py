"""Migration 0015 on a system that is running: nothing is sent without an endpoint's options by who knows of none."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from typing import TYPE_CHECKING, Any, Final

import pytest
from sqlalchemy import text

from noteflow_hooks.crypto import SecretBox, generate_key, parse_keys
from noteflow_hooks.domain.batches import BatchClaim
from noteflow_hooks.domain.options import NO_OPTIONS, EndpointOptions
from noteflow_hooks.persistence.sql.delivery.store import SqlAlchemyDeliveryStore
from noteflow_hooks.persistence.sql.engine import create_engine
from noteflow_hooks.persistence.sql.unit_of_work import SqlAlchemyUnitOfWork
from tests.support.builders import EXACT, a_webhook, a_workspace, an_event

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from uuid import UUID

    from sqlalchemy.engine import Engine

BOX: Final = SecretBox(parse_keys(generate_key()))
SLACK: Final = timedelta(seconds=10)
USED: Final[dict[str, dict[str, Any]]] = {
    "filter": {"filter": "true"},
    "format": {"format": "standard"},
    "batches": {"batch_max": 10},
    "order": {"ordering": "per_meeting"},
    "traces": {"send_traceparent": True},
}


@pytest.fixture
def engine_of(clean_database: str) -> Iterator[Callable[[str], Engine]]:
    """Return what makes connections whose release knows these words."""
    made: list[Engine] = []

    def engine(words: str) -> Engine:
        made.append(create_engine(f"{clean_database}&options=-c%20noteflow_hooks.options%3D{words}"))
        return made[-1]

    yield engine
    for each in made:
        each.dispose()


def publish(engine: Engine, options: EndpointOptions) -> UUID:
    """Store an endpoint with these options, and an event for it; return the endpoint's id."""
    with SqlAlchemyUnitOfWork(engine, BOX) as unit:
        workspace = unit.access.create_workspace(a_workspace())
        webhook = unit.webhooks.create(a_webhook(workspace_id=workspace.id, options=options))
        unit.events.append(an_event(workspace_id=workspace.id))
        unit.commit()
    return webhook.id


def claimed(engine: Engine) -> list[UUID]:
    """Claim in every way that there is; return the endpoints."""
    store = SqlAlchemyDeliveryStore(engine, BOX)
    found = [
        *store.dispatch([], limit=10, claim=10, lease_slack=SLACK).claims,
        *store.claim([], limit=10, lease_slack=SLACK),
        *store.claim_throttled(limit=10, slow=False, lease_slack=SLACK),
    ]
    return [each.delivery.webhook_id for each in found]


@pytest.mark.parametrize("used", list(USED))
@pytest.mark.parametrize("words", ["none", "signing"])
def test_a_release_that_knows_no_options_claims_nothing_that_needs_them(
    engine_of: Callable[[str], Engine], words: str, used: str
) -> None:
    """Neither as it dispatches nor later; it stays, and a worker of this release claims it once."""
    former, present = engine_of(words), engine_of("signing,options")
    optional = publish(present, NO_OPTIONS.changed(USED[used]))
    plain = publish(present, NO_OPTIONS)
    assert claimed(former) == [plain]
    with present.connect() as connection:
        statement = text("SELECT status, claim_no, attempt_count FROM noteflow.delivery_queue WHERE webhook_id = :id")
        assert [tuple(row) for row in connection.execute(statement, {"id": optional})] == [("pending", 0, 0)]
        # The former release's claims may have taken the slot that nobody used.
        connection.execute(text("UPDATE noteflow.webhook_health SET turn_at = now()"))
        connection.commit()
    assert claimed(present) == [optional]
    assert claimed(present) == []


@pytest.mark.parametrize("words", ["none", "signing"])
def test_what_is_part_of_a_batch_is_not_claimed_alone_once_batches_are_off(
    engine_of: Callable[[str], Engine], words: str
) -> None:
    """Its endpoint has no option any more, and the batch goes on all the same: with a worker of this release."""
    former, present = engine_of(words), engine_of("signing,options")
    webhook_id = publish(present, EndpointOptions(batch_max=10))
    store = SqlAlchemyDeliveryStore(present, BOX)
    store.dispatch([], limit=10)
    [first] = store.claim_throttled(limit=10, slow=False, lease_slack=SLACK)
    assert isinstance(first, BatchClaim)
    store.settle(first.settlements(None, policy=EXACT, draw=lambda: 0.5))
    with SqlAlchemyUnitOfWork(present, BOX) as unit:
        unit.webhooks.update(replace(first.webhook, options=NO_OPTIONS))
        unit.commit()
    with former.begin() as connection:
        # As such workers' statements do, past all that holds it from those of this release.
        connection.execute(text("UPDATE noteflow.delivery_queue SET held = false"))
    assert claimed(former) == []
    with present.begin() as connection:
        connection.execute(text("UPDATE noteflow.delivery_queue SET held = true"))
        connection.execute(text("UPDATE noteflow.webhook_health SET turn_at = now()"))
    [again] = store.claim_throttled(limit=10, slow=False, lease_slack=SLACK)
    assert isinstance(again, BatchClaim)
    assert (again.id, again.webhook.id) == (first.id, webhook_id)
