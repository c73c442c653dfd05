"""What may stand in a message. Pure: bytes in, and why they are refused out, in words that repeat none of them.

kombu and Celery let much of what they can't read end the process, or the connection with the message put back: a
worker that is started again meets it again. So only what a task of ours is sent with is handed on, all of it by name.
"""

from __future__ import annotations

import base64
import json
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Final

from noteflow_hooks.broker.names import TASKS

if TYPE_CHECKING:
    from collections.abc import Callable

#: More than any task of ours has, with the most ids that it names.
LIMIT_BYTES: Final = 1_048_576
#: The exchange of commands, such as ``celery inspect`` sends; events go by others.
COMMANDS: Final = "celery.pidbox"
#: How the names of queues end that hold answers to ``celery inspect`` and its like, which are no tasks.
_ANSWERS: Final = ".reply.celery.pidbox"


def problem_with(raw: bytes, *, queue: str = "") -> str | None:
    """Return why kombu and Celery can make nothing of what stands in that queue; None where they can."""
    if len(raw) > LIMIT_BYTES:
        return f"at most {LIMIT_BYTES} bytes are allowed"
    return _judged(lambda: _message_problem(_read(raw), is_task=not queue.endswith(_ANSWERS)))


def problem_with_broadcast(message: object, *, exchange: str = COMMANDS) -> str | None:
    """Return the same of what was read already and goes to every worker: a command such as ``ping``, or an event."""
    return _judged(lambda: _envelope_problem(message) or _broadcast_problem(message, is_command=exchange == COMMANDS))


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
    return (
        _headers_problem(message.get("headers", {}))
        or _properties_problem(message)
        or _content_problem(message)
        or _body_problem(message)
    )


def _broadcast_problem(message: Any, *, is_command: bool) -> str | None:  # noqa: ANN401 - its envelope is good
    headers = message.get("headers", {})
    if "compression" in headers:
        return "it is compressed"
    if not _is_clock(headers.get("clock")):
        return "its clock is none"
    return _content_problem(message) or (_command_problem(message) if is_command else None)


def _command_problem(message: dict[str, Any]) -> str | None:
    match _read(_body(message)):
        case {"method": str()}:
            return None
    return "its body is no command"


def _content_problem(message: dict[str, Any]) -> str | None:
    if (message.get("content-type"), message.get("content-encoding")) != ("application/json", "utf-8"):
        return "its content is not JSON in UTF-8"
    return None


def _headers_problem(headers: dict[str, Any]) -> str | None:
    if headers.get("task") not in TASKS:
        return "it names no task of ours"
    # Celery takes whatever else stands among them for attributes of the task's request, links and groups included.
    if headers.keys() - _HEADERS.keys():
        return "it has a header that none of our tasks has"
    for name, is_good in _HEADERS.items():
        if not is_good(headers.get(name)):
            return f"its header {name!r} is not what a task's is"
    return None


def _properties_problem(message: dict[str, Any]) -> str | None:
    properties = message["properties"]
    if not all(map(_is_text, (properties["delivery_info"].get(name) for name in ("exchange", "routing_key")))):
        return "it does not say where it belongs"
    for name, is_good in _PROPERTIES.items():
        if not is_good(properties.get(name)):
            return f"its property {name!r} is not what a task's is"
    return None


def _body_problem(message: dict[str, Any]) -> str | None:
    match _read(_body(message)):
        # A body's third part is what is to follow the task, and nothing follows one of ours.
        case [list(), dict(), dict() as following] if following.keys() <= _FOLLOWING and not any(following.values()):
            return None
    return "its body is not arguments and keywords alone"


def _body(message: dict[str, Any]) -> bytes:
    body = message.get("body") or ""
    if message["properties"].get("body_encoding"):
        return base64.b64decode(body)
    return bytes(body.encode())


def _is_text(value: object) -> bool:
    return isinstance(value, str)


def _is_short(value: object) -> bool:
    return isinstance(value, str) and 0 < len(value) <= _SHORT and value.isprintable()


def _is_count(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and 0 <= value <= _MOST


def _is_moment(value: object) -> bool:
    # Converted to UTC, as Celery does: that fails in the first and the last hours of the years that Python knows.
    return isinstance(value, str) and bool(datetime.fromisoformat(value).astimezone(UTC))


def _is_clock(value: object) -> bool:
    # Workers take the larger one of theirs and the sender's, and pass it on.
    return value is None or (isinstance(value, int) and 0 <= value < _MOST_TICKS)


def _is_nothing(value: object) -> bool:
    return not value


def _is_no_limit(value: object) -> bool:
    return value in (None, [None, None])


def _is_flag(value: object) -> bool:
    return isinstance(value, bool)


def _maybe(is_good: Callable[[object], bool]) -> Callable[[object], bool]:
    return lambda value: value is None or is_good(value)


#: The longest id, and the largest number, that is taken.
_SHORT: Final = 255
_MOST: Final = 2**31 - 1
_MOST_TICKS: Final = 2**53
#: What Celery names in the third part of each body.
_FOLLOWING: Final = frozenset({"callbacks", "errbacks", "chain", "chord"})
#: All headers that a task of ours may have, as Celery's protocol 2 names them. It has no time limits, no stamps, no
#: other name for the logs, and belongs to no group.
_HEADERS: Final[dict[str, Callable[[object], bool]]] = {
    "lang": _maybe(_is_short),
    "task": _is_short,
    "id": _is_short,
    "root_id": _maybe(_is_short),
    "parent_id": _maybe(_is_short),
    "retries": _is_count,
    "eta": _maybe(_is_moment),
    "expires": _maybe(_is_moment),
    "timelimit": _is_no_limit,
    "shadow": _is_nothing,
    "group": _is_nothing,
    "group_index": _is_nothing,
    "stamped_headers": _is_nothing,
    "stamps": _is_nothing,
    "replaced_task_nesting": _is_nothing,
    "ignore_result": _maybe(_is_flag),
    "argsrepr": _maybe(_is_text),
    "kwargsrepr": _maybe(_is_text),
    "origin": _maybe(_is_short),
    # What beat adds, what a worker adds to one that it gives back, and what W3C's trace context is called.
    "celery_beat_task": _maybe(_is_flag),
    "redelivered": _maybe(_is_flag),
    "traceparent": _maybe(_is_short),
    "tracestate": _maybe(_is_text),
    "baggage": _maybe(_is_text),
}
_PROPERTIES: Final[dict[str, Callable[[object], bool]]] = {
    "correlation_id": _maybe(_is_short),
    # Celery names its own process here, though no task of ours is answered.
    "reply_to": lambda value: not value or _is_short(value),
    "priority": _maybe(_is_count),
}
