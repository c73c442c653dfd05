"""The challenge that an endpoint is asked with, and what it has shown by then.

Only the endpoint learns a challenge: what is stored and shown of the event that asks has a mark in its place.
"""

from __future__ import annotations

import hmac
import json
import secrets
from dataclasses import dataclass, field
from datetime import timedelta
from typing import TYPE_CHECKING, Final

from noteflow_hooks.domain.events import WebhookEventType
from noteflow_hooks.domain.ids import ordered_id

if TYPE_CHECKING:
    from datetime import datetime
    from uuid import UUID

#: The type of the event that asks; a plain text, since it is compared with each delivery's.
VERIFICATION: Final = str(WebhookEventType.WEBHOOK_VERIFICATION)
#: For how long a challenge can be answered.
CHALLENGE_LASTS: Final = timedelta(hours=24)
#: The most bytes of an answer that are read: the challenge has far fewer.
ANSWER_LIMIT: Final = 4096
#: What stands for the challenge in what is stored and shown.
MARK: Final = "[redacted]"
_MARKED: Final = f'"challenge":"{MARK}"'.encode()
#: Why a challenge is not sent.
VOID: Final = "This challenge is void: the endpoint is verified, has another URL, or was asked anew"
EXPIRED: Final = "This challenge has expired; `webhooks verify` asks with a new one"


@dataclass(frozen=True, slots=True)
class Challenge:
    """A text that only the endpoint is told, and gives back."""

    #: The event that asks with it.
    event_id: UUID
    text: str = field(repr=False)
    expires_at: datetime

    @classmethod
    def new(cls, now: datetime) -> Challenge:
        """Make one: 32 random bytes."""
        return cls(ordered_id(), secrets.token_urlsafe(32), now + CHALLENGE_LASTS)


@dataclass(frozen=True, slots=True)
class Verification:
    """What an endpoint has shown, and what it is asked. An endpoint that was never asked counts as verified."""

    #: Since when nothing but the challenge is sent to it; None where it is verified.
    unverified_since: datetime | None = None
    #: When it last gave a challenge back.
    verified_at: datetime | None = None
    #: Where it is to move once that answers.
    pending_url: str | None = field(default=None, repr=False)
    #: What is asked now; None where nothing is, or no key decrypts it.
    challenge: Challenge | None = None

    @property
    def is_awaited(self) -> bool:
        """Whether the endpoint, or the URL that it is to move to, has yet to answer."""
        return self.unverified_since is not None or self.pending_url is not None


#: An endpoint that was never asked.
NEVER_ASKED: Final = Verification()


def reason_not_to_ask(challenge: Challenge | None, *, lease_end: datetime | None) -> str | None:
    """Return why a challenge, None for a void one, is not sent by who has claimed it until then; None where it is.

    By the store's clock, and whatever comes of the attempt: it has to end before the challenge does.
    """
    if challenge is None:
        return VOID
    return EXPIRED if lease_end is None or lease_end > challenge.expires_at else None


def with_challenge(payload: bytes, challenge: Challenge) -> bytes:
    """Return the payload as the endpoint gets it."""
    return payload.replace(_MARKED, f'"challenge":"{challenge.text}"'.encode(), 1)


def is_answer(body: bytes, challenge: str) -> bool:
    """Tell whether an answer's body gives the challenge back: it is the text, or an object with it and nothing else.

    An object with more in it is none: whoever sends back all that it gets has shown nothing. The comparison's time says
    nothing of where the two differ.
    """
    text = body.strip()
    if text.startswith(b"{"):
        text = _answered(text)
    return hmac.compare_digest(text, challenge.encode())


def _answered(text: bytes) -> bytes:
    try:
        answer = json.loads(text)
    except (ValueError, RecursionError):
        return b""
    given = answer.get("challenge") if isinstance(answer, dict) and len(answer) == 1 else None
    return given.encode("utf-8", "replace") if isinstance(given, str) else b""
