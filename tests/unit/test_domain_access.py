"""Tokens: random, recognisable, and kept as a hash alone."""

from __future__ import annotations

import base64
import hashlib
from typing import TYPE_CHECKING

import pytest

from noteflow_hooks.domain.access import TOKEN_PREFIX, Scope, generate_token, hash_token
from noteflow_hooks.errors import InvalidInputError
from tests.support.builders import NOON, a_token, hours

if TYPE_CHECKING:
    from datetime import datetime


def test_a_token_is_its_prefix_and_256_random_bits() -> None:
    """Scanners find it by the prefix; nobody finds it by guessing."""
    token = generate_token()
    assert token.startswith("nfh_")
    assert TOKEN_PREFIX == "nfh_"
    assert len(base64.urlsafe_b64decode(token.removeprefix("nfh_") + "=")) * 8 == 256


def test_no_two_tokens_are_alike() -> None:
    """A thousand tokens are a thousand tokens."""
    assert len({generate_token() for _ in range(1_000)}) == 1_000


def test_a_token_is_kept_as_its_sha256() -> None:
    """The hash is a function of the whole token's text."""
    assert hash_token("nfh_abc") == hashlib.sha256(b"nfh_abc").digest()
    assert hash_token("nfh_abc") != hash_token("nfh_abd")


def test_any_text_can_be_looked_up() -> None:
    """What a caller sends in place of a token has a hash too, whatever it is made of."""
    assert len({hash_token(text) for text in ("", "é", "\ud800", "\x00")}) == 4


@pytest.mark.parametrize(
    ("fields", "live"),
    [
        ({}, True),
        ({"expires_at": NOON + hours(1)}, True),
        ({"expires_at": NOON}, False),
        ({"expires_at": NOON - hours(1)}, False),
        ({"revoked_at": NOON - hours(1)}, False),
        ({"revoked_at": NOON - hours(1), "expires_at": NOON + hours(1)}, False),
    ],
)
def test_a_token_is_live_until_it_is_revoked_or_ends(fields: dict[str, datetime], *, live: bool) -> None:
    """At the very moment of its end it opens nothing any more."""
    assert a_token(**fields).live_at(NOON) == live


def test_a_token_without_a_scope_is_refused() -> None:
    """It would open nothing, so somebody meant something else."""
    with pytest.raises(InvalidInputError, match="scopes: must not be empty; allowed: manage, publish, read"):
        a_token(scopes=frozenset())


def test_a_token_has_all_scopes_where_none_are_named() -> None:
    """As every token had before there were any."""
    assert a_token().scopes == {Scope.READ, Scope.PUBLISH, Scope.MANAGE}


def test_a_tokens_hash_is_not_in_its_repr() -> None:
    """A record can be logged."""
    assert "MARK" not in repr(a_token(token_hash=b"MARK" * 8))
