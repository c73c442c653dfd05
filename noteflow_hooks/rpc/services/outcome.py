"""Waits for what comes of a test or a challenge, for a caller that wants to see it."""

from __future__ import annotations

import asyncio
import time
from datetime import timedelta
from typing import TYPE_CHECKING, Final

from noteflow_hooks.application.deliveries import delivery_of
from noteflow_hooks.errors import UnavailableError

if TYPE_CHECKING:
    from uuid import UUID

    from noteflow_hooks.application.deliveries import DeliveryView
    from noteflow_hooks.rpc.runtime.database import Database

#: How often the delivery is read meanwhile.
_POLL_S: Final = 0.1
#: The longest that a caller may wait.
WAIT_LIMIT: Final = timedelta(seconds=60)


async def outcome_of(database: Database, event_id: UUID, *, wait: timedelta) -> DeliveryView | None:
    """Return the event's delivery once it is final, or as it is when the wait is over; None where there is none yet."""
    wait_s = wait.total_seconds()
    until = time.monotonic() + wait_s
    view: DeliveryView | None = None
    while time.monotonic() < until and (view is None or not view.is_final):
        await asyncio.sleep(min(_POLL_S, wait_s))
        try:
            view = await database.run(lambda unit: delivery_of(unit, event_id))
        except UnavailableError:
            # The event is recorded and will be sent: to fail now would invite a second one.
            break
    return view
