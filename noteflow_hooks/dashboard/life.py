"""A delivery's life in order: from the event to its last answer, and what is next."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from noteflow_hooks.client.causes import advice
from noteflow_hooks.dashboard import drawing, timings, words

if TYPE_CHECKING:
    from google.protobuf.timestamp_pb2 import Timestamp

    from noteflow_hooks.client import pb


@dataclass(frozen=True, slots=True)
class Step:
    """One moment of a delivery's life."""

    at: Timestamp
    what: str
    look: str = "quiet"
    attempt: pb.Attempt | None = None
    #: How wide its bar is.
    bar: int = 0
    #: The parts of its time, in that bar.
    parts: tuple[timings.Part, ...] = ()
    #: Where a redirect leads.
    leads_to: str = ""
    #: What the failure means, and what to do about it.
    advice: tuple[str, str] | None = None
    replay_id: str = ""


def life_of(delivery: pb.Delivery, event: pb.Event) -> list[Step]:
    """Return all that happened, oldest first, and after it what is due."""
    steps = [
        Step(event.occurred_at, "It happened"),
        Step(event.created_at, "The event was stored, in the transaction of what it tells of"),
        Step(delivery.created_at, "It was matched with the endpoint"),
        *(_sent_again(each) for each in delivery.redeliveries),
        *map(_attempt, delivery.attempts, drawing.bars(delivery.attempts)),
    ]
    steps.sort(key=lambda step: step.at.ToNanoseconds())
    return [*steps, *_next(delivery)]


def _sent_again(redelivery: pb.Redelivery) -> Step:
    by = "A replay sent it again" if redelivery.replay_id else "Somebody sent it again"
    was = words.delivery_state(redelivery.previous_status).word.lower()
    return Step(redelivery.requested_at, f"{by}; it was {was} before", "busy", replay_id=redelivery.replay_id)


def _attempt(attempt: pb.Attempt, bar: int) -> Step:
    name, parts = f"Attempt {attempt.attempt_number}", tuple(timings.parts(attempt, bar))
    if not attempt.HasField("error_kind"):
        return Step(attempt.started_at, f"{name}: answered {attempt.status_code}", "good", attempt, bar, parts)
    what = f"{name}: {attempt.error_message or attempt.error_kind}"
    meant = advice(attempt.error_kind, attempt.status_code)
    headers = attempt.response_headers if attempt.error_kind == "redirect" else ()
    leads_to = next((each.value for each in headers if each.name.lower() == "location"), "")
    return Step(attempt.started_at, what, "bad", attempt, bar, parts, leads_to, meant)


def _next(delivery: pb.Delivery) -> list[Step]:
    if delivery.status == "pending" and delivery.HasField("next_attempt_at"):
        return [Step(delivery.next_attempt_at, "It is due for its next attempt", "busy")]
    if delivery.status == "sending":
        return [Step(delivery.lease_expires_at, "A worker is sending it; it has until then", "busy")]
    return []
