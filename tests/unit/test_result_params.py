"""Results as the statement that settles takes them: JSON, whatever a receiver has said."""

from __future__ import annotations

import json
from datetime import timedelta
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from noteflow_hooks.domain.attempts import ErrorKind
from noteflow_hooks.domain.deliveries import DeliveryStatus, Settlement
from noteflow_hooks.persistence.sql.delivery.rows import HeaderForms, result_params
from tests.support.builders import a_delivery, an_attempt_result

TEXTS = st.none() | st.text(max_size=20)
NUMBERS = st.none() | st.integers(min_value=0, max_value=2**31 - 1)


def read(*settlements: Settlement, notable: bool = False) -> list[dict[str, Any]]:
    """Return the rows as any reader of JSON has them."""
    params = result_params(((each, notable) for each in settlements), HeaderForms())
    rows: list[dict[str, Any]] = json.loads(params["rows"])
    return rows


@given(body=TEXTS, message=TEXTS, code=NUMBERS, took=NUMBERS)
def test_whatever_was_said_comes_through(
    body: str | None, message: str | None, code: int | None, took: int | None
) -> None:
    """Quotes, control characters, halves of characters, nothing at all."""
    delivery = a_delivery()._replace(response_body=body, error_message=message, status_code=code, duration_ms=took)
    attempt = an_attempt_result(error_message=message, status_code=code)
    [row] = read(Settlement(delivery, attempt=attempt))
    assert (row["response_body"], row["error_message"], row["status_code"], row["duration_ms"]) == (
        body,
        message,
        code,
        took,
    )
    assert (row["attempt_error"], row["attempt_code"]) == (message, code)


def test_a_row_has_all_that_the_statement_reads() -> None:
    """Of a failed attempt, and of a delivery that was given back without one."""
    delivery = a_delivery(status=DeliveryStatus.PENDING)._replace(claim_no=7, attempt_count=2, budget_used=1)
    attempt = an_attempt_result(error_kind=ErrorKind.STATUS, error_message="HTTP 500", redialled=True)
    tried, untried = read(
        Settlement(delivery, wait=timedelta(milliseconds=1500), attempt=attempt),
        Settlement(delivery._replace(interruptions=3)),
        notable=True,
    )
    common = {
        "id": str(delivery.id),
        "claim_no": 7,
        "status": "pending",
        "status_code": delivery.status_code,
        "response_body": delivery.response_body,
        "error_message": delivery.error_message,
        "attempt_count": 2,
        "duration_ms": delivery.duration_ms,
        "budget_used": 1,
        "notable": True,
    }
    made = {
        "started_at": attempt.started_at.isoformat(),
        "attempt_ms": attempt.duration_ms,
        "attempt_code": attempt.status_code,
        "error_kind": "status",
        "attempt_error": "HTTP 500",
        "redialled": True,
        "times": [],
    }
    assert tried == common | made | {"interruptions": 0, "wait_s": 1.5}
    assert untried == common | {"interruptions": 3, "wait_s": 0.0}
    assert read() == []
