"""What takes over a millisecond runs aside from the event loop: one caller's large message holds up nobody else."""

from __future__ import annotations

import encodings.idna
import threading
from typing import TYPE_CHECKING, Any

import grpc
import pytest
from google.protobuf.field_mask_pb2 import FieldMask

from noteflow_hooks.domain.urls import parse_url
from noteflow_hooks.errors import InvalidInputError
from noteflow_hooks.rpc.proto.noteflow.v1 import noteflow_pb2 as pb
from noteflow_hooks.rpc.services import deliveries, endpoints, meetings
from noteflow_hooks.rpc.streaming import recording
from tests.integration.rpc.world import FORMAT, UNLIMITED, World, a_stream, refused
from tests.support.waiting import PATIENCE_S

if TYPE_CHECKING:
    from collections.abc import Callable
    from types import ModuleType

INVALID = grpc.StatusCode.INVALID_ARGUMENT
#: One letter that stands for eighteen: IDNA's cost grows with the square of what it is to turn into ASCII.
LONG_LETTER = "\ufdfa"


@pytest.mark.parametrize(
    "host", [LONG_LETTER * 2038, f"{LONG_LETTER * 63}.example", ".".join([LONG_LETTER] * 120), "ä" * 64]
)
def test_a_host_name_that_is_too_long_is_refused_before_idna(host: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """By what it stands for, not only by what was written."""

    def never(_: str) -> bytes:
        raise AssertionError("it was turned into ASCII")

    monkeypatch.setattr(encodings.idna, "ToASCII", never)
    with pytest.raises(InvalidInputError, match="host name that is not valid"):
        parse_url(f"https://{host}/"[:2048])


def _register(world: World) -> None:
    with refused(INVALID, "host name"):
        world.a_webhook(url=f"https://{LONG_LETTER * 2030}/")


def _register_with_many_headers(world: World) -> None:
    with refused(INVALID, "headers"):
        world.a_webhook(headers=[pb.Header()] * 100_000)


def _update(world: World) -> None:
    webhook = world.a_webhook()
    with refused(INVALID, "events"):
        world.client.webhooks.UpdateWebhook(
            pb.UpdateWebhookRequest(
                webhook_id=webhook.id, update_mask=FieldMask(paths=["events"]), events=map(str, range(100_000))
            )
        )


def _summary(world: World) -> None:
    meeting = world.a_meeting()
    summary = pb.Summary(executive_summary="x", key_points=["y" * 100] * 1000)
    world.client.meetings.GenerateSummary(pb.GenerateSummaryRequest(meeting_id=meeting.id, summary=summary))


def _segments(world: World) -> None:
    meeting = world.a_meeting()
    with a_stream(world, meeting.id) as stream:
        segment = pb.TranscriptSegment(text="x", start_seconds=0, end_seconds=1)
        stream.send_message(
            pb.StreamAudioSegmentsRequest(meeting_id=meeting.id, format=FORMAT, segments=[segment] * 5000)
        )
        assert stream.finish().segment_count == 5000


def _deliveries(world: World) -> None:
    world.client.webhooks.ListDeliveries(pb.ListDeliveriesRequest())


@pytest.mark.parametrize(
    ("module", "name", "call"),
    [
        (endpoints, "parse_registration", _register),
        (endpoints, "parse_registration", _register_with_many_headers),
        (endpoints, "parse_changes", _update),
        (meetings, "parse_summary", _summary),
        (recording, "parse_segments", _segments),
        (deliveries, "fill_counted", _deliveries),
    ],
    ids=["a long host", "many headers", "many events", "a summary", "many segments", "a page"],
)
def test_what_takes_long_is_done_in_a_thread(
    module: ModuleType, name: str, call: Callable[[World], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Never in the one that answers all calls."""
    threads, does = set(), getattr(module, name)

    def seen(*given: Any) -> Any:  # noqa: ANN401 - whatever it is that is watched
        threads.add(threading.get_ident())
        return does(*given)

    monkeypatch.setattr(module, name, seen)
    with World(limits=UNLIMITED) as world:
        looping = world.in_loop(_ident())
        call(world)
    assert threads
    assert looping not in threads


async def _ident() -> int:
    return threading.get_ident()


def test_ids_and_page_tokens_of_megabytes_are_refused_unread(world: World) -> None:
    """By their length alone."""
    long = "-" * (3 * 1024 * 1024)
    with refused(INVALID, "meeting_id"):
        world.client.meetings.GetMeeting(pb.GetMeetingRequest(meeting_id=long), timeout=PATIENCE_S)
    with refused(INVALID, "page_token"):
        world.client.meetings.ListMeetings(pb.ListMeetingsRequest(page_token=long), timeout=PATIENCE_S)
