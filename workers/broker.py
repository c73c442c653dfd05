"""The transport that workers read Redis through: what is no task is dropped and logged, and ends no worker.

kombu and Celery 5.7 let much of what they can't read end the process, or the connection with the message put back: a
worker that is started again meets it again. Nothing is lost with it: the row is the truth, and relay and sweep find
what a message stood for.
"""

from __future__ import annotations

import logging
from datetime import UTC, datetime
from queue import Empty
from typing import TYPE_CHECKING, Any, Final

from kombu.transport import redis, virtual
from kombu.utils.json import loads

if TYPE_CHECKING:
    from collections.abc import Callable

log = logging.getLogger(__name__)

#: What the queues' names end with that hold answers to `celery inspect` and its like, which are no tasks.
_ANSWERS: Final = ".reply.celery.pidbox"
#: More than any task of ours has, with the most ids that it names.
LIMIT_BYTES: Final = 1_048_576
#: What Python raises over data that is not what code takes it for. Where the worker itself can't go on, for want of
#: memory, threads or Redis, it raises others.
_MALFORMED: Final = (ValueError, TypeError, LookupError, AttributeError, ArithmeticError, RecursionError)


# kombu's stubs leave out what is private to it.
_Channel: Any = redis.Channel
_QoS: Any = virtual.QoS


class _Unfinished(_QoS):  # type: ignore[misc]  # as above
    """The messages that a worker has taken and not begun; they go back when it ends."""

    def restore_unacked(self) -> list[Any]:
        """Put them back; where Redis takes none, let them go.

        kombu would pickle those into a file in the system's temporary folder, one for each loss of the connection,
        which nobody ever reads.
        """
        if lost := super().restore_unacked():
            log.info("%d messages could not be put back; relay and sweep find what they stood for", len(lost))
        return []


class Channel(_Channel):  # type: ignore[misc]  # as above
    """Hands on what is a task, a broadcast, or an answer to an inspection."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:  # noqa: ANN401 - kombu's own
        """Take what kombu's own takes."""
        super().__init__(*args, **kwargs)
        if not self.ack_emulation:
            self.QoS = _Unfinished

    def basic_consume(self, queue: str, *args: Any, callback: Callable[[Any], object], **kwargs: Any) -> Any:  # noqa: ANN401 - kombu's own
        """Consume from the queue; what Celery stumbles over all the same is given up too."""

        def guarded(message: Any) -> None:  # noqa: ANN401 - kombu's message
            try:
                callback(message)
            except _MALFORMED as error:
                log.warning("a message from queue %s was dropped: %s", queue, type(error).__name__, exc_info=True)
                # Else it would count as being worked on for ever, and in the end the worker would fetch no more.
                if not message.acknowledged:
                    message.reject_log_error(log, self.connection_errors)

        return super().basic_consume(queue, *args, callback=guarded, **kwargs)

    def _get_client(self) -> Any:  # noqa: ANN401 - redis-py's class, or kombu's variant of it
        return type("Client", (_Sieve, super()._get_client()), {})

    def _receive_one(self, c: Any) -> Any:  # noqa: ANN401 - kombu's own
        try:
            return super()._receive_one(c)
        except (ArithmeticError, RecursionError) as error:
            # The other errors of a text that can't be read kombu sees to itself.
            log.warning("a broadcast was dropped: it can't be read (%s)", type(error).__name__)
            raise Empty from None

    def _deliver_fanout_message(self, message: Any, exchange: str) -> Any:  # noqa: ANN401 - kombu's own
        problem = _problem_in(message, is_task=False)
        if problem is None:
            return super()._deliver_fanout_message(message, exchange)
        log.warning("a broadcast to %s was dropped: %s", exchange, problem)
        return True


class Transport(redis.Transport):
    """See the module. Celery finds it by the setting ``broker_transport``."""

    Channel = Channel


class _Sieve:
    """A Redis client for which what is no task is nothing."""

    def parse_response(self, connection: Any, command_name: str, **options: Any) -> Any:  # noqa: ANN401 - redis-py's own
        """Return what Redis answered; None, which means that nothing came in time, for what must not be handed on."""
        answer = super().parse_response(connection, command_name, **options)  # type: ignore[misc]  # the client's
        if command_name != "BRPOP" or not answer:
            return answer
        # Behind the separator stands the message's priority.
        queue = answer[0].decode("utf-8", "replace").partition(redis.Channel.sep)[0]
        problem = problem_with(answer[1], is_task=not queue.endswith(_ANSWERS))
        if problem is None:
            return answer
        log.warning("a message of %d bytes from queue %s was dropped: %s", len(answer[1]), queue, problem)
        return None


def problem_with(raw: bytes, *, is_task: bool = True) -> str | None:
    """Return why kombu and Celery can make nothing of the bytes, in words that repeat none of them; else None."""
    if len(raw) > LIMIT_BYTES:
        return f"at most {LIMIT_BYTES} bytes are allowed"
    try:
        message = loads(raw)
    except Exception as error:  # noqa: BLE001 - the boundary: kombu's decoders raise whatever their values make them raise
        return f"it can't be read ({type(error).__name__})"
    return _problem_in(message, is_task=is_task)


def _problem_in(message: Any, *, is_task: bool) -> str | None:  # noqa: ANN401 - whatever JSON has
    try:
        return _envelope_problem(message) or (_task_problem(message) if is_task else None)
    except Exception as error:  # noqa: BLE001 - as above
        return f"it can't be read ({type(error).__name__})"


def _envelope_problem(message: Any) -> str | None:  # noqa: ANN401 - whatever JSON has
    if not isinstance(message, dict) or not isinstance(message.get("properties"), dict):
        return "it is no message with properties"
    properties = message["properties"]
    if not isinstance(properties.get("delivery_tag"), str) or not isinstance(properties.get("delivery_info"), dict):
        return "it has no tag, or no word of where it belongs"
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
    match loads(_body(message)):
        # What else might follow is other tasks' business, and ours have none.
        case [list(), dict(), dict() as following] if not any(following.values()):
            return None
    return "its body is not arguments and keywords alone"


def _body(message: dict[str, Any]) -> Any:  # noqa: ANN401 - text or bytes, and whatever JSON has where they are not encoded
    encoding = message["properties"].get("body_encoding")
    body = message.get("body")
    return redis.Channel.codecs[encoding].decode(body) if body and encoding else body


def _is_text(value: object) -> bool:
    return isinstance(value, str)


def _is_count(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and value >= 0


def _is_moment(value: object) -> bool:
    # To UTC, as Celery does: the first and the last hours of what years there are can't be had there.
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
