"""Events as programs have them, made into the messages that publish them."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any, Final

from noteflow_hooks.errors import InvalidInputError
from noteflow_hooks.rpc.proto.noteflow.v1 import noteflow_pb2 as pb

if TYPE_CHECKING:
    from collections.abc import Mapping

_ENCODER: Final = json.JSONEncoder(allow_nan=False)


def event_request(
    event_type: str, payload: Mapping[str, Any], *, idempotency_key: str | None = None
) -> pb.PublishEventRequest:
    """Return the message that publishes an event, for ``publish_events``.

    Raises InvalidInputError where the payload holds what JSON has not, such as a ``datetime``.
    """
    try:
        text = _ENCODER.encode(payload)
    except (TypeError, ValueError, RecursionError) as error:
        raise InvalidInputError("payload", f"is no JSON: {error}") from error
    return pb.PublishEventRequest(event_type=event_type, payload_json=text, idempotency_key=idempotency_key)
