"""What an answer repeats of its endpoint's credentials is not kept: who may read deliveries may not read those.

The API never shows a header's value. An endpoint that echoes its request, as many do while they are debugged, would put
it on record all the same.
"""

from __future__ import annotations

import html
import json
import re
from typing import TYPE_CHECKING, Final
from urllib.parse import quote

from noteflow_hooks.domain.headers import VALUE_LIMIT

if TYPE_CHECKING:
    from collections.abc import Iterator

    from noteflow_hooks.domain.webhooks import WebhookConfig

REDACTED: Final = b"[redacted]"
#: What is shorter stands in other texts by chance.
LEAST: Final = 8
#: The most bytes that a credential takes in an answer: HTML has ``&quot;`` for one character.
LONGEST: Final = VALUE_LIMIT * len("&quot;")


def without_credentials(body: bytes, webhook: WebhookConfig, *, keep: int) -> bytes:
    """Return the first ``keep`` bytes of a body, a mark in the place of each credential that begins in them.

    For one that begins in the last of them to be found, the body must go on for :data:`LONGEST` bytes.
    """
    hidden = _hidden(webhook) if len(body) >= LEAST else []
    if not any(each in body for each in hidden):
        return body[:keep]
    kept, end = bytearray(), 0
    for match in re.finditer(b"|".join(map(re.escape, hidden)), body):
        if match.start() >= keep:
            break
        kept += body[end : match.start()] + REDACTED
        end = match.end()
    kept += body[end : max(end, keep)]
    return bytes(kept[:keep])


def _hidden(webhook: WebhookConfig) -> list[bytes]:
    """Return the header values and the secrets in each form in which answers repeat them, the longest first."""
    texts = {text for text in _texts(webhook) if len(text) >= LEAST}
    return sorted({form.encode() for text in texts for form in _forms(text)}, key=len, reverse=True)


def _texts(webhook: WebhookConfig) -> Iterator[str]:
    for _, value in webhook.headers:
        yield value
        # What stands behind a scheme's name: receivers complain of it alone.
        yield value.partition(" ")[2].strip()
    for secret in (webhook.secret, webhook.previous_secret):
        if secret is not None:
            yield secret.removeprefix("whsec_")


def _forms(text: str) -> set[str]:
    """Return the text as it is, in JSON with and without escaped slashes, in HTML, and in a URL."""
    as_json = json.dumps(text)[1:-1]
    return {text, as_json, as_json.replace("/", "\\/"), html.escape(text), quote(text, safe="")}
