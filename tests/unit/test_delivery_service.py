"""The workers' half, over the store in memory and with a receiver that is a function."""

from __future__ import annotations

import threading
from dataclasses import replace
from datetime import timedelta
from typing import TYPE_CHECKING, Any
from uuid import UUID, uuid4

import pytest

from noteflow_hooks.concurrency.bulkhead import Bulkhead
from noteflow_hooks.delivery import dispatcher as dispatching
from noteflow_hooks.delivery.service import DeliveryService
from noteflow_hooks.delivery.settler import Outcomes, grouped
from noteflow_hooks.domain.deliveries import DeliveryStatus, ErrorKind
from noteflow_hooks.domain.paging import DeliveryFilter
from noteflow_hooks.errors import UnavailableError
from noteflow_hooks.persistence.memory import InMemoryDeliveryStore, InMemoryUnitOfWork, MemoryStore
from tests.support.builders import EXACT, NOON, a_webhook, a_workspace, an_attempt_result, an_event
from tests.support.waiting import PATIENCE_S, until

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
    from datetime import datetime

    from noteflow_hooks.domain.deliveries import AttemptResult, Claim, Settlement, WebhookDelivery
    from noteflow_hooks.domain.ports.delivery_store import Claimed, Settled

OK = an_attempt_result(status_code=200)
FAILED = an_attempt_result(status_code=500, error_kind=ErrorKind.STATUS, error_message="HTTP 500")


class System:
    """A service over a store in memory, whose clock and receiver the test moves."""

    def __init__(self, answer: Callable[[Claim], AttemptResult] = lambda _: OK, **options: Any) -> None:  # noqa: ANN401 - the service's own
        self.now = NOON
        self.memory = MemoryStore(now=self._clock)
        self.store = Flaky(self.memory)
        self.workspace = a_workspace()
        self.sent: list[UUID] = []
        self.slept: list[float] = []
        self.hints: list[tuple[timedelta, list[UUID]]] = []
        self.turns: list[tuple[timedelta, bool]] = []
        self.pool = Bulkhead(options.pop("threads", 8))
        self.answer = answer
        settings: dict[str, Any] = {
            "chunk": 5,
            "lease_slack": timedelta(seconds=10),
            "countdown_max": timedelta(seconds=60),
            # In real time, which no other test here depends on than the one that is about it.
            "slow_after": timedelta(seconds=PATIENCE_S),
        }
        self.service = DeliveryService(
            self.store,
            self._post,
            self.pool,
            policy=EXACT,
            draw=lambda: 0.5,
            sleep=self._sleep,
            monotonic=lambda: sum(self.slept),
            **settings | options,
        )
        with self.unit() as unit:
            unit.access.create_workspace(self.workspace)
            unit.commit()

    def unit(self) -> InMemoryUnitOfWork:
        return InMemoryUnitOfWork(self.memory)

    def deliveries(self, count: int, **overrides: Any) -> list[UUID]:  # noqa: ANN401 - an endpoint's fields
        """Make that many deliveries for one new endpoint."""
        with self.unit() as unit:
            webhook = unit.webhooks.create(a_webhook(workspace_id=self.workspace.id, **overrides))
            unit.commit()
        self.pass_time(timedelta(seconds=1))
        for _ in range(count):
            with self.unit() as unit:
                unit.events.append(an_event(workspace_id=self.workspace.id))
                unit.commit()
        made = [each for chunk in self.service.dispatch([]) for each in chunk]
        with self.unit() as unit:
            mine = {each.id for each in unit.webhooks.get_deliveries(webhook.id, limit=10**6)}
        return [each for each in made if each in mine]

    def read(self, delivery_id: UUID) -> WebhookDelivery:
        with self.unit() as unit:
            found = unit.deliveries.get_by_id(self.workspace.id, delivery_id)
        assert found is not None
        return found

    def pass_time(self, by: timedelta) -> None:
        self.now += by

    def deliver(self, ids: Sequence[UUID]) -> Outcomes:
        """Deliver, and keep the hints."""
        return self.service.deliver(ids, hint=self.hint)

    def hint(self, wait: timedelta, delivery_ids: list[UUID], *, slow: bool = False) -> None:
        if delivery_ids:
            self.hints.append((wait, delivery_ids))
        else:
            self.turns.append((wait, slow))

    def _sleep(self, seconds: float) -> None:
        self.slept.append(seconds)

    def _clock(self) -> datetime:
        return self.now

    def _post(self, claim: Claim) -> AttemptResult:
        self.sent.append(claim.delivery.id)
        return self.answer(claim)


class Flaky(InMemoryDeliveryStore):
    """The store in memory, whose next calls to ``settle`` can be made to fail."""

    def __init__(self, memory: MemoryStore) -> None:
        super().__init__(memory)
        self.failures: list[Exception] = []
        self.refused: set[UUID] = set()

    def settle(self, settlements: Sequence[Settlement]) -> Settled:
        if self.failures:
            raise self.failures.pop(0)
        if any(each.delivery.id in self.refused and each.delivery.response_body for each in settlements):
            raise ValueError("this text can't be stored")
        return super().settle(settlements)


@pytest.fixture
def system() -> Iterator[System]:
    made = System()
    yield made
    made.pool.close()


def test_what_was_committed_is_dispatched_in_chunks(system: System) -> None:
    """Twelve events for one endpoint come out as chunks of five, five and two."""
    with system.unit() as unit:
        unit.webhooks.create(a_webhook(workspace_id=system.workspace.id))
        unit.commit()
    system.pass_time(timedelta(seconds=1))
    for _ in range(12):
        with system.unit() as unit:
            unit.events.append(an_event(workspace_id=system.workspace.id))
            unit.commit()
    assert [len(chunk) for chunk in system.service.dispatch([])] == [5, 5, 2]
    assert list(system.service.dispatch([])) == []


def test_a_fan_out_beyond_a_page_is_dispatched_to_its_end(system: System, monkeypatch: pytest.MonkeyPatch) -> None:
    """Pages of three still make a delivery for each of eight endpoints, once."""
    monkeypatch.setattr(dispatching, "DISPATCH_PAGE", 3)
    with system.unit() as unit:
        for _ in range(8):
            unit.webhooks.create(a_webhook(workspace_id=system.workspace.id))
        unit.commit()
    system.pass_time(timedelta(seconds=1))
    with system.unit() as unit:
        event = unit.events.append(an_event(workspace_id=system.workspace.id))
        unit.commit()
    made = [each for chunk in system.service.dispatch([event.id]) for each in chunk]
    assert len(made) == len(set(made)) == 8


def test_named_deliveries_are_sent_and_recorded(system: System) -> None:
    """A 200 leaves the row succeeded, with one attempt on record."""
    [delivery_id] = system.deliveries(1)
    done = system.deliver([delivery_id])
    assert str(done) == "1 succeeded"
    assert system.read(delivery_id).status is DeliveryStatus.SUCCEEDED
    with system.unit() as unit:
        assert [each.status_code for each in unit.deliveries.attempts(delivery_id)] == [200]


def test_a_hint_for_nothing_sends_nothing(system: System) -> None:
    """An unknown id, or one that is settled already, is no work and no error."""
    [delivery_id] = system.deliveries(1)
    system.deliver([delivery_id])
    assert str(system.deliver([delivery_id, uuid4()])) == "nothing due"
    assert system.sent == [delivery_id]


def test_a_hint_brings_along_what_else_is_due(system: System) -> None:
    """Of nine due deliveries one is named: all are sent, a chunk of five at a time."""
    ids = system.deliveries(9)
    assert str(system.deliver(ids[:1])) == "9 succeeded"
    assert ids[0] in system.sent[:5]


def test_a_task_makes_room_for_another_after_some_chunks(system: System) -> None:
    """Eight chunks of five, and a hint for what is left."""
    system.deliveries(45)
    assert str(system.deliver([])) == "40 succeeded"
    assert system.turns == [(timedelta(0), False)]


def test_all_named_deliveries_are_sent_however_little_room_there_is() -> None:
    """With room for two POSTs at a time, five named deliveries take three rounds within the one call."""
    system = System(threads=2)
    ids = system.deliveries(5)
    assert str(system.deliver(ids)) == "5 succeeded"
    assert sorted(system.sent) == sorted(ids)


def test_a_short_wait_comes_back_as_a_hint(system: System) -> None:
    """A failed attempt waits one second, as the policy says, and its id is handed back for a countdown."""
    system.answer = lambda _: FAILED
    [delivery_id] = system.deliveries(1)
    assert str(system.deliver([delivery_id])) == "1 retrying"
    assert system.hints == [(timedelta(seconds=1), [delivery_id])]
    assert system.read(delivery_id).next_attempt_at == system.now + timedelta(seconds=1)


def test_a_long_wait_stays_in_the_row() -> None:
    """A wait beyond the longest countdown is no hint: the sweep brings it back."""
    system = System(lambda _: FAILED, countdown_max=timedelta(milliseconds=999))
    [delivery_id] = system.deliveries(1)
    system.deliver([delivery_id])
    assert system.hints == []
    assert system.read(delivery_id).status is DeliveryStatus.PENDING


def test_retries_that_come_due_together_share_a_hint() -> None:
    """Waits within a fifth of a second go under the longest of them; one far off goes alone."""
    ids = [uuid4() for _ in range(3)]
    waits = dict(zip(ids, (timedelta(seconds=1), timedelta(seconds=1.15), timedelta(seconds=2)), strict=True))
    groups = grouped(waits)
    assert {wait: set(group) for wait, group in groups.items()} == {
        timedelta(seconds=1.15): {ids[0], ids[1]},
        timedelta(seconds=2): {ids[2]},
    }


def test_an_early_hint_is_put_back_for_the_rest_of_its_wait(system: System) -> None:
    """Half a second into a wait of one, half a second is left; a delivery that is due or settled has none."""
    system.answer = lambda _: FAILED
    ids = system.deliveries(1)
    system.deliver(ids)
    system.pass_time(timedelta(seconds=0.5))
    assert system.service.early(ids) == {timedelta(seconds=0.5): ids}
    system.pass_time(timedelta(seconds=0.5))
    assert system.service.early(ids) == {}


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
        assert system.service.reclaim_expired() == 1
        return OK

    system.answer = answer
    ids = system.deliveries(1)
    assert str(system.deliver(ids)) == "1 lost"
    assert system.read(ids[0]).status is DeliveryStatus.PENDING


def test_what_a_dead_worker_held_is_taken_back_after_its_lease(system: System) -> None:
    """Not a moment earlier; then it is due again, with the interrupted attempt on record."""
    [delivery_id] = system.deliveries(1, timeout_ms=5000)
    system.store.claim([delivery_id], limit=1, lease_slack=timedelta(seconds=10))
    system.pass_time(timedelta(milliseconds=14_999))
    assert system.service.reclaim_expired() == 0
    system.pass_time(timedelta(milliseconds=1))
    assert system.service.reclaim_expired() == 1
    with system.unit() as unit:
        assert [each.error_kind for each in unit.deliveries.attempts(delivery_id)] == ["interrupted"]
    assert str(system.deliver([delivery_id])) == "1 succeeded"


def test_hints_don_t_pile_up_in_a_queue(system: System) -> None:
    """Of three chunks that are overdue, one is hinted at where two hints are queued, and none where three are."""
    system.deliveries(11)
    system.pass_time(timedelta(seconds=5))
    by = timedelta(seconds=5)
    assert [len(chunk) for chunk in system.service.overdue(by=by, queued=0)] == [5, 5, 1]
    assert len(system.service.overdue(by=by, queued=2)) == 1
    assert system.service.overdue(by=by, queued=3) == []
    assert system.service.overdue(by=timedelta(seconds=6), queued=0) == []


def test_the_relay_finds_what_was_not_dispatched(system: System) -> None:
    """An event is hinted at once its grace is over, and no more once it is dispatched."""
    with system.unit() as unit:
        event = unit.events.append(an_event(workspace_id=system.workspace.id))
        unit.commit()
    grace = timedelta(seconds=5)
    assert system.service.undispatched(older_than=grace, queued=0) == []
    system.pass_time(grace)
    assert system.service.undispatched(older_than=grace, queued=0) == [[event.id]]
    assert system.service.undispatched(older_than=grace, queued=1) == []
    assert list(system.service.dispatch([event.id])) == []
    assert system.service.undispatched(older_than=grace, queued=0) == []


def test_a_slow_receiver_does_not_hold_back_the_results_of_others() -> None:
    """The quick one is on record while the slow one is still under way."""
    release, system = threading.Event(), System()
    ids = system.deliveries(2)

    def answer(claim: Claim) -> AttemptResult:
        if claim.delivery.id == ids[0]:
            assert release.wait(PATIENCE_S)
        return OK

    system.answer = answer
    worker = threading.Thread(target=system.deliver, args=(ids,))
    worker.start()
    until(lambda: system.read(ids[1]).status is DeliveryStatus.SUCCEEDED, what="the quick one is recorded")
    assert system.read(ids[0]).status is DeliveryStatus.SENDING
    release.set()
    worker.join(PATIENCE_S)
    assert system.read(ids[0]).status is DeliveryStatus.SUCCEEDED


def test_a_retry_is_hinted_at_while_a_slow_sibling_is_under_way() -> None:
    """Its wait runs from its own result, not from that of the slowest POST beside it."""
    release, system = threading.Event(), System()
    ids = system.deliveries(2)

    def answer(claim: Claim) -> AttemptResult:
        if claim.delivery.id == ids[0]:
            assert release.wait(PATIENCE_S)
            return OK
        return FAILED

    system.answer = answer
    worker = threading.Thread(target=system.deliver, args=(ids,))
    worker.start()
    until(lambda: system.hints, what="the hint")
    assert system.hints == [(timedelta(seconds=1), [ids[1]])]
    assert system.read(ids[0]).status is DeliveryStatus.SENDING
    release.set()
    worker.join(PATIENCE_S)


@pytest.mark.parametrize(("frozen_s", "starts"), [(9.9, True), (10.1, False), (11.0, False)])
def test_no_post_starts_that_might_outlast_its_lease(frozen_s: float, starts: bool) -> None:  # noqa: FBT001 - a case
    """Ten seconds of slack and one of timeout: a worker frozen for longer after its claim gives the delivery back.

    That is no attempt, and is hinted at.
    """
    system = System()
    [delivery_id] = system.deliveries(1, timeout_ms=1000)
    claim = system.store.claim

    def slow_claim(*args: Any, **options: Any) -> Claimed:  # noqa: ANN401 - the store's own
        claims = claim(*args, **options)
        system.slept.append(frozen_s)
        return claims

    system.store.claim = slow_claim  # type: ignore[method-assign]  # frozen right after it claimed
    assert str(system.deliver([delivery_id])) == ("1 succeeded" if starts else "1 retrying")
    assert system.sent == [delivery_id] * starts
    assert system.hints == ([] if starts else [(timedelta(0), [delivery_id])])
    assert system.read(delivery_id).attempt_count == starts


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


def test_a_slow_receiver_holds_up_no_task() -> None:
    """Once it has taken too long the task returns; the endpoint is slow from then on, and the result comes in late."""
    release = threading.Event()
    system = System(lambda _: OK if release.wait(PATIENCE_S) else FAILED, slow_after=timedelta(milliseconds=50))
    ids = system.deliveries(2)
    assert str(system.deliver(ids)) == "2 under way"

    def slow_since() -> datetime | None:
        webhook_id = system.read(ids[0]).webhook_id
        with system.unit() as unit:
            return unit.webhooks.get_health([webhook_id])[webhook_id].slow_since

    until(lambda: slow_since() == system.now, what="the endpoint is slow")
    release.set()
    until(lambda: all(system.read(each).status is DeliveryStatus.SUCCEEDED for each in ids), what="the late results")
    system.pool.close()
    system.service.close()


def test_what_an_endpoint_holds_goes_in_its_turns(system: System) -> None:
    """One at a time is allowed: of five none goes with another, and hints bring them all."""
    at_once: list[int] = []

    def answer(_: Claim) -> AttemptResult:
        with system.unit() as unit:
            page = unit.deliveries.list_page(system.workspace.id, DeliveryFilter(), limit=9)
        at_once.append(sum(each.status is DeliveryStatus.SENDING for each in page))
        return OK

    system.answer = answer
    ids = system.deliveries(5, max_concurrency=1)
    system.deliver(ids)
    while system.turns:
        system.turns.clear()
        system.deliver([])
    assert at_once == [1] * 5
    assert sorted(system.sent) == sorted(ids)


def test_a_turn_that_comes_later_is_hinted_at_for_then(system: System) -> None:
    """One in two seconds: the first goes, and a hint comes back when the next may."""
    system.deliveries(3, rate_limit_per_s=0.5)
    assert str(system.deliver([])) == "1 succeeded"
    [(wait, slow)] = system.turns
    assert (timedelta(seconds=1) < wait <= timedelta(seconds=2), slow) == (True, False)


def test_the_sweep_hints_at_turns_up_to_a_bound(system: System) -> None:
    """Thirty held deliveries are six chunks' hints, less what is queued; never more than eight."""
    system.deliveries(1, max_concurrency=1)
    with system.unit() as unit:
        [webhook] = unit.webhooks.get_all(system.workspace.id)
        for _ in range(30):
            unit.events.append(an_event(workspace_id=system.workspace.id))
        unit.commit()
    list(system.service.dispatch([]))
    system.store.claim([], limit=31, lease_slack=timedelta(seconds=10))
    with system.unit() as unit:
        held = [each for each in unit.webhooks.get_deliveries(webhook.id, limit=99) if each.held]
    assert len(held) == 30
    assert system.service.turns(queued=0, queued_slow=0) == (6, 0)
    assert system.service.turns(queued=4, queued_slow=0) == (2, 0)


def test_trouble_is_announced_once_it_is_stored() -> None:
    """A receiver that is gone is disabled, and the event that says so is announced to the workers."""
    announced: list[UUID] = []
    gone = replace(FAILED, status_code=410, error_message="HTTP 410")
    system = System(lambda _: gone, announce=announced.extend)
    system.deliver(system.deliveries(1))
    with system.unit() as unit:
        events = [unit.events.get_by_id(each) for each in announced]
    assert [each and each.event_type for each in events] == ["webhook.disabled"]


def test_a_full_queue_gets_a_page_s_first_chunk_and_no_more(system: System, monkeypatch: pytest.MonkeyPatch) -> None:
    """Twelve deliveries in pages of ten: a chunk of five of each page, although there is no room."""
    monkeypatch.setattr(dispatching, "DISPATCH_PAGE", 10)
    with system.unit() as unit:
        unit.webhooks.create(a_webhook(workspace_id=system.workspace.id))
        unit.commit()
    system.pass_time(timedelta(seconds=1))
    with system.unit() as unit:
        for _ in range(12):
            unit.events.append(an_event(workspace_id=system.workspace.id))
        unit.commit()
    assert [len(chunk) for chunk in system.service.dispatch([], room=lambda: False)] == [5, 2]
    system.deliver([])
    assert len(system.sent) == 12


def test_the_log_tells_the_operator_what_could_allow_a_refused_address(
    system: System, caplog: pytest.LogCaptureFixture
) -> None:
    """The attempt's message, which the tenant reads, stays as it is; the log's line names host and settings."""
    system.answer = lambda _: an_attempt_result(
        status_code=None, error_kind=ErrorKind.ADDRESS_NOT_ALLOWED, error_message="address not allowed"
    )
    [delivery_id] = system.deliveries(1, url="https://inside.example/private?private")
    system.deliver([delivery_id])
    [line] = [each.getMessage() for each in caplog.records if str(delivery_id) in each.getMessage()]
    assert "at inside.example: address not allowed" in line
    assert "NOTEFLOW_HOOKS_EGRESS_ALLOW" in line
    assert "private" not in line
    assert system.read(delivery_id).error_message == "address not allowed"


def a_few_events(system: System, count: int, **overrides: Any) -> list[UUID]:  # noqa: ANN401 - an endpoint's fields
    """Store an endpoint and so many events for it; return the events' ids."""
    with system.unit() as unit:
        unit.webhooks.create(a_webhook(workspace_id=system.workspace.id, **overrides))
        unit.commit()
    system.pass_time(timedelta(seconds=1))
    with system.unit() as unit:
        ids = [unit.events.append(an_event(workspace_id=system.workspace.id)).id for _ in range(count)]
        unit.commit()
    return ids


class Handed:
    """What was handed over, and of it what is wanted however full the queue is."""

    def __init__(self) -> None:
        self.ids: list[UUID] = []
        self.wanted: list[UUID] = []

    def __call__(self, delivery_ids: list[UUID], *, if_room: bool) -> None:
        self.ids += delivery_ids
        self.wanted += [] if if_room else delivery_ids


def test_a_few_events_are_sent_by_who_dispatches_them(system: System, monkeypatch: pytest.MonkeyPatch) -> None:
    """Without a claim of their own, and without a hint to anybody."""
    monkeypatch.delattr(InMemoryDeliveryStore, "claim")
    events, handed = a_few_events(system, 3), Handed()
    made, done = system.service.dispatch_and_deliver(events, hand_over=handed, hint=system.hint)
    assert (made, done, handed.ids) == (3, {"succeeded": 3}, [])
    assert len(system.sent) == 3


def test_what_there_is_no_room_for_is_handed_over(system: System) -> None:
    """Of seven deliveries a chunk of five is sent here, and two by others."""
    events, handed = a_few_events(system, 7), Handed()
    made, done = system.service.dispatch_and_deliver(events, hand_over=handed, hint=system.hint)
    assert (made, done) == (7, {"succeeded": 5})
    assert len(handed.ids) == len({*handed.ids, *system.sent}) - 5 == 2


def test_many_events_are_handed_over_but_for_a_last_chunk(system: System) -> None:
    """Twelve at once are no quiet moment's: they are claimed chunk by chunk, by whoever is free."""
    events, handed = a_few_events(system, 12), Handed()
    made, done = system.service.dispatch_and_deliver(events, hand_over=handed, hint=system.hint)
    assert (made, len(handed.ids), len(handed.wanted)) == (12, 10, 5)
    # Which is topped up with the rest, where nobody else has taken it.
    assert len(set(system.sent)) == done["succeeded"] == 12


def test_whatever_becomes_of_the_rest_claims_are_sent(system: System) -> None:
    """Although the rest can't be handed over, and the task fails then."""
    events = a_few_events(system, 7)

    def refuse(delivery_ids: list[UUID], *, if_room: bool) -> None:
        assert delivery_ids
        assert not if_room
        raise UnavailableError("Redis is not reachable")

    with pytest.raises(UnavailableError, match="Redis"):
        system.service.dispatch_and_deliver(events, hand_over=refuse, hint=system.hint)
    assert [system.read(each).status for each in system.sent] == [DeliveryStatus.SUCCEEDED] * 5


def test_places_that_are_not_needed_are_free_again(system: System) -> None:
    """Nobody subscribed: nothing is claimed, and all places can be had."""
    assert system.service.dispatch_and_deliver([uuid4()], hand_over=Handed(), hint=system.hint) == (0, {})
    assert system.pool.reserve_free(99).size == 8
