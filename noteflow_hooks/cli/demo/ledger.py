"""What the demo's receiver keeps of each request: what it was, and whether both of its signatures are good."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from standardwebhooks import Webhook, WebhookVerificationError

from noteflow_hooks.signing import verify_signature

if TYPE_CHECKING:
    from noteflow_hooks.cli.support.receiver import Received


@dataclass(frozen=True, slots=True)
class Entry:
    """One request."""

    event: str
    #: Whether `X-NoteFlow-Signature` fits, by our own function.
    signature_is_good: bool
    #: Whether the Standard Webhooks headers fit, by the `standardwebhooks` library, which is not ours.
    standard_is_good: bool


class Ledger:
    """The receiver's own record. Give it the endpoint's secret before the first event."""

    def __init__(self) -> None:
        #: What the endpoint's requests are signed with.
        self.secret = ""
        self._entries: dict[str, list[Entry]] = {}

    def answer(self, received: Received) -> int:
        """Write the request down; 200 where both signatures are good, else 401, as a receiver should."""
        headers, body = received.headers, received.body
        entry = Entry(
            event=headers.get("x-noteflow-event", ""),
            signature_is_good=verify_signature(body, headers.get("x-noteflow-signature", ""), self.secret),
            standard_is_good=_is_standard(body, headers, self.secret),
        )
        self._entries.setdefault(headers.get("x-noteflow-delivery", ""), []).append(entry)
        return 200 if entry.signature_is_good and entry.standard_is_good else 401

    def of(self, delivery_id: str) -> list[Entry]:
        """Return the requests of one delivery."""
        return list(self._entries.get(delivery_id, []))


def _is_standard(body: bytes, headers: dict[str, str], secret: str) -> bool:
    try:
        Webhook(secret).verify(body, headers)
    except (WebhookVerificationError, RuntimeError, ValueError):
        return False
    return True
