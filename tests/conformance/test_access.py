"""Workspaces and tokens, as every store keeps them."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING
from uuid import uuid4

import pytest

from noteflow_hooks.errors import NotFoundError
from tests.builders import a_token, a_workspace

if TYPE_CHECKING:
    from uuid import UUID

    from noteflow_hooks.domain.access import ApiToken
    from tests.conformance.world import World


def stored_token(world: World, workspace_id: UUID) -> ApiToken:
    with world.units() as unit:
        token = unit.access.create_token(a_token(workspace_id=workspace_id))
        unit.commit()
    return token


def test_workspaces_are_listed_oldest_first(world: World) -> None:
    """All workspaces are listed, in the order in which they were made."""
    made = [world.workspace() for _ in range(4)]
    with world.units() as unit:
        assert [workspace.id for workspace in unit.access.list_workspaces()] == made


def test_a_workspace_keeps_its_name_and_gets_the_stores_time(world: World) -> None:
    """A stored workspace is what was given and when that was."""
    given = a_workspace(name="Ümlaut & Söhne")
    with world.units() as unit:
        stored = unit.access.create_workspace(given)
        unit.commit()
    assert stored.created_at is not None
    assert replace(stored, created_at=None) == given


def test_a_token_is_found_by_its_hash(world: World) -> None:
    """The hash alone finds a token's record, whole."""
    stored_token(world, world.workspace())
    given = a_token(workspace_id=world.workspace())
    with world.units() as unit:
        stored = unit.access.create_token(given)
        unit.commit()
    with world.units() as unit:
        assert unit.access.find_token(given.token_hash) == stored
        assert unit.access.find_token(bytes(32)) is None
    assert stored.created_at is not None
    assert replace(stored, created_at=None) == given


def test_a_token_needs_a_workspace(world: World) -> None:
    """A token for a workspace that is not there is refused, and nothing is stored."""
    with world.units() as unit:
        with pytest.raises(NotFoundError):
            unit.access.create_token(a_token())
        unit.commit()
    with world.units() as unit:
        assert unit.access.list_tokens() == []


def test_tokens_are_listed_of_one_workspace_or_all(world: World) -> None:
    """The list goes from the oldest on, and may be of one workspace."""
    one, other = world.workspace(), world.workspace()
    made = [stored_token(world, workspace_id) for workspace_id in (one, other, one)]
    with world.units() as unit:
        assert unit.access.list_tokens() == made
        assert unit.access.list_tokens(one) == [made[0], made[2]]
        assert unit.access.list_tokens(uuid4()) == []


def test_a_token_is_revoked_once(world: World) -> None:
    """A revoked token opens nothing, stays listed, and can't be revoked again."""
    token, kept = (stored_token(world, world.workspace()) for _ in range(2))
    with world.units() as unit:
        assert unit.access.revoke_token(token.id)
        unit.commit()
    with world.units() as unit:
        assert not unit.access.revoke_token(token.id)
        assert unit.access.find_token(token.token_hash) is None
        assert unit.access.find_token(kept.token_hash) == kept
        listed = unit.access.list_tokens()
    assert [each.revoked_at is not None for each in listed] == [True, False]


def test_revoking_what_is_not_there_says_so(world: World) -> None:
    """There is nothing to revoke under an unknown id."""
    with world.units() as unit:
        assert not unit.access.revoke_token(uuid4())
