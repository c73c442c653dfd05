"""The SQL that moves deliveries from state to state says what their transitions say in the domain."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from typing import TYPE_CHECKING, Any

from hypothesis import given
from hypothesis import strategies as st
from sqlalchemy import text

from noteflow_hooks.domain.deliveries import FINAL_STATUSES, DeliveryStatus, Settlement
from noteflow_hooks.domain.health.circuit_breaker import apply_results
from noteflow_hooks.domain.health.state import HealthRules
from noteflow_hooks.domain.renderings import Rendering
from noteflow_hooks.domain.settling import stored
from noteflow_hooks.domain.skipping import ERASED, Skip, SkipReason
from noteflow_hooks.persistence.sql import erasing, health_statements, replays
from noteflow_hooks.persistence.sql.delivery import claim_statements, lookup_statements, settle_statements
from noteflow_hooks.persistence.sql.delivery.rows import HeaderForms, result_params
from tests.support.builders import EXACT, an_attempt_result
from tests.support.twins import MOMENTS, Endpoint, Rows, endpoints, in_transaction, twin

if TYPE_CHECKING:
    from sqlalchemy.engine import Engine

    from noteflow_hooks.domain.deliveries import WebhookDelivery

PLAIN = Endpoint({}, {"failures": 0})
RULES = HealthRules()
SUCCESS = an_attempt_result(duration_ms=1)
#: Any delivery; moments in seconds from now.
DELIVERIES = st.fixed_dictionaries(
    {
        "status": st.sampled_from(list(DeliveryStatus)),
        "held": st.booleans(),
        "forced": st.booleans(),
        "claim_no": st.sampled_from([0, 3]),
        "attempt_count": st.sampled_from([0, 2]),
        "budget_used": st.sampled_from([0, 1]),
        "interruptions": st.sampled_from([0, 1]),
        "rendering": st.sampled_from([None, None, "cloudevents/1/1"]),
        "response_body": st.sampled_from([None, "an answer"]),
        "error_message": st.sampled_from([None, "HTTP 500", ERASED.message]),
        "skip_reason": st.sampled_from([None, None, "disabled", "filtered"]),
        "passes_filter": st.sampled_from([None, None, True, False]),
    }
)
#: What an endpoint wants to be sent.
WANTS = st.fixed_dictionaries(
    {
        "format": st.sampled_from(["noteflow", "noteflow", "cloudevents-binary", "slack"]),
        "payload_version": st.sampled_from([1, 1, 2]),
    }
)
MANY = st.lists(st.tuples(DELIVERIES, MOMENTS), min_size=1, max_size=8)


def store(rows: Rows, generated: list[tuple[dict[str, Any], float]]) -> list[WebhookDelivery]:
    """Store deliveries of one endpoint, their next attempts and leases at these moments; return them as stored."""
    webhook_id = rows.endpoint(PLAIN)
    made = []
    for columns, moment in generated:
        status = columns["status"]
        own: dict[str, Any] = columns if status == "pending" else columns | {"held": False, "forced": False}
        if status == "pending":
            own = own | {"next_attempt_at": moment}
        if status == "sending":
            own = own | {"lease_expires_at": moment, "claimed_at": 0.0}
        made.append(rows.read_delivery(rows.delivery(webhook_id, **own)))
    return made


@twin("domain.deliveries.WebhookDelivery.is_due")
@given(generated=MANY)
def test_what_is_due_is_one_thing(tables: Engine, generated: list[tuple[dict[str, Any], float]]) -> None:
    """What is not, and not throttled either, waits for its moment."""

    def check(rows: Rows) -> None:
        made = store(rows, generated)
        age = {"age": timedelta(0), "limit": 100}
        assert set(rows.connection.scalars(lookup_statements.DUE, age)) == {
            each.id for each in made if each.is_due(rows.now)
        }
        waits = rows.connection.execute(lookup_statements.WAITS, {"ids": [each.id for each in made]})
        assert {row.id for row in waits} == {
            each.id for each in made if not each.is_due(rows.now) and each.next_attempt_at is not None and not each.held
        }
        params = {"ids": [], "limit": 100, "slack_s": 1.0, "concurrency": 100}
        claims = rows.connection.execute(claim_statements.CLAIM, params)
        assert {row.id for row in claims if row.id is not None} == {each.id for each in made if each.is_due(rows.now)}

    in_transaction(tables, check)


@twin("domain.deliveries.WebhookDelivery.is_expired")
@given(generated=MANY)
def test_what_has_expired_is_one_thing(tables: Engine, generated: list[tuple[dict[str, Any], float]]) -> None:
    """A lease that ends at this very moment has."""

    def check(rows: Rows) -> None:
        made = store(rows, generated)
        found = rows.connection.execute(settle_statements.EXPIRED, {"limit": 100, "claimed_from": None})
        assert {row.id for row in found} == {each.id for each in made if each.is_expired(rows.now)}

    in_transaction(tables, check)


@twin(
    "domain.deliveries.WebhookDelivery.claimed",
    "domain.deliveries.WebhookDelivery.is_begun",
    "domain.renderings.Rendering.of",
    "domain.webhooks.WebhookConfig.lease",
)
@given(generated=endpoints(), wants=WANTS, columns=DELIVERIES, slack=st.sampled_from([-40.0, 0.0, 2.5]))
def test_what_a_claim_makes_of_a_delivery_is_one_thing(
    tables: Engine, generated: Endpoint, wants: dict[str, Any], columns: dict[str, Any], slack: float
) -> None:
    """Its lease is its endpoint's timeout and the slack; its rendering is the endpoint's, where it was not begun."""

    def check(rows: Rows) -> None:
        webhook_id = rows.endpoint(replace(generated, config={**generated.config, **wants}))
        before = rows.read_delivery(rows.delivery(webhook_id, **columns | {"status": "pending", "held": True}))
        params = {"webhook_ids": [webhook_id], "counts": [1], "slack_s": slack}
        [row] = rows.connection.execute(claim_statements.CLAIM_THROTTLED, params)
        after = rows.read_delivery(row.id)
        assert after.lease_expires_at is not None
        webhook, _ = rows.read_endpoint(webhook_id)
        rendering = Rendering.of(webhook).stored
        assert after == before.claimed(lease_until=after.lease_expires_at, rendering=rendering)
        lease = claim_statements.lease_end("timeout_ms").replace("clock_timestamp()", "now()")
        query = text(f"SELECT {lease} FROM noteflow.webhook_configs WHERE id = :id")  # noqa: S608 - our own constants
        ends_at = rows.connection.execute(query, {"id": webhook_id, "slack_s": slack}).scalar_one()
        assert ends_at == rows.now + webhook.lease(timedelta(seconds=slack))

    in_transaction(tables, check)


@st.composite
def outcomes(draw: st.DrawFn) -> tuple[str, int, float]:
    """Generate how an attempt ends, how far its claim is from the stored one, and the wait in seconds."""
    ends = ["succeeded", "failed", "exhausted", "released", "skipped"]
    return draw(st.sampled_from(ends)), draw(st.sampled_from([0, 0, 0, 1, -1])), draw(st.sampled_from([0.0, 1.5, 60.0]))


def settlement(before: WebhookDelivery, outcome: tuple[str, int, float]) -> Settlement:
    """Return the result of a claim of that delivery, whether or not it is claimed."""
    how, away, wait = outcome
    sending = before._replace(status=DeliveryStatus.SENDING, claim_no=max(0, before.claim_no + away))
    if how == "released":
        return Settlement(sending.released())
    if how == "skipped":
        return Settlement(sending.skipped(Skip("no reason", SkipReason.GIVEN_UP)))
    failed = {"status_code": 500, "error_kind": "status", "error_message": "HTTP 500", "response_body": "no"}
    result = an_attempt_result(**({} if how == "succeeded" else failed))
    most = 1 if how == "exhausted" else 20
    after, ruled = sending.attempted(result, max_retries=most, policy=EXACT, draw=0.5)
    return Settlement(after, wait=None if ruled is None else timedelta(seconds=wait), attempt=result)


@twin("domain.settling.stored")
@given(columns=DELIVERIES, outcome=outcomes())
def test_what_is_stored_of_a_result_is_one_thing(
    tables: Engine, columns: dict[str, Any], outcome: tuple[str, int, float]
) -> None:
    """Nothing is, of one whose claim is over; and no answer, where the payload was erased meanwhile."""

    def check(rows: Rows) -> None:
        [before] = store(rows, [(columns, 60.0)])
        result = settlement(before, outcome)
        found = rows.connection.execute(
            settle_statements.SETTLE.careful, result_params([(result, True)], HeaderForms())
        ).all()
        expected = stored(result, before, now=rows.now)
        assert [(row.id, row.claim_no) for row in found] == ([result.fencing_key] if expected is not None else [])
        assert rows.read_delivery(before.id) == (expected if expected is not None else before)

    in_transaction(tables, check)


@twin("domain.health.circuit_breaker.apply_results")
@given(generated=endpoints())
def test_whose_health_a_success_changes_is_one_thing(tables: Engine, generated: Endpoint) -> None:
    """Whoever is not examined for it has no more than a slot now, where it waited for room."""

    def check(rows: Rows) -> None:
        webhook_id = rows.endpoint(generated)
        webhook, before = rows.read_endpoint(webhook_id)
        delivery = rows.read_delivery(rows.delivery(webhook_id, status="sending"))
        after, _ = delivery.attempted(SUCCESS, max_retries=3, policy=EXACT, draw=0.5)
        params = result_params([(Settlement(after, attempt=SUCCESS), False)], HeaderForms())
        [row] = rows.connection.execute(settle_statements.SETTLE.careful, params)
        expected, _ = apply_results(before, webhook, [SUCCESS], now=rows.now, rules=RULES)
        room: dict[str, Any] = {"awaiting_room": False, "turn_at": None}
        if not row.examined:
            assert replace(expected, **room) == replace(before, **room)
            assert row.has_slot == before.awaiting_room
            _, kept = rows.read_endpoint(webhook_id)
            assert (kept.awaiting_room, kept.turn_at is None) == (False, expected.turn_at is None)

    in_transaction(tables, check)


@twin("domain.deliveries.WebhookDelivery.skipped")
@given(generated=MANY)
def test_what_is_skipped_with_an_endpoint_is_one_thing(
    tables: Engine, generated: list[tuple[dict[str, Any], float]]
) -> None:
    """What waits is, and nothing else."""

    def check(rows: Rows) -> None:
        made = store(rows, generated)
        params = {"webhook_id": made[0].webhook_id, "message": "gone", "reason": "gone", "limit": 100}
        rows.connection.execute(health_statements.SKIP_WAITING, params)
        for each in made:
            waits = each.status is DeliveryStatus.PENDING
            assert rows.read_delivery(each.id) == (each.skipped(Skip("gone", SkipReason.GONE)) if waits else each)

    in_transaction(tables, check)


@twin("domain.deliveries.WebhookDelivery.erased")
@given(generated=MANY)
def test_what_erasing_makes_of_a_delivery_is_one_thing(
    tables: Engine, generated: list[tuple[dict[str, Any], float]]
) -> None:
    """Nothing that may repeat the payload is left, and nothing waits."""

    def check(rows: Rows) -> None:
        made = store(rows, generated)
        params = {"ids": [each.event_id for each in made], "reason": ERASED.message}
        rows.connection.execute(erasing.SKIP_ERASED, params)
        for each in made:
            assert rows.read_delivery(each.id) == each.erased()

    in_transaction(tables, check)


@twin("domain.deliveries.WebhookDelivery.sent_again")
@given(generated=MANY, unfiltered=st.booleans())
def test_what_sending_again_makes_of_a_delivery_is_one_thing(
    tables: Engine, generated: list[tuple[dict[str, Any], float]], *, unfiltered: bool
) -> None:
    """A replay's step does with a statement what a single redelivery does with a value."""

    def check(rows: Rows) -> None:
        made = [each for each in store(rows, generated) if each.status in FINAL_STATUSES]
        rows.connection.execute(
            replays.SEND_AGAIN, {"ids": [each.id for each in made], "replay_id": None, "unfiltered": unfiltered}
        )
        for each in made:
            assert rows.read_delivery(each.id) == each.sent_again(now=rows.now, unfiltered=unfiltered)

    in_transaction(tables, check)
