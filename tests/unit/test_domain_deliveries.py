"""The state machine of a delivery: which moves each state allows, and what they leave behind."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from noteflow_hooks.domain.attempts import INTERRUPTED, ErrorKind
from noteflow_hooks.domain.deliveries import (
    FINAL_STATUSES,
    INTERRUPTIONS_LIMIT,
    Claim,
    DeliveryStatus,
    Settlement,
    WebhookDelivery,
)
from noteflow_hooks.domain.settling import interrupted
from noteflow_hooks.domain.skipping import DELETED, DISABLED, GONE_REASON, Skip, SkipReason
from noteflow_hooks.errors import InvalidTransitionError
from tests.support.builders import EXACT, NOON, a_delivery, a_failure, a_webhook, an_attempt_result, hours

if TYPE_CHECKING:
    from collections.abc import Callable

    from noteflow_hooks.domain.deliveries import AttemptResult

PENDING, SENDING, SUCCEEDED, DEAD, SKIPPED = DeliveryStatus
LATER = NOON + hours(1)


def attempted(delivery: WebhookDelivery, *, ok: bool, max_retries: int = 3) -> WebhookDelivery:
    result = an_attempt_result() if ok else a_failure()
    return delivery.attempted(result, max_retries=max_retries, policy=EXACT, draw=0.5)[0]


MOVES: dict[str, Callable[[WebhookDelivery], WebhookDelivery]] = {
    "claimed": lambda delivery: delivery.claimed(lease_until=LATER),
    "succeeds": lambda delivery: attempted(delivery, ok=True),
    "fails": lambda delivery: attempted(delivery, ok=False),
    "fails for the last time": lambda delivery: attempted(delivery, ok=False, max_retries=1),
    "skipped": lambda delivery: delivery.skipped(DISABLED),
    "interrupted": lambda delivery: interrupted(delivery, now=NOON),
    "sent again": lambda delivery: delivery.sent_again(now=NOON),
}
ALLOWED = {
    (PENDING, "claimed"): SENDING,
    (PENDING, "skipped"): SKIPPED,
    (SENDING, "succeeds"): SUCCEEDED,
    (SENDING, "fails"): PENDING,
    (SENDING, "fails for the last time"): DEAD,
    (SENDING, "skipped"): SKIPPED,
    (SENDING, "interrupted"): PENDING,
    (SUCCEEDED, "sent again"): PENDING,
    (DEAD, "sent again"): PENDING,
    (SKIPPED, "sent again"): PENDING,
}


@pytest.mark.parametrize("move", MOVES)
@pytest.mark.parametrize("status", DeliveryStatus)
def test_a_state_allows_its_own_moves_and_refuses_all_others(status: DeliveryStatus, move: str) -> None:
    """A refusal names the delivery and its state; the delivery is not changed by either."""
    delivery = a_delivery(status=status)
    expected = ALLOWED.get((status, move))
    if expected is None:
        with pytest.raises(InvalidTransitionError, match=rf"{delivery.id} is {status};"):
            MOVES[move](delivery)
    else:
        assert MOVES[move](delivery).status is expected
    assert delivery.status is status


@settings(deadline=None)
@given(st.lists(st.sampled_from(sorted(MOVES)), max_size=60))
def test_whatever_happens_the_counts_agree_with_it(moves: list[str]) -> None:
    """Claims, attempts, budget and leases are what the moves that were allowed make them."""
    delivery = a_delivery()
    done: list[str] = []
    for move in moves:
        if (delivery.status, move) not in ALLOWED:
            continue
        delivery = MOVES[move](delivery)
        done.append(move)
        results = [each for each in done if each not in ("claimed", "skipped", "sent again")]
        assert delivery.claim_no == done.count("claimed")
        assert delivery.attempt_count == len(results)
        assert 0 <= delivery.budget_used <= 3
        assert 0 <= delivery.interruptions <= INTERRUPTIONS_LIMIT
        assert (delivery.lease_expires_at is not None) == (delivery.status is SENDING)
        assert delivery.next_attempt_at is None or delivery.status is PENDING


def test_a_claim_raises_the_fencing_token() -> None:
    """The worker holds it until its lease ends, and it is not due meanwhile."""
    delivery = a_delivery(claim_no=7)
    assert delivery.claimed(lease_until=LATER) == delivery._replace(
        status=SENDING, claim_no=8, next_attempt_at=None, lease_expires_at=LATER
    )


def test_a_success_leaves_the_attempts_words() -> None:
    """The last attempt's columns are replaced, an earlier error with them, and the budget is left."""
    held = a_delivery(
        status=SENDING,
        lease_expires_at=LATER,
        attempt_count=2,
        budget_used=2,
        interruptions=1,
        error_message="HTTP 500",
    )
    after, wait = held.attempted(an_attempt_result(), max_retries=3, policy=EXACT, draw=0.5)
    assert wait is None
    assert after == held._replace(
        status=SUCCEEDED,
        status_code=200,
        response_body="ok",
        error_message=None,
        duration_ms=12,
        attempt_count=3,
        interruptions=0,
        lease_expires_at=None,
    )


def test_failures_wait_longer_each_time_until_the_budget_is_used() -> None:
    """The wait is the policy's for the failures so far; after ``max_retries`` attempts there is none."""
    delivery = a_delivery()
    waits = []
    for _ in range(4):
        held = delivery.claimed(lease_until=LATER)
        delivery, wait = held.attempted(a_failure(), max_retries=4, policy=EXACT, draw=0.5)
        waits.append(wait)
    assert waits == [timedelta(seconds=1), timedelta(seconds=2), timedelta(seconds=4), None]
    assert (delivery.status, delivery.attempt_count, delivery.budget_used) == (DEAD, 4, 4)
    assert delivery.error_message == "Max retries exceeded: HTTP 500"


def test_a_receivers_wish_is_passed_to_the_policy() -> None:
    """What ``Retry-After`` asked for makes the wait longer."""
    held = a_delivery(status=SENDING)
    result = a_failure(retry_after=timedelta(minutes=5))
    assert held.attempted(result, max_retries=3, policy=EXACT, draw=0.5)[1] == timedelta(minutes=5)


def test_a_budget_that_shrank_ends_at_the_next_failure() -> None:
    """Where ``max_retries`` was lowered below what is used, one more failure is the last."""
    assert attempted(a_delivery(status=SENDING, budget_used=5), ok=False, max_retries=2).status is DEAD


def test_a_skip_keeps_what_was_attempted_and_says_why() -> None:
    """The reason takes the message's place; counts and the last answer stay."""
    delivery = a_delivery(attempt_count=2, budget_used=2, status_code=500, error_message="HTTP 500")
    assert delivery.skipped(DISABLED) == delivery._replace(
        status=SKIPPED, error_message=DISABLED.message, skip_reason=SkipReason.DISABLED, next_attempt_at=None
    )


def test_an_interruption_counts_as_an_attempt_and_costs_no_budget() -> None:
    """It is due at once, and nothing of an earlier answer is shown as this attempt's."""
    held = a_delivery(
        status=SENDING,
        lease_expires_at=NOON,
        attempt_count=1,
        budget_used=1,
        status_code=500,
        response_body="no",
        duration_ms=3,
    )
    assert interrupted(held, now=LATER) == held._replace(
        status=PENDING,
        attempt_count=2,
        interruptions=1,
        error_message=INTERRUPTED,
        error_kind=ErrorKind.INTERRUPTED,
        status_code=None,
        response_body=None,
        duration_ms=None,
        lease_expires_at=None,
        next_attempt_at=LATER,
    )


@pytest.mark.parametrize(("before", "status"), [(3, PENDING), (4, DEAD)])
def test_the_fifth_interruption_in_a_row_is_the_end(before: int, status: DeliveryStatus) -> None:
    """A delivery that kills its workers is not tried for ever."""
    after = interrupted(a_delivery(status=SENDING, interruptions=before), now=NOON)
    assert after.status is status
    assert (after.next_attempt_at is None) is (status is DEAD)
    prefix = "Max retries exceeded: " if status is DEAD else ""
    assert after.error_message == prefix + INTERRUPTED


@pytest.mark.parametrize("ok", [True, False])
def test_a_result_breaks_the_row_of_interruptions(ok: bool) -> None:  # noqa: FBT001 - a case of the table
    """Any answer shows that the worker survives this delivery."""
    assert attempted(a_delivery(status=SENDING, interruptions=4), ok=ok).interruptions == 0


@pytest.mark.parametrize("forced", [False, True])
def test_sending_again_gives_a_fresh_budget_and_counts_attempts_on(forced: bool) -> None:  # noqa: FBT001 - a case of the table
    """The row is reused, due now, its attempts and claims as they were; it waits for its turn unless it is forced."""
    dead = a_delivery(
        status=DEAD,
        next_attempt_at=None,
        delivered_at=NOON,
        attempt_count=9,
        claim_no=9,
        budget_used=3,
        interruptions=5,
    )
    assert dead.sent_again(now=LATER, forced=forced) == dead._replace(
        status=PENDING,
        next_attempt_at=LATER,
        delivered_at=None,
        budget_used=0,
        interruptions=0,
        held=not forced,
        forced=forced,
        passes_filter=True,
    )


def test_settled_are_the_states_that_can_be_sent_again() -> None:
    """The set that others ask is the one that the move allows."""
    assert {status for status, move in ALLOWED if move == "sent again"} == FINAL_STATUSES


@pytest.mark.parametrize(
    ("status_code", "error_kind", "succeeded"),
    [
        (200, None, True),
        (204, None, True),
        (299, None, True),
        (199, None, False),
        (300, None, False),
        (304, None, False),
        (404, ErrorKind.STATUS, False),
        (200, ErrorKind.PROTOCOL, False),
        (None, ErrorKind.TIMEOUT, False),
        (None, None, False),
    ],
)
def test_a_final_2xx_is_success_and_nothing_else(
    status_code: int | None,
    error_kind: ErrorKind | None,
    succeeded: bool,  # noqa: FBT001 - a column of the table
) -> None:
    """Below 200 nothing was decided, from 300 on it was not taken."""
    result = an_attempt_result(status_code=status_code, error_kind=error_kind)
    assert result.succeeded is succeeded


@pytest.mark.parametrize(
    ("changes", "targeted", "reason"),
    [
        ({}, False, None),
        ({"events": ()}, False, Skip("Event meeting.completed not subscribed", SkipReason.NOT_SUBSCRIBED)),
        ({"events": ()}, True, None),
        ({"enabled": False}, False, DISABLED),
        ({"enabled": False}, True, DISABLED),
        ({"enabled": False, "disabled_reason": "410 Gone"}, False, Skip("410 Gone", SkipReason.DISABLED)),
        (
            {"enabled": False, "disabled_reason": f"{GONE_REASON} at noon"},
            False,
            Skip(f"{GONE_REASON} at noon", SkipReason.GONE),
        ),
        ({"disabled_reason": "410 Gone"}, False, None),
        ({"deleted_at": NOON, "enabled": False}, False, DELETED),
        ({"deleted_at": NOON}, True, DELETED),
    ],
)
def test_a_claim_says_what_speaks_against_sending(
    changes: dict[str, object],
    targeted: bool,  # noqa: FBT001 - a column of the table
    reason: Skip | None,
) -> None:
    """Deleted before disabled before unsubscribed; a test asks for no subscription."""
    claim = Claim(a_delivery(status=SENDING), a_webhook(**changes), b"{}", targeted=targeted)
    assert claim.reason_to_skip() == reason


@pytest.mark.parametrize(
    ("attempt", "is_notable"),
    [
        (None, False),
        (an_attempt_result(duration_ms=999), False),
        (an_attempt_result(duration_ms=1_000), True),
        (a_failure(duration_ms=1), True),
        (a_failure(error_kind=ErrorKind.INTERNAL, duration_ms=5_000), False),
        (a_failure(error_kind=ErrorKind.INTERRUPTED), False),
        (a_failure(error_kind=ErrorKind.SECRET_UNAVAILABLE), False),
    ],
    ids=["unsent", "quick", "slow", "failed", "internal", "interrupted", "no secret"],
)
def test_a_failure_of_the_endpoint_or_a_slow_answer_is_notable(
    attempt: AttemptResult | None,
    is_notable: bool,  # noqa: FBT001 - pytest gives arguments by name
) -> None:
    """What is our own fault says nothing of the endpoint, however long it took."""
    assert Settlement(a_delivery(), attempt=attempt).is_notable(timedelta(seconds=1)) is is_notable


def test_values_are_frozen_and_discreet() -> None:
    """A delivery can't be changed in place, and no body or payload is in a repr."""
    delivery = a_delivery(response_body="private")
    with pytest.raises(AttributeError):
        delivery.status = DEAD  # type: ignore[misc]  # it is frozen
    assert not hasattr(delivery, "__dict__")
    shown = repr([delivery, an_attempt_result(response_body="private"), Claim(delivery, a_webhook(), b"private")])
    assert "private" not in shown
