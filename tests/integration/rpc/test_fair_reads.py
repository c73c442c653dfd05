"""One workspace's lists beside another's meetings, over PostgreSQL: a quiet caller hardly waits longer than alone."""

from __future__ import annotations

import statistics
import subprocess
import sys
import time
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from noteflow_hooks.rpc.proto.noteflow.v1 import noteflow_pb2 as pb
from tests.integration.rpc.sqlworld import connected, world_over
from tests.integration.rpc.world import UNLIMITED, World

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.support.wire_client import WireClient

ROOT = Path(__file__).parents[3]
CALLERS = 64
#: Without turns and a share for lists it was some 400 times as long as alone.
RATIO = 60


def test_meetings_are_made_beside_64_callers_who_list_deliveries(database_url: str) -> None:
    """By the median of what a caller of another workspace sees, beside them ÷ alone."""
    with world_over(database_url, limits=UNLIMITED) as world, world.stranger() as quiet:
        _make_deliveries(world, database_url, count=500)
        alone = _median_s(quiet, count=30)
        with _listing(world):
            beside = _median_s(quiet, count=12)
    assert beside / alone < RATIO, f"{beside * 1000:.1f} ms in place of {alone * 1000:.1f}"


def _median_s(client: WireClient, *, count: int) -> float:
    took = []
    for _ in range(count):
        began = time.monotonic()
        client.meetings.CreateMeeting(pb.CreateMeetingRequest(), timeout=60)
        took.append(time.monotonic() - began)
    return statistics.median(took)


@contextmanager
def _listing(world: World) -> Iterator[None]:
    command = [sys.executable, "-m", "tests.support.list_flood", world.address, world.token, str(CALLERS)]
    with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "begun\n"
        try:
            yield
        finally:
            process.kill()


def _make_deliveries(world: World, url: str, *, count: int) -> None:
    webhook = world.a_webhook()
    with connected(url) as connection:
        connection.execute(
            "WITH event AS (INSERT INTO noteflow.webhook_events"
            " (workspace_id, event_type, payload, occurred_at, dispatched_at)"
            " SELECT %(workspace)s, 'meeting.completed', '{}', now(), now() FROM generate_series(1, %(count)s)"
            " RETURNING id) INSERT INTO noteflow.webhook_deliveries"
            " (webhook_id, workspace_id, event_id, event_type, status, attempt_count, status_code, response_body)"
            " SELECT %(webhook)s, %(workspace)s, id, 'meeting.completed', 'dead', 1, 500, repeat('x', 500) FROM event",
            {"workspace": world.workspace_id, "webhook": webhook.id, "count": count},
        )
