"""Requests under ids, in both stores: the first one is remembered for a day, and exactly one of many is the first."""

from __future__ import annotations

import threading
from dataclasses import replace
from datetime import timedelta
from typing import TYPE_CHECKING
from uuid import UUID, uuid4

from noteflow_hooks.domain.requests import REMEMBERED, NamedRequest
from tests.support.builders import a_workspace

if TYPE_CHECKING:
    from tests.conformance.model.world import World


def _a_request(world: World, **fields: object) -> NamedRequest:
    with world.units() as unit:
        workspace = unit.access.create_workspace(a_workspace())
        unit.commit()
    made = NamedRequest(
        workspace_id=workspace.id, request_id="first", method="CreateMeeting", token_id=uuid4(), digest=b"digest"
    )
    return replace(made, **fields)  # type: ignore[arg-type]  # whatever type the field has


def _do(world: World, request: NamedRequest, *, target: UUID | None = None) -> NamedRequest | None:
    """Claim and complete in a unit of work of its own; return the earlier request."""
    with world.units() as unit:
        earlier = unit.requests.claim(request)
        if earlier is None:
            unit.requests.complete(replace(request, target_id=target, secret_id=target, secret_hint="wxyz"))
        unit.commit()
    return earlier


def test_the_first_request_is_found_again_with_what_it_came_to(world: World) -> None:
    """Whoever repeats it; another workspace's is none of theirs."""
    request, target = _a_request(world), uuid4()
    assert _do(world, request, target=target) is None
    earlier = _do(world, replace(request, token_id=uuid4()), target=uuid4())
    assert earlier is not None
    assert (earlier.target_id, earlier.secret_id, earlier.secret_hint) == (target, target, "wxyz")
    assert (earlier.token_id, earlier.digest) == (request.token_id, request.digest)
    with world.units() as unit:
        assert unit.requests.get(request) == earlier
    assert _do(world, _a_request(world)) is None


def test_a_request_that_is_rolled_back_leaves_its_id_free(world: World) -> None:
    """Else who failed once could never try again."""
    request = _a_request(world)
    with world.units() as unit:
        assert unit.requests.claim(request) is None
    assert _do(world, request) is None


def test_after_a_day_an_id_stands_for_nothing(world: World) -> None:
    """And retention forgets it, for good."""
    request = _a_request(world)
    _do(world, request)
    world.age(REMEMBERED - timedelta(minutes=1))
    assert _do(world, request) is not None
    assert world.retention.remove_requests(REMEMBERED, limit=10).rows == 0
    world.age(timedelta(minutes=2))
    with world.units() as unit:
        assert unit.requests.get(request) is None
    assert _do(world, request) is None
    world.age(REMEMBERED + timedelta(minutes=1))
    assert world.retention.remove_requests(REMEMBERED, limit=10).rows == 1


def test_of_ten_at_once_one_is_the_first(world: World) -> None:
    """The others wait for it, and find what it came to."""
    request, target = _a_request(world), uuid4()
    found: list[NamedRequest | None] = []
    threads = [threading.Thread(target=lambda: found.append(_do(world, request, target=target))) for _ in range(10)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(found) == 10
    assert found.count(None) == 1
    assert {each.target_id for each in found if each is not None} == {target}
