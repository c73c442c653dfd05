"""What workers change by themselves, in a running system: a breaker, and an endpoint that is gone."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from noteflow_hooks.rpc.proto.noteflow.v1 import noteflow_pb2 as pb
from tests.support.receiver_connection import Answer
from tests.support.system_rig import SystemRig, a_path
from tests.support.waiting import until

if TYPE_CHECKING:
    import pytest


def _actions(rig: SystemRig, webhook: pb.Webhook) -> list[str]:
    """Return what the system has done to an endpoint, oldest first."""
    request = pb.ListAuditEntriesRequest(actor_kind="system", target_id=webhook.id)
    return [each.action for each in reversed(rig.client.audit.ListAuditEntries(request).audit_entries)]


def test_workers_put_on_record_what_they_change(tmp_path_factory: pytest.TempPathFactory) -> None:
    """A breaker's next change an hour later, by the sweep; the workspace and token of `up` by who started it."""
    periods: dict[str, Any] = {"breaker_failures": 1, "breaker_open_s": 0.2, "breaker_open_max_s": 0.2}
    with SystemRig(tmp_path_factory.mktemp("system"), **periods) as rig:
        flaps, gone = a_path(), a_path()
        rig.receiver.script(flaps, Answer(500), Answer(200))
        rig.receiver.script(gone, Answer(410))
        first, second = rig.webhook(flaps), rig.webhook(gone)
        rig.publish()
        rig.settled(first, "succeeded")
        until(lambda: "webhook.gone" in _actions(rig, second), what="the endpoint is gone")
        assert _actions(rig, first) == ["webhook.breaker_opened"]
        moved = "UPDATE noteflow.breaker_tallies SET told_at = told_at - interval '1 hour' WHERE opened + closed > 0"
        until(lambda: rig.database.execute(moved).rowcount > 0, what="the breaker has closed")
        until(lambda: len(_actions(rig, first)) == 2, what="the sweep tells of it")
        request = pb.ListAuditEntriesRequest(target_id=first.id, action="webhook.breaker_closed")
        [entry] = rig.client.audit.ListAuditEntries(request).audit_entries
        assert json.loads(entry.new)["closed"] == 1
        operators = rig.client.audit.ListAuditEntries(pb.ListAuditEntriesRequest(actor_kind="cli")).audit_entries
        assert {each.action for each in operators} == {"workspace.created", "token.created"}
