"""All that relies on what kombu keeps to itself, in one place: a new kombu is read against this module, and no other.

``tests/unit/test_kombu_internals.py`` names the version that was read, and holds each thing that is relied on.
"""

from __future__ import annotations

import base64
import json
import logging
import time
from abc import ABC, abstractmethod
from contextlib import contextmanager
from queue import Empty
from typing import TYPE_CHECKING, Any, Final
from uuid import uuid4

from celery.utils.nodenames import anon_nodename
from kombu import connection
from kombu.transport import redis, virtual
from kombu.utils import functional

from noteflow_hooks.broker.named_connections import NamedConnection, NamedSSLConnection
from noteflow_hooks.telemetry.counting import count
from noteflow_hooks.telemetry.metrics import DROPPED

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

    from celery import Celery

log = logging.getLogger(__name__)

#: What Python raises over data that is not what code takes it for. Where the worker itself can't go on, for want of
#: memory, threads or Redis, it raises others.
MALFORMED: Final = (ValueError, TypeError, LookupError, AttributeError, ArithmeticError, RecursionError)
#: The command that waits for the next message of some queues.
_FETCH: Final = "BRPOP"
#: When Redis last answered it, by the monotonic clock: with a message, or that there is none.
LAST_FETCH: Final = [0.0]
#: Of a message's ids so many are shown: a chunk's, where Celery's own would show 25.
_SHOWN_IDS: Final = 50
#: What stands in a prepared message for what differs from one to the next.
_BODY, _TASK_ID, _ARGUMENTS, _TAG = "<body>", "<task>", "<arguments>", "<tag>"
#: In the order in which Celery names them, as in all that follows.
_HEADERS: Final[dict[str, object]] = {
    "lang": "py",
    "task": "",
    "id": _TASK_ID,
    "shadow": None,
    "eta": None,
    "expires": None,
    "group": None,
    "group_index": None,
    "retries": 0,
    "timelimit": [None, None],
    "root_id": _TASK_ID,
    "parent_id": None,
    "argsrepr": _ARGUMENTS,
    "kwargsrepr": "{}",
    "origin": "",
    "ignore_result": None,
    "replaced_task_nesting": 0,
    "stamped_headers": None,
    "stamps": {},
}
_PROPERTIES: Final[dict[str, object]] = {
    "correlation_id": _TASK_ID,
    "reply_to": "",
    "delivery_mode": 2,
    "delivery_info": {},
    "priority": 0,
    "body_encoding": "base64",
    "delivery_tag": _TAG,
}
_FOLLOWING: Final = {"callbacks": None, "errbacks": None, "chain": None, "chord": None}

# kombu's stubs leave out what is private to it, and what its modules import.
_Channel: Any = redis.Channel
_QoS: Any = virtual.QoS
_functional: Any = functional
_connection: Any = connection


@contextmanager
def redis_client(app: Celery) -> Iterator[Any]:
    """Offer redis-py's client of a connection from the app's pool: the way that its messages go, too."""
    pool: Any = app.pool  # of connections, whatever the types say
    with pool.acquire(block=True) as acquired:
        # Only the channel of the Redis transport has one.
        yield acquired.default_channel.client


def wait_without_blocking_others() -> None:
    """Have kombu's pauses between tries to connect let other greenlets run. Call it once gevent has patched `time`.

    kombu imports its `sleep` before Celery has gevent replace it. While Redis is away the whole process would stand
    still for seconds at a time, no result would be stored, and leases would run out.
    """
    _functional.sleep = time.sleep


def show_as_schemes(schemes: Mapping[str, str]) -> None:
    """Have URLs that kombu shows begin with the scheme, in place of the transport's own name, by which it is found."""
    _connection.Connection.resolve_aliases.update(schemes)


def shown_arguments(ids: Sequence[str]) -> str:
    """Return how a task's one argument is shown, in Flower and by ``celery inspect``."""
    shown = ", ".join(f"'{each}'" for each in ids[:_SHOWN_IDS])
    return f"[[{shown}]]" if len(ids) <= _SHOWN_IDS else f"[[{shown}, ...]]"


class PreparedMessage:
    """What Celery puts into a queue to start one task with ids, made once but for what differs.

    One for a process, since it names that as the sender.
    """

    def __init__(self, task: str, *, queue: str) -> None:
        """The task's first and only argument are the ids."""
        headers = _HEADERS | {"task": task, "origin": anon_nodename()}
        properties = _PROPERTIES | {
            "reply_to": str(uuid4()),
            "delivery_info": {"exchange": "", "routing_key": queue},
        }
        content = {"body": _BODY, "content-encoding": "utf-8", "content-type": "application/json"}
        self._text = json.dumps({**content, "headers": headers, "properties": properties})

    def about(self, ids: Sequence[str]) -> str:
        """Return the message with these ids, which must be plain: they are put in as they are."""
        arguments = json.dumps([[ids], {}, _FOLLOWING])
        return (
            self._text.replace(_TASK_ID, str(uuid4()))
            .replace(_TAG, str(uuid4()))
            .replace(_ARGUMENTS, shown_arguments(ids))
            .replace(_BODY, base64.b64encode(arguments.encode()).decode())
        )


class _UnfinishedMessages(_QoS):  # type: ignore[misc]  # kombu's class is untyped
    """The messages that a worker has taken and not begun; they go back when it ends."""

    def restore_unacked(self) -> list[Any]:
        """Put them back; where Redis takes none, let them go.

        kombu would pickle those into a file in the system's temporary folder, one for each loss of the connection,
        which nobody ever reads.
        """
        if lost := super().restore_unacked():
            log.info("%d messages could not be put back; relay and sweep find what they stood for", len(lost))
        return []


class GuardedChannel(_Channel, ABC):  # type: ignore[misc]  # kombu's class is untyped
    """A channel of the Redis transport that hands on only what it finds no problem with, and lets no message end it."""

    connection_class = NamedConnection
    connection_class_ssl = NamedSSLConnection

    def __init__(self, *args: Any, **kwargs: Any) -> None:  # noqa: ANN401 - kombu's own
        """Take what kombu's own takes."""
        super().__init__(*args, **kwargs)
        if not self.ack_emulation:
            self.QoS = _UnfinishedMessages

    @abstractmethod
    def problem_with_message(self, raw: bytes, *, queue: str) -> str | None:
        """Return why the message is to be dropped, in words that repeat none of it; None where it is good."""

    @abstractmethod
    def problem_with_broadcast(self, message: object, *, exchange: str) -> str | None:
        """Return the same of what was broadcast to all workers, and is read already."""

    def basic_consume(self, queue: str, *args: Any, callback: Callable[[Any], object], **kwargs: Any) -> Any:  # noqa: ANN401 - kombu's own
        """Consume from the queue; give up a message that Celery stumbles over all the same."""

        def guarded(message: Any) -> None:  # noqa: ANN401 - kombu's message
            try:
                callback(message)
            except MALFORMED as error:
                log.warning("a message from queue %s was dropped: %s", queue, type(error).__name__, exc_info=True)
                count(DROPPED, "not_begun")
                # Else it would count as being worked on for ever, and in the end the worker would fetch no more.
                if not message.acknowledged:
                    message.reject_log_error(log, self.connection_errors)
            # Where pool and consumer share a thread, its task begins now, and not after the next fetch is on its way.
            time.sleep(0)

        return super().basic_consume(queue, *args, callback=guarded, **kwargs)

    def _get_client(self) -> Any:  # noqa: ANN401 - redis-py's class, or kombu's variant of it
        return type("Client", (_FilteringClient, super()._get_client()), {"problem_with": self._problem_with})

    def _problem_with(self, key: bytes, raw: bytes) -> str | None:
        # Behind the separator stands the message's priority.
        queue = key.decode("utf-8", "replace").partition(self.sep)[0]
        problem = self.problem_with_message(raw, queue=queue)
        if problem is not None:
            log.warning("a message of %d bytes from queue %s was dropped: %s", len(raw), queue, problem)
            count(DROPPED, "malformed")
        return problem

    def _receive_one(self, c: Any) -> Any:  # noqa: ANN401 - kombu's own
        try:
            return super()._receive_one(c)
        except (ArithmeticError, RecursionError) as error:
            # kombu itself catches the other errors of a text that can't be read.
            log.warning("a broadcast was dropped: it can't be read (%s)", type(error).__name__)
            count(DROPPED, "broadcast")
            raise Empty from None

    def _deliver_fanout_message(self, message: Any, exchange: str) -> Any:  # noqa: ANN401 - kombu's own
        problem = self.problem_with_broadcast(message, exchange=exchange)
        if problem is None:
            return super()._deliver_fanout_message(message, exchange)
        log.warning("a broadcast to %s was dropped: %s", exchange, problem)
        count(DROPPED, "broadcast")
        return True


class _FilteringClient:
    """A Redis client whose answers leave out messages that must not be handed on."""

    problem_with: Callable[[bytes, bytes], str | None]

    def parse_response(self, connection: Any, command_name: str, **options: Any) -> Any:  # noqa: ANN401 - redis-py's own
        """Return what Redis answered; None, which means that no message came in time, in place of a bad one."""
        answer = super().parse_response(connection, command_name, **options)  # type: ignore[misc]  # redis-py's class follows
        if command_name != _FETCH:
            return answer
        LAST_FETCH[0] = time.monotonic()
        if not answer:
            return answer
        key, raw = answer
        return answer if self.problem_with(key, raw) is None else None
