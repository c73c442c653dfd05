"""Server and workers behind a pooler of transactions: every call is answered, every event is sent once."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Final

import pytest

from noteflow_hooks.client import connect
from noteflow_hooks.local.stack.ports import free_address
from noteflow_hooks.local.stack.programs import SERVER
from tests.support.extra_programs import log_of, started
from tests.support.pooling_proxy import PoolingProxy
from tests.support.steady_publisher import posts, publish_request
from tests.support.system_rig import SystemRig, a_path
from tests.support.waiting import PATIENCE_S
from tests.support.worker_programs import pooled_worker, wait_until_ready

if TYPE_CHECKING:
    from pathlib import Path

EVENTS: Final = 200
PUBLISHERS: Final = 8
WORKERS: Final = ("pooled-1", "pooled-2")


@pytest.mark.chaos
def test_a_system_behind_a_pooler_sends_every_event_once(tmp_path: Path) -> None:
    """Its statements come to whichever session is free, and none of them fails for it."""
    path, bind = a_path(), free_address()
    with SystemRig(tmp_path) as rig, PoolingProxy(rig.system.database_url, sessions=4) as pooler:
        rig.system.end_worker(1)
        behind = {"database_url": pooler.url, "postgres_pooler": "transaction", "grpc_bind": bind}
        webhook = rig.webhook(path, timeout_ms=10_000)
        first, second = WORKERS
        with (
            started(rig, "pooled-server", SERVER, **behind),
            started(rig, first, pooled_worker("gevent", "-c", "16", name=first), **behind),
            started(rig, second, pooled_worker("threads", "-c", "8", name=second), **behind),
            connect(bind, rig.token) as client,
            ThreadPoolExecutor(PUBLISHERS) as threads,
        ):
            for name in ("pooled-server", *WORKERS):
                wait_until_ready(rig, name)
            calls = [
                threads.submit(client.events.PublishEvent, publish_request(), timeout=PATIENCE_S) for _ in range(EVENTS)
            ]
            sent = {call.result().id for call in calls}
            deliveries = rig.settled(webhook, "succeeded", count=EVENTS)
            assert {each.attempt_count for each in deliveries} == {1}
            assert posts(rig.receiver, path) == dict.fromkeys(sent, 1)
            said = "".join(log_of(rig, name).read_text() for name in WORKERS)
            assert "wait for the database" not in said
            assert "Traceback" not in said
