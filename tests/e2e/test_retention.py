"""What is old and settled goes from a running system, and what is not settled stays and is delivered."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from noteflow_hooks.rpc.proto.noteflow.v1 import noteflow_pb2 as pb
from tests.support.system_rig import SystemRig, a_path
from tests.support.waiting import until

if TYPE_CHECKING:
    import pytest

#: Every period a second and a half, in days, and a purge every half second: by settings alone.
QUICKLY: dict[str, Any] = {
    **dict.fromkeys(("retention_days", "retention_payload_days", "retention_attempt_days"), 1.5 / 86_400),
    "audit_retention_days": 1.5 / 86_400,
    "purge_every_s": 0.5,
}
TABLES = ("webhook_configs", "webhook_events", "webhook_deliveries", "webhook_attempts")


def counts(rig: SystemRig) -> list[int]:
    """Return how many endpoints, events, deliveries and attempts there are."""
    counted = ", ".join(f"(SELECT count(*) FROM noteflow.{table})" for table in TABLES)  # noqa: S608 - the names above
    [row] = rig.database.execute(f"SELECT {counted}").fetchall()
    return list(row)


def set_paused(rig: SystemRig, webhook: pb.Webhook, *, paused: bool) -> None:
    request = pb.UpdateWebhookRequest(webhook_id=webhook.id, paused=paused)
    request.update_mask.paths.append("paused")
    rig.client.webhooks.UpdateWebhook(request)


def test_settled_deliveries_go_and_pending_ones_stay(tmp_path_factory: pytest.TempPathFactory) -> None:
    """A paused endpoint's delivery outlives all periods, with its payload, and goes once it is delivered."""
    with SystemRig(tmp_path_factory.mktemp("system"), **QUICKLY) as rig:
        quick, held = a_path(), a_path()
        open_one, paused = rig.webhook(quick), rig.webhook(held, events=["recording.started"])
        set_paused(rig, paused, paused=True)
        payload = json.dumps({"meeting_id": "m-waits", "title": "Weekly"})
        request = pb.PublishEventRequest(event_type="recording.started", payload_json=payload)
        waiting = rig.client.events.PublishEvent(request)
        rig.publish()
        rig.receiver.wait_for(1, path=quick)
        rig.client.webhooks.DeleteWebhook(pb.DeleteWebhookRequest(webhook_id=open_one.id))

        until(lambda: counts(rig) == [1, 1, 1, 0], what="only what waits is left")
        [event] = rig.client.events.ListEvents(pb.ListEventsRequest()).events
        assert (event.id, event.payload) == (waiting.id, waiting.payload)

        set_paused(rig, paused, paused=False)
        [sent] = rig.receiver.wait_for(1, path=held)
        assert sent.body.decode() == waiting.payload
        until(lambda: counts(rig) == [1, 0, 0, 0], what="nothing is left but the endpoint")
        audited = "SELECT count(*) FROM noteflow.audit_log"
        until(lambda: rig.database.execute(audited).fetchone() == (0,), what="what was done is long ago")
