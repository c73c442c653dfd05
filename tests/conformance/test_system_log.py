"""What tells whether relay, sweep and workers do their work: the same of both stores."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING

from tests.conformance.model.world import SLACK

if TYPE_CHECKING:
    from tests.conformance.model.world import World


def test_an_empty_store_has_no_signs(world: World) -> None:
    """Nothing ran, and nothing waits."""
    with world.units() as unit:
        signs = unit.system.signs()
    assert (signs.relay_at, signs.sweep_at, signs.event_since, signs.delivery_since) == (None, None, None, None)


def test_what_waits_longest_is_told(world: World) -> None:
    """An event until it is dispatched, then its delivery from when it is due; nothing once that is taken."""
    workspace_id = world.workspace()
    world.webhook(workspace_id)
    event = world.event(workspace_id)
    world.age(timedelta(minutes=1))
    with world.units() as unit:
        signs = unit.system.signs()
    assert signs.event_since is not None
    assert timedelta(minutes=1) <= signs.now - signs.event_since < timedelta(minutes=2)
    world.dispatched(event)
    with world.units() as unit:
        signs = unit.system.signs()
    assert signs.event_since is None
    assert signs.delivery_since is not None
    assert signs.delivery_since <= signs.now
    world.deliveries.claim([], limit=10, lease_slack=SLACK)
    with world.units() as unit:
        assert unit.system.signs().delivery_since is None
