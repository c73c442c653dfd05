"""What many attempts' headers have in common is stored once, named by their rows, and goes when nobody uses it."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING, Final
from uuid import uuid4

import pytest
from sqlalchemy import text

from noteflow_hooks.crypto import SecretBox
from noteflow_hooks.domain.deliveries import Settlement
from noteflow_hooks.domain.exchanges import Blank, Exchange, HeaderForm, Headers
from noteflow_hooks.persistence.sql.delivery.rows import HeaderForms, form_name, form_text
from noteflow_hooks.persistence.sql.delivery.store import SqlAlchemyDeliveryStore
from noteflow_hooks.persistence.sql.engine import create_engine
from noteflow_hooks.persistence.sql.maintenance.retention import SqlAlchemyRetentionStore
from noteflow_hooks.persistence.sql.unit_of_work import SqlAlchemyUnitOfWork
from tests.support.builders import EXACT, a_webhook, a_workspace, an_attempt_result, an_event, an_exchange

if TYPE_CHECKING:
    from collections.abc import Iterator
    from uuid import UUID

    from sqlalchemy.engine import Engine

    from noteflow_hooks.domain.exchanges import Pairs

FORM: Final = HeaderForm((("Server", "tiny"), ("X-Said", Blank.OWN)))
NAME: Final = form_name(form_text(FORM))


class Database:
    """A database, an endpoint, and workers' stores."""

    def __init__(self, engine: Engine) -> None:
        self.engine, self.box = engine, SecretBox([bytes(32)])
        with self.unit() as unit:
            self.workspace_id = unit.access.create_workspace(a_workspace()).id
            unit.webhooks.create(a_webhook(workspace_id=self.workspace_id))
            unit.commit()

    def unit(self) -> SqlAlchemyUnitOfWork:
        return SqlAlchemyUnitOfWork(self.engine, self.box)

    def worker(self) -> SqlAlchemyDeliveryStore:
        return SqlAlchemyDeliveryStore(self.engine, self.box)

    def delivered(self, worker: SqlAlchemyDeliveryStore, form: HeaderForm = FORM) -> UUID:
        """Deliver an event, and return the delivery's id."""
        with self.unit() as unit:
            event = unit.events.append(an_event(workspace_id=self.workspace_id))
            unit.commit()
        worker.dispatch([event.id], limit=9)
        [claim] = worker.claim([], limit=9, lease_slack=timedelta(0))
        result = an_attempt_result(exchange=an_exchange(form))
        after, wait = claim.delivery.attempted(result, max_retries=3, policy=EXACT, draw=0.5)
        worker.settle([Settlement(after, wait=wait, attempt=result)])
        return claim.delivery.id

    def answered(self, delivery_id: UUID) -> Pairs:
        with self.unit() as unit:
            [attempt] = unit.deliveries.attempts(delivery_id)
        return attempt.response_headers

    def column(self, statement: str) -> list[str | None]:
        with self.engine.connect() as connection:
            return list(connection.execute(text(statement)).scalars())

    def stored(self) -> list[str | None]:
        return self.column("SELECT response_headers FROM noteflow.webhook_attempts ORDER BY id")

    def forms(self) -> list[str | None]:
        return self.column("SELECT id FROM noteflow.header_forms")


@pytest.fixture
def database(clean_database: str) -> Iterator[Database]:
    engine = create_engine(clean_database)
    yield Database(engine)
    engine.dispose()


def test_what_five_events_had_in_common_is_named(database: Database) -> None:
    """Before that it stands in the rows; a fresh worker begins anew, and stores nothing twice."""
    worker = database.worker()
    ids = [database.delivered(worker) for _ in range(6)]
    in_full = f"\n{form_text(FORM)}\n7f"
    assert database.stored() == [*[in_full] * 5, f"{NAME}\n7f"]
    assert NAME in database.forms()
    again = database.worker()
    ids += [database.delivered(again) for _ in range(6)]
    assert database.stored()[-1] == f"{NAME}\n7f"
    assert len(database.forms()) == 2
    assert {database.answered(each) for each in ids} == {(("Server", "tiny"), ("X-Said", "7f"))}


def test_what_differs_each_time_is_stored_with_its_attempt_alone(database: Database) -> None:
    """So a receiver that makes up new headers for each answer takes no room of its own."""
    worker = database.worker()
    for number in range(12):
        database.delivered(worker, HeaderForm(((f"X-{number}", "v"), ("X-Said", Blank.OWN))))
    [form] = database.forms()
    assert form != NAME
    assert all(str(each).startswith("\n") for each in database.stored())


def test_a_form_that_nobody_uses_goes_and_rows_that_named_it_show_none(database: Database) -> None:
    """One that is in use stays."""
    worker = database.worker()
    ids = [database.delivered(worker) for _ in range(6)]
    retention = SqlAlchemyRetentionStore(database.engine)
    assert retention.remove_header_forms(timedelta(days=2), limit=10).rows == 0
    with database.engine.begin() as connection:
        connection.execute(text("UPDATE noteflow.header_forms SET used_at = now() - interval '3 days'"))
    # A new worker is a new day: it says that it uses the form.
    again = database.worker()
    for _ in range(5):
        database.delivered(again)
    assert retention.remove_header_forms(timedelta(days=2), limit=10).rows == 0
    with database.engine.begin() as connection:
        connection.execute(text("UPDATE noteflow.header_forms SET used_at = now() - interval '3 days'"))
    assert retention.remove_header_forms(timedelta(days=2), limit=1).rows == 1
    assert retention.remove_header_forms(timedelta(days=2), limit=10).rows == 1
    assert database.answered(ids[-1]) == ()
    assert database.answered(ids[0]) == (("Server", "tiny"), ("X-Said", "7f"))


def test_a_form_that_can_not_be_stored_costs_no_result(database: Database) -> None:
    """Rows go on standing in full; it is tried again."""
    with database.engine.begin() as connection:
        connection.execute(text("ALTER TABLE noteflow.header_forms RENAME TO elsewhere"))
    try:
        worker = database.worker()
        for _ in range(7):
            database.delivered(worker)
        assert {str(each)[:1] for each in database.stored()} == {"\n"}
    finally:
        with database.engine.begin() as connection:
            connection.execute(text("ALTER TABLE noteflow.elsewhere RENAME TO header_forms"))
    database.delivered(worker)
    database.delivered(worker)
    assert database.stored()[-1] == f"{NAME}\n7f"


def test_two_forms_of_one_name_are_not_taken_for_each_other(database: Database) -> None:
    """The one that came second stands in full."""
    with database.engine.begin() as connection:
        connection.execute(text("INSERT INTO noteflow.header_forms VALUES (:id, '[]', now())"), {"id": NAME})
    worker = database.worker()
    ids = [database.delivered(worker) for _ in range(7)]
    assert database.answered(ids[-1]) == (("Server", "tiny"), ("X-Said", "7f"))


@pytest.mark.parametrize("damaged", ["", "x", "\n", "\n[", "\n[1]\nv", '\n[["a", 9]]', '\n{"a": 1}\nv', "\nnull"])
def test_rows_that_were_changed_by_hand_show_none(database: Database, damaged: str) -> None:
    """And the delivery is shown all the same."""
    delivery_id = database.delivered(database.worker())
    with database.engine.begin() as connection:
        connection.execute(text("UPDATE noteflow.webhook_attempts SET response_headers = :text"), {"text": damaged})
    assert database.answered(delivery_id) == ()


def test_a_day_s_forms_are_bounded() -> None:
    """However many there are, a process stores no more than a thousand a day, and keeps few in mind."""
    forms = HeaderForms()
    for number in range(1_500):
        form = HeaderForm(((f"X-{number}", "v"),))
        for _ in range(5):
            forms.text(Headers(form, ()), uuid4())
        forms.stored([(name, form_text(each)) for name, each in dict(forms.due).items()])
    assert len(forms.names) == 1_000
    forms.begin_day()
    assert (forms.names, Exchange()) == ({}, Exchange())
