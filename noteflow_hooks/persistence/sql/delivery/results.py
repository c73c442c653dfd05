"""Results as the statement that settles them takes them: any number of them as one JSON text."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from noteflow_hooks.domain.deliveries import ERASED

if TYPE_CHECKING:
    from collections.abc import Iterable

    from noteflow_hooks.domain.deliveries import AttemptResult, Settlement


def result_params(settlements: Iterable[tuple[Settlement, bool]]) -> dict[str, str]:
    """Return the parameters for results, each with whether it is a notable one."""
    return {"rows": json.dumps([_row(each, notable=notable) for each, notable in settlements]), "erased": ERASED}


def _row(settlement: Settlement, *, notable: bool) -> dict[str, Any]:
    delivery = settlement.delivery
    return {
        "id": str(delivery.id),
        "claim_no": delivery.claim_no,
        "status": delivery.status,
        "status_code": delivery.status_code,
        "response_body": delivery.response_body,
        "error_message": delivery.error_message,
        "attempt_count": delivery.attempt_count,
        "duration_ms": delivery.duration_ms,
        "budget_used": delivery.budget_used,
        "interruptions": delivery.interruptions,
        "wait_s": settlement.wait.total_seconds() if settlement.wait is not None else 0.0,
        "notable": notable,
        "attempt": _attempt(settlement.attempt),
    }


def _attempt(result: AttemptResult | None) -> dict[str, Any] | None:
    if result is None:
        return None
    return {
        "started_at": result.started_at.isoformat(),
        "duration_ms": result.duration_ms,
        "status_code": result.status_code,
        "error_kind": result.error_kind,
        "error_message": result.error_message,
        "redialled": result.redialled,
    }
