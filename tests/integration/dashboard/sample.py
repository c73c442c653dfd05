"""A workspace in which everything has happened that the dashboard shows, over a store in memory."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any, Final

from noteflow_hooks.domain.attempts import ErrorKind
from noteflow_hooks.domain.deliveries import Settlement
from noteflow_hooks.domain.exchanges import Times
from noteflow_hooks.persistence.memory import InMemoryDeliveryStore, InMemoryStatsKeeper, InMemoryTaskRuns
from noteflow_hooks.rpc.proto.noteflow.v1 import noteflow_pb2 as pb
from tests.support.builders import EXACT, a_failure, a_payload, an_attempt_result, an_exchange

if TYPE_CHECKING:
    from collections.abc import Callable

    from noteflow_hooks.domain.deliveries import AttemptResult, Claim
    from tests.integration.rpc.world import World

#: What receivers answer, by what is in their path.
_ANSWERS: Final[dict[str, AttemptResult]] = {
    "well": an_attempt_result(status_code=200, response_body="ok", duration_ms=43, exchange=an_exchange()),
    "broken": an_attempt_result(
        status_code=500,
        error_kind=ErrorKind.STATUS,
        error_message="HTTP 500",
        response_body='{"error": "no database"}',
        duration_ms=210,
        exchange=an_exchange(times=Times(1, 2, 40, 160, 7, reused_connection=False)),
    ),
    "hangs": an_attempt_result(
        status_code=None, error_kind=ErrorKind.TIMEOUT, error_message="Request timed out", duration_ms=10_000
    ),
}


def answer_by_path(claim: Claim) -> AttemptResult:
    """Answer as the endpoint's path says."""
    return next((answer for part, answer in _ANSWERS.items() if part in claim.webhook.url), a_failure())


def work(world: World, answer: Callable[[Claim], AttemptResult] = answer_by_path, *, throttled: bool = False) -> None:
    """Do what workers do, once: match what was published, and make one attempt of all that is due."""
    store = InMemoryDeliveryStore(world.store)
    store.dispatch([], limit=1000)
    slack = timedelta(seconds=10)
    held = store.claim_throttled(limit=1000, slow=False, lease_slack=slack) if throttled else ()
    for claim in (*store.claim([], limit=1000, lease_slack=slack), *held):
        result = answer(claim)._replace(started_at=datetime.now(UTC))
        after, _ = claim.delivery.attempted(result, max_retries=claim.webhook.max_retries, policy=EXACT, draw=0.5)
        store.settle([Settlement(after, attempt=result)])


def count(world: World) -> None:
    """Do what the sweep does for the figures: count all that has happened."""
    InMemoryStatsKeeper(world.store).roll_up()
    for task in ("relay", "sweep"):
        InMemoryTaskRuns(world.store).note(task, took=timedelta(milliseconds=1))


def publish(world: World, **fields: Any) -> pb.Event:  # noqa: ANN401 - a payload's own
    """Publish one ``meeting.completed``."""
    payload = json.dumps(a_payload(**fields))
    return world.client.events.PublishEvent(
        pb.PublishEventRequest(event_type="meeting.completed", payload_json=payload)
    )


def fill(world: World) -> dict[str, pb.Webhook]:
    """Let a working day happen, and return the endpoints by what they are."""
    made = {
        "well": world.a_webhook(
            url="https://crm.example/well", name="CRM", generate_secret=True, events=["meeting.completed"]
        ),
        "broken": world.a_webhook(
            url="https://billing.example/broken", name="Billing", generate_secret=True, max_retries=1
        ),
        "hangs": world.a_webhook(url="https://search.example/hangs", name="Search index", max_retries=2),
        "other": world.a_webhook(url="https://archive.example/well", name="Archive", events=["summary.generated"]),
    }
    for number in range(6):
        publish(world, title=f"Weekly {number}", meeting_id=f"m-{number}")
        work(world)
    count(world)
    return made
