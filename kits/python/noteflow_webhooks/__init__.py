"""Verifies NoteFlow's webhooks over the raw body; ``receiver`` deduplicates and answers, ``web`` fits it to frameworks.

Copy this folder, or ``pip install`` the one above it: it needs the standard library alone. What is wrong with a request
has a name, the same in every language; ``docs/kits.md`` has the list, and what to do about each.
"""

from __future__ import annotations

import base64
import hmac
import json
import re
import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from .ed25519 import EVERYBODYS, is_signed

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

_ID, _TIME = re.compile(r"[A-Za-z0-9_-]{1,128}"), re.compile(r"0|[1-9][0-9]{0,11}")
_SIGNATURES_LIMIT = 16


class WebhookError(ValueError):
    """A request, or a secret, that is not taken; ``reason`` is the name of what is wrong."""

    def __init__(self, reason: str, detail: str = "") -> None:
        super().__init__(f"{reason}: {detail}" if detail else reason)
        self.reason = reason


@dataclass(frozen=True)
class Event:
    """What has come, verified. ``id`` is the same over all attempts; ``headers`` have names in small letters."""

    id: str
    type: str
    body: bytes
    headers: Mapping[str, str] = field(repr=False)

    def json(self) -> Any:  # noqa: ANN401 - whatever the body holds
        """Return the body, parsed."""
        return json.loads(self.body)


class Verifier:
    """Knows an endpoint's secrets (``whsec_…`` or plain) and public keys (``whpk_…``): one that fits is enough.

    ``scheme`` says which signatures are asked for: ``standard`` (``webhook-signature``), ``plain``
    (``X-NoteFlow-Signature``, which has no time and no id), or ``both``. Raise WebhookError, ``secret_malformed``.
    """

    def __init__(
        self,
        secrets: Iterable[str],
        *,
        scheme: str = "standard",
        tolerance_s: float = 300,
        now: Callable[[], float] = time.time,
    ) -> None:
        keys = list(map(_key, secrets))
        if not keys or scheme not in ("standard", "plain", "both"):
            raise WebhookError(*(("scheme", scheme) if keys else ("secret_malformed", "there is none")))
        self._secrets = [each for each in keys if len(each) == 2]  # noqa: PLR2004 - standard's key and the plain one's
        self._public = [each[0] for each in keys if len(each) == 1]
        self._scheme, self._tolerance_s, self._now = scheme, tolerance_s, now

    def verify(self, body: object, headers: Mapping[str, str]) -> Event:
        """Return the event; raise WebhookError with the name of what is wrong. ``body`` is the bytes as they came."""
        if not isinstance(body, (bytes, bytearray, memoryview)):
            raise WebhookError("body_not_raw", f"it is a {type(body).__name__}")
        raw, sent = bytes(body), {name.lower(): value for name, value in headers.items()}
        if self._scheme != "plain":
            self._check(self._is_standard(raw, sent), raw, sent)
        if self._scheme != "standard":
            self._check(self._is_plain(raw, sent), raw, sent)
        return Event(sent.get("webhook-id", ""), sent.get("x-noteflow-event", ""), raw, sent)

    def _is_standard(self, body: bytes, sent: Mapping[str, str]) -> bool:
        message, written, signature = (_header(sent, f"webhook-{name}") for name in ("id", "timestamp", "signature"))
        if not _ID.fullmatch(message) or not _TIME.fullmatch(written):
            raise WebhookError("malformed_header", "webhook-timestamp" if _ID.fullmatch(message) else "webhook-id")
        age_s = self._now() - int(written)
        if abs(age_s) > self._tolerance_s:
            raise WebhookError("too_old" if age_s > 0 else "too_new", f"by {abs(age_s):.0f} s")
        content = b"%s.%s.%s" % (message.encode(), written.encode(), body)
        claimed = signature.split(" ")[:_SIGNATURES_LIMIT]
        macs = [b"v1," + base64.b64encode(hmac.digest(key, content, "sha256")) for key, _ in self._secrets]
        # All are compared, even after a match, so that the time taken reveals nothing.
        found = sum(hmac.compare_digest(mac, each.encode()) for mac in macs for each in claimed)
        signed = [_decoded(each[4:]) for each in claimed if each.startswith("v1a,")]
        return found > 0 or any(is_signed(key, each, content) for key in self._public for each in signed)

    def _is_plain(self, body: bytes, sent: Mapping[str, str]) -> bool:
        claimed = _header(sent, "x-noteflow-signature").encode()
        macs = [b"sha256=" + hmac.digest(key, body, "sha256").hex().encode() for _, key in self._secrets]
        return sum(hmac.compare_digest(mac, claimed) for mac in macs) > 0

    def _check(self, fits: bool, body: bytes, sent: Mapping[str, str]) -> None:  # noqa: FBT001 - what was found
        length = sent.get("content-length", "")
        if not fits and length.isdecimal() and int(length) != len(body):
            raise WebhookError("body_not_raw", f"{len(body)} bytes, {length} were sent")
        if not fits:
            raise WebhookError("no_match")


def _header(sent: Mapping[str, str], name: str) -> str:
    if not sent.get(name):
        raise WebhookError("missing_header", name)
    return sent[name]


def _key(secret: str) -> tuple[bytes, ...]:
    """Return a public key, or a secret's keys for both schemes."""
    raw = _decoded(secret[6 if secret.startswith("whsec_") else 5 :])
    if secret.startswith("whsec_"):
        keys: tuple[bytes, ...] = (raw, secret.encode()) if 24 <= len(raw) <= 64 else ()  # noqa: PLR2004 - bytes
    elif secret.startswith("whpk_"):
        keys = (raw,) if len(raw) == 32 and raw[:31] + bytes([raw[31] & 127]) not in EVERYBODYS else ()  # noqa: PLR2004 - as above
    else:
        is_visible = not secret.startswith("whsk_") and re.fullmatch(r"[!-~]{8,256}", secret)
        keys = (secret.encode(), secret.encode()) if is_visible else ()
    if not keys:
        raise WebhookError("secret_malformed", "whsec_…, 8 to 256 visible characters, or whpk_… (a public key)")
    return keys


def _decoded(text: str) -> bytes:
    """Return the bytes of strict base64; no bytes where it is not."""
    try:
        raw = base64.b64decode(text, validate=True)
    except ValueError:
        return b""
    return raw if base64.b64encode(raw).decode() == text else b""
