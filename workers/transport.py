"""The transport that workers read Redis through: what is no task is dropped and logged, and ends no worker.

Nothing is lost with it: the row is the truth, and relay and sweep find what a message stood for.
"""

from __future__ import annotations

from typing import Final

from kombu.transport import redis

from noteflow_hooks.broker.kombu_internals import GuardedChannel, show_as_schemes
from workers.messages import problem_with, problem_with_broadcast


class Channel(GuardedChannel):
    """Hands on what is a task, a broadcast, or an answer to an inspection."""

    def problem_with_message(self, raw: bytes, *, queue: str) -> str | None:
        """Ask what may stand in a message."""
        return problem_with(raw, queue=queue)

    def problem_with_broadcast(self, message: object, *, exchange: str) -> str | None:
        """Ask what may stand in a broadcast."""
        return problem_with_broadcast(message, exchange=exchange)


class Transport(redis.Transport):
    """Redis' own, with that channel."""

    Channel = Channel


class TlsTransport(Transport):
    """The same for ``rediss``, so that both can be told apart by name."""


#: By one of these Celery finds its transport, in the setting ``broker_transport``.
PLAIN_TRANSPORT: Final = "workers.transport:Transport"
TLS_TRANSPORT: Final = "workers.transport:TlsTransport"
# Flower connects by the URL that kombu shows, and knows only kombu's own schemes.
show_as_schemes({PLAIN_TRANSPORT: "redis", TLS_TRANSPORT: "rediss"})
