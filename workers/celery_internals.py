"""All that relies on what Celery's workers keep to themselves; kombu's own is in ``broker/kombu_internals.py``.

``tests/unit/test_celery_internals.py`` names the version that was read, and holds each thing that is relied on.
"""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Any

from celery import Celery
from celery.apps.worker import Worker
from celery.worker import state
from kombu.utils.objects import cached_property

from noteflow_hooks.broker.kombu_internals import MALFORMED

if TYPE_CHECKING:
    from celery.worker.request import Request

log = logging.getLogger(__name__)
_Worker: Any = Worker
_state: Any = state


class GuardedWorker(_Worker):  # type: ignore[misc]  # Celery's class is untyped
    """A worker in which a task that can't be handed to the pool gives back what it has taken."""

    def _process_task(self, req: Request) -> None:
        try:
            super()._process_task(req)
        except MALFORMED as error:
            # Celery would let it end the loop, or keep the slot; after a few of these a worker stands still.
            log.warning("a task was dropped: it can't be begun (%s)", type(error).__name__, exc_info=True)
            _state.task_ready(req)
            req.reject(requeue=False)
            self._release_slot()

    def _release_slot(self) -> None:
        # Only a worker with child processes counts them here.
        release = getattr(self, "_quick_release", None)
        if release is not None:
            release()


class GuardedCelery(Celery):
    """A Celery app whose workers are guarded."""

    @cached_property
    def Worker(self) -> Any:  # noqa: ANN401, N802 - Celery's own
        """The class that ``celery worker`` starts."""
        return self.subclass_with_self(GuardedWorker, name="Worker")
