"""A worker's events, as Flower and ``celery events`` show them: those of tasks are gathered and sent together.

It relies on what Celery's dispatcher keeps to itself; ``tests/unit/test_event_internals.py`` names the version that was
read, and holds each thing that is relied on. Celery itself gathers events only under prefork, and there for one turn of
the loop; by themselves, the three of a task cost a worker as much as ten of its deliveries.
"""

from __future__ import annotations

import logging
from collections import deque
from typing import TYPE_CHECKING, Any, Final

from celery.app.events import Events
from celery.events.dispatcher import EventDispatcher

from noteflow_hooks.concurrency.pulse import TURN_S

if TYPE_CHECKING:
    from collections.abc import Sequence

log = logging.getLogger(__name__)

_Events: Any = Events
_EventDispatcher: Any = EventDispatcher

#: Events of this group, by the first word of their names, are gathered; heartbeats are not.
_GATHERED: Final = "task"
_TOGETHER: Final = f"{_GATHERED}.multi"
#: So many wait at the most before they are sent, and so many are sent in one message.
_MOST: Final = 100
#: Of a task's events so many are kept while Redis takes none: some megabytes. The oldest go first.
_KEPT: Final = 2_000
#: How often those that wait are sent.
GATHERED_S: Final = TURN_S


class GatheredEvents(_EventDispatcher):  # type: ignore[misc]  # Celery's class is untyped
    """Sends each event once, its worker's heartbeats above all; where Redis is away, that is all.

    Celery tries a heartbeat for as long as Redis is away, and holds a lock meanwhile for which a worker that is to end
    waits: where Redis has ended before it and stays away, the worker would never end. Nothing here raises, and nobody
    who tells of an event waits for one that another sends.
    """

    def __init__(self, *args: Any, **options: Any) -> None:  # noqa: ANN401 - Celery's own
        """Take what Celery's own takes, but for what that gathers."""
        super().__init__(*args, **options | {"buffer_group": None, "on_send_buffered": None})
        # Celery would keep each that could not be sent, for as long as Redis is away.
        self.buffer_while_offline = False
        self._gathers = self._is_refused = False
        self._waiting: deque[Any] = deque(maxlen=_KEPT)

    def gather(self) -> None:
        """Have events of tasks wait for the next :meth:`flush`, which is the caller's to call."""
        self._gathers = True

    def gather_no_more(self) -> None:
        """Send what waits, and each event at once from now on."""
        self._gathers = False
        self.flush()

    def send(self, type: str, *args: Any, retry: bool = False, **fields: Any) -> Any:  # noqa: A002, ANN401, ARG002 - Celery's own
        """Send what Celery's own sends, or have it wait, whatever it is told of trying again."""
        if not self._gathers or not type.startswith(_GATHERED):
            return super().send(type, *args, retry=False, **fields)
        if self.enabled and (not self.groups or _GATHERED in self.groups):
            self._waiting.append(self._prepare_event(type, fields))
            # Where Redis took none, no task is to wait for the next try.
            if len(self._waiting) >= _MOST and not self._is_refused:
                self.flush()
        return None

    def flush(self, *_: Any, **__: Any) -> None:  # noqa: ANN401 - Celery's own
        """Send what waits, unless somebody else does; once Redis takes none, the rest waits on."""
        while self._waiting and self.mutex.acquire(blocking=False):
            try:
                if self._closed or not self._send_some():
                    return
            finally:
                self.mutex.release()

    def extend_buffer(self, other: GatheredEvents) -> None:
        """Take over what waits to be sent by one whose connection was lost."""
        self._waiting.extend(other._waiting)

    def _send_some(self) -> bool:
        """Send as many as go into a message, and tell whether they were sent. Others may add to them meanwhile."""
        some = [self._waiting.popleft() for _ in range(min(len(self._waiting), _MOST))]
        self._is_refused = not self._is_sent(some, self.producer, _TOGETHER)
        if self._is_refused:
            without = max(0, len(some) + len(self._waiting) - _KEPT)
            self._waiting.extendleft(reversed(some[without:]))
        return not self._is_refused

    def _publish(self, event: Any, producer: Any, routing_key: str, **options: Any) -> None:  # noqa: ANN401 - Celery's own
        if not self._is_sent(event, producer, routing_key, **options) and routing_key.startswith(_GATHERED):
            self._waiting.append(event)

    def _is_sent(self, event: dict[str, Any] | Sequence[Any], producer: Any, routing_key: str, **options: Any) -> bool:  # noqa: ANN401 - Celery's own
        try:
            super()._publish(event, producer, routing_key, **options)
        except Exception as error:  # noqa: BLE001 - whatever it is, no task may fail since nobody can be told of it
            log.debug("an event was not sent: %s", error)
            return False
        return True


class WorkerEvents(_Events):  # type: ignore[misc]  # as above
    """What the app makes dispatchers with."""

    dispatcher_cls = GatheredEvents
