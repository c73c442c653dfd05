"""How relay, sweep, workers and Redis do: however many ask, it is looked up once in two seconds."""

from __future__ import annotations

import asyncio
import time
from typing import TYPE_CHECKING, Final

from noteflow_hooks.domain.system_state import Periods, parts_of

if TYPE_CHECKING:
    from collections.abc import Callable

    from noteflow_hooks.domain.ports.maintenance import Signs
    from noteflow_hooks.domain.ports.unit_of_work import UnitOfWork
    from noteflow_hooks.domain.system_state import Part
    from noteflow_hooks.rpc.runtime.database import Database

#: For how long what was found is told again.
_FRESH_S: Final = 2.0


class SystemWatch:
    """Looks how the system does. Belongs to one event loop."""

    def __init__(
        self,
        database: Database,
        *,
        periods: Periods | None = None,
        redis_answers: Callable[[], bool] = lambda: True,
    ) -> None:
        """``redis_answers`` may block, and is called in a thread."""
        self._database = database
        self._periods = periods if periods is not None else Periods()
        self._redis_answers = redis_answers
        self._looking = asyncio.Lock()
        self._found: tuple[float, tuple[Part, ...]] | None = None

    async def parts(self) -> tuple[Part, ...]:
        """Return how each part does."""
        async with self._looking:
            if self._found is None or time.monotonic() - self._found[0] > _FRESH_S:
                self._found = (time.monotonic(), await self._look())
            return self._found[1]

    async def _look(self) -> tuple[Part, ...]:
        signs, redis_answers = await asyncio.gather(self._database.run(_signs), asyncio.to_thread(self._redis_answers))
        return parts_of(signs, self._periods, redis_answers=redis_answers)


def _signs(unit: UnitOfWork) -> Signs:
    return unit.system.signs()
