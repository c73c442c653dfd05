"""What may stand in a message. Pure: bytes in, and why they are refused out, in words that repeat none of them.

kombu and Celery let much of what they can't read end the process, or the connection with the message put back: a
worker that is started again meets it again.
"""

from __future__ import annotations

import base64
import json
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from collections.abc import Callable

#: More than any task of ours has, with the most ids that it names.
LIMIT_BYTES: Final = 1_048_576
#: How the names of queues end that hold answers to ``celery inspect`` and its like, which are no tasks.
_ANSWERS: Final = ".reply.celery.pidbox"


def problem_with(raw: bytes, *, queue: str = "") -> str | None:
    """Return why kombu and Celery can make nothing of what stands in that queue; None where they can."""
    if len(raw) > LIMIT_BYTES:
        return f"at most {LIMIT_BYTES} bytes are allowed"
    return _judged(lambda: _message_problem(_read(raw), is_task=not queue.endswith(_ANSWERS)))


def problem_with_broadcast(message: object) -> str | None:
    """Return the same of what was read already, and is meant for each worker: a command, such as ``ping``."""
    return _judged(lambda: _envelope_problem(message))


def _judged(judge: Callable[[], str | None]) -> str | None:
    try:
        return judge()
    except Exception as error:  # noqa: BLE001 - the boundary: whatever makes decoders raise makes kombu's raise as well
        return f"it can't be read ({type(error).__name__})"


def _read(text: bytes) -> Any:  # noqa: ANN401 - whatever JSON has
    return json.loads(text.decode(), object_hook=_plain)


def _plain(found: dict[str, Any]) -> dict[str, Any]:
    """Refuse kombu's own way to write other types in JSON: none of our messages uses it."""
    if "__type__" in found:
        raise ValueError("only JSON's own types are read")
    return found


def _message_problem(message: Any, *, is_task: bool) -> str | None:  # noqa: ANN401 - whatever JSON has
    return _envelope_problem(message) or (_task_problem(message) if is_task else None)


def _envelope_problem(message: Any) -> str | None:  # noqa: ANN401 - whatever JSON has
    if not isinstance(message, dict) or not isinstance(message.get("properties"), dict):
        return "it is no message with properties"
    properties = message["properties"]
    if not isinstance(properties.get("delivery_tag"), str) or not isinstance(properties.get("delivery_info"), dict):
        return "it has no tag, or does not say where it belongs"
    if properties.get("body_encoding") not in (None, "base64"):
        return "its body is encoded in no way that is known"
    if not isinstance(message.get("headers", {}), dict):
        return "its headers are none"
    _body(message)
    return None


def _task_problem(message: dict[str, Any]) -> str | None:
    headers = message.get("headers", {})
    for name, is_good in _HEADERS.items():
        if not is_good(headers.get(name)):
            return f"its header {name!r} is not what a task's is"
    if (message.get("content-type"), message.get("content-encoding")) != ("application/json", "utf-8"):
        return "its content is not JSON in UTF-8"
    if "compression" in headers:
        return "it is compressed"
    match _read(_body(message)):
        # A body's third part is what is to follow the task, and nothing follows one of ours.
        case [list(), dict(), dict() as following] if not any(following.values()):
            return None
    return "its body is not arguments and keywords alone"


def _body(message: dict[str, Any]) -> bytes:
    body = message.get("body") or ""
    if message["properties"].get("body_encoding"):
        return base64.b64decode(body)
    return bytes(body.encode())


def _is_text(value: object) -> bool:
    return isinstance(value, str)


def _is_count(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and value >= 0


def _is_moment(value: object) -> bool:
    # Converted to UTC, as Celery does: that fails in the first and the last hours of the years that Python knows.
    return value is None or bool(datetime.fromisoformat(str(value)).astimezone(UTC))


def _is_time_limit(value: object) -> bool:
    return value is None or (isinstance(value, list) and all(each is None or _is_count(each) for each in value))


#: What Celery takes for granted of a task's headers (protocol 2).
_HEADERS: Final[dict[str, Callable[[object], bool]]] = {
    "task": _is_text,
    "id": _is_text,
    "retries": _is_count,
    "eta": _is_moment,
    "expires": _is_moment,
    "timelimit": _is_time_limit,
}
