"""The deliver task: what came too early for a retry is put back, and nothing else is."""

from __future__ import annotations

from typing import TYPE_CHECKING
from uuid import UUID, uuid4

from noteflow_hooks.delivery.settler import Outcomes

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import timedelta
    from types import ModuleType

    import pytest

SENT, UNSENT = uuid4(), uuid4()


class Deliveries:
    """What a worker does with deliveries: one of them is sent."""

    def __init__(self) -> None:
        self.asked: list[list[UUID]] = []

    @property
    def deliveries(self) -> Deliveries:
        return self

    def deliver(self, _: Sequence[UUID], **__: object) -> Outcomes:
        outcomes = Outcomes({"retrying": 1})
        outcomes.sent = (str(SENT),)
        return outcomes

    def early(self, ids: list[UUID]) -> dict[timedelta, list[UUID]]:
        self.asked.append(ids)
        return {}


def run(tasks: ModuleType, monkeypatch: pytest.MonkeyPatch, ids: list[UUID]) -> list[list[UUID]]:
    """Run the task as a retry, and return which deliveries it asks for what is left of their waits."""
    deliveries = Deliveries()
    monkeypatch.setattr(tasks, "parts", lambda: deliveries)
    assert tasks.deliver.apply(args=[list(map(str, ids))], retries=1).successful()
    return deliveries.asked


def test_a_delivery_that_failed_again_is_not_put_back_beside_its_next_retry(
    tasks: ModuleType, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Only what was not sent may have been named too early. Where all were sent, the store is not asked."""
    assert run(tasks, monkeypatch, [SENT, UNSENT]) == [[UNSENT]]
    assert run(tasks, monkeypatch, [SENT]) == []
