"""From a message with a request id to what is remembered of it. Secrets are digested slowly: a guess costs as much."""

from __future__ import annotations

import hashlib
import json
from typing import TYPE_CHECKING, Any, Final

from noteflow_hooks.domain.requests import NamedRequest, check_request_id

if TYPE_CHECKING:
    from uuid import UUID

#: The parameters of scrypt: 16 MiB and some hundredths of a second for each guess.
_SCRYPT: Final[dict[str, int]] = {"n": 2**14, "r": 8, "p": 1, "dklen": 32}


def check_id_of(request: Any) -> None:  # noqa: ANN401 - each of four messages
    """Raise InvalidInputError where the request has an id that is none; this takes no time."""
    if request.HasField("request_id"):
        check_request_id(request.request_id)


def parse_request_id(request: Any, *, workspace_id: UUID, token_id: UUID) -> NamedRequest | None:  # noqa: ANN401 - each of four messages
    """Return what a request is remembered by, None where it has no id; raise InvalidInputError for one that is none.

    Takes long where the request has secrets: call it in a thread.
    """
    if not request.HasField("request_id"):
        return None
    request_id = check_request_id(request.request_id)
    salt = workspace_id.bytes + request_id.encode()
    return NamedRequest(
        workspace_id=workspace_id,
        request_id=request_id,
        method=type(request).DESCRIPTOR.name.removesuffix("Request"),
        token_id=token_id,
        digest=_digest(request, salt=salt),
    )


def _digest(request: Any, *, salt: bytes) -> bytes:  # noqa: ANN401 - as above
    """Digest all of the message but its id, the secrets in it through scrypt."""
    plain = type(request)()
    plain.CopyFrom(request)
    plain.ClearField("request_id")
    secrets = _take_secrets(plain)
    digest = hashlib.sha256(plain.SerializeToString(deterministic=True))
    if secrets:
        digest.update(hashlib.scrypt(json.dumps(secrets).encode(), salt=salt, **_SCRYPT))
    return digest.digest()


def _take_secrets(message: Any) -> list[Any]:  # noqa: ANN401 - as above
    """Take the secrets, the URL and the headers out of the message, where it has such fields, and return them."""
    taken: list[Any] = []
    names = set(message.DESCRIPTOR.fields_by_name)
    for name in ("secret", "client_key"):
        if name in names and message.HasField(name):
            taken.append([name, getattr(message, name)])
            message.ClearField(name)
    if "url" in names and "headers" in names:
        taken.append([message.url, [[each.name, each.value] for each in message.headers]])
        message.ClearField("url")
        message.ClearField("headers")
    return taken
