"""The workspaces' own event types in both stores, and what events of them go through like any other."""

from __future__ import annotations

import threading
from dataclasses import replace
from typing import TYPE_CHECKING, Any, Final

import pytest

from noteflow_hooks.domain.deliveries import DeliveryStatus
from noteflow_hooks.domain.event_types import TYPES_LIMIT, CustomEventType
from noteflow_hooks.domain.paging import DeliveryFilter, EventFilter
from noteflow_hooks.domain.payload_versions import NEWEST
from noteflow_hooks.domain.payloads import encode_nested
from noteflow_hooks.domain.replays import Replay
from noteflow_hooks.domain.skipping import ERASED
from noteflow_hooks.errors import LimitError, NotFoundError
from tests.conformance.model.world import SLACK
from tests.support.builders import a_workspace

if TYPE_CHECKING:
    from uuid import UUID

    from noteflow_hooks.domain.events import Event
    from tests.conformance.model.world import World

ORDER: Final = "custom.order_paid"
#: Neither compact nor in order: it is the caller's text.
SCHEMA: Final = '{ "type" : "object", "b": 1.50, "a": "é" }'


def a_type(workspace_id: UUID, name: str = ORDER, **fields: Any) -> CustomEventType:  # noqa: ANN401 - the type's own
    return replace(CustomEventType(workspace_id=workspace_id, name=name, schema=SCHEMA), **fields)


def put(world: World, kind: CustomEventType) -> CustomEventType:
    with world.units() as unit:
        stored = unit.event_types.put(kind)
        unit.commit()
    return stored


def names(world: World, workspace_id: UUID) -> list[str]:
    with world.units() as unit:
        return [each.name for each in unit.event_types.get_all(workspace_id)]


def an_order(world: World, workspace_id: UUID, **fields: Any) -> Event:  # noqa: ANN401 - the event's own
    payload = encode_nested({"event": ORDER, "order": {"id": "o-1", "lines": [1, {"a": None}]}})
    return world.event(workspace_id, **{"event_type": ORDER, "payload": payload, "meeting_id": None, **fields})


def test_a_type_is_stored_to_the_letter_and_found_in_its_workspace_alone(world: World) -> None:
    """With when it was first put, by the store's clock."""
    workspace_id, other = world.workspace(), world.workspace()
    given = a_type(workspace_id, description="Paid.", example='{"a": 1}', deprecated=True)
    stored = put(world, given)
    assert stored.created_at is not None
    assert stored == replace(given, created_at=stored.created_at, updated_at=stored.updated_at)
    with world.units() as unit:
        assert unit.event_types.get(workspace_id, [ORDER, "custom.other"]) == {ORDER: stored}
        assert unit.event_types.get(other, [ORDER]) == {}
        assert unit.event_types.get(workspace_id, []) == {}
    assert (names(world, workspace_id), names(world, other)) == ([ORDER], [])


def test_a_type_that_is_put_again_is_replaced_and_keeps_its_beginning(world: World) -> None:
    """All of it is as it was given last."""
    workspace_id = world.workspace()
    first = put(world, a_type(workspace_id, description="One.", example="{}"))
    second = put(world, a_type(workspace_id, schema="{}"))
    assert (second.schema, second.description, second.example) == ("{}", "", None)
    assert second.created_at == first.created_at
    assert second.updated_at is not None
    assert first.updated_at is not None
    assert second.updated_at > first.updated_at


def test_types_are_listed_by_the_codes_of_their_characters(world: World) -> None:
    """Whatever the database's own order of letters is."""
    workspace_id = world.workspace()
    wanted = ["custom.a", "custom.a.b", "custom.a0", "custom.a_b", "custom.ab", "custom.b"]
    for name in reversed(wanted):
        put(world, a_type(workspace_id, name))
    assert names(world, workspace_id) == sorted(wanted) == wanted


def test_a_workspace_has_so_many_and_no_more_and_may_replace_each(world: World) -> None:
    """Another workspace's are none of its own, and one that is removed makes room."""
    workspace_id = world.workspace()
    put(world, a_type(world.workspace()))
    for number in range(TYPES_LIMIT):
        put(world, a_type(workspace_id, f"custom.t{number}"))
    with pytest.raises(LimitError, match="at most 100"):
        put(world, a_type(workspace_id))
    put(world, a_type(workspace_id, "custom.t7", description="Another."))
    with world.units() as unit:
        assert unit.event_types.delete(workspace_id, "custom.t7")
        unit.commit()
    put(world, a_type(workspace_id))
    assert len(names(world, workspace_id)) == TYPES_LIMIT


def test_of_ten_at_once_only_as_many_are_put_as_there_is_room_for(world: World) -> None:
    """Each waits for the one before, and counts it."""
    workspace_id = world.workspace()
    for number in range(TYPES_LIMIT - 3):
        put(world, a_type(workspace_id, f"custom.t{number}"))
    refused: list[LimitError] = []

    def one(number: int) -> None:
        try:
            put(world, a_type(workspace_id, f"custom.rival{number}"))
        except LimitError as error:
            refused.append(error)

    threads = [threading.Thread(target=one, args=[number]) for number in range(10)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert (len(refused), len(names(world, workspace_id))) == (7, TYPES_LIMIT)


def test_a_type_is_removed_once(world: World) -> None:
    """And by its own workspace only."""
    workspace_id, other = world.workspace(), world.workspace()
    put(world, a_type(workspace_id))
    for owner, removed in ((other, False), (workspace_id, True), (workspace_id, False)):
        with world.units() as unit:
            assert unit.event_types.delete(owner, ORDER) is removed
            unit.commit()
    assert names(world, workspace_id) == []


def test_what_is_not_committed_was_never_put_nor_removed(world: World) -> None:
    """As with everything of a unit of work."""
    workspace_id = world.workspace()
    put(world, a_type(workspace_id))
    with world.units() as unit:
        unit.event_types.put(a_type(workspace_id, "custom.other"))
        unit.event_types.delete(workspace_id, ORDER)
    assert names(world, workspace_id) == [ORDER]


def test_a_workspace_that_is_none_has_no_types(world: World) -> None:
    """Nothing is stored for it."""
    with pytest.raises(NotFoundError, match="no workspace"):
        put(world, a_type(a_workspace().id))


def test_an_endpoint_keeps_the_version_of_payloads_that_it_wants(world: World) -> None:
    """A new one has the newest; a later release's number is kept, too."""
    workspace_id = world.workspace()
    webhook = world.webhook(workspace_id)
    assert webhook.payload_version == NEWEST
    changed = world.change(replace(webhook, payload_version=7))
    assert changed.payload_version == 7
    with world.units() as unit:
        found = unit.webhooks.get_by_id(webhook.id)
    assert found == changed


def test_an_event_of_an_own_type_goes_to_who_subscribes_and_is_sent_to_the_letter(world: World) -> None:
    """The claim has its endpoint, with the version that this one wants."""
    workspace_id = world.workspace()
    wants = world.webhook(workspace_id, events=(ORDER, "meeting.completed"))
    world.webhook(workspace_id, events=("custom.order", "meeting.completed"))
    event = an_order(world, workspace_id)
    made = world.deliveries.dispatch([event.id], limit=100)
    [claim] = world.deliveries.claim(made.delivery_ids, limit=10, lease_slack=SLACK)
    assert (claim.webhook, claim.payload, claim.delivery.event_type) == (wants, event.payload, ORDER)
    assert claim.webhook.subscribes_to(ORDER)


def test_whether_the_type_is_still_there_does_not_matter_to_what_was_published(world: World) -> None:
    """It was accepted: it is dispatched and delivered."""
    workspace_id = world.workspace()
    put(world, a_type(workspace_id))
    world.webhook(workspace_id, events=(ORDER,))
    event = an_order(world, workspace_id)
    with world.units() as unit:
        unit.event_types.delete(workspace_id, ORDER)
        unit.commit()
    assert len(world.deliveries.dispatch([event.id], limit=100).delivery_ids) == 1


def test_an_event_is_found_by_its_key_in_its_workspace_alone(world: World) -> None:
    """And by no other key."""
    workspace_id, other = world.workspace(), world.workspace()
    event = an_order(world, workspace_id, idempotency_key="k", request_digest=b"digest")
    with world.units() as unit:
        found = unit.events.get_by_key(workspace_id, "k")
        assert found is not None
        assert (found.id, found.request_digest) == (event.id, b"digest")
        assert unit.events.get_by_key(other, "k") is None
        assert unit.events.get_by_key(workspace_id, "l") is None


def test_lists_and_replays_know_own_types(world: World) -> None:
    """By their name, like any other."""
    workspace_id = world.workspace()
    webhook = world.webhook(workspace_id, events=(ORDER, "meeting.completed"))
    order, meeting = an_order(world, workspace_id), world.event(workspace_id)
    for event in (order, meeting):
        world.deliveries.dispatch([event.id], limit=100)
    world.change(replace(webhook, enabled=False))
    world.change(replace(webhook, enabled=True))
    wanted = DeliveryFilter(event_type=ORDER)
    with world.units() as unit:
        assert [each.id for each in unit.events.list_page(workspace_id, EventFilter(event_type=ORDER), limit=9)] == [
            order.id
        ]
        assert [each.event_id for each in unit.deliveries.list_page(workspace_id, wanted, limit=9)] == [order.id]
        assert unit.replays.preview(Replay.create(workspace_id, wanted)).matched == 1


def test_the_meeting_that_an_own_type_s_event_names_is_erased_with_it(world: World) -> None:
    """The payload goes, and what waits is skipped."""
    workspace_id = world.workspace()
    world.webhook(workspace_id, events=(ORDER,))
    event = an_order(world, workspace_id, meeting_id="m-7")
    made = world.deliveries.dispatch([event.id], limit=100)
    with world.units() as unit:
        assert unit.events.erase_meeting(workspace_id, "m-7") == (1, 1)
        unit.commit()
    with world.units() as unit:
        erased, delivery = (
            unit.events.get_by_id(event.id),
            unit.deliveries.get_by_id(workspace_id, made.delivery_ids[0]),
        )
    assert erased is not None
    assert (erased.payload, erased.event_type) == (b"{}", ORDER)
    assert delivery is not None
    assert (delivery.status, delivery.error_message) == (DeliveryStatus.SKIPPED, ERASED.message)
