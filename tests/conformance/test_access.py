"""Workspaces and tokens, as every store keeps them."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any
from uuid import uuid4

import pytest

from noteflow_hooks.domain.access import USE_NOTED_EVERY, Scope
from noteflow_hooks.errors import NotFoundError
from tests.support.builders import a_token, a_workspace, hours

if TYPE_CHECKING:
    from uuid import UUID

    from noteflow_hooks.domain.access import ApiToken
    from tests.conformance.model.world import World


def stored_token(world: World, workspace_id: UUID, **overrides: Any) -> ApiToken:  # noqa: ANN401 - the record's own
    with world.units() as unit:
        token = unit.access.create_token(a_token(workspace_id=workspace_id, **overrides))
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


def test_a_workspace_is_found_by_its_id_and_no_other_is(world: World) -> None:
    """One that never was is None."""
    made = [world.workspace() for _ in range(2)]
    with world.units() as unit:
        found = [unit.access.get_workspace(each) for each in (*made, uuid4())]
    assert [each and each.id for each in found] == [*made, None]


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


def noted(world: World, token_id: UUID) -> bool:
    with world.units() as unit:
        done = unit.access.note_use(token_id)
        unit.commit()
    return done


def test_a_token_keeps_its_scopes_and_its_end(world: World) -> None:
    """As it was made, in the list and where its hash finds it."""
    end = datetime.now(UTC).replace(microsecond=0) + hours(1)
    scopes = frozenset({Scope.READ, Scope.PUBLISH})
    stored = stored_token(world, world.workspace(), scopes=scopes, expires_at=end)
    assert (stored.scopes, stored.expires_at, stored.last_used_at) == (scopes, end, None)
    with world.units() as unit:
        assert unit.access.find_token(stored.token_hash) == stored
        assert unit.access.list_tokens() == [stored]


def test_a_token_opens_nothing_from_its_end_on(world: World) -> None:
    """By the store's clock; it stays listed, and can still be revoked."""
    ending = stored_token(world, world.workspace(), expires_at=datetime.now(UTC) + hours(1))
    with world.units() as unit:
        assert unit.access.find_token(ending.token_hash) is not None
    world.age(hours(1))
    with world.units() as unit:
        assert unit.access.find_token(ending.token_hash) is None
        assert [each.id for each in unit.access.list_tokens()] == [ending.id]
        assert unit.access.revoke_token(ending.id)


def test_the_live_ones_of_many_tokens_are_told(world: World) -> None:
    """Neither the revoked, nor the ended, nor those that were never there, nor any that weren't asked for."""
    workspace_id = world.workspace()
    live, lasting, revoked, ended, _ = (
        stored_token(world, workspace_id, expires_at=end)
        for end in (None, datetime.now(UTC) + hours(3), None, datetime.now(UTC) + hours(1), None)
    )
    with world.units() as unit:
        unit.access.revoke_token(revoked.id)
        unit.commit()
    world.age(hours(2))
    with world.units() as unit:
        asked = {live.id, lasting.id, revoked.id, ended.id, uuid4()}
        assert set(unit.access.live_tokens(asked)) == {live.id, lasting.id}
        assert not unit.access.live_tokens(set())


def test_a_token_s_use_is_recorded_once_a_minute(world: World) -> None:
    """By the store's clock; a second one within the minute changes nothing."""
    token, other = (stored_token(world, world.workspace()) for _ in range(2))
    assert noted(world, token.id)
    with world.units() as unit:
        first, untouched = (each.last_used_at for each in unit.access.list_tokens())
    assert untouched is None
    assert first is not None
    assert not noted(world, token.id)
    world.age(USE_NOTED_EVERY - timedelta(seconds=20))
    assert not noted(world, token.id)
    world.age(timedelta(seconds=20))
    assert noted(world, token.id)
    assert noted(world, other.id)
    assert not noted(world, uuid4())
