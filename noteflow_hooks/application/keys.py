"""What each key of the stored secrets is for, and what is stored under it. Keys go by names that give nothing away."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence


class KeyRole(StrEnum):
    """What a key does, as it is shown."""

    #: The first one: all that is stored from now on is under it.
    ENCRYPTS = "encrypts"
    #: One behind it, for what was stored before.
    DECRYPTS = "decrypts"
    #: One that ciphertexts name and that is not configured.
    MISSING = "missing"


class KeyUse(Protocol):
    """What is stored under one key."""

    @property
    def ciphertexts(self) -> int:
        """How many ciphertexts name it."""
        ...

    @property
    def unreadable(self) -> int:
        """How many of those no key decrypts."""
        ...


@dataclass(frozen=True, slots=True)
class KeyReport:
    """One key, and what is stored under it."""

    key: str
    role: KeyRole
    ciphertexts: int
    unreadable: int


def report_keys(key_ids: Sequence[str], uses: Mapping[str, KeyUse]) -> list[KeyReport]:
    """Report our keys in their order, the one that encrypts first, and then those that only ciphertexts name."""
    named = [*key_ids, *sorted(uses.keys() - set(key_ids))]
    return [
        KeyReport(
            key=key_id,
            role=_role(key_id, key_ids),
            ciphertexts=uses[key_id].ciphertexts if key_id in uses else 0,
            unreadable=uses[key_id].unreadable if key_id in uses else 0,
        )
        for key_id in named
    ]


def _role(key_id: str, key_ids: Sequence[str]) -> KeyRole:
    if key_id not in key_ids:
        return KeyRole.MISSING
    return KeyRole.ENCRYPTS if key_id == key_ids[0] else KeyRole.DECRYPTS
