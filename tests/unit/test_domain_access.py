"""Tokens: random, recognisable, and kept as a hash alone."""

from __future__ import annotations

import base64
import hashlib

from noteflow_hooks.domain.access import TOKEN_PREFIX, generate_token, hash_token
from tests.builders import a_token


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


def test_a_tokens_hash_is_not_in_its_repr() -> None:
    """A record can be logged."""
    assert "MARK" not in repr(a_token(token_hash=b"MARK" * 8))
