"""What mails need: a store that has them, what sends one, and what makes and knows a contact's code."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple, Protocol

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import datetime, timedelta
    from uuid import UUID

    from noteflow_hooks.domain.mails import Mail
    from noteflow_hooks.domain.webhooks import WebhookConfig


class MailOutbox(Protocol):
    """The mails, in a unit of work."""

    def add(self, mail: Mail) -> None:
        """Store a mail, due at once."""
        ...

    def was_confirmation_given_up(self, webhook_id: UUID) -> bool:
        """Tell whether the last confirmation mail about the endpoint was given up, so that another one may be sent."""
        ...

    def take_digests(self, *, limit: int) -> Sequence[WebhookConfig]:
        """Return endpoints whose digest is due, at most so many, and set when each one's next is.

        They are locked; what somebody else has locked is left out.
        """
        ...

    def list_of(self, webhook_id: UUID) -> Sequence[Mail]:
        """Return the mails about an endpoint that are kept, oldest first."""
        ...


class Claimed(NamedTuple):
    """A mail that is to be sent now, and its endpoint."""

    mail: Mail
    webhook: WebhookConfig


class MailStore(Protocol):
    """The workers' half: each method is a transaction of its own, and safe to run beside any other."""

    def has_due(self) -> bool:
        """Tell whether a mail is due, or was being sent by a worker that says no more."""
        ...

    def has_digests(self) -> bool:
        """Tell whether a digest is due."""
        ...

    def claim(self, *, lease: timedelta) -> tuple[Claimed | None, Sequence[Mail]]:
        """Take the next mail that may be sent, so that nobody else sends it; return it, and those given up meanwhile.

        Given up are those that nobody wants any more, that are too old, and those whose sender says no more since
        longer than its lease: they may have been sent. What would be one too many in a day waits.
        """
        ...

    def note_sent(self, mail: Mail) -> bool:
        """Note that the mail server has taken a claimed mail; False where it was given up meanwhile."""
        ...

    def put_back(self, mail: Mail, error: str, *, wait: timedelta) -> bool:
        """Have a claimed mail that was not sent wait for another attempt; False as above."""
        ...

    def give_up(self, mail: Mail, error: str, *, is_unknown: bool) -> bool:
        """Send a claimed mail never again; ``is_unknown`` where it may have been sent. False as above."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Letter:
    """What a mail is made of."""

    mail: Mail
    webhook: WebhookConfig
    #: A confirmation's code, and until when it counts.
    code: str | None = None
    code_ends_at: datetime | None = None


class Connection(Protocol):
    """A connection to the mail server, for several mails."""

    def send(self, letter: Letter) -> None:
        """Send one mail.

        Raise MailRefusedError where the server does not want this one, MailServerError where it takes none at the
        moment and this one was not sent, and MailUnknownError where nobody can tell whether it was sent.
        """
        ...

    def close(self) -> None:
        """Take leave."""
        ...


class MailServer(Protocol):
    """The operator's mail server."""

    def connect(self) -> Connection:
        """Connect and log in; raise MailServerError where it does not answer, or refuses."""
        ...


class ContactCodes(Protocol):
    """What makes and knows contacts' codes."""

    def code(self, webhook_id: UUID, address: str, asked_at: datetime) -> str:
        """Return the code that an address has to give back, in the same words every time."""
        ...

    def is_right(self, typed: str, webhook_id: UUID, address: str, asked_at: datetime) -> bool:
        """Tell whether that is the code, in upper or lower case, and whatever stands between its groups."""
        ...
