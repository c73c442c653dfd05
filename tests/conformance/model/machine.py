"""The machine's second half: what workers do, and what befalls them; and the end, when all receivers have mended."""

from __future__ import annotations

import sys
from datetime import timedelta
from itertools import cycle
from typing import TYPE_CHECKING, Any, Final

from hypothesis import strategies as st
from typing_extensions import override

from noteflow_hooks.concurrency.bulkhead import Bulkhead
from noteflow_hooks.concurrency.kept_threads import KeptThreads
from noteflow_hooks.delivery.service import DeliveryService
from noteflow_hooks.delivery.tuning import BULKHEAD, Clock, DeliveryRules
from noteflow_hooks.delivery.wake_ups import Lane, NoWakeUps
from noteflow_hooks.domain.attempts import ErrorKind
from noteflow_hooks.domain.batches import BatchClaim
from noteflow_hooks.domain.filters import MATCHED, NOT_MATCHED, FilterAnswer, HeldBack, Verdict
from noteflow_hooks.domain.ports.filters import FilterEvaluator
from noteflow_hooks.domain.retry import RetryPolicy
from noteflow_hooks.domain.whole_batches import whole_success
from noteflow_hooks.maintenance.rescue import Rescue
from tests.conformance.model.delivery_tracks import RETRY_BASE
from tests.conformance.model.figures import check_figures
from tests.conformance.model.operators import URLS, Operated
from tests.conformance.model.rows import is_blocked, keeps_back
from tests.conformance.model.steps import step
from tests.conformance.model.watched_store import PLENTY
from tests.conformance.model.world import SLACK
from tests.support.builders import a_failure, an_attempt_result

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence
    from datetime import datetime
    from uuid import UUID

    from noteflow_hooks.domain.deliveries import AttemptResult, Claim, Settlement
    from tests.conformance.model.rows import Opened, Rows

#: Of a batch: that every second one of its events has failed.
_PARTIAL: Final = 207
#: Whatever a receiver or our own side makes of an attempt.
ANSWERS: Final = {
    "200": an_attempt_result(),
    "204": an_attempt_result(status_code=204, response_body=None),
    "200, slowly": an_attempt_result(duration_ms=1500),
    "500": a_failure(),
    "500, slowly": a_failure(duration_ms=1500),
    "207": an_attempt_result(status_code=_PARTIAL, response_body=None),
    "413": a_failure(status_code=413, error_message="HTTP 413"),
    "429": a_failure(status_code=429, error_message="HTTP 429", retry_after=timedelta(minutes=10)),
    "410": a_failure(status_code=410, error_message="HTTP 410"),
    "gone, as a chat says it": a_failure(status_code=404, error_message="HTTP 404", vendor_gone="404 no_service"),
    "302": a_failure(status_code=302, error_kind=ErrorKind.REDIRECT, error_message="HTTP 302"),
    "nothing": a_failure(
        status_code=None, response_body=None, error_kind=ErrorKind.TIMEOUT, error_message="Request timed out"
    ),
    "our fault": a_failure(
        status_code=None, response_body=None, error_kind=ErrorKind.INTERNAL, error_message="Out of order"
    ),
    "no secret": a_failure(
        status_code=None, response_body=None, error_kind=ErrorKind.SECRET_UNAVAILABLE, error_message="No key opens it"
    ),
}
#: What an endpoint's filter may say before that, where it is asked; where it isn't, the receiver answers 200.
VERDICTS: Final = {
    "filtered": NOT_MATCHED,
    "filter failed": Verdict(FilterAnswer.ERROR, "a field is missing"),
    "no filters here": Verdict(FilterAnswer.UNAVAILABLE),
}
#: Successes and plain failures are met most.
_ANSWERS: Final = st.lists(
    st.sampled_from(["200", "200", "500", "500", "500", *ANSWERS, *VERDICTS, "filtered"]), min_size=1, max_size=4
)
_LIMITS: Final = st.sampled_from([PLENTY, PLENTY, 1, 2])
_POLICY: Final = RetryPolicy(base=RETRY_BASE, jitter=0)
#: Longer than any lease.
_LEASE: Final = timedelta(minutes=10)
#: Deliveries and replays are few: what needs more rounds to come to an end, or more time, does not come to one.
_ROUNDS: Final = 500
_LONGEST: Final = timedelta(days=1)

#: How many deliveries one message names.
_CHUNK: Final = 5


class _InlineThreads(KeptThreads):
    """Makes each call at once, in the caller's own thread: the same steps give the same run."""

    @override
    def submit(self, call: Callable[..., None], *args: Any) -> None:
        call(*args)


def inline_bulkhead(size: int) -> Bulkhead:
    """Return a bulkhead that starts no threads."""
    bulkhead = Bulkhead(size, tuning=BULKHEAD)
    bulkhead.threads = _InlineThreads(size, name="inline")
    return bulkhead


class DeliveryMachine(Operated):
    """All that may happen to a store."""

    def __init__(self, opened: Callable[[], Opened]) -> None:
        """``opened`` makes an empty store."""
        super().__init__(opened)
        self._outside = sys.exc_info()[1]
        #: What workers have claimed; some of it they may have lost.
        self.hands: list[Claim] = []
        self._answers: Iterator[AttemptResult] = iter(())

    @step(weight=2, limit=st.sampled_from([PLENTY, PLENTY, 1, 2, 5]))
    def events_are_dispatched(self, limit: int) -> None:
        self.store.dispatch([], limit=limit)

    @step(
        weight=2,
        limit=st.sampled_from([PLENTY, PLENTY, 2, 5]),
        events=st.sampled_from([PLENTY, 1, 2]),
        claim=st.sampled_from([PLENTY, 1, 3]),
        batches=st.booleans(),
    )
    def events_are_dispatched_and_claimed(self, limit: int, events: int, claim: int, *, batches: bool) -> None:
        made = self.store.dispatch([], limit=limit, events=events, claim=claim, batches=batches, lease_slack=SLACK)
        self.hands += made.claims

    @step(weight=4, named=st.lists(st.integers(0, 30), max_size=2), limit=_LIMITS)
    def a_worker_claims(self, named: list[int], limit: int) -> None:
        self.hands += self.store.claim(self._named(named), limit=limit, lease_slack=SLACK)

    @step(weight=4, limit=_LIMITS, slow=st.booleans())
    def a_worker_takes_turns(self, limit: int, *, slow: bool) -> None:
        self.hands += self.store.claim_throttled(limit=limit, slow=slow, lease_slack=SLACK)

    @step(weight=10, answers=_ANSWERS, limit=_LIMITS)
    def a_worker_sends_what_there_is(self, answers: list[str], limit: int) -> None:
        for claims in self._takes(limit=limit):
            self._settle(claims, answers)

    @step(
        weight=6,
        when=lambda self: self.hands,
        which=st.lists(st.integers(0, 30), min_size=1, max_size=4),
        answers=_ANSWERS,
        forgets=st.sampled_from([True, True, False]),
    )
    def a_worker_settles(self, which: list[int], answers: list[str], *, forgets: bool) -> None:
        """Late or not; who does not forget what it had may settle it again."""
        own = {id(claim): claim for claim in (self.pick(self.hands, each) for each in which)}
        self._settle(own.values(), answers)
        if forgets:
            self.hands = [each for each in self.hands if id(each) not in own]

    @step(when=lambda self: self.hands, which=st.integers(0, 30))
    def a_worker_gives_back_what_it_came_too_late_for(self, which: int) -> None:
        claim = self.pick(self.hands, which)
        self.hands.remove(claim)
        self.store.settle(settlements(claim, None))

    @step(weight=3, answers=_ANSWERS, named=st.lists(st.integers(0, 30), max_size=2), slow=st.booleans())
    def a_worker_delivers(self, answers: list[str], named: list[int], *, slow: bool) -> None:
        self._answers = told(answers)
        self._service().deliver(self._named(named), wake_ups=NoWakeUps(), lane=Lane.SLOW if slow else Lane.QUICK)

    @step(
        weight=3,
        when=lambda self: self.living,
        which=st.integers(0, 30),
        answer=st.sampled_from(["500", "nothing"]),
        lags=st.booleans(),
    )
    def an_endpoint_fails_whatever_it_gets(self, which: int, answer: str, *, lags: bool) -> None:
        """Once it has answered: one that lags leaves its first worker waiting."""
        workspace_id = self.endpoint(which).workspace_id
        self.events_are_published(self.workspaces.index(workspace_id), "meeting.completed", "m-1", 5, announced=True)
        for claims in self._takes(limit=PLENTY):
            self.hands += claims[:lags]
            self._settle(claims[lags:], [answer])

    @step(weight=4, when=lambda self: self.living, answers=st.none() | _ANSWERS)
    def open_breakers_are_probed(self, answers: list[str] | None) -> None:
        """As soon as the longest of them has been open for its time; without answers, the probes are under way."""
        rows = self.opened.read()
        moments = [each.open_until for each in rows.health.values() if each.open_until is not None]
        if not moments:
            return
        self.world.age(max(timedelta(0), max(moments) - rows.now))
        for slow in (False, True):
            probes = self.store.claim_throttled(limit=PLENTY, slow=slow, lease_slack=SLACK).claims
            if answers is None:
                self.hands += probes
            else:
                self._settle(probes, answers)

    @step(when=lambda self: self.ledger.tracks)
    def all_workers_die(self) -> None:
        self._vanish()

    @step(when=lambda self: self.ledger.tracks, which=st.integers(0, 30))
    def a_delivery_ends_every_worker_that_touches_it(self, which: int) -> None:
        for _ in range(6):
            self.store.claim(self._named([which]), limit=1, lease_slack=SLACK)
            self.world.age(_LEASE)
            self.store.reclaim_expired(limit=PLENTY)

    @step(weight=3, when=lambda self: self.ledger.tracks, answers=_ANSWERS)
    def a_worker_answers_once_others_have_what_it_had(self, answers: list[str]) -> None:
        lost = self._vanish()
        self.hands += [each for claims in self._takes(limit=PLENTY) for each in claims]
        self._settle(lost, answers)

    @step(when=lambda self: self.ledger.tracks, answers=_ANSWERS)
    def payloads_are_erased_while_they_are_sent(self, answers: list[str]) -> None:
        own = [each for claims in self._takes(limit=PLENTY) for each in claims]
        self.a_meeting_s_payloads_are_erased(0, "m-1")
        self._settle(own, answers)

    @step(weight=2, when=lambda self: self.living, which=st.integers(0, 30), url=URLS)
    def a_challenge_is_voided_while_it_is_under_way(self, which: int, url: str) -> None:
        self.an_endpoint_is_to_move(which, url)
        self.store.dispatch([], limit=PLENTY)
        own = [each for claims in self._takes(limit=PLENTY) for each in claims]
        self.an_endpoint_is_asked_again(which)
        self._settle(own, ["200"])

    @step(weight=2, limit=_LIMITS)
    def the_sweep_comes(self, limit: int) -> None:
        self.store.reclaim_expired(limit=limit)
        self.store.due(overdue_by=timedelta(0), limit=limit)
        self.store.count_throttled(limit=limit)
        self.store.waits(list(self.ledger.tracks))
        waiting = {each.id for each in self.ledger.events.values() if not each.is_dispatched}
        assert set(self.store.undispatched(older_than=timedelta(0), limit=PLENTY)) == waiting

    @step(when=lambda self: self.hands, which=st.integers(0, 30))
    def an_endpoint_is_found_to_be_slow(self, which: int) -> None:
        self.store.mark_slow({self.pick(self.hands, which).webhook.id})

    def teardown(self) -> None:
        """Let receivers mend and time pass, unless a step has failed: all that can be delivered is."""
        if sys.exc_info()[1] is not self._outside:
            return
        service, passed = self._service(), timedelta(0)
        self._answers = told(["200"])
        for _ in range(_ROUNDS):
            self._work(service)
            rows = self.inspector.check()
            wait = _next(rows)
            if wait is None:
                break
            passed += wait
            self.world.age(wait)
        else:
            raise AssertionError("it comes to no end")
        assert passed < _LONGEST
        assert all(each.is_dispatched for each in self.ledger.events.values()), "an event was never dispatched"
        for row in rows.deliveries.values():
            waits = row.held and keeps_back(rows.webhooks[row.webhook_id])
            assert waits or row.status in {"succeeded", "dead", "skipped"}, "a delivery never comes to its end"
        check_figures(self.opened, rows)

    def _takes(self, *, limit: int) -> Iterator[Sequence[Claim]]:
        """Take, one after another, what is due and what has its turn in either lane."""
        yield self.store.claim([], limit=limit, lease_slack=SLACK).claims
        for slow in (False, True):
            yield self.store.claim_throttled(limit=limit, slow=slow, lease_slack=SLACK).claims

    def _vanish(self) -> list[Claim]:
        """Take all that may be had, and die with it; return what was lost."""
        lost = [each for claims in self._takes(limit=PLENTY) for each in claims]
        self.world.age(_LEASE)
        self.store.reclaim_expired(limit=PLENTY)
        return lost

    def _settle(self, claims: Iterable[Claim], answers: Iterable[str]) -> None:
        made = [settlements(claim, answer) for claim, answer in zip(claims, said(answers), strict=False)]
        self.store.settle([each for own in made for each in own])

    def _service(self) -> DeliveryService:
        return DeliveryService(
            self.store,
            lambda _: next(self._answers),
            inline_bulkhead(8),
            filters=_FairFilters(),
            rules=DeliveryRules(
                policy=_POLICY,
                chunk=_CHUNK,
                lease_slack=SLACK,
                countdown_max=timedelta(minutes=1),
                slow_after=timedelta(seconds=1),
            ),
            clock=Clock(draw=lambda: 0.5, sleep=lambda _: None),
        )

    def _work(self, service: DeliveryService) -> None:
        """Do once what beat and the queues make workers do."""
        rescue, nobody = Rescue(self.store, chunk=_CHUNK), NoWakeUps()
        rescue.reclaim_expired()
        while self.advance(limit=PLENTY):
            pass
        service.dispatch_and_deliver([], wake_ups=nobody)
        for chunk in rescue.overdue(by=timedelta(0), queued=0):
            service.deliver(chunk, wake_ups=nobody)
        for lane, count in zip(Lane, rescue.wake_ups(queued=0, queued_slow=0), strict=True):
            for _ in range(count):
                service.deliver([], wake_ups=nobody, lane=lane)

    def _named(self, which: Sequence[int]) -> list[UUID]:
        known = list(self.ledger.tracks)
        return [self.pick(known, each) for each in which] if known else []


class _FairFilters(FilterEvaluator):
    """Whatever they are, they say each in turn."""

    def __init__(self) -> None:
        self._verdicts = cycle((MATCHED, MATCHED, NOT_MATCHED, Verdict(FilterAnswer.ERROR, "a field is missing")))

    @override
    def check(self, text: str) -> None:
        """Refuse nothing."""

    @override
    def evaluate(self, text: str, *, event_type: str, payload: bytes) -> Verdict:
        return next(self._verdicts)


def told(answers: Iterable[str]) -> Iterator[AttemptResult]:
    """Return these answers, over and over; where a filter would have spoken, the receiver's 200."""
    return (ANSWERS.get(each, ANSWERS["200"]) for each in cycle(answers))


def said(answers: Iterable[str]) -> Iterator[AttemptResult | Verdict]:
    """Return these answers, over and over, those of filters among them."""
    return ((VERDICTS | ANSWERS)[each] for each in cycle(answers))


def settlements(claim: Claim, answer: AttemptResult | Verdict | None) -> list[Settlement]:
    """Make of a claim what a worker does: send it, skip it, ask the filter, or without an answer give it back."""
    if isinstance(answer, Verdict) and not claim.asks_filter:
        answer = ANSWERS["200"]
    result = answer if claim.reason_to_skip() is None else None
    if not isinstance(claim, BatchClaim):
        return [claim.settlement(result, policy=_POLICY, draw=lambda: 0.5)]
    if isinstance(result, Verdict):
        # Every second one of those that are asked about.
        asked = [each.delivery.id for each in claim.members if each.asks_filter]
        return claim.settlements(HeldBack(dict.fromkeys(asked[::2], result)), policy=_POLICY, draw=lambda: 0.5)
    if result is not None and result.status_code == _PARTIAL:
        # Every second event is named, as if the endpoint could do so.
        named = frozenset(each.delivery.event_id for each in claim.members[::2])
        result = result._replace(status_code=200, failed_events=named)
    whole = whole_success(claim, result, policy=_POLICY)
    return [whole] if whole is not None else claim.settlements(result, policy=_POLICY, draw=lambda: 0.5)


def _next(rows: Rows) -> timedelta | None:
    """Return how long until there is something to do again; None where there is not."""
    moments: list[datetime] = []
    for each in rows.deliveries.values():
        webhook, health = rows.webhooks[each.webhook_id], rows.health[each.webhook_id]
        if each.held and not keeps_back(webhook):
            # What is blocked waits for another one, and its endpoint may have no slot.
            moments += [] if is_blocked(each) and health.turn_at is None else [health.turn_at]
        elif not each.held:
            moments += [moment for moment in (each.next_attempt_at, each.lease_expires_at) if moment is not None]
    moments += [
        each.paced_at + timedelta(seconds=max(0.2, 1 / each.rate_per_s))
        for each in rows.replays.values()
        if each.state == "running"
    ]
    moments += [rows.now for each in rows.events.values() if each.dispatched_at is None]
    return max(timedelta(0), min(moments) - rows.now) if moments else None
