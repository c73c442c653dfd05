"""Where attempts' time went, and their headers: every store returns what was recorded, and forgets what was erased."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import pytest

from noteflow_hooks.domain.exchanges import UNKNOWN_TIMES, Blank, Exchange, HeaderForm, Headers, Times
from noteflow_hooks.domain.settling import interruption
from tests.conformance.model.batching import SUCCESS, batched, end, taken
from tests.conformance.model.throttling import dispatch
from tests.conformance.model.world import EXPIRED
from tests.support.builders import NOON, a_failure, an_attempt_result, an_exchange, hours

if TYPE_CHECKING:
    from noteflow_hooks.domain.deliveries import WebhookDelivery
    from tests.conformance.model.world import World

SECOND: Final = str(int(NOON.timestamp()))
TIMES: Final = [
    Times(dns_ms=0, connect_ms=1, tls_ms=2, wait_ms=3, read_ms=4, reused_connection=False),
    Times(dns_ms=7, connect_ms=30_000, reused_connection=False),
    Times(wait_ms=9, reused_connection=True),
    UNKNOWN_TIMES,
]


def sent(delivery: WebhookDelivery) -> tuple[tuple[str, str], ...]:
    return (
        ("Host", "example.com"),
        ("User-Agent", "test"),
        ("X-NoteFlow-Delivery", str(delivery.id)),
        ("webhook-id", str(delivery.event_id)),
        ("webhook-timestamp", SECOND),
        ("X-Key", "[redacted]"),
    )


@pytest.mark.parametrize("times", TIMES, ids=str)
def test_an_attempt_has_its_times(world: World, times: Times) -> None:
    """Each part, and what did not happen as that."""
    delivery = world.delivery(world.workspace())
    world.attempt(delivery.id, exchange=an_exchange(times=times))
    [attempt] = world.attempts(delivery.id)
    assert attempt.times == times


def test_usual_times_are_all_wait(world: World) -> None:
    """A kept connection, an answer in one piece: nothing else took time."""
    delivery = world.delivery(world.workspace())
    world.attempt(delivery.id, exchange=an_exchange(), duration_ms=12)
    [attempt] = world.attempts(delivery.id)
    assert attempt.times == Times(wait_ms=12, read_ms=0, reused_connection=True)


def test_what_is_not_known_is_not_said(world: World) -> None:
    """Of an attempt that was cut off there is nothing."""
    delivery = world.delivery(world.workspace())
    claim = world.claim(delivery.id, slack=EXPIRED)
    result = interruption(claim.delivery, claimed_at=NOON, now=NOON).attempt
    assert result is not None
    assert world.settle(claim, result, wait=hours(0))
    [attempt] = world.attempts(delivery.id)
    assert (attempt.times, attempt.request_headers, attempt.response_headers) == (UNKNOWN_TIMES, (), ())


def test_an_attempt_has_the_headers_of_both_sides(world: World) -> None:
    """Over as many attempts and events as it takes for a form to be shared, and with odd characters."""
    workspace_id = world.workspace()
    world.webhook(workspace_id)
    form = HeaderForm((('Ser"ver', "t\u20acny\\"), ("X-Said", Blank.OWN), ("X-Empty", "")))
    said = ("7f", "", "\u00e4\u20ac", '"\\', "7f", "7f", "7f", "7f")
    for value in said:
        [delivery] = world.dispatched(world.event(workspace_id))
        for number in range(2):
            made = an_attempt_result if number else a_failure
            result = made(exchange=an_exchange(form, said=value), started_at=NOON)
            assert world.settle(world.claim(delivery.id), result, wait=hours(0))
        for attempt in world.attempts(delivery.id):
            assert attempt.request_headers == sent(delivery)
            assert attempt.response_headers == (('Ser"ver', "t\u20acny\\"), ("X-Said", value), ("X-Empty", ""))


def test_one_side_may_have_none(world: World) -> None:
    """Nothing was sent, or nothing was answered."""
    delivery = world.delivery(world.workspace())
    empty = Headers(HeaderForm(()), ())
    for exchange in (Exchange(UNKNOWN_TIMES), Exchange(UNKNOWN_TIMES, empty, None)):
        assert world.settle(world.claim(delivery.id), a_failure(exchange=exchange), wait=hours(0))
    for attempt in world.attempts(delivery.id):
        assert (attempt.request_headers, attempt.response_headers) == ((), ())


def test_a_batchs_attempt_names_the_batch(world: World) -> None:
    """For each member, by the ids that the one request had."""
    dispatch(world, batched(world), 2)
    [batch] = taken(world)
    end(world, batch, SUCCESS._replace(exchange=an_exchange()))
    for each in batch.members:
        [attempt] = world.attempts(each.delivery.id)
        named = dict(attempt.request_headers)
        assert (named["X-NoteFlow-Delivery"], named["webhook-id"]) == (str(batch.id), str(batch.id))


def test_erasing_an_event_takes_what_was_answered(world: World) -> None:
    """Its headers may repeat the payload; those of the request don't."""
    workspace_id = world.workspace()
    world.webhook(workspace_id)
    [delivery] = world.dispatched(world.event(workspace_id, meeting_id="m-1"))
    assert world.settle(world.claim(delivery.id), a_failure(exchange=an_exchange(), response_body=None), wait=hours(0))
    under_way = world.claim(delivery.id)
    with world.units() as unit:
        unit.events.erase_meeting(workspace_id, "m-1")
        unit.commit()
    assert world.settle(under_way, an_attempt_result(exchange=an_exchange(), started_at=NOON))
    first, second = world.attempts(delivery.id)
    assert [each.response_headers for each in (first, second)] == [(), ()]
    assert second.request_headers == sent(delivery)
    assert second.times.reused_connection is True
