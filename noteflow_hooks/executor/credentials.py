"""An endpoint's credentials, whole and in the parts that answers may repeat: none is kept of an answer."""

from __future__ import annotations

import binascii
import re
from typing import TYPE_CHECKING, Final
from urllib.parse import unquote

if TYPE_CHECKING:
    from collections.abc import Iterator

    from noteflow_hooks.domain.webhooks import WebhookConfig

#: The least bytes of a credential that is looked for: a shorter one would be found in other text by chance.
LEAST: Final = 8
#: ``name=value`` of a cookie, ``name="value"`` of a scheme's parameters; a name has no blank in it.
_PAIR: Final = re.compile(r'[^\s=,;"]=(?:"([^"]*)"|([^;\s"]*))')

#: Part of a URL that is longer is a token; a shorter one is if it has a digit, as ``services`` has none.
_TOKEN: Final = 16
_DIGIT: Final = re.compile("[0-9]")


def credentials(webhook: WebhookConfig) -> tuple[bytes, ...]:
    """Return header values, secrets, challenge and a preset's URL, and their parts, each once, before any encoding."""
    found = {each for text in _texts(webhook) for each in text if len(each) >= LEAST}
    return tuple(found)


def _texts(webhook: WebhookConfig) -> Iterator[set[bytes]]:
    for _, value in webhook.headers:
        yield {each.encode() for each in _parts(value)} | _basic(value)
    if webhook.verification.challenge is not None:
        yield {webhook.verification.challenge.text.encode()}
    if webhook.hidden_url is not None:
        yield {each.encode() for each in _url_parts(webhook.hidden_url)}
    earlier = (each.secret for each in webhook.earlier_secrets)
    for secret in (webhook.secret, webhook.previous_secret, *earlier):
        if secret is not None:
            yield {secret.removeprefix("whsec_").encode()}


def _url_parts(url: str) -> Iterator[str]:
    """Yield what opens a preset's door: path and query, and each of their parts that is no word of the vendor's."""
    target = url.partition("://")[2].partition("/")[2]
    yield target
    path, _, query = target.partition("?")
    yield from (each for each in path.split("/") if len(each) >= _TOKEN or _DIGIT.search(each))
    for pair in query.split("&"):
        value = pair.partition("=")[2]
        if len(value) >= _TOKEN:
            yield from (value, unquote(value))


def _parts(value: str) -> Iterator[str]:
    yield value
    # What follows the scheme's name: some receivers repeat only that in their complaint.
    rest = value.partition(" ")[2].strip()
    yield rest
    if " " in rest:
        # As forms encode it.
        yield rest.replace(" ", "+")
    for match in _PAIR.finditer(value):
        pair = match[1] or match[2] or ""
        yield pair
        # Commas separate a scheme's parameters, but may also be part of a cookie's value: so both are looked for.
        yield from pair.split(",")


def _basic(value: str) -> set[bytes]:
    """Return the user and the password that ``Basic`` carries, together and by themselves."""
    scheme, _, rest = value.partition(" ")
    if scheme.lower() != "basic":
        return set()
    try:
        both = binascii.a2b_base64(rest)
    except binascii.Error:
        return set()
    user, _, password = both.partition(b":")
    return {both, user, password}
