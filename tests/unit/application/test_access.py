"""Workspaces and tokens, and the report on keys."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING
from uuid import uuid4

import pytest

from noteflow_hooks.application.access import make_token, make_workspace, revoke_token
from noteflow_hooks.application.keys import KeyReport, KeyRole, report_keys
from noteflow_hooks.domain.access import Scope, hash_token
from noteflow_hooks.errors import InvalidInputError, NotFoundError
from tests.support.builders import BY

if TYPE_CHECKING:
    from tests.support.application_world import World


@dataclass(frozen=True)
class Use:
    """What is stored under a key."""

    ciphertexts: int
    unreadable: int = 0


def test_a_token_opens_its_workspace_until_it_is_revoked(world: World) -> None:
    """Only its hash and its last four characters are stored; revoking it twice is refused."""
    record, token = world.do(lambda unit: make_token(unit, world.workspace.id, name="ci", scopes=[Scope.READ], by=BY))
    assert (record.hint, record.scopes) == (token[-4:], frozenset({Scope.READ}))
    found = world.do(lambda unit: unit.access.find_token(hash_token(token)))
    assert found == record
    world.do(lambda unit: revoke_token(unit, record.id, by=BY))
    assert world.do(lambda unit: unit.access.find_token(hash_token(token))) is None
    for token_id in (record.id, uuid4()):
        with pytest.raises(NotFoundError, match=f"there is no token {token_id} that is not revoked"):
            world.do(partial(revoke_token, by=BY, token_id=token_id))


def test_workspaces_and_tokens_have_names(world: World) -> None:
    """Which are neither blank nor longer than their column."""
    assert world.do(lambda unit: make_workspace(unit, "Acme", by=BY)).name == "Acme"
    for name in ("", "x" * 256):
        with pytest.raises(InvalidInputError, match=r"^name"):
            world.do(partial(make_workspace, by=BY, name=name))
        with pytest.raises(InvalidInputError, match=r"^name"):
            world.do(partial(make_token, by=BY, workspace_id=world.workspace.id, name=name))


def test_keys_are_reported_in_their_order_and_then_those_that_nobody_has() -> None:
    """The first one encrypts; one with no ciphertexts is there with none."""
    uses = {"lost-2": Use(1, unreadable=1), "old": Use(5, unreadable=2), "lost-1": Use(3, unreadable=3)}
    assert report_keys(("new", "old"), uses) == [
        KeyReport("new", KeyRole.ENCRYPTS, 0, 0),
        KeyReport("old", KeyRole.DECRYPTS, 5, 2),
        KeyReport("lost-1", KeyRole.MISSING, 3, 3),
        KeyReport("lost-2", KeyRole.MISSING, 1, 1),
    ]
