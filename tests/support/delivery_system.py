"""The workers' half over the store in memory, with a receiver that is a function, and a clock that the test moves."""

from __future__ import annotations

import math
from datetime import timedelta
from typing import TYPE_CHECKING, Any

from noteflow_hooks.concurrency.bulkhead import Bulkhead
from noteflow_hooks.delivery.service import DeliveryService
from noteflow_hooks.delivery.tuning import BULKHEAD, Clock, DeliveryRules
from noteflow_hooks.domain.attempts import ErrorKind
from noteflow_hooks.maintenance.rescue import Rescue
from noteflow_hooks.persistence.memory import InMemoryDeliveryStore, InMemoryUnitOfWork, MemoryStore
from tests.support.builders import EXACT, NOON, a_webhook, a_workspace, an_attempt_result, an_event
from tests.support.waiting import PATIENCE_S
from tests.support.wake_ups import KeptWakeUps

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from datetime import datetime
    from uuid import UUID

    from noteflow_hooks.delivery.settler import Outcomes
    from noteflow_hooks.domain.deliveries import AttemptResult, Claim, Settlement, WebhookDelivery
    from noteflow_hooks.domain.ports.delivery_store import Settled
    from noteflow_hooks.domain.ports.unit_of_work import Announce

OK = an_attempt_result(status_code=200)
FAILED = an_attempt_result(status_code=500, error_kind=ErrorKind.STATUS, error_message="HTTP 500")


class System:
    """A service over a store in memory, whose clock and receiver the test moves."""

    def __init__(
        self,
        answer: Callable[[Claim], AttemptResult] = lambda _: OK,
        *,
        threads: int = 8,
        announce: Announce = lambda _: None,
        **rules: Any,  # noqa: ANN401 - the rules' own
    ) -> None:
        self.now = NOON
        self.memory = MemoryStore(now=self._clock)
        self.store = Flaky(self.memory)
        self.workspace = a_workspace()
        self.sent: list[UUID] = []
        self.slept: list[float] = []
        #: Since when the worker is to end, in seconds slept.
        self.ending_since = math.inf
        self.wake_ups = KeptWakeUps()
        self.bulkhead = Bulkhead(threads, tuning=BULKHEAD)
        self.answer = answer
        defaults: dict[str, Any] = {
            "policy": EXACT,
            "chunk": 5,
            "lease_slack": timedelta(seconds=10),
            "countdown_max": timedelta(seconds=60),
            # In real time, which no other test here depends on than the one that is about it.
            "slow_after": timedelta(seconds=PATIENCE_S),
        }
        self.rules = DeliveryRules(**defaults | rules)
        self.service = DeliveryService(
            self.store,
            self._post,
            self.bulkhead,
            rules=self.rules,
            announce=announce,
            clock=Clock(
                monotonic=lambda: sum(self.slept),
                sleep=self.slept.append,
                ending_since=lambda: self.ending_since,
                draw=lambda: 0.5,
            ),
        )
        self.rescue = Rescue(self.store, chunk=self.rules.chunk)
        with self.unit() as unit:
            unit.access.create_workspace(self.workspace)
            unit.commit()

    def unit(self) -> InMemoryUnitOfWork:
        """Open a unit of work."""
        return InMemoryUnitOfWork(self.memory)

    def subscribed(self, **overrides: Any) -> UUID:  # noqa: ANN401 - an endpoint's fields
        """Store a new endpoint, a second before all that follows, and return its id."""
        with self.unit() as unit:
            webhook = unit.webhooks.create(a_webhook(workspace_id=self.workspace.id, **overrides))
            unit.commit()
        self.pass_time(timedelta(seconds=1))
        return webhook.id

    def events(self, count: int) -> list[UUID]:
        """Store that many events and return their ids."""
        with self.unit() as unit:
            ids = [unit.events.append(an_event(workspace_id=self.workspace.id)).id for _ in range(count)]
            unit.commit()
        return ids

    def dispatched(self, event_ids: Sequence[UUID] = (), *, has_room: bool = True) -> list[list[UUID]]:
        """Dispatch, and return the chunks that are enqueued in a queue that has room for all, or for none."""
        wake_ups = KeptWakeUps()
        self.service.dispatch(event_ids, wake_ups=wake_ups)
        return [chunk for chunk, if_room in wake_ups.chunks if has_room or not if_room]

    def deliveries(self, count: int, **overrides: Any) -> list[UUID]:  # noqa: ANN401 - an endpoint's fields
        """Make that many deliveries for one new endpoint."""
        webhook_id = self.subscribed(**overrides)
        for _ in range(count):
            self.events(1)
        made = [each for chunk in self.dispatched() for each in chunk]
        with self.unit() as unit:
            mine = {each.id for each in unit.webhooks.get_deliveries(webhook_id, limit=10**6)}
        return [each for each in made if each in mine]

    def read(self, delivery_id: UUID) -> WebhookDelivery:
        """Return a delivery as it is stored."""
        with self.unit() as unit:
            found = unit.deliveries.get_by_id(self.workspace.id, delivery_id)
        assert found is not None
        return found

    def pass_time(self, by: timedelta) -> None:
        """Move the store's clock."""
        self.now += by

    def deliver(self, ids: Sequence[UUID]) -> Outcomes:
        """Deliver, and keep the wake-ups."""
        return self.service.deliver(ids, wake_ups=self.wake_ups)

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
        """Fail as the test wants it, else store."""
        if self.failures:
            raise self.failures.pop(0)
        if any(each.delivery.id in self.refused and each.delivery.response_body for each in settlements):
            raise ValueError("this text can't be stored")
        return super().settle(settlements)
