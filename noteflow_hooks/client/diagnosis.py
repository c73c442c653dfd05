"""What became of a delivery, why, and what to do next, in sentences: for whoever shows it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from noteflow_hooks.client.causes import SKIPPED, STATES, UNSKIP, advice, ended

if TYPE_CHECKING:
    from noteflow_hooks.rpc.proto.noteflow.v1 import noteflow_pb2 as pb

_AGAIN = "Then send it again."
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


def diagnose(delivery: pb.Delivery) -> Diagnosis:
    """Return what to tell of a delivery, as GetDelivery returns it."""
    state = STATES.get(delivery.status, delivery.status)
    happened = (_tries(delivery), *_sent_again(delivery))
    if not delivery.reason and not delivery.skip_reason:
        return Diagnosis(state, happened, (), ())
    reason = delivery.reason or delivery.error_message
    if delivery.status == "skipped":
        known = delivery.skip_reason in SKIPPED
        why = (reason, SKIPPED[delivery.skip_reason]) if known else (reason,)
        return Diagnosis(state, happened, why, (UNSKIP[delivery.skip_reason],) if known else ())
    over = (ended(delivery.error_message, delivery.error_kind, delivery.status_code),)
    failed = _failure(delivery)
    why = (reason, *(over if delivery.status == "dead" else ()), *failed[:1])
    return Diagnosis(state, happened, why, (*failed[1:], *_next(delivery)) if failed else ())


def _failure(delivery: pb.Delivery) -> tuple[str, ...]:
    """Return what its last attempt's failure means, and what to do about it; nothing where there is none."""
    last = delivery.attempts[-1] if delivery.attempts else None
    return advice(last.error_kind, last.status_code) if last is not None and last.HasField("error_kind") else ()


def _next(delivery: pb.Delivery) -> tuple[str, ...]:
    known = {"pending": (_BY_ITSELF,), "dead": (_AGAIN,)}
    return known.get(delivery.status, ())


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
