"""The transport that workers read Redis through: what is no task is dropped and logged, and ends no worker.

Nothing is lost with it: the row is the truth, and relay and sweep find what a message stood for.
"""

from __future__ import annotations

from kombu.transport import redis

from noteflow_hooks.broker.kombu_internals import GuardedChannel
from workers.messages import problem_with, problem_with_broadcast


class Channel(GuardedChannel):
    """Hands on what is a task, a broadcast, or an answer to an inspection."""

    def problem_with_message(self, raw: bytes, *, queue: str) -> str | None:
        """Ask what may stand in a message."""
        return problem_with(raw, queue=queue)

    def problem_with_broadcast(self, message: object) -> str | None:
        """Ask what may stand in a broadcast."""
        return problem_with_broadcast(message)


class Transport(redis.Transport):
    """Redis' own, with that channel. Celery finds it by the setting ``broker_transport``."""

    Channel = Channel
