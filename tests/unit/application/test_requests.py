"""A request under an id is done once, whatever it asks for; repeated, it is answered from what is stored."""

from __future__ import annotations

from typing import TYPE_CHECKING
from uuid import UUID

import pytest

from noteflow_hooks.application.meetings import new_meeting
from noteflow_hooks.application.requests import begin_test, create_meeting, register_webhook, rotate_webhook
from noteflow_hooks.application.rotations import Rotation
from noteflow_hooks.domain.requests import NamedRequest
from noteflow_hooks.errors import AlreadyExistsError
from tests.support.builders import BY, a_webhook

if TYPE_CHECKING:
    from noteflow_hooks.application.endpoints import EndpointView
    from tests.support.application_world import World

TOKEN, OTHER_TOKEN = UUID(int=1), UUID(int=2)


def named(world: World, *, digest: bytes = b"what is asked for") -> NamedRequest:
    """Return a request under an id."""
    return NamedRequest(world.workspace.id, "first", "Method", TOKEN, digest)


def create(world: World, title: str) -> UUID:
    """Create a meeting under the id, and return which one it came to."""
    meeting = new_meeting(world.workspace.id, title, now=world.now)
    return world.do(lambda unit: create_meeting(unit, meeting, request=named(world))).id


def recorded(world: World, webhook_id: UUID, request: NamedRequest | None) -> UUID:
    """Have a test event recorded, and return which one it came to."""
    return world.do(
        lambda unit: begin_test(unit, world.service, world.workspace.id, webhook_id, request=request, by=BY)
    )


def register(world: World, token_id: UUID) -> tuple[EndpointView, str | None]:
    """Register an endpoint under the id."""
    webhook = a_webhook(workspace_id=world.workspace.id, secret="s" * 32)
    return world.do(
        lambda unit: register_webhook(unit, world.service, webhook, token_id=token_id, request=named(world), by=BY)
    )


def rotate(world: World, webhook_id: UUID, secret: str) -> tuple[EndpointView, str | None]:
    """Rotate to a secret under the id."""
    return world.do(
        lambda unit: rotate_webhook(
            unit,
            world.workspace.id,
            webhook_id,
            Rotation.create(secret),
            now=world.now,
            token_id=TOKEN,
            request=named(world),
            by=BY,
        )
    )


def test_a_meeting_is_created_once(world: World) -> None:
    """Repeated, it is the first one."""
    assert create(world, "Weekly") == create(world, "Monthly")


def test_a_test_event_is_recorded_once(world: World) -> None:
    """Without an id, each request counts; another request under the same id is refused."""
    webhook = world.webhook()
    assert recorded(world, webhook.id, named(world)) == recorded(world, webhook.id, named(world))
    assert recorded(world, webhook.id, None) != recorded(world, webhook.id, None)
    with pytest.raises(AlreadyExistsError, match="request_id"):
        recorded(world, webhook.id, named(world, digest=b"something else"))
    assert len(world.events()) == 3


def test_a_registration_s_secret_is_told_again_to_the_token_that_made_it(world: World) -> None:
    """One endpoint is stored, and another token of the workspace gets it without its secret."""
    made = [register(world, token) for token in (TOKEN, TOKEN, OTHER_TOKEN)]
    assert len({view.webhook.id for view, _ in made}) == 1
    assert [secret for _, secret in made] == ["s" * 32, "s" * 32, None]


def test_a_repeated_rotation_rotates_nothing_more(world: World) -> None:
    """The first one's secret is told again, and stays the endpoint's."""
    webhook = world.webhook()
    first, again = rotate(world, webhook.id, "a" * 32), rotate(world, webhook.id, "b" * 32)
    assert [first[1], again[1]] == ["a" * 32, "a" * 32]
    assert again[0].webhook.secret == "a" * 32
