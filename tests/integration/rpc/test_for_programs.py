"""What programs read of a refusal: each wrong field by its path, a reason that never changes, and when to try again."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import grpc
import pytest
from google.protobuf.field_mask_pb2 import FieldMask
from google.protobuf.timestamp_pb2 import Timestamp
from google.rpc.error_details_pb2 import BadRequest, ErrorInfo, RetryInfo
from google.rpc.status_pb2 import Status
from grpc_reflection.v1alpha import reflection_pb2

from noteflow_hooks.client import connect
from noteflow_hooks.errors import PreconditionError, Reason
from noteflow_hooks.rpc.interceptors.limits import CallerLimits
from noteflow_hooks.rpc.proto.noteflow.v1 import noteflow_pb2 as pb
from tests.integration.rpc.world import FORMAT, World, a_stream, eventually, refused
from tests.support.waiting import PATIENCE_S

if TYPE_CHECKING:
    from collections.abc import Callable

PROTO = Path(pb.__file__).with_name("noteflow.proto")


def details_of(call: Callable[[], object]) -> tuple[dict[str, str], str, bool]:
    """Make the call; return the wrong fields with what is wrong, the reason, and whether there is a time to wait."""
    with pytest.raises(grpc.RpcError) as caught:
        call()
    error: Any = caught.value
    (data,) = [value for key, value in error.trailing_metadata() if key == "grpc-status-details-bin"]
    fields, info, waits = {}, ErrorInfo(), False
    for each in Status.FromString(data).details:
        if each.Is(BadRequest.DESCRIPTOR):
            found = BadRequest()
            each.Unpack(found)
            fields = {violation.field: violation.description for violation in found.field_violations}
        waits = waits or each.Is(RetryInfo.DESCRIPTOR)
        each.Unpack(info)
    assert info.domain == "noteflow.hooks"
    return fields, info.reason, waits


def _streamed(world: World, **fields: Any) -> object:  # noqa: ANN401 - the message's own
    meeting = world.a_meeting()
    with a_stream(world, meeting.id) as stream:
        given: dict[str, Any] = {"meeting_id": meeting.id, "format": FORMAT} | fields
        stream.send_message(pb.StreamAudioSegmentsRequest(**given))
        return stream.call.result(timeout=PATIENCE_S)


def test_every_wrong_field_of_a_registration_is_told_at_once(world: World) -> None:
    """By its name."""
    wrong: dict[str, Any] = {"url": "ftp://x", "events": ["no"], "timeout_ms": 1, "max_retries": 99, "secret": "x"}
    fields, reason, _ = details_of(lambda: world.a_webhook(**wrong))
    assert (set(fields), reason) == (set(wrong), "INVALID_ARGUMENT")


def test_fields_of_a_payload_are_named_within_it(world: World) -> None:
    """All of them, and not the request's own."""
    request = pb.PublishEventRequest(
        event_type="meeting.completed", payload_json='{"meeting_id": "m", "title": 1}', idempotency_key=""
    )
    fields, _, _ = details_of(lambda: world.client.events.PublishEvent(request))
    payload = {"title", "duration_seconds", "segment_count", "has_summary"}
    assert set(fields) == {f"payload_json.{name}" for name in payload} | {"idempotency_key"}


def test_fields_of_a_format_and_of_a_segment_are_named_with_their_place(world: World) -> None:
    """``segments[3].text``, and ``format.sample_rate`` with whatever else is wrong there."""
    wrong = pb.AudioFormat(sample_rate=1, channels=99)
    fields, _, _ = details_of(lambda: _streamed(world, format=wrong))
    assert set(fields) == {"format.sample_rate", "format.channels"}
    texts = ["a", "b", "c", "", "e", ""]
    segments = [pb.TranscriptSegment(text=text, end_seconds=1) for text in texts]
    fields, _, _ = details_of(lambda: _streamed(world, segments=segments))
    assert set(fields) == {"segments[3].text", "segments[5].text"}


def test_points_of_a_summary_are_named_with_their_place(world: World) -> None:
    """Both lists at once."""
    summary = pb.Summary(executive_summary="", key_points=["a", ""], action_items=[""])
    request = pb.GenerateSummaryRequest(meeting_id=world.a_meeting().id, summary=summary)
    fields, _, _ = details_of(lambda: world.client.meetings.GenerateSummary(request))
    assert set(fields) == {"summary.executive_summary", "summary.key_points[1]", "summary.action_items[0]"}


def test_a_period_that_ends_before_it_begins_is_refused(world: World) -> None:
    """It would be empty for ever, which nobody asks for on purpose."""
    request = pb.ListDeliveriesRequest(created_after=Timestamp(seconds=2), created_before=Timestamp(seconds=1))
    fields, _, _ = details_of(lambda: world.client.webhooks.ListDeliveries(request))
    assert set(fields) == {"created_after"}


def test_each_refusal_has_its_reason(world: World) -> None:
    """What a program decides by: it needs no words."""
    client, meeting = world.client, world.a_meeting()
    off = World(webhooks=False)
    with off:
        assert _reason(lambda: off.client.webhooks.ListWebhooks(pb.ListWebhooksRequest())) == "WEBHOOKS_OFF"
    summary = pb.GenerateSummaryRequest(meeting_id=meeting.id)
    assert _reason(lambda: client.meetings.GenerateSummary(summary)) == "NO_TRANSCRIPT"
    with a_stream(world, meeting.id) as stream:
        stream.send(bytes(10))
        eventually(lambda: "recording.started" in world.event_types())
        assert _reason(lambda: _second_stream(world, meeting.id)) == "ALREADY_RECORDING"
        world.stop_meeting(meeting.id)
        assert _reason(lambda: stream.call.result(timeout=PATIENCE_S)) == "RECORDING_ENDED"
    assert _reason(lambda: _second_stream(world, meeting.id)) == "MEETING_STOPPED"
    test = pb.TestWebhookRequest(webhook_id=world.a_webhook(enabled=False).id)
    assert _reason(lambda: client.webhooks.TestWebhook(test)) == "WEBHOOK_DISABLED"
    assert _reason(lambda: client.meetings.GetMeeting(pb.GetMeetingRequest(meeting_id=world.a_webhook().id))) == (
        "NOT_FOUND"
    )
    assert _reason(lambda: _streamed(world, audio=bytes(300_000))) == "MESSAGE_TOO_LARGE"


def test_the_client_s_errors_have_the_server_s_reason(world: World) -> None:
    """As programs in Python read it."""
    with connect(world.address, world.token) as client, pytest.raises(PreconditionError) as caught:
        client.meetings.GenerateSummary(pb.GenerateSummaryRequest(meeting_id=world.a_meeting().id))
    assert caught.value.reason is Reason.NO_TRANSCRIPT


def test_a_limit_says_when_to_try_again() -> None:
    """Every RESOURCE_EXHAUSTED does, but for what is too large and stays so."""
    with World(limits=CallerLimits(streams_per_workspace=1)) as world:
        meeting = world.a_meeting()
        with a_stream(world, meeting.id) as stream:
            stream.send(bytes(10))
            eventually(lambda: "recording.started" in world.event_types())
            _, reason, waits = details_of(lambda: _second_stream(world, meeting.id))
    assert (reason, waits) == ("TOO_MANY_CALLS", True)


def _reason(call: Callable[[], object]) -> str:
    return details_of(call)[1]


def _second_stream(world: World, meeting_id: str) -> object:
    with a_stream(world, meeting_id) as stream:
        stream.send(bytes(10))
        return stream.call.result(timeout=PATIENCE_S)


def test_the_proto_lists_every_reason_and_names_packages_for_other_languages() -> None:
    """What generates code from it needs no options of its own."""
    text = PROTO.read_text()
    assert [each for each in Reason if f"//   {each} " not in text] == []
    options = pb.DESCRIPTOR.GetOptions()
    assert all((options.go_package, options.java_package, options.java_multiple_files, options.csharp_namespace))


@pytest.mark.parametrize("version", ["v1", "v1alpha"])
def test_reflection_is_there_under_both_names(version: str) -> None:
    """It lists the services, and describes itself."""
    name = f"grpc.reflection.{version}.ServerReflection"
    with World(reflection=True) as world, grpc.insecure_channel(world.address) as channel:
        ask: Any = channel.stream_stream(
            f"/{name}/ServerReflectionInfo",
            request_serializer=reflection_pb2.ServerReflectionRequest.SerializeToString,
            response_deserializer=reflection_pb2.ServerReflectionResponse.FromString,
        )
        requests = [
            reflection_pb2.ServerReflectionRequest(list_services=""),
            reflection_pb2.ServerReflectionRequest(file_containing_symbol=name),
        ]
        listed, described = ask(iter(requests), timeout=PATIENCE_S)
        assert name in [each.name for each in listed.list_services_response.service]
        assert described.file_descriptor_response.file_descriptor_proto
    with World() as closed, grpc.insecure_channel(closed.address) as channel:
        call: Any = channel.stream_stream(f"/{name}/ServerReflectionInfo")
        with refused(grpc.StatusCode.UNAUTHENTICATED):
            next(call(iter([b""]), timeout=PATIENCE_S))


_PAGE: Any = {"page_size": 9999, "page_token": "no", "id_prefix": "x"}
_PERIOD: Any = {"created_after": Timestamp(seconds=2), "created_before": Timestamp(seconds=1)}
_KIND: Any = {"webhook_id": "x", "event_type": "no"}
_ROTATION: Any = {"webhook_id": "x", "secret": "", "overlap_seconds": -1, "request_id": ""}
_REGISTRATION: Any = {"url": "ftp://x", "secret": "x", "generate_secret": True, "request_id": ""}
_TEST: Any = {"webhook_id": "x", "wait_seconds": -1, "request_id": ""}
_PUBLISHED: Any = {"event_type": "no", "payload_json": "{", "idempotency_key": ""}
_MASK = FieldMask(paths=["timeout_ms", "name"])
#: A service, a request and each of its fields that is wrong.
WRONG: list[tuple[str, Any, set[str]]] = [
    (
        "webhooks",
        pb.ListDeliveriesRequest(status="no", **_PAGE, **_PERIOD, **_KIND),
        {*_PAGE, *_KIND, "status", "created_after"},
    ),
    ("webhooks", pb.ListUndeliveredRequest(**_PAGE, **_KIND), {*_PAGE, *_KIND}),
    ("webhooks", pb.ListWebhooksRequest(**_PAGE), {*_PAGE}),
    (
        "events",
        pb.ListEventsRequest(event_type="no", meeting_id="\n", **_PAGE, **_PERIOD),
        {*_PAGE, "event_type", "meeting_id", "created_after"},
    ),
    ("events", pb.GetEventRequest(event_id="x", page_size=999), {"event_id", "page_size"}),
    (
        "webhooks",
        pb.ReplayDeliveriesRequest(rate_per_s=-1, **_KIND, **_PERIOD),
        {*_KIND, "created_after", "rate_per_s"},
    ),
    ("webhooks", pb.RotateWebhookSecretRequest(**_ROTATION), {*_ROTATION}),
    ("webhooks", pb.RegisterWebhookRequest(**_REGISTRATION), {*_REGISTRATION}),
    (
        "webhooks",
        pb.UpdateWebhookRequest(webhook_id="x", timeout_ms=1, update_mask=_MASK),
        {"webhook_id", "timeout_ms", "name"},
    ),
    ("webhooks", pb.TestWebhookRequest(**_TEST), {*_TEST}),
    ("meetings", pb.CreateMeetingRequest(title="x" * 501, request_id=""), {"title", "request_id"}),
    (
        "meetings",
        pb.GenerateSummaryRequest(meeting_id="x", summary=pb.Summary()),
        {"meeting_id", "summary.executive_summary"},
    ),
    ("events", pb.PublishEventRequest(**_PUBLISHED), {*_PUBLISHED}),
]


@pytest.mark.parametrize(("service", "request_", "wrong"), WRONG, ids=[type(each[1]).__name__ for each in WRONG])
def test_every_wrong_field_of_any_call_is_told_at_once(
    world: World,
    service: str,
    request_: Any,  # noqa: ANN401 - each call's own message
    wrong: set[str],
) -> None:
    """Ids, pages, filters, request ids and what a call is about: one answer names all that is wrong."""
    call = getattr(getattr(world.client, service), type(request_).__name__.removesuffix("Request"))
    fields, reason, _ = details_of(lambda: call(request_))
    assert (set(fields), reason) == (wrong, "INVALID_ARGUMENT")


def test_every_wrong_field_of_a_streams_message_is_told_at_once(world: World) -> None:
    """The meeting's, the format's and the segments'."""
    segments = [pb.TranscriptSegment(text="", end_seconds=1)]
    fields, _, _ = details_of(
        lambda: _streamed(world, meeting_id="x", format=pb.AudioFormat(sample_rate=1), segments=segments)
    )
    assert set(fields) == {"meeting_id", "format.sample_rate", "segments[0].text"}
