"""Secrets at rest."""

from __future__ import annotations

from uuid import uuid4

import pytest

from noteflow_hooks.crypto import SecretBox, generate_key, parse_keys
from noteflow_hooks.errors import InvalidInputError, SecretUnavailableError

OLD, NEW = (parse_keys(generate_key())[0] for _ in range(2))


def test_a_secret_comes_back_as_it_was() -> None:
    """Encrypted and decrypted under one key, for one webhook."""
    webhook_id = uuid4()
    sealed = SecretBox([NEW]).encrypt("whsec_canary", webhook_id=webhook_id)
    assert b"canary" not in sealed
    assert SecretBox([NEW]).decrypt(sealed, webhook_id=webhook_id) == "whsec_canary"


def test_the_first_key_encrypts_and_any_decrypts() -> None:
    """While keys rotate, what the old one sealed still opens; what the new one seals needs the new one."""
    webhook_id = uuid4()
    both = SecretBox([NEW, OLD])
    assert both.decrypt(SecretBox([OLD]).encrypt("s" * 8, webhook_id=webhook_id), webhook_id=webhook_id) == "s" * 8
    with pytest.raises(SecretUnavailableError):
        SecretBox([OLD]).decrypt(both.encrypt("s" * 8, webhook_id=webhook_id), webhook_id=webhook_id)


def test_a_ciphertext_opens_for_its_own_webhook_only() -> None:
    """Copied into another row it is worthless."""
    sealed = SecretBox([NEW]).encrypt("s" * 8, webhook_id=uuid4())
    with pytest.raises(SecretUnavailableError):
        SecretBox([NEW]).decrypt(sealed, webhook_id=uuid4())


@pytest.mark.parametrize("kept", [0, 1, 4, 10, -1])
def test_a_ciphertext_cut_short_is_refused(kept: int) -> None:
    """Wherever the bytes end."""
    webhook_id = uuid4()
    sealed = SecretBox([NEW]).encrypt("s" * 8, webhook_id=webhook_id)
    with pytest.raises(SecretUnavailableError):
        SecretBox([NEW]).decrypt(sealed[:kept], webhook_id=webhook_id)


@pytest.mark.parametrize("place", [0, 1, 5, 17, -1])
def test_a_ciphertext_with_one_bit_changed_is_refused(place: int) -> None:
    """In the version, the key's name, the nonce, the text, or the tag."""
    webhook_id = uuid4()
    sealed = bytearray(SecretBox([NEW]).encrypt("s" * 8, webhook_id=webhook_id))
    sealed[place] ^= 1
    with pytest.raises(SecretUnavailableError):
        SecretBox([NEW]).decrypt(bytes(sealed), webhook_id=webhook_id)


def test_without_a_key_nothing_is_stored_in_the_clear() -> None:
    """Encrypting without a key fails, and names the setting."""
    with pytest.raises(SecretUnavailableError, match="NOTEFLOW_HOOKS_SECRET_KEYS"):
        SecretBox([]).encrypt("s" * 8, webhook_id=uuid4())


@pytest.mark.parametrize("text", ["short", "A" * 43, "not base64!" * 4, f"{generate_key()},x"])
def test_a_bad_key_is_refused_without_being_repeated(text: str) -> None:
    """Each key must be urlsafe base64 of 32 bytes."""
    with pytest.raises(InvalidInputError) as caught:
        parse_keys(text)
    assert text not in str(caught.value)
