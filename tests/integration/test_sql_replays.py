"""What only PostgreSQL can get wrong about sending again: rows that others lock, and payloads that are gone."""

from __future__ import annotations

import threading
from functools import partial
from typing import TYPE_CHECKING, Any

import pytest
from sqlalchemy import text

from noteflow_hooks.crypto import SecretBox
from noteflow_hooks.domain.paging import DeliveryFilter
from noteflow_hooks.domain.replays import Replay, ReplayState
from noteflow_hooks.errors import PreconditionError
from noteflow_hooks.persistence.sql.engine import create_engine
from noteflow_hooks.persistence.sql.unit_of_work import SqlAlchemyUnitOfWork
from tests.support.builders import a_webhook, a_workspace
from tests.support.waiting import until

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from uuid import UUID

    from sqlalchemy.engine import Engine

#: Six deliveries of one endpoint that are dead, a second apart.
DEAD = text("""
WITH event AS (
    INSERT INTO noteflow.webhook_events (workspace_id, event_type, payload, occurred_at, dispatched_at)
    SELECT :workspace_id, 'meeting.completed', '{}', now(), now() FROM generate_series(1, 6) RETURNING id
)
INSERT INTO noteflow.webhook_deliveries (workspace_id, webhook_id, event_id, event_type, status, created_at)
SELECT :workspace_id, :webhook_id, id, 'meeting.completed', 'dead', now() - row_number() OVER () * interval '1 second'
FROM event RETURNING id
""")
LATER = text("UPDATE noteflow.webhook_replays SET paced_at = paced_at - interval '1 second'")
WAITING = text("SELECT count(*) FROM pg_stat_activity WHERE wait_event_type = 'Lock' AND datname = current_database()")
TIMES_SENT = text(
    "SELECT count(again.id) FROM noteflow.webhook_deliveries AS delivery"
    " LEFT JOIN noteflow.webhook_redeliveries AS again ON again.delivery_id = delivery.id GROUP BY delivery.id"
)


@pytest.fixture
def engine(clean_database: str) -> Iterator[Engine]:
    made = create_engine(clean_database)
    yield made
    made.dispose()


@pytest.fixture
def units(engine: Engine) -> Callable[[], SqlAlchemyUnitOfWork]:
    return partial(SqlAlchemyUnitOfWork, engine, SecretBox([]))


@pytest.fixture
def replay(engine: Engine, units: Callable[[], SqlAlchemyUnitOfWork]) -> Replay:
    """A replay of six deliveries, whose next step is due."""
    with units() as unit:
        workspace = unit.access.create_workspace(a_workspace())
        webhook = unit.webhooks.create(a_webhook(workspace_id=workspace.id))
        unit.commit()
    execute(engine, DEAD, workspace_id=workspace.id, webhook_id=webhook.id)
    with units() as unit:
        made = unit.replays.create(Replay.create(workspace.id, DeliveryFilter(), rate_per_s=1000))
        unit.commit()
    execute(engine, LATER)
    return made


def execute(engine: Engine, statement: Any, **values: object) -> None:  # noqa: ANN401 - any statement
    with engine.begin() as connection:
        connection.execute(statement, values)


def step(units: Callable[[], SqlAlchemyUnitOfWork], sent: list[int | None]) -> None:
    with units() as unit:
        sent.append(unit.replays.advance(limit=100))
        unit.commit()


def times_sent(engine: Engine) -> list[int]:
    with engine.begin() as connection:
        return sorted(connection.scalars(TIMES_SENT))


def waits(engine: Engine) -> bool:
    with engine.begin() as connection:
        return bool(connection.scalar(WAITING))


def test_a_locked_delivery_is_waited_for_and_not_left_out(
    engine: Engine, units: Callable[[], SqlAlchemyUnitOfWork], replay: Replay
) -> None:
    """The cursor never comes back to what it has passed."""
    sent: list[int | None] = []
    worker = threading.Thread(target=step, args=[units, sent])
    with engine.connect() as holder:
        lock = "SELECT FROM noteflow.webhook_deliveries ORDER BY created_at OFFSET 2 LIMIT 1 FOR UPDATE"
        holder.execute(text(lock))
        worker.start()
        until(lambda: waits(engine), what="the step waits")
        holder.rollback()
    worker.join()
    assert (replay.matched, sent, times_sent(engine)) == (6, [6], [1] * 6)


def test_what_became_due_while_it_was_waited_for_is_passed_over(
    engine: Engine, units: Callable[[], SqlAlchemyUnitOfWork], replay: Replay
) -> None:
    """Somebody sent it again meanwhile: once is enough."""
    sent: list[int | None] = []
    worker = threading.Thread(target=step, args=[units, sent])
    with engine.begin() as connection:
        third = "SELECT id FROM noteflow.webhook_deliveries ORDER BY created_at OFFSET 2 LIMIT 1"
        delivery_id: UUID = connection.execute(text(third)).scalar_one()
    with units() as unit:
        unit.deliveries.send_again(replay.workspace_id, delivery_id)
        worker.start()
        until(lambda: waits(engine), what="the step waits")
        unit.commit()
    worker.join()
    assert (sent, times_sent(engine)) == ([5], [1] * 6)


def test_a_replay_that_somebody_is_busy_with_has_no_second_step(
    engine: Engine, units: Callable[[], SqlAlchemyUnitOfWork], replay: Replay
) -> None:
    """Another worker goes on with others, and does not wait."""
    with units() as busy:
        assert busy.replays.advance(limit=2) == 2
        with units() as unit:
            assert unit.replays.advance(limit=2) is None
        busy.commit()
    with units() as unit:
        found = unit.replays.get(replay.workspace_id, replay.id)
    assert found is not None
    assert (found.sent, times_sent(engine)) == (2, [0, 0, 0, 0, 1, 1])


def test_a_cancellation_waits_for_the_step_that_is_under_way(
    engine: Engine, units: Callable[[], SqlAlchemyUnitOfWork], replay: Replay
) -> None:
    """So what it answers with is what was sent."""
    ended: list[Replay] = []

    def cancel() -> None:
        with units() as unit:
            ended.append(unit.replays.cancel(replay.workspace_id, replay.id))
            unit.commit()

    caller = threading.Thread(target=cancel)
    with units() as unit:
        assert unit.replays.advance(limit=4) == 4
        caller.start()
        until(lambda: waits(engine), what="the cancellation waits")
        unit.commit()
    caller.join()
    assert [(each.state, each.sent) for each in ended] == [(ReplayState.CANCELLED, 4)]
    assert times_sent(engine) == [0, 0, 1, 1, 1, 1]


def test_erased_payloads_are_passed_over(
    engine: Engine, units: Callable[[], SqlAlchemyUnitOfWork], replay: Replay
) -> None:
    """There is nothing to send; a single redelivery is told so."""
    erased = "SELECT event_id FROM noteflow.webhook_deliveries ORDER BY created_at LIMIT 2"
    execute(
        engine,
        text(f"UPDATE noteflow.webhook_events SET payload_erased_at = now() WHERE id IN ({erased})"),  # noqa: S608 - of this file
    )
    sent: list[int | None] = []
    step(units, sent)
    assert (sent, times_sent(engine)) == ([4], [0, 0, 1, 1, 1, 1])
    with units() as unit:
        oldest = unit.deliveries.list_page(replay.workspace_id, DeliveryFilter(), limit=9)[-1]
        with pytest.raises(PreconditionError, match="payload is erased"):
            unit.deliveries.send_again(replay.workspace_id, oldest.id)


def test_a_removed_replay_leaves_the_record_of_what_it_sent(
    engine: Engine, units: Callable[[], SqlAlchemyUnitOfWork], replay: Replay
) -> None:
    """Only by which it was is no longer known."""
    step(units, [])
    execute(engine, text("DELETE FROM noteflow.webhook_replays"))
    with units() as unit:
        for each in unit.deliveries.list_page(replay.workspace_id, DeliveryFilter(), limit=9):
            [record] = unit.deliveries.redeliveries(each.id)
            assert record.replay_id is None
