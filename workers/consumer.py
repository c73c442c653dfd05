"""What a worker's main process does of its own as it consumes: it shows that it lives, and tells of Redis' outages."""

from __future__ import annotations

import logging
import time
from typing import TYPE_CHECKING, Any, Final, cast

from celery.worker import state
from celery.worker.consumer import consumer

from noteflow_hooks.broker.kombu_internals import LAST_FETCH
from noteflow_hooks.concurrency.outage import REDIS
from noteflow_hooks.concurrency.pulse import FETCHED, IDLE, TURN_S
from workers import life
from workers.event_internals import GATHERED_S

if TYPE_CHECKING:
    from kombu import Connection

_Consumer: Any = consumer.Consumer
#: What Celery logs of each loss of the connection: an outage is told once, counted each minute, and its end is told.
_LOSS: Final = "%s (%r)"


class ToldOnce(logging.Filter):
    """Leaves out what Celery logs of each loss of the connection."""

    def filter(self, record: logging.LogRecord) -> bool:
        """Tell whether the record is to be logged."""
        return record.msg != _LOSS


logging.getLogger(consumer.__name__).addFilter(ToldOnce())


class LivingConsumer(_Consumer):  # type: ignore[misc]  # Celery's class is untyped
    """A consumer whose loop leaves signs of life: in its turns, and while it waits for a Redis that is away."""

    #: By what the timer calls for events to be sent.
    _sending: Any = None

    def ensure_connected(self, conn: Connection) -> Any:  # noqa: ANN401 - Celery's own
        """Connect, for as long as it takes."""

        def refused(error: Exception, _interval: float) -> None:
            life.pulse().tell(connected=False)
            _tell(error)

        # Celery's settings would have it end after some tries; ours never do (workers/app.py).
        made = conn.ensure_connection(refused, cast("int", None), callback=self._wait)
        self.first_connection_attempt = False
        return made

    def on_connection_error_before_connected(self, exc: Exception) -> None:
        """Tell of it."""
        _tell(exc)

    def on_connection_error_after_connected(self, exc: Exception) -> None:
        """Tell of it, and do what Celery does."""
        life.pulse().tell(connected=False)
        _tell(exc)
        super().on_connection_error_after_connected(exc)

    def register_with_event_loop(self, hub: Any) -> None:  # noqa: ANN401 - kombu's Hub
        """Turn with the event loop of a worker that has child processes."""
        super().register_with_event_loop(hub)
        hub.call_repeatedly(TURN_S, self.show)

    def on_ready(self) -> None:
        """Gather the events of tasks from now on, and send them each second, by the timer that heartbeats go by."""
        super().on_ready()
        if self.event_dispatcher is not None:
            self.event_dispatcher.gather()
            if self._sending is not None:
                self._sending.cancel()
            self._sending = self.timer.call_repeatedly(GATHERED_S, self.send_events)

    def send_events(self) -> None:
        """Send the events that were gathered, unless there is no Redis."""
        if self.event_dispatcher is not None and self.connection is not None:
            self.event_dispatcher.flush()

    def stop(self) -> None:
        """Take no more tasks, and let no event wait for those that are under way."""
        super().stop()
        if self.event_dispatcher is not None:
            self.event_dispatcher.gather_no_more()

    def shutdown(self) -> None:
        """Send what Redis took none of before; the connection goes then."""
        self.send_events()
        super().shutdown()

    def perform_pending_operations(self) -> None:
        """Turn with the loop of any other worker, which calls this each time."""
        self.show()
        super().perform_pending_operations()

    def show(self) -> None:
        """Leave the signs of a turn: what was fetched last, and whether nothing is left to be done."""
        pulse = life.pulse()
        pulse.marks[FETCHED] = LAST_FETCH[0]
        if not state.reserved_requests:
            pulse.marks[IDLE] = time.monotonic()
        if self.connection is not None:
            pulse.tell(connected=True, queues=sorted(self.app.amqp.queues.consume_from))
        pulse.show()
        if REDIS.since is not None and self.connection is not None:
            REDIS.answered()

    @staticmethod
    def _wait() -> None:
        life.pulse().show()
        state.maybe_shutdown()


def _tell(error: BaseException) -> None:
    REDIS.refused(f"{type(error).__name__}: {error}")
