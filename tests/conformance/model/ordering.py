"""An endpoint that gets a meeting's events in order, and the steps of tests about it."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any, Final

from noteflow_hooks.domain.options import EndpointOptions, OnDead, Ordering
from tests.conformance.model.world import SLACK
from tests.support.builders import an_attempt_result

if TYPE_CHECKING:
    from collections.abc import Sequence
    from uuid import UUID

    from noteflow_hooks.domain.deliveries import Claim, WebhookDelivery
    from noteflow_hooks.domain.events import Event
    from noteflow_hooks.domain.webhooks import WebhookConfig
    from tests.conformance.model.world import World

IN_ORDER: Final = EndpointOptions(ordering=Ordering.PER_MEETING)
STOPPING: Final = replace(IN_ORDER, on_dead=OnDead.STOP)
OK: Final = an_attempt_result(status_code=200)
FAILED: Final = an_attempt_result(status_code=500)


class Stage:
    """An endpoint that gets its workspace's events in order, and what a worker does."""

    def __init__(self, world: World, options: EndpointOptions = IN_ORDER, **overrides: Any) -> None:  # noqa: ANN401 - an override is whatever type its field has
        self.world = world
        self.workspace_id = world.workspace()
        self.webhook = world.webhook(self.workspace_id, **{"max_retries": 1, "options": options} | overrides)
        self.events: dict[UUID, str] = {}

    def publish(self, *names: str, dispatch: bool = True) -> list[Event]:
        """Record events, named by their meetings and a number that is for the test alone, and dispatch them."""
        made = [self.world.event(self.workspace_id, meeting_id=name[0]) for name in names]
        self.events |= {each.id: name for each, name in zip(made, names, strict=True)}
        for each in made if dispatch else ():
            self.world.dispatched(each)
        return made

    def claimed(self, limit: int = 50) -> list[Claim]:
        """Claim what the endpoint's slot lets go."""
        return list(self.world.deliveries.claim_throttled(limit=limit, slow=False, lease_slack=SLACK))

    def names(self, claims: Sequence[Claim]) -> list[str]:
        return sorted(self.events[each.delivery.event_id] for each in claims)

    def settle(self, claims: Sequence[Claim], result: Any = OK) -> None:  # noqa: ANN401 - a result
        for each in claims:
            assert self.world.settle(each, result)

    def drained(self) -> list[str]:
        """Send all that goes, each with success, and return the names in the order in which they went."""
        sent: list[str] = []
        while claims := self.claimed():
            sent += self.names(claims)
            self.settle(claims)
        return sent

    def delivery(self, event: Event) -> WebhookDelivery:
        with self.world.units() as unit:
            [found] = [each for each in unit.deliveries.get_by_event(event.id) if each.webhook_id == self.webhook.id]
        return found

    def reason(self, event: Event) -> str:
        with self.world.units() as unit:
            found = unit.deliveries.get_by_event(event.id)
            return unit.deliveries.reasons(found)[found[0].id]

    def send_again(self, event: Event) -> None:
        with self.world.units() as unit:
            unit.deliveries.send_again(self.workspace_id, self.delivery(event).id)
            unit.commit()

    def give_up(self, event: Event) -> WebhookDelivery:
        with self.world.units() as unit:
            given_up = unit.deliveries.give_up(self.workspace_id, self.delivery(event).id)
            unit.commit()
        return given_up

    def change(self, options: EndpointOptions) -> WebhookConfig:
        with self.world.units() as unit:
            stored = unit.webhooks.get_by_id(self.webhook.id)
        assert stored is not None
        return self.world.change(replace(stored, options=options))
