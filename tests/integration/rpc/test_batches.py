"""PublishEvents: many events in one call, each as in a call of its own."""

from __future__ import annotations

import json
from functools import partial
from typing import TYPE_CHECKING, Any
from uuid import UUID

import grpc
import pytest
from google.rpc.error_details_pb2 import BadRequest, ErrorInfo

from noteflow_hooks.errors import UnavailableError
from noteflow_hooks.rpc.interceptors import counting
from noteflow_hooks.rpc.interceptors.buckets import Buckets
from noteflow_hooks.rpc.interceptors.limits import CallerLimits
from noteflow_hooks.rpc.proto.noteflow.v1 import noteflow_pb2 as pb
from tests.integration.rpc.sqlworld import world_over
from tests.integration.rpc.world import UNLIMITED, World, refused

if TYPE_CHECKING:
    from collections.abc import Sequence

    from noteflow_hooks.domain.events import Event

TOO_MUCH = grpc.StatusCode.RESOURCE_EXHAUSTED
WRONG = grpc.StatusCode.INVALID_ARGUMENT


def a_request(number: int = 1, *, key: str | None = None, **payload: Any) -> pb.PublishEventRequest:  # noqa: ANN401 - JSON
    """Return a request of its own."""
    fields = {"meeting_id": f"m-{number}", "title": f"No. {number}", **payload}
    return pb.PublishEventRequest(event_type="recording.started", payload_json=json.dumps(fields), idempotency_key=key)


def publish(world: World, requests: Sequence[pb.PublishEventRequest]) -> Sequence[pb.PublishEventResult]:
    return world.client.events.PublishEvents(pb.PublishEventsRequest(requests=requests)).results


@pytest.mark.parametrize("over", ["memory", "postgres"])
def test_each_event_has_its_own_result_in_its_place(over: str, request: pytest.FixtureRequest) -> None:
    """However many there are; those that are stored are announced, once for each group."""
    made = partial(world_over, request.getfixturevalue("clean_database")) if over == "postgres" else World
    with made(limits=UNLIMITED) as world:
        results = publish(world, [a_request(number) for number in range(250)])
        assert [each.event.meeting_id for each in results] == [f"m-{number}" for number in range(250)]
        assert {each.event.id for each in results} == {str(each.id) for each in world.events()}
        assert [str(each) for each in world.announced] == [each.event.id for each in results]
        assert json.loads(results[7].event.payload)["title"] == "No. 7"
        listed = world.client.events.ListEvents(pb.ListEventsRequest(page_size=500)).events
        assert [each.meeting_id for each in reversed(listed)] == [f"m-{number}" for number in range(250)]


def test_a_bad_event_fails_itself_alone(world: World) -> None:
    """With the code, the line and the details that a call of its own is answered with."""
    bad = pb.PublishEventRequest(event_type="webhook.test", payload_json="{}")
    first, second, third = publish(world, [a_request(1), bad, a_request(2)])
    assert (first.event.meeting_id, third.event.meeting_id) == ("m-1", "m-2")
    with pytest.raises(grpc.RpcError) as caught:
        world.client.events.PublishEvent(bad)
    assert (second.status.code, second.status.message) == (WRONG.value[0], caught.value.details())
    wrong, info = BadRequest(), ErrorInfo()
    assert second.status.details[0].Unpack(wrong)
    assert second.status.details[1].Unpack(info)
    assert ([each.field for each in wrong.field_violations], info.reason) == (["event_type"], "INVALID_ARGUMENT")
    assert len(world.events()) == 2


def test_a_key_that_comes_twice_is_answered_as_in_two_calls(world: World) -> None:
    """The same event for the same request, and a clash for another one; in an earlier call or in this one."""
    first, same, clash = publish(world, [a_request(1, key="k"), a_request(1, key="k"), a_request(2, key="k")])
    assert same.event == first.event
    assert clash.status.code == grpc.StatusCode.ALREADY_EXISTS.value[0]
    [again] = publish(world, [a_request(1, key="k")])
    assert again.event == first.event
    assert [each.id for each in world.events()] == [UUID(first.event.id)]


@pytest.mark.parametrize("count", [0, 501])
def test_how_many_there_may_be_is_said(world: World, count: int) -> None:
    """And none of them is stored."""
    with refused(WRONG, f"requests: has {count} entries; 1 to 500 are allowed"):
        publish(world, [a_request()] * count)
    assert world.events() == []


def test_an_answer_fits_into_a_message(world: World) -> None:
    """As large as the request may be: then the payloads are left out, which the caller has."""
    large = [a_request(number, text="x" * 9_000) for number in range(400)]
    results = publish(world, large)
    assert {each.event.payload for each in results} == {""}
    assert len({each.event.id for each in results}) == len(world.events()) == len(large)


def test_each_event_counts_as_a_call(monkeypatch: pytest.MonkeyPatch) -> None:
    """Refused as a whole where they are too many by then, with nothing stored, and how long to wait."""
    monkeypatch.setattr(counting, "Buckets", partial(Buckets, clock=lambda: 0.0))
    with World(limits=CallerLimits(token_calls_per_s=10)) as world:
        assert len(publish(world, [a_request()] * 15)) == 15
        with refused(TOO_MUCH, "at most 10 calls a second with one token; try again in 0.101 s"):
            publish(world, [a_request()] * 6)
        assert len(publish(world, [a_request()] * 5)) == 5
        with refused(TOO_MUCH, "at most 10 calls a second"):
            world.client.events.PublishEvent(a_request())
        assert len(world.events()) == 20


def test_a_batch_beyond_what_a_token_ever_has_is_let_in_and_made_up_for(monkeypatch: pytest.MonkeyPatch) -> None:
    """Once the token has made no call for a while; what comes next waits for as long as the batch would have taken."""
    monkeypatch.setattr(counting, "Buckets", partial(Buckets, clock=lambda: 0.0))
    with World(limits=CallerLimits(token_calls_per_s=10)) as world:
        assert len(publish(world, [a_request()] * 100)) == 100
        with refused(TOO_MUCH, "try again in 8.1 s"):
            world.client.events.PublishEvent(a_request())


def test_a_store_that_is_away_fails_the_call(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where it is lost in between, what was stored is said to be, and the rest is UNAVAILABLE."""
    inner, groups = world.service.publish_all, iter([True, False])

    def publish_all(events: Sequence[Event]) -> Sequence[Event | Exception]:
        if next(groups, False):
            return inner(events)
        raise UnavailableError("away")

    monkeypatch.setattr(world.service, "publish_all", publish_all)
    *_, last = results = publish(world, [a_request(number) for number in range(150)])
    assert [each.HasField("event") for each in results] == [True] * 100 + [False] * 50
    assert (last.status.code, last.status.message) == (grpc.StatusCode.UNAVAILABLE.value[0], "away")
    with refused(grpc.StatusCode.UNAVAILABLE, "away"):
        publish(world, [a_request(), pb.PublishEventRequest()])
