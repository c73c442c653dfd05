"""Mails that wait to be sent: rows that are written with what they tell of, and what becomes of each.

A mail goes out at most once. It is *sending* before anything of it leaves; what is not known to have been refused
after that is never sent again.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field
from datetime import timedelta
from enum import StrEnum
from typing import TYPE_CHECKING, Final, NamedTuple

from noteflow_hooks.domain.ids import ordered_id

if TYPE_CHECKING:
    from datetime import datetime
    from uuid import UUID

    from noteflow_hooks.domain.contacts import Contact
    from noteflow_hooks.domain.webhooks import WebhookConfig

#: The most mails in a day to one address, and about one workspace's endpoints.
ADDRESS_A_DAY: Final = 10
WORKSPACE_A_DAY: Final = 100
DAY: Final = timedelta(days=1)
#: After so long a mail that could not be sent is given up.
TRIED_FOR: Final = timedelta(days=3)
#: For so long a mail's row is kept, whatever has become of it.
MAILS_KEPT: Final = timedelta(days=7)
#: The wait after a first refusal; each one after that doubles it, up to the longest.
_FIRST_WAIT: Final = timedelta(minutes=1)
_LONGEST_WAIT: Final = timedelta(hours=2)
_DOUBLINGS: Final = 12
#: What stands in the row of a mail whose sender died, or got no answer to all of it.
TOO_OLD: Final = "no mail could be sent for days"
UNKNOWN: Final = "whether it was sent is not known"


class MailKind(StrEnum):
    """What a mail is about."""

    CONFIRMATION = "confirmation"
    FAILING = "failing"
    DISABLED = "disabled"
    CERTIFICATE = "certificate_expiring"
    DIGEST = "digest"


class MailState(StrEnum):
    """How far a mail has come."""

    #: It goes when it is due.
    WAITING = "waiting"
    #: A worker is about to send it, or has begun to.
    SENDING = "sending"
    #: The mail server has taken it.
    SENT = "sent"
    #: It is not sent any more, and says why.
    GIVEN_UP = "given_up"


@dataclass(frozen=True, slots=True, kw_only=True)
class Mail:
    """One mail. Its text is made when it is sent; no code and no address outlives that."""

    id: UUID = field(default_factory=ordered_id)
    workspace_id: UUID
    webhook_id: UUID
    kind: MailKind
    #: Where it goes; None once that is over.
    recipient: str | None = field(repr=False)
    #: What stands for the address where mails are counted.
    recipient_digest: bytes = field(repr=False)
    #: What it tells, in words; of a digest its figures, as JSON.
    about: str = ""
    state: MailState = MailState.WAITING
    attempt_count: int = 0
    created_at: datetime | None = None
    next_attempt_at: datetime | None = None
    lease_expires_at: datetime | None = None
    #: When it was begun to be sent; None where it is known not to have been.
    sent_at: datetime | None = None
    ended_at: datetime | None = None
    #: How it failed last.
    error: str | None = None


class Counted(NamedTuple):
    """What was sent within the last day to the same address, and about the same workspace."""

    address: int
    address_first: datetime | None
    workspace: int
    workspace_first: datetime | None


class Chosen(NamedTuple):
    """What becomes of a mail that is due: it is sent, waits until a moment, or is given up for a reason."""

    until: datetime | None = None
    given_up: str | None = None


def digest_of(address: str) -> bytes:
    """Return what stands for an address where mails are counted, in upper or lower case."""
    return hashlib.sha256(address.lower().encode()).digest()


def mail_about(webhook: WebhookConfig, kind: MailKind, about: str = "") -> Mail | None:
    """Return the mail to an endpoint's contact; None where it has none, or that has not confirmed."""
    return mail_to(webhook.contact, webhook.workspace_id, webhook.id, kind, about)


def mail_to(
    contact: Contact | None, workspace_id: UUID, webhook_id: UUID, kind: MailKind, about: str = ""
) -> Mail | None:
    """Do as :func:`mail_about`, for an endpoint of which no more is read."""
    if contact is None or contact.is_confirmed == (kind is MailKind.CONFIRMATION):
        return None
    return Mail(
        workspace_id=workspace_id,
        webhook_id=webhook_id,
        kind=kind,
        recipient=contact.address,
        recipient_digest=digest_of(contact.address),
        about=about,
    )


def confirmation_of(webhook: WebhookConfig, *, before: WebhookConfig | None) -> Mail | None:
    """Return the mail that asks a stored endpoint's contact; None where it was asked before, or there is none."""
    contact, had = webhook.contact, None if before is None else before.contact
    is_asked = contact is not None and had is not None and had.asked_at == contact.asked_at
    return None if is_asked else mail_about(webhook, MailKind.CONFIRMATION)


def choose(mail: Mail, webhook: WebhookConfig | None, counted: Counted, *, now: datetime) -> Chosen:
    """Decide about a mail that is due. ``webhook`` is its endpoint as it is now; None where it is deleted."""
    contact = None if webhook is None else webhook.contact
    if contact is None or contact.address != mail.recipient:
        return Chosen(given_up="the endpoint has this contact no more")
    if contact.is_confirmed == (mail.kind is MailKind.CONFIRMATION):
        return Chosen(given_up="the contact has confirmed" if contact.is_confirmed else "the contact has not confirmed")
    if mail.kind is MailKind.CONFIRMATION and now >= contact.code_ends_at:
        return Chosen(given_up="its code counts no more")
    ends = [
        first + DAY
        for count, most, first in (
            (counted.address, ADDRESS_A_DAY, counted.address_first),
            (counted.workspace, WORKSPACE_A_DAY, counted.workspace_first),
        )
        if count >= most and first is not None
    ]
    return Chosen(until=max(ends)) if ends else Chosen()


def is_too_old(mail: Mail, *, now: datetime) -> bool:
    """Tell whether a mail has waited for so long that it is given up."""
    return mail.created_at is not None and now >= mail.created_at + TRIED_FOR


def wait_after(attempts: int) -> timedelta:
    """Return how long a mail waits that was refused for the time being, after so many attempts."""
    doublings = min(max(0, attempts - 1), _DOUBLINGS)
    return min(_LONGEST_WAIT, _FIRST_WAIT * (1 << doublings))
