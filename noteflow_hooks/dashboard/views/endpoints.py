"""The list of endpoints: how each does, when it last took something, and what waits for it."""

from __future__ import annotations

import hashlib
import threading
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from noteflow_hooks.client import pb
from noteflow_hooks.dashboard.views.asking import ROWS, pager
from noteflow_hooks.dashboard.visit import Page

if TYPE_CHECKING:
    from collections.abc import Sequence

    from google.protobuf.timestamp_pb2 import Timestamp

    from noteflow_hooks.dashboard.visit import Visit

#: For how long what was counted for an endpoint is shown: a list that keeps itself up to date counts no more often.
_FRESH_S: Final = 10.0
_MOST: Final = 5_000


@dataclass(frozen=True, slots=True)
class Counted:
    """What the lists of deliveries say of an endpoint."""

    #: When its newest delivery that was taken was; None where none was.
    last_success: Timestamp | None
    waiting: int


class _Counts:
    """What was counted within the last seconds, by token and endpoint."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._kept: dict[tuple[bytes, str], tuple[float, Counted]] = {}

    def of(self, visit: Visit, ids: Sequence[str]) -> dict[str, Counted]:
        """Return what is known of each endpoint, asking for all that is not fresh at once."""
        now, owner = time.monotonic(), hashlib.sha256(visit.session.token.encode()).digest()
        with self._lock:
            if len(self._kept) > _MOST:
                self._kept.clear()
            fresh = {each: self._kept[owner, each] for each in ids if (owner, each) in self._kept}
        known = {each: counted for each, (until, counted) in fresh.items() if until > now}
        asked = _counted(visit, [each for each in ids if each not in known])
        with self._lock:
            self._kept.update({(owner, each): (now + _FRESH_S, counted) for each, counted in asked.items()})
        return {**known, **asked}


_counts: Final = _Counts()


def listed(visit: Visit) -> Page:
    """Return the page of endpoints."""
    page_token = visit.query.text("page_token")
    request = pb.ListWebhooksRequest(page_size=ROWS, page_token=page_token, with_total=True)
    found = visit.client.webhooks.ListWebhooks(request)
    counts = _counts.of(visit, [each.id for each in found.webhooks])
    values = {"endpoints": found.webhooks, "counts": counts, "total": found.total}
    return Page("endpoints.html", {**values, **pager(visit, (), found.next_page_token)})


def _counted(visit: Visit, ids: Sequence[str]) -> dict[str, Counted]:
    ask = visit.client.webhooks.ListDeliveries.future
    taken = [ask(pb.ListDeliveriesRequest(webhook_id=each, status="succeeded", page_size=1)) for each in ids]
    waiting = [
        ask(pb.ListDeliveriesRequest(webhook_id=each, status="pending", page_size=1, with_total=True)) for each in ids
    ]
    counted = {}
    for each, newest, waits in zip(ids, taken, waiting, strict=True):
        success = next((one.delivered_at for one in newest.result().deliveries), None)
        counted[each] = Counted(success, waits.result().total)
    return counted
