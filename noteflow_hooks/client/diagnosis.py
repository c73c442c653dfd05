"""What became of a delivery, why, and what to do next, in sentences: for whoever shows it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from noteflow_hooks.client.causes import SKIPPED, STATES, UNSKIP, WAITS, advice, ended

if TYPE_CHECKING:
    from noteflow_hooks.rpc.proto.noteflow.v1 import noteflow_pb2 as pb

_AGAIN = "Then send it again."
_ERASED = "Its payload is erased: it can't be sent again."
_BY_ITSELF = "It is tried again by itself."


@dataclass(frozen=True, slots=True)
class Diagnosis:
    """What to tell of a delivery."""

    #: Its state in a word or two.
    state: str
    #: What was done so far.
    happened: tuple[str, ...]
    #: Why it is not delivered; nothing where it is.
    why: tuple[str, ...]
    #: What to do next, in this order; nothing where there is nothing to do.
    todo: tuple[str, ...]


def diagnose(delivery: pb.Delivery, endpoint: pb.Webhook | None, *, is_erased: bool = False) -> Diagnosis:
    """Return what to tell of a delivery, as GetDelivery returns it, and its endpoint, None for one that is gone.

    ``is_erased`` says that its event's payload is.
    """
    state = STATES.get(delivery.status, delivery.status)
    happened = (_tries(delivery), *_sent_again(delivery))
    if not delivery.reason and not delivery.skip_reason:
        return Diagnosis(state, happened, (), ())
    reason = delivery.reason or delivery.error_message
    if delivery.status == "skipped":
        known = delivery.skip_reason in SKIPPED
        why = (reason, SKIPPED[delivery.skip_reason]) if known else (reason,)
        if is_erased:
            return Diagnosis(state, happened, why, (_ERASED,))
        return Diagnosis(state, happened, why, (UNSKIP[delivery.skip_reason],) if known else ())
    over = (ended(delivery.error_message, delivery.error_kind, delivery.status_code),)
    failed = _failure(delivery)
    why = (reason, *(over if delivery.status == "dead" else ()), *failed[:1])
    if delivery.status == "dead" and (is_erased or endpoint is None):
        return Diagnosis(state, happened, why, (_ERASED if is_erased else UNSKIP["deleted"],))
    return Diagnosis(state, happened, why, (*failed[1:], *_next(delivery, endpoint, has_failed=bool(failed))))


def waits_for(delivery: pb.Delivery, endpoint: pb.Webhook | None) -> str | None:
    """Return what a pending delivery waits for beside its time: a key of :data:`WAITS`, None for nothing."""
    if delivery.status != "pending":
        return None
    if delivery.waits_for_earlier:
        return "earlier"
    if endpoint is None:
        return None
    if endpoint.enabled and not endpoint.HasField("verified_at"):
        return "unverified"
    state: str = endpoint.state
    return state if state in WAITS else None


def _failure(delivery: pb.Delivery) -> tuple[str, ...]:
    """Return what its last attempt's failure means, and what to do about it; nothing where there is none."""
    last = delivery.attempts[-1] if delivery.attempts else None
    if last is None or not last.HasField("error_kind"):
        return ()
    return advice(last.error_kind, last.status_code, last.response_body)


def _next(delivery: pb.Delivery, endpoint: pb.Webhook | None, *, has_failed: bool) -> tuple[str, ...]:
    reason = waits_for(delivery, endpoint)
    if reason is not None:
        return (WAITS[reason],)
    known = {"pending": (_BY_ITSELF,), "dead": (_AGAIN,)}
    return known.get(delivery.status, ()) if has_failed else ()


def _tries(delivery: pb.Delivery) -> str:
    if not delivery.attempt_count:
        return "Nothing was sent so far." if delivery.status in ("pending", "sending") else "Nothing was sent."
    times = "once" if delivery.attempt_count == 1 else f"{delivery.attempt_count} times"
    if delivery.status_code:
        return f"It was sent {times}, and last answered with {delivery.status_code}."
    return f"It was sent {times}, the last time without an answer."


def _sent_again(delivery: pb.Delivery) -> tuple[str, ...]:
    return tuple(
        f"{'A replay' if each.replay_id else 'Somebody'} sent it again; it was"
        f" {STATES.get(each.previous_status, each.previous_status).lower()} before."
        for each in delivery.redeliveries
    )
