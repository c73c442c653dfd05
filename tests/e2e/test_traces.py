"""Traces over real OTLP: from a call through dispatching to each POST, under each pool, with a collector or without."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Final
from uuid import uuid4

import pytest

from noteflow_hooks.rpc.proto.noteflow.v1 import noteflow_pb2 as pb
from tests.support.builders import a_payload
from tests.support.collector import Came, Collector
from tests.support.extra_programs import log_of, started
from tests.support.receiver_connection import Answer, ReceivedRequest
from tests.support.shares import first_of
from tests.support.system_rig import SystemRig, a_path
from tests.support.waiting import until
from tests.support.worker_programs import pooled_worker

if TYPE_CHECKING:
    from collections.abc import Iterator

CANARY: Final = "c4n4ry"
#: What a round of dispatching is about, and a POST.
DISPATCHED: Final = {
    "messaging.system": "celery",
    "messaging.destination.name": "dispatch",
    "messaging.operation.type": "process",
    "messaging.batch.message_count": 1,
}
POSTED: Final[dict[str, str | int]] = {
    "http.request.method": "POST",
    "http.response.status_code": 200,
    "server.address": "127.0.0.1",
}
#: Recorded, as its caller has it; and not.
SAMPLED, UNSAMPLED = "01", "00"


@pytest.fixture(scope="module")
def collector() -> Iterator[Collector]:
    """Offer a collector that is there from the first span on."""
    with Collector() as running:
        yield running


@pytest.fixture(scope="module")
def rig(tmp_path_factory: pytest.TempPathFactory, collector: Collector) -> Iterator[SystemRig]:
    """Offer a system whose server and worker record what their callers want recorded, and nothing else."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", collector.endpoint)
        patch.setenv("OTEL_EXPORTER_OTLP_HEADERS", f"api-key={CANARY}-key")
        patch.setenv("OTEL_TRACES_SAMPLER_ARG", "0")
        patch.setenv("OTEL_BSP_SCHEDULE_DELAY", "50")
        patch.setenv("OTEL_EXPORTER_OTLP_TIMEOUT", "1")
        with SystemRig(tmp_path_factory.mktemp("traces"), lease_slack_s=10) as running:
            yield running


@pytest.fixture(autouse=True)
def tenant(rig: SystemRig) -> Iterator[None]:
    """Act for a workspace of each test's own."""
    with rig.as_new_tenant():
        yield


def publish(rig: SystemRig, flags: str = SAMPLED) -> tuple[str, str]:
    """Publish an event as part of a new trace of the caller's; return the trace's id and the event's."""
    trace = uuid4().hex
    request = pb.PublishEventRequest(
        event_type="meeting.completed", payload_json=json.dumps(a_payload(title=f"{CANARY} title"))
    )
    metadata = (("traceparent", f"00-{trace}-00f067aa0ba902b7-{flags}"),)
    return trace, rig.client.events.PublishEvent(request, metadata=metadata).id


def traceparents(rig: SystemRig, event_id: str) -> list[str]:
    """Return what was sent of traces with an event."""
    came = [each for each in rig.receiver.requests if each.header("webhook-id") == event_id]
    return [each.header("traceparent") or "" for each in came]


def posts_to(collector: Collector, trace: str, webhook: pb.Webhook, count: int = 1) -> list[Came]:
    """Return an endpoint's attempts in a trace, or linked to it, once there are so many."""

    def found() -> list[Came]:
        return [each for each in collector.of(trace, "POST") if each.attributes["noteflow.webhook.id"] == webhook.id]

    until(lambda: len(found()) >= count, what=f"{count} attempts are recorded")
    return found()


def test_a_trace_goes_from_the_call_to_the_receiver(rig: SystemRig, collector: Collector) -> None:
    """The call is its caller's child, the POST the call's; a round of dispatching has its own trace, with a link."""
    webhook = rig.webhook(f"/{CANARY}-path", send_traceparent=True)
    plain = rig.webhook(a_path())
    trace, event_id = publish(rig)
    [call] = collector.of(trace, "noteflow.v1.EventService/PublishEvent")
    posts = collector.of(trace, "POST", count=2)
    [dispatch] = collector.of(trace, "process dispatch")
    assert (call.program, call.parent) == ("noteflow-hooks-server", "00f067aa0ba902b7")
    assert call.attributes == {
        "rpc.system.name": "grpc",
        "rpc.method": "noteflow.v1.EventService/PublishEvent",
        "rpc.response.status_code": "OK",
    }
    assert (dispatch.trace != trace, dispatch.attributes.items() >= DISPATCHED.items()) == (True, True)
    assert {each.attributes["noteflow.webhook.id"] for each in posts} == {webhook.id, plain.id}
    for post in posts:
        assert (post.program, post.parent, post.failed) == ("noteflow-hooks-worker", call.span, False)
        assert post.attributes.items() >= (POSTED | {"noteflow.event.id": event_id}).items()
        assert "http.request.resend_count" not in post.attributes
    # The one that wants to know is told, on record too; the other is not.
    own = f"00-{trace}-{call.span}-01"
    until(lambda: sorted(traceparents(rig, event_id)) == ["", own], what="both have it")
    [delivery] = rig.settled(webhook, "succeeded")
    sent = {each.name: each.value for each in delivery.attempts[0].request_headers}
    assert sent["traceparent"] == own


def test_a_retry_is_in_the_same_trace_for_an_hour_and_then_has_its_own(rig: SystemRig, collector: Collector) -> None:
    """With a link to the event's; it counts as a resend, and what failed says how, as the conventions have it."""
    path, answers = a_path(), [500, 500, 200]
    webhook = rig.webhook(path)

    def answer(request: ReceivedRequest) -> Answer:
        if len(answers) == 2:
            rig.database.execute(
                "UPDATE noteflow.webhook_events SET created_at = created_at - interval '61 minutes' WHERE id = %s",
                [request.header("webhook-id")],
            )
        return Answer(answers.pop(0))

    rig.receiver.answer(path, answer)
    trace, _ = publish(rig)
    first, second, third = posts_to(collector, trace, webhook, count=3)
    assert (first.trace, first.failed, first.attributes["error.type"]) == (trace, True, "500")
    assert (second.trace, second.links, second.attributes["http.request.resend_count"]) == (trace, (), 1)
    assert third.trace != trace
    assert (third.links, third.parent, third.failed) == ((trace,), "", False)


def test_what_its_caller_does_not_record_is_told_and_not_recorded(rig: SystemRig, collector: Collector) -> None:
    """The receiver gets what the caller sent; and what has no caller's trace is not recorded, by the setting."""
    webhook = rig.webhook(a_path(), send_traceparent=True)
    trace, event_id = publish(rig, UNSAMPLED)
    quiet = rig.publish()
    rig.settled(webhook, "succeeded", count=2)
    assert traceparents(rig, event_id) == [f"00-{trace}-00f067aa0ba902b7-{UNSAMPLED}"]
    assert traceparents(rig, quiet) == [""]
    seen, _ = publish(rig)
    collector.of(seen, "POST")
    assert not [each for each in collector.spans if trace in (each.trace, *each.links)]
    assert quiet not in {each.attributes.get("noteflow.event.id") for each in collector.spans}


def test_a_batch_has_its_own_trace_with_a_link_to_each_event(rig: SystemRig, collector: Collector) -> None:
    """It is one POST, and belongs to none of its events more than to another."""
    webhook = rig.webhook(a_path(), batch_max=2, batch_wait_ms=60_000, send_traceparent=True)
    one, _ = publish(rig)
    other, _ = publish(rig)
    [post] = posts_to(collector, one, webhook)
    assert sorted(post.links) == sorted((one, other))
    assert post.attributes["noteflow.batch.events"] == 2
    assert "noteflow.event.id" not in post.attributes


@pytest.mark.parametrize("pool", first_of(["prefork", "threads"], 1))
def test_each_pool_traces(rig: SystemRig, collector: Collector, pool: str) -> None:
    """In threads as in greenlets, and in children that were forked: each sends by itself."""
    if "worker-1" in rig.system.processes:
        rig.system.end_worker(1)
    webhook = rig.webhook(a_path())
    with started(rig, pool, pooled_worker(pool, "-c", "2", name=pool)):
        traces = [publish(rig)[0] for _ in range(4)]
        for each in traces:
            [post] = posts_to(collector, each, webhook)
            assert post.trace == each
            assert collector.of(each, "process dispatch")
        # What a worker has as it is told to end, it has sent by its end.
        last, _ = publish(rig)
        rig.settled(webhook, "succeeded", count=5)
    assert posts_to(collector, last, webhook)


def test_a_collector_hears_nothing_secret(rig: SystemRig, collector: Collector) -> None:
    """No secret, path, title or token is in anything that was sent; its own key is where it belongs."""
    assert collector.headers["api-key"] == f"{CANARY}-key"
    sent = b"".join(collector.bodies)
    assert b"127.0.0.1" in sent
    assert CANARY.encode() not in sent
    assert rig.token.encode() not in sent


def test_a_collector_that_is_away_hurts_no_delivery_and_is_told_of_once(rig: SystemRig, collector: Collector) -> None:
    """In a line of each process, with the reason and how many spans are lost."""
    collector.close()
    webhook = rig.webhook(a_path())
    with started(rig, "alone", pooled_worker("threads", "-c", "2", name="alone")):
        for count in range(1, 4):
            publish(rig)
            rig.settled(webhook, "succeeded", count=count)
        for name in ("server", "alone"):
            line = "the collector of traces refuses: Connection refused; "
            until(lambda: line in log_of(rig, name).read_text(), what=f"{name} tells of it")  # noqa: B023 - awaited here
            assert log_of(rig, name).read_text().count("collector of traces") == 1
            assert "Traceback" not in log_of(rig, name).read_text()
