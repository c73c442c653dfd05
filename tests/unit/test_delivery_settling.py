"""What came of attempts is stored: whatever the database, the worker or the receiver does."""

from __future__ import annotations

import json
import logging
from dataclasses import replace
from datetime import timedelta
from typing import TYPE_CHECKING
from uuid import UUID, uuid4

import pytest

from noteflow_hooks.delivery.settler import grouped
from noteflow_hooks.domain.attempts import ErrorKind
from noteflow_hooks.domain.deliveries import DeliveryStatus
from noteflow_hooks.errors import UnavailableError
from noteflow_hooks.logs import JsonFormatter
from tests.support.builders import an_attempt_result
from tests.support.delivery_system import FAILED, OK, System

if TYPE_CHECKING:
    from noteflow_hooks.domain.deliveries import AttemptResult, Claim


def test_retries_that_come_due_together_share_a_message() -> None:
    """Waits within a fifth of a second go under the longest of them; one far off goes alone."""
    ids = [uuid4() for _ in range(3)]
    waits = dict(zip(ids, (timedelta(seconds=1), timedelta(seconds=1.15), timedelta(seconds=2)), strict=True))
    groups = grouped(waits)
    assert {wait: set(group) for wait, group in groups.items()} == {
        timedelta(seconds=1.15): {ids[0], ids[1]},
        timedelta(seconds=2): {ids[2]},
    }


def test_the_last_attempt_leaves_it_dead(system: System) -> None:
    """Two attempts allowed, two failed: dead, with the last message behind the first words."""
    system.answer = lambda _: FAILED
    ids = system.deliveries(1, max_retries=2)
    system.deliver(ids)
    system.pass_time(timedelta(seconds=1))
    assert str(system.deliver(ids)) == "1 dead"
    assert system.read(ids[0]).error_message == "Max retries exceeded: HTTP 500"


def test_what_may_not_be_sent_is_skipped_without_a_post(system: System) -> None:
    """An endpoint that has unsubscribed between dispatch and POST gets a skipped row with the reason, no attempt."""
    [delivery_id] = system.deliveries(1)
    with system.unit() as unit:
        [webhook] = unit.webhooks.get_all(system.workspace.id)
        unit.webhooks.update(replace(webhook, events=()))
        unit.commit()
    assert str(system.deliver([delivery_id])) == "1 skipped"
    assert system.sent == []
    assert system.read(delivery_id).error_message == "Event meeting.completed not subscribed"


def test_a_result_waits_for_a_database_that_restarts(system: System) -> None:
    """What was sent is recorded once the database is back: the endpoint is not sent it again."""
    ids = system.deliveries(1)
    system.store.failures = [UnavailableError(), UnavailableError()]
    assert str(system.deliver(ids)) == "1 succeeded"
    assert system.slept == [0.1, 0.2]
    assert system.sent == ids


def test_a_database_that_stays_away_ends_the_task(system: System) -> None:
    """Five minutes after the lease has run out the error goes up: a worker must not wait for ever."""
    ids = system.deliveries(1, timeout_ms=5000)
    system.store.failures = [UnavailableError() for _ in range(1000)]
    with pytest.raises(UnavailableError):
        system.deliver(ids)
    assert 315 <= sum(system.slept) <= 317


def test_a_worker_that_is_told_to_end_waits_half_a_minute_for_its_database(system: System) -> None:
    """The database may have been told the same; what comes after that time is tried once, however many groups it is."""
    for told, waited in ((0.0, 30), (50.0, 80), (-30.0, 0)):
        system.slept.clear()
        ids = system.deliveries(1, timeout_ms=5000)
        system.ending_since = told
        system.store.failures = [UnavailableError() for _ in range(1000)]
        with pytest.raises(UnavailableError):
            system.deliver(ids)
        assert waited <= sum(system.slept) <= waited + 2


def test_a_result_is_stored_after_its_lease_where_nobody_took_the_delivery(system: System) -> None:
    """The database was away for longer than the lease: it is back, and the endpoint is not sent it again."""
    ids = system.deliveries(1, timeout_ms=1000)
    system.store.failures = [UnavailableError() for _ in range(20)]
    assert str(system.deliver(ids)) == "1 succeeded"
    assert sum(system.slept) > 11
    assert system.sent == ids


def test_a_row_that_the_store_refuses_does_not_take_others_with_it(system: System) -> None:
    """The group is stored row by row, the refused one without the receiver's text."""
    system.answer = lambda _: an_attempt_result(status_code=200, response_body="thanks")
    ids = system.deliveries(3)
    system.store.refused = {ids[1]}
    assert str(system.deliver(ids)) == "3 succeeded"
    assert [system.read(each).response_body for each in ids] == ["thanks", None, "thanks"]


def test_a_result_under_a_stale_claim_is_counted_as_lost() -> None:
    """While the worker was away the sweep took the delivery back: its result changes nothing."""
    system = System()

    def answer(_: Claim) -> AttemptResult:
        system.pass_time(timedelta(hours=1))
        assert system.rescue.reclaim_expired() == 1
        return OK

    system.answer = answer
    ids = system.deliveries(1)
    assert str(system.deliver(ids)) == "1 lost"
    assert system.read(ids[0]).status is DeliveryStatus.PENDING


def test_a_fault_of_our_own_costs_the_endpoint_nothing() -> None:
    """An endpoint that allows one attempt is not dead after our fault; five in a row end the delivery all the same."""
    fault = an_attempt_result(status_code=None, error_kind=ErrorKind.INTERNAL, error_message="Internal error")
    system = System(lambda _: fault)
    [delivery_id] = system.deliveries(1, max_retries=1)
    outcomes = []
    for _ in range(5):
        outcomes.append(str(system.deliver([delivery_id])))
        system.pass_time(timedelta(hours=1))
    assert outcomes == ["1 retrying"] * 4 + ["1 dead"]
    assert system.read(delivery_id).budget_used == 0


def test_a_disabled_endpoint_is_announced_once_it_is_stored() -> None:
    """A receiver that is gone is disabled, and the event that says so is announced to the workers."""
    announced: list[UUID] = []
    gone = FAILED._replace(status_code=410, error_message="HTTP 410")
    system = System(lambda _: gone, announce=announced.extend)
    system.deliver(system.deliveries(1))
    with system.unit() as unit:
        events = [unit.events.get_by_id(each) for each in announced]
    assert [each and each.event_type for each in events] == ["webhook.disabled"]


def test_each_success_has_a_line_of_its_own_however_many_come_together(
    system: System, caplog: pytest.LogCaptureFixture
) -> None:
    """With delivery and host, and nothing else of the URL."""
    caplog.set_level(logging.INFO, logger="noteflow_hooks")
    ids = system.deliveries(3, url="https://host.example/private")
    system.deliver(ids)
    formatter = JsonFormatter()
    said = [json.loads(line)["message"] for each in caplog.records for line in formatter.format(each).split("\n")]
    assert {each for each in said if each.endswith(" succeeded")} == {
        f"delivery {each} to host.example succeeded" for each in ids
    }


def test_the_log_tells_the_operator_what_could_allow_a_refused_address(
    system: System, caplog: pytest.LogCaptureFixture
) -> None:
    """The attempt's message, which the tenant reads, stays as it is; the log's line names host and settings."""
    system.answer = lambda _: an_attempt_result(
        status_code=None, error_kind=ErrorKind.ADDRESS_NOT_ALLOWED, error_message="address not allowed"
    )
    [delivery_id] = system.deliveries(1, url="https://inside.example/private?private")
    system.deliver([delivery_id])
    [line] = [JsonFormatter().format(each) for each in caplog.records]
    said = json.loads(line)
    assert (said["delivery"], said["host"]) == (str(delivery_id), "inside.example")
    assert said["error"] == "address not allowed"
    assert "NOTEFLOW_HOOKS_EGRESS_ALLOW" in said["message"]
    assert "private" not in line
    assert system.read(delivery_id).error_message == "address not allowed"
