"""A worker with a fault of its own, for a run that must turn red: it leaves the retries' time to Celery's messages.

The rows of failed deliveries say that they are due in years, so no claim and no sweep ever finds them.
"""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from typing import TYPE_CHECKING, Any, Final

from noteflow_hooks.persistence.sql.delivery.store import SqlAlchemyDeliveryStore
from workers.app import app

if TYPE_CHECKING:
    from collections.abc import Sequence

    from noteflow_hooks.domain.deliveries import Settlement
    from noteflow_hooks.domain.ports.delivery_store import Settled

_NEVER: Final = timedelta(days=3650)
_settle: Final = SqlAlchemyDeliveryStore.settle


def _unscheduled(store: SqlAlchemyDeliveryStore, settlements: Sequence[Settlement]) -> Settled:
    return _settle(store, [replace(each, wait=_NEVER) if each.wait is not None else each for each in settlements])


_patched: Any = SqlAlchemyDeliveryStore
_patched.settle = _unscheduled

__all__ = ["app"]
