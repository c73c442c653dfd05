"""The schema's CHECKs, which migrations have written down, allow what the domain allows, and nothing else."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from sqlalchemy import text
from sqlalchemy.exc import IntegrityError

from noteflow_hooks.domain.deliveries import RESPONSE_KEPT_BYTES, SUCCESS, DeliveryStatus, ErrorKind
from noteflow_hooks.domain.events import SUBSCRIBABLE
from noteflow_hooks.domain.webhooks import MAX_CONCURRENCY, MAX_RETRIES, RATE_LIMIT_PER_S, TIMEOUT_MS
from tests.support.twins import Endpoint, Rows, in_transaction, twin

if TYPE_CHECKING:
    from uuid import UUID

    from sqlalchemy.engine import Engine

PLAIN = Endpoint({}, {"failures": 0})


def accepts(rows: Rows, table: str, row_id: UUID, changes: str, **params: Any) -> bool:  # noqa: ANN401 - columns
    """Tell whether a row may be changed like that."""
    statement = text(f"UPDATE noteflow.{table} SET {changes} WHERE id = :id")  # noqa: S608 - the tests' own words
    try:
        with rows.connection.begin_nested():
            assert rows.connection.execute(statement, {"id": row_id, **params}).rowcount == 1
    except IntegrityError:
        return False
    return True


@twin(
    "domain.webhooks.TIMEOUT_MS",
    "domain.webhooks.MAX_RETRIES",
    "domain.webhooks.MAX_CONCURRENCY",
    "domain.webhooks.RATE_LIMIT_PER_S",
)
@given(nth=st.sampled_from([0, 1, 2, 3]))
def test_an_endpoint_s_bounds_are_one_thing(tables: Engine, nth: int) -> None:
    """The first one that is refused lies right beside the last one that is taken."""

    def check(rows: Rows) -> None:
        webhook_id = rows.endpoint(PLAIN)
        for name, allowed in (
            ("timeout_ms", TIMEOUT_MS),
            ("max_retries", MAX_RETRIES),
            ("max_concurrency", MAX_CONCURRENCY),
        ):
            value = [allowed[0] - 1, allowed[0], allowed[-1], allowed[-1] + 1][nth]
            assert accepts(rows, "webhook_configs", webhook_id, f"{name} = :value", value=value) == (value in allowed)
        least, most = RATE_LIMIT_PER_S
        rate = [least - 0.001, least, most, most + 0.001][nth]
        taken = accepts(rows, "webhook_configs", webhook_id, "rate_limit_per_s = :value", value=rate)
        assert taken == (least <= rate <= most)

    in_transaction(tables, check)


@twin("domain.events.SUBSCRIBABLE")
@given(chosen=st.sets(st.sampled_from([*map(str, SUBSCRIBABLE), "webhook.test", "other"]), min_size=1, max_size=3))
def test_what_can_be_subscribed_to_is_one_thing(tables: Engine, chosen: set[str]) -> None:
    """Of several types each has to be allowed."""

    def check(rows: Rows) -> None:
        webhook_id = rows.endpoint(PLAIN)
        taken = accepts(rows, "webhook_configs", webhook_id, "events = :value", value=sorted(chosen))
        assert taken == (chosen <= set(map(str, SUBSCRIBABLE)))

    in_transaction(tables, check)


@twin("domain.deliveries.DeliveryStatus", "domain.deliveries.SUCCESS")
@given(status=st.sampled_from([*map(str, DeliveryStatus), "lost"]), code=st.sampled_from([199, 200, 299, 300]))
def test_a_delivery_s_states_are_one_thing(tables: Engine, status: str, code: int) -> None:
    """One that succeeded was answered with a code that is success."""

    def check(rows: Rows) -> None:
        delivery_id = rows.delivery(rows.endpoint(PLAIN), status="dead")
        moments = {
            "next_attempt_at": status == "pending",
            "lease_expires_at": status == "sending",
            "claimed_at": status == "sending",
            "delivered_at": status == "succeeded",
        }
        changes = [f"{name} = {'now()' if there else 'NULL'}" for name, there in moments.items()]
        changes += ["status = :status", "status_code = :code"]
        taken = accepts(rows, "webhook_deliveries", delivery_id, ", ".join(changes), status=status, code=code)
        assert taken == (status in set(map(str, DeliveryStatus)) and (status != "succeeded" or code in SUCCESS))

    in_transaction(tables, check)


@twin("domain.deliveries.ErrorKind", "domain.deliveries.RESPONSE_KEPT_BYTES")
@given(
    kind=st.sampled_from([*map(str, ErrorKind), "bad_luck"]),
    size=st.sampled_from([0, RESPONSE_KEPT_BYTES, RESPONSE_KEPT_BYTES + 1]),
)
def test_what_an_attempt_may_hold_is_one_thing(tables: Engine, kind: str, size: int) -> None:
    """Of an answer no more bytes are kept than that."""

    def check(rows: Rows) -> None:
        delivery_id = rows.delivery(rows.endpoint(PLAIN), status="dead")
        insert = text(
            "INSERT INTO noteflow.webhook_attempts"
            " (delivery_id, attempt_number, started_at, duration_ms, error_kind, response_body)"
            " VALUES (:id, 1, now(), 1, :kind, :body)"
        )
        params = {"id": delivery_id, "kind": kind, "body": "x" * size}
        if kind in set(map(str, ErrorKind)) and size <= RESPONSE_KEPT_BYTES:
            rows.connection.execute(insert, params)
        else:
            with pytest.raises(IntegrityError):
                rows.connection.execute(insert, params)

    in_transaction(tables, check)
