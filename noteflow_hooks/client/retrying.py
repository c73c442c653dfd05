"""Which calls may be made again, by gRPC's own retries, and the keys by which the server knows one that it has had.

gRPC does it beneath the stubs (https://github.com/grpc/proposal/blob/master/A6-client-retries.md): it waits longer each
time, by chance a little more or less, never after an answer has begun, and within the call's deadline.
"""

from __future__ import annotations

import json
import os
import random
import time
from typing import TYPE_CHECKING, Any, Final

from noteflow_hooks.rpc.proto.noteflow.v1 import noteflow_pb2 as pb

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

#: So many attempts a call gets; gRPC makes no more, whatever is asked for.
ATTEMPTS: Final = 5
#: What only asks: its name begins so.
_ASKING: Final = ("Get", "List", "Preview", "WhoAmI")
#: What changes nothing more the second time.
_REPEATED: Final = frozenset({"/noteflow.v1.MeetingService/StopMeeting"})
#: What the server carries out once for each key, and the field that the key is in.
KEYS: Final[Mapping[str, str]] = {
    "/noteflow.v1.EventService/PublishEvent": "idempotency_key",
    "/noteflow.v1.MeetingService/CreateMeeting": "request_id",
    "/noteflow.v1.WebhookService/RegisterWebhook": "request_id",
    "/noteflow.v1.WebhookService/RotateWebhookSecret": "request_id",
    "/noteflow.v1.WebhookService/TestWebhook": "request_id",
}
#: CANCELLED: a server that stops resets what came in its last moment. What the program itself cancels stays so.
_CODES: Final = ("UNAVAILABLE", "CANCELLED")
#: 0.3, 0.75, 1.9 and 4.7 s between attempts, each a fifth more or less: a server that starts anew is there by then.
_BACKOFF: Final = {"initialBackoff": "0.3s", "maxBackoff": "5s", "backoffMultiplier": 2.5}
#: A source of its own, which no program seeds; a forked process starts anew. `uuid4` asks the kernel each time, letting
#: go of the interpreter: 17 µs of a call.
_CHANCE: Final = random.Random()  # noqa: S311 - keys must differ; nobody is harmed who guesses one
os.register_at_fork(after_in_child=_CHANCE.seed)


def repeatable() -> Iterator[str]:
    """Yield the paths of the calls that may be made again."""
    for service in pb.DESCRIPTOR.services_by_name.values():
        for method in service.methods:
            path = f"/{service.full_name}/{method.name}"
            is_one = not (method.client_streaming or method.server_streaming)
            if is_one and (method.name.startswith(_ASKING) or path in _REPEATED or path in KEYS):
                yield path


def channel_options(attempts: int) -> tuple[tuple[str, str | int], ...]:
    """Return what a channel is opened with, so that its calls are attempted so often."""
    if attempts == 1:
        return ()
    names = [dict(zip(("service", "method"), path[1:].split("/"), strict=True)) for path in repeatable()]
    policy = {"maxAttempts": attempts, "retryableStatusCodes": _CODES, **_BACKOFF}
    return (
        ("grpc.service_config", json.dumps({"methodConfig": [{"name": names, "retryPolicy": policy}]})),
        # Between attempts to connect, a call's own attempts fail at once: these must not be rarer than those.
        ("grpc.initial_reconnect_backoff_ms", 200),
        ("grpc.max_reconnect_backoff_ms", 1_000),
    )


def keyer(path: str) -> Callable[[Any], Any] | None:
    """Return what gives a request of that call a key, where it has none; None where the call takes no key."""
    field = KEYS.get(path)
    return None if field is None else lambda request: keyed(request, field)


def keyed(request: Any, field: str = "idempotency_key") -> Any:  # noqa: ANN401 - each of five messages
    """Return the request, or a copy that has a key of its own in that field; what the caller holds stays as it is."""
    if request.HasField(field):
        return request
    made = type(request)()
    made.CopyFrom(request)
    setattr(made, field, new_key())
    return made


def new_key() -> str:
    """Return a key that nobody else has. It begins with the moment, so that the index of keys grows at one end."""
    return f"{time.time_ns() >> 20:012x}{_CHANCE.getrandbits(80):020x}"
