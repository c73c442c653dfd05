"""An endpoint's contact: a mail address that hears of the endpoint's trouble once it has confirmed that it wants to."""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from datetime import timedelta
from enum import StrEnum
from typing import TYPE_CHECKING, Any, Final

from noteflow_hooks.errors import InvalidInputError

if TYPE_CHECKING:
    from collections.abc import Mapping
    from datetime import datetime

#: The fields of an endpoint, as callers name them.
CONTACT_FIELDS: Final = ("contact", "digest")
#: For so long a confirmation mail's code counts.
CODE_LASTS: Final = timedelta(days=7)
#: How often a digest comes.
DIGEST_EVERY: Final = timedelta(days=7)
#: The most characters of an address (RFC 5321, 4.5.3.1), and of what is before its last ``@``.
ADDRESS_LIMIT: Final = 254
_LOCAL_LIMIT: Final = 64
_ATOM: Final = r"[A-Za-z0-9!#$%&'*+/=?^_`{|}~-]+"
_LABEL: Final = r"[A-Za-z0-9](?:[A-Za-z0-9-]{0,61}[A-Za-z0-9])?"
#: A dot-atom before the ``@`` and a host's name behind it (RFC 5322, 3.4.1): nothing that could begin another header,
#: quote, or name a second address.
_ADDRESS: Final = re.compile(rf"{_ATOM}(?:\.{_ATOM})*@{_LABEL}(?:\.{_LABEL})*")


class Digest(StrEnum):
    """How often a contact gets a summary."""

    NONE = "none"
    WEEKLY = "weekly"


@dataclass(frozen=True, slots=True, kw_only=True)
class Contact:
    """A contact. It hears of nothing before it has confirmed."""

    address: str
    digest: Digest = Digest.NONE
    #: When its confirmation was asked for; its code counts for :data:`CODE_LASTS` from then on.
    asked_at: datetime
    #: When its code was given back; None until then.
    confirmed_at: datetime | None = None
    #: When its next digest is due; None where there is none.
    digest_at: datetime | None = None

    @property
    def is_confirmed(self) -> bool:
        """Whether mails may be sent to it."""
        return self.confirmed_at is not None

    @property
    def code_ends_at(self) -> datetime:
        """Until when its code counts."""
        return self.asked_at + CODE_LASTS

    def confirmed(self, *, now: datetime) -> Contact:
        """Return it once it has given its code back."""
        return _with_digest(replace(self, confirmed_at=now), now=now)

    def after_digest(self, *, now: datetime) -> Contact:
        """Return it once its digest was written: the next one comes at the same hour, none of those missed does."""
        if self.digest_at is None:
            return self
        missed = (now - self.digest_at) // DIGEST_EVERY
        return replace(self, digest_at=self.digest_at + (missed + 1) * DIGEST_EVERY)


def check_address(text: str, *, field: str = "contact") -> str:
    """Return the address, or raise InvalidInputError that says what one looks like and repeats nothing of it."""
    if len(text) > ADDRESS_LIMIT or len(text.partition("@")[0]) > _LOCAL_LIMIT or not _ADDRESS.fullmatch(text):
        raise InvalidInputError(
            field, f"must be one mail address such as ops@example.com, of {ADDRESS_LIMIT} characters"
        )
    return text


def check_digest(word: str) -> Digest:
    """Return how often a digest comes, or raise InvalidInputError with the words that are allowed."""
    try:
        return Digest(word)
    except ValueError:
        raise InvalidInputError("digest", f"is {word[:100]!r}; allowed are {', '.join(Digest)}") from None


def changed_contact(
    before: Contact | None, named: Mapping[str, Any], *, now: datetime, asks_again: bool = False
) -> Contact | None:
    """Return the contact with the fields that are named; an empty address takes it away, and its digest with it.

    Another address has to confirm. The same one, named once more, is asked again where ``asks_again``, as where its
    code counts no more; else it stays as it is.
    """
    after = _addressed(before, named, now=now, asks_again=asks_again)
    digest = check_digest(named["digest"]) if named.get("digest") is not None else None
    if after is None:
        if digest is Digest.WEEKLY:
            raise InvalidInputError("digest", "needs a contact, which gets it")
        return None
    return after if digest is None or digest is after.digest else _with_digest(replace(after, digest=digest), now=now)


def _addressed(before: Contact | None, named: Mapping[str, Any], *, now: datetime, asks_again: bool) -> Contact | None:
    if named.get("contact") is None:
        return before
    if not named["contact"]:
        return None
    address = check_address(named["contact"])
    if before is None or before.address != address:
        return Contact(address=address, digest=Digest.NONE if before is None else before.digest, asked_at=now)
    is_over = not before.is_confirmed and (asks_again or now >= before.code_ends_at)
    return replace(before, asked_at=now) if is_over else before


def check_contact(named: Mapping[str, Any]) -> None:
    """Check each field by itself: how they fit the stored rest is known where that is read."""
    if named.get("contact"):
        check_address(named["contact"])
    if named.get("digest") is not None:
        check_digest(named["digest"])


def contact_in(named: Mapping[str, Any]) -> dict[str, Any]:
    """Return those of the named fields that are about the contact."""
    return {name: named[name] for name in CONTACT_FIELDS if name in named}


def masked_address(address: str) -> str:
    """Return an address as logs and the audit trail have it: ``o…@example.com``."""
    return f"{address[:1]}…@{address.rpartition('@')[2]}"


def _with_digest(contact: Contact, *, now: datetime) -> Contact:
    """Return it with its next digest's moment, where it gets digests and may."""
    if contact.digest is Digest.NONE or not contact.is_confirmed:
        return replace(contact, digest_at=None)
    return contact if contact.digest_at is not None else replace(contact, digest_at=now + DIGEST_EVERY)
