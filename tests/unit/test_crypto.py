"""Secrets at rest."""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING, Final
from uuid import UUID, uuid4

import pytest
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from hypothesis import given, settings
from hypothesis import strategies as st

from noteflow_hooks.crypto import COLUMNS, SecretBox, generate_key, key_id, parse_keys
from noteflow_hooks.errors import InvalidInputError, SecretUnavailableError

if TYPE_CHECKING:
    from noteflow_hooks.crypto import Column

OLD, NEW = (parse_keys(generate_key())[0] for _ in range(2))
ID: Final = UUID("6f1c2d1e-9b1a-4d57-8a53-0f5b6f1c2d1e")
SECRET: Final = "whsec_canary"
#: A machine that is busy with something else proves nothing.
patiently: Final = settings(deadline=None)


def opened(box: SecretBox, sealed: bytes, webhook_id: UUID = ID, column: Column = "secret") -> str | None:
    """Return the secret, or None where it is refused."""
    try:
        return box.decrypt(sealed, webhook_id=webhook_id, column=column)
    except SecretUnavailableError:
        return None


def sealed_as_before(key: bytes, secret: str, webhook_id: UUID) -> bytes:
    """Return a ciphertext of the first layout, which was bound to its webhook alone."""
    nonce = bytes(12)
    return (
        b"\x01"
        + hashlib.sha256(key).digest()[:4]
        + nonce
        + AESGCM(key).encrypt(nonce, secret.encode(), webhook_id.bytes)
    )


@patiently
@given(secret=st.text(), webhook_id=st.uuids(), column=st.sampled_from(COLUMNS))
def test_a_secret_comes_back_as_it_was(secret: str, webhook_id: UUID, column: Column) -> None:
    """Whatever it is: encrypted and decrypted under one key, for one column of one webhook."""
    sealed = SecretBox([NEW]).encrypt(secret, webhook_id=webhook_id, column=column)
    assert SecretBox([NEW]).decrypt(sealed, webhook_id=webhook_id, column=column) == secret
    assert len(secret) < 4 or secret.encode() not in sealed


def test_the_same_secret_is_never_the_same_ciphertext() -> None:
    """Each gets a nonce of its own, so equal secrets don't show as such."""
    assert len({SecretBox([NEW]).encrypt(SECRET, webhook_id=ID, column="secret") for _ in range(100)}) == 100


def test_the_first_key_encrypts_and_any_decrypts() -> None:
    """While keys rotate, what the old one sealed still opens; what the new one seals needs the new one."""
    both = SecretBox([NEW, OLD])
    assert opened(both, SecretBox([OLD]).encrypt(SECRET, webhook_id=ID, column="secret")) == SECRET
    assert opened(SecretBox([OLD]), both.encrypt(SECRET, webhook_id=ID, column="secret")) is None


@patiently
@given(webhook_id=st.just(ID) | st.uuids(), column=st.sampled_from(COLUMNS))
def test_a_ciphertext_opens_for_its_own_webhook_and_column_only(webhook_id: UUID, column: Column) -> None:
    """Copied into another row, or another column of its own row, it is worthless."""
    sealed = SecretBox([NEW]).encrypt(SECRET, webhook_id=ID, column="headers")
    own = (webhook_id, column) == (ID, "headers")
    assert opened(SecretBox([NEW]), sealed, webhook_id, column) == (SECRET if own else None)


@patiently
@given(kept=st.integers(min_value=0, max_value=40))
def test_a_ciphertext_cut_short_is_refused(kept: int) -> None:
    """Wherever the bytes end."""
    sealed = SecretBox([NEW]).encrypt(SECRET, webhook_id=ID, column="secret")
    assert opened(SecretBox([NEW]), sealed[: min(kept, len(sealed) - 1)]) is None


@patiently
@given(place=st.integers(min_value=0), change=st.integers(min_value=1, max_value=255))
def test_a_ciphertext_with_one_byte_changed_is_refused(place: int, change: int) -> None:
    """In the version, the key's name, the nonce, the text, or the tag; also where the byte makes it the old layout."""
    sealed = bytearray(SecretBox([NEW]).encrypt(SECRET, webhook_id=ID, column="secret"))
    sealed[place % len(sealed)] ^= change
    assert opened(SecretBox([NEW]), bytes(sealed)) is None


@patiently
@given(noise=st.binary(max_size=200))
def test_bytes_that_are_no_ciphertext_are_refused(noise: bytes) -> None:
    """With a head of ours too; nothing but our own error comes of it."""
    head = SecretBox([NEW]).encrypt("", webhook_id=ID, column="secret")[:5]
    assert opened(SecretBox([NEW]), noise) is None
    assert opened(SecretBox([NEW]), head + noise) is None


def test_a_ciphertext_from_before_columns_were_bound_still_opens() -> None:
    """In any column of its own webhook, which is why it does not count as current."""
    box, sealed = SecretBox([NEW]), sealed_as_before(NEW, SECRET, ID)
    assert [opened(box, sealed, ID, column) for column in COLUMNS] == [SECRET] * len(COLUMNS)
    assert opened(box, sealed, uuid4()) is None
    assert not box.is_current(sealed)


def test_only_what_is_under_the_first_key_is_current() -> None:
    """The others are what a re-encryption is for."""
    box = SecretBox([NEW, OLD])
    assert box.is_current(box.encrypt(SECRET, webhook_id=ID, column="secret"))
    assert not box.is_current(SecretBox([OLD]).encrypt(SECRET, webhook_id=ID, column="secret"))
    assert not SecretBox([]).is_current(b"\x02")


def test_a_ciphertext_names_its_key_and_no_name_tells_a_key() -> None:
    """Eight hex digits of a digest, the same for every ciphertext."""
    box = SecretBox([NEW, OLD])
    assert key_id(box.encrypt(SECRET, webhook_id=ID, column="secret")) == box.key_ids[0]
    assert key_id(SecretBox([OLD]).encrypt(SECRET, webhook_id=ID, column="headers")) == box.key_ids[1]
    for name, key in zip(box.key_ids, (NEW, OLD), strict=True):
        assert len(name) == 8
        assert name not in key.hex()


def test_without_a_key_nothing_is_stored_in_the_clear() -> None:
    """Encrypting without a key fails, and names the setting."""
    with pytest.raises(SecretUnavailableError, match="NOTEFLOW_HOOKS_SECRET_KEYS"):
        SecretBox([]).encrypt(SECRET, webhook_id=ID, column="secret")


@pytest.mark.parametrize(
    "text",
    ["short", "A" * 43, "not base64!" * 4, f"{generate_key()},x"],
    ids=["short", "short in base64", "not base64", "one good and one bad"],
)
def test_a_bad_key_is_refused_without_being_repeated(text: str) -> None:
    """Each key must be urlsafe base64 of 32 bytes."""
    with pytest.raises(InvalidInputError) as caught:
        parse_keys(text)
    assert text not in str(caught.value)
