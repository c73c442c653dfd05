"""Verification by real workers: what arrives at the receiver, what is on record, and what a killed worker leaves."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest

from noteflow_hooks.rpc.proto.noteflow.v1 import noteflow_pb2 as pb
from tests.support.receiver_connection import Answer, ReceivedRequest
from tests.support.system_rig import SystemRig, a_path, retry_while_unavailable
from tests.support.waiting import PATIENCE_S, until

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.support.receiver_connection import ReceiverConnection

ASKED = "webhook.verification"


@pytest.fixture(scope="module")
def system(tmp_path_factory: pytest.TempPathFactory) -> Iterator[SystemRig]:
    """Two workers; a breaker that opens after three failures, for an hour."""
    folder = tmp_path_factory.mktemp("system")
    with SystemRig(folder, workers=2, require_verification=True, breaker_failures=3, breaker_open_s=3600) as running:
        yield running


@pytest.fixture
def rig(system: SystemRig) -> Iterator[SystemRig]:
    with system.as_new_tenant() as tenant:
        yield tenant


class Answers:
    """A receiver at a path: gives challenges back once it is told to, and says 200 or 500 to all else."""

    def __init__(self, rig: SystemRig, path: str, *, knows: bool = True, status: int = 200) -> None:
        self._rig = rig
        self.path = path
        self.knows = knows
        self.status = status
        rig.receiver.script(path, self)

    def __call__(self, connection: ReceiverConnection) -> None:
        event = _event(self.requests[-1])
        if event["event"] != ASKED:
            connection.send(Answer(self.status).encode())
        else:
            body = json.dumps({"challenge": event["challenge"]}).encode() if self.knows else b"ok"
            connection.send(Answer(200, body=body).encode())

    @property
    def requests(self) -> list[ReceivedRequest]:
        return [each for each in self._rig.receiver.requests if each.path == self.path]

    @property
    def events(self) -> list[str]:
        """The types of what arrived, in its order."""
        return [_event(each)["event"] for each in self.requests]


def _event(request: ReceivedRequest) -> dict[str, Any]:
    event: dict[str, Any] = json.loads(request.body)
    return event


def update(rig: SystemRig, webhook: pb.Webhook, **changes: Any) -> pb.Webhook:  # noqa: ANN401 - a request's fields
    request = pb.UpdateWebhookRequest(webhook_id=webhook.id, **changes)
    request.update_mask.paths.extend(changes)
    return retry_while_unavailable(lambda: rig.client.webhooks.UpdateWebhook(request))


def read(rig: SystemRig, webhook: pb.Webhook) -> pb.Webhook:
    request = pb.GetWebhookRequest(webhook_id=webhook.id)
    return retry_while_unavailable(lambda: rig.client.webhooks.GetWebhook(request))


def verify(rig: SystemRig, webhook: pb.Webhook, wait_s: float = 60) -> pb.VerifyWebhookResponse:
    request = pb.VerifyWebhookRequest(webhook_id=webhook.id, wait_seconds=wait_s)
    return rig.client.webhooks.VerifyWebhook(request, timeout=100)


def is_verified(rig: SystemRig, webhook: pb.Webhook) -> bool:
    found = read(rig, webhook)
    return found.HasField("verified_at") and not found.HasField("pending_url")


def a_verified_webhook(rig: SystemRig, path: str, **fields: Any) -> pb.Webhook:  # noqa: ANN401 - a request's fields
    webhook = rig.webhook(path, **fields)
    until(lambda: is_verified(rig, webhook), what="the endpoint is verified")
    return webhook


def pending(rig: SystemRig, webhook: pb.Webhook) -> list[pb.Delivery]:
    return [each for each in rig.deliveries(webhook) if each.status == "pending" and each.event_type != ASKED]


def test_what_was_published_meanwhile_goes_once_the_endpoint_has_answered(rig: SystemRig) -> None:
    """First nothing but the challenge; a wrong answer is on record as a failed attempt, and is asked about again."""
    path = a_path()
    answers = Answers(rig, path, knows=False)
    webhook = rig.webhook(path, max_retries=20)
    for _ in range(3):
        rig.publish()
    until(lambda: len(pending(rig, webhook)) == 3, what="the deliveries wait")
    assert all("not verified" in each.reason for each in pending(rig, webhook))
    until(lambda: len(answers.requests) >= 2, what="the challenge is sent again")
    assert set(answers.events) == {ASKED}
    answers.knows = True
    rig.settled(webhook, "succeeded", count=4)
    assert answers.events.count("meeting.completed") == 3
    [asking] = [each for each in rig.deliveries(webhook) if each.event_type == ASKED]
    assert len({each.body for each in answers.requests if _event(each)["event"] == ASKED}) == 1
    *failed, last = asking.attempts
    assert {(each.status_code, each.error_kind) for each in failed} == {(200, "protocol")}
    assert (last.status_code, last.error_kind, last.response_body) == (200, "", "")
    assert "[redacted]" in asking.payload


def test_a_moved_endpoint_s_events_go_on_to_the_old_url_until_the_new_one_answers(rig: SystemRig) -> None:
    """The new one gets the challenge alone; from its answer on it gets all, and the old one nothing."""
    old, new = (Answers(rig, a_path(), knows=knows) for knows in (True, False))
    webhook = a_verified_webhook(rig, old.path)
    moving = update(rig, webhook, url=rig.receiver.url(new.path))
    assert (moving.url, moving.pending_url) == (webhook.url, rig.receiver.url(new.path))
    rig.publish()
    until(lambda: old.events == [ASKED, "meeting.completed"], what="the old URL gets it")
    until(lambda: new.events == [ASKED], what="the new one is asked")
    new.knows = True
    assert verify(rig, webhook).webhook.url == rig.receiver.url(new.path)
    assert is_verified(rig, webhook)
    rig.publish()
    until(lambda: "meeting.completed" in new.events, what="the new URL gets it")
    assert old.events == [ASKED, "meeting.completed"]


def test_a_challenge_goes_out_while_paused_and_while_the_breaker_is_open(rig: SystemRig) -> None:
    """What waits goes on waiting for the one, and goes with the other, since a move starts anew."""
    path, new = a_path(), a_path()
    answers = Answers(rig, path, status=500)
    webhook = a_verified_webhook(rig, path, max_retries=20)
    for _ in range(3):
        rig.publish()
    until(lambda: read(rig, webhook).health.state == "circuit_open", what="the breaker opens")
    update(rig, webhook, paused=True)
    moved = Answers(rig, new)
    update(rig, webhook, url=rig.receiver.url(new))
    until(lambda: is_verified(rig, webhook), what="the new URL is verified")
    assert moved.events == [ASKED]
    update(rig, webhook, paused=False)
    rig.settled(webhook, "succeeded", count=5)
    assert sorted(moved.events) == ["meeting.completed"] * 3 + [ASKED]
    assert set(answers.events) == {ASKED, "meeting.completed"}


def test_an_answer_to_a_voided_challenge_counts_for_nothing(rig: SystemRig) -> None:
    """It is under way while another is asked; the newer one's answer verifies."""
    path = a_path()
    answers = Answers(rig, path)
    rig.receiver.hold()
    webhook = rig.webhook(path)
    until(lambda: answers.requests, what="the challenge arrives")
    asked = verify(rig, webhook, wait_s=0)
    until(lambda: len(answers.requests) == 2, what="the second challenge arrives")
    first, second = (_event(each)["challenge"] for each in answers.requests)
    assert first != second
    rig.receiver.release()
    until(lambda: is_verified(rig, webhook), what="the endpoint is verified")
    assert asked.event_id in {each.event_id for each in rig.deliveries(webhook)}


def test_a_disabled_endpoint_is_asked_once_it_is_enabled(rig: SystemRig) -> None:
    """And not before."""
    path = a_path()
    answers = Answers(rig, path)
    webhook = rig.webhook(path, enabled=False)
    assert not is_verified(rig, webhook)
    update(rig, webhook, enabled=True)
    until(lambda: is_verified(rig, webhook), what="the endpoint is verified")
    assert answers.events == [ASKED]


def test_the_challenge_is_in_no_log_and_not_in_redis(rig: SystemRig) -> None:
    """Nor in the database, but for its ciphertext."""
    path = a_path()
    answers = Answers(rig, path, knows=False)
    webhook = rig.webhook(path)
    until(lambda: answers.requests, what="the challenge arrives")
    challenge = _event(answers.requests[0])["challenge"]
    stored = rig.database.execute(
        "SELECT string_agg(each::text, ' ') FROM noteflow.webhook_configs AS each"
        " UNION ALL SELECT string_agg(each::text, ' ') FROM noteflow.webhook_events AS each"
        " UNION ALL SELECT string_agg(each::text, ' ') FROM noteflow.webhook_attempts AS each"
        " UNION ALL SELECT string_agg(each::text, ' ') FROM noteflow.audit_log AS each"
    ).fetchall()
    logs = [each.read_text(errors="replace") for each in rig.folder.rglob("*.log")]
    assert logs
    kept = [str(rig.redis.dump(key)) for key in rig.redis.scan_iter()]
    for text in (*(str(row) for row in stored), *logs, *kept):
        assert challenge not in text
    assert any(webhook.id in str(row) for row in stored)


# Kills the workers, so it comes last.
@pytest.mark.chaos
def test_a_worker_killed_before_it_has_stored_the_answer_costs_one_challenge_more(rig: SystemRig) -> None:
    """The lease ends, the same challenge is sent again, and its answer verifies."""
    path = a_path()
    answers = Answers(rig, path)
    rig.receiver.hold()
    webhook = rig.webhook(path, timeout_ms=2000)
    until(lambda: answers.requests, what="the challenge arrives")
    for name in ("worker-1", "worker-2"):
        rig.kill(name)
    rig.receiver.release()
    for name in ("worker-1", "worker-2"):
        rig.restart(name)
    until(lambda: is_verified(rig, webhook), what="the endpoint is verified", timeout_s=2 * PATIENCE_S)
    assert len({each.body for each in answers.requests}) == 1
    [asking] = rig.deliveries(webhook)
    assert [each.error_kind for each in asking.attempts] == ["interrupted", ""]
