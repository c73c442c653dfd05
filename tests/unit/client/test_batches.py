"""Any number of events, in order, in as many calls as they need; repeated only where that stores none twice."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING

import grpc
import pytest
from google.rpc.status_pb2 import Status

from noteflow_hooks.client.batches import Batches
from noteflow_hooks.errors import (
    InvalidInputError,
    NoteFlowHooksError,
    RateLimitError,
    ScopeError,
    UnavailableError,
)
from noteflow_hooks.rpc.proto.noteflow.v1 import noteflow_pb2 as pb

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from noteflow_hooks.client.batches import Outcome

    Answer = NoteFlowHooksError | Callable[[pb.PublishEventsRequest], pb.PublishEventsResponse]


class Server:
    """Answers calls as a script says, and stores all afterwards; its time passes while somebody sleeps."""

    def __init__(self, *script: Answer) -> None:
        self.calls: list[list[str]] = []
        self.slept: list[float] = []
        self._script = list(script)
        self.batches = Batches(self.call, "host:1", sleep=self.slept.append, clock=lambda: sum(self.slept))

    def call(self, request: pb.PublishEventsRequest) -> pb.PublishEventsResponse:
        """Answer one call."""
        self.calls.append([each.payload_json[:20] for each in request.requests])
        answer = self._script.pop(0) if self._script else stored
        if isinstance(answer, NoteFlowHooksError):
            raise answer
        return answer(request)

    def publish(
        self, requests: Sequence[pb.PublishEventRequest], *, patience_s: float = 30, keyed: bool = False
    ) -> list[Outcome]:
        """Publish them."""
        return self.batches.publish(requests, patience=timedelta(seconds=patience_s), keyed=keyed)


def stored(request: pb.PublishEventsRequest) -> pb.PublishEventsResponse:
    return refusing({})(request)


def refusing(codes: dict[str, grpc.StatusCode]) -> Callable[[pb.PublishEventsRequest], pb.PublishEventsResponse]:
    """Store all but those with these payloads."""

    def answer(request: pb.PublishEventsRequest) -> pb.PublishEventsResponse:
        response = pb.PublishEventsResponse()
        for each in request.requests:
            code = codes.get(each.payload_json)
            if code is None:
                response.results.add(event=pb.Event(id=each.payload_json, idempotency_key=each.idempotency_key))
            else:
                response.results.add(status=Status(code=code.value[0], message="field: why"))
        return response

    return answer


def a_request(payload: str, *, key: str | None = None) -> pb.PublishEventRequest:
    return pb.PublishEventRequest(payload_json=payload, idempotency_key=key)


def ids(outcomes: Sequence[Outcome]) -> list[object]:
    return [each.id if isinstance(each, pb.Event) else type(each) for each in outcomes]


def test_what_is_more_than_a_call_takes_goes_in_several() -> None:
    """By their number, and by their size; a large one by itself, for the server to refuse it."""
    server = Server()
    assert ids(server.publish([a_request(str(number)) for number in range(1100)])) == [str(n) for n in range(1100)]
    assert [len(each) for each in server.calls] == [500, 500, 100]
    server = Server()
    large = [
        a_request(letter * size) for letter, size in (("a", 1_500_000), ("b", 1_500_000), ("c", 4_000_000), ("d", 1))
    ]
    server.publish(large)
    assert [[payload[0] for payload in call] for call in server.calls] == [["a", "b"], ["c"], ["d"]]
    assert Server().publish([]) == []


def test_each_outcome_is_in_its_place() -> None:
    """An event, or the error that a call of its own would have raised."""
    server = Server(refusing({"b": grpc.StatusCode.INVALID_ARGUMENT}))
    outcomes = server.publish([a_request(each) for each in "abc"])
    assert ids(outcomes) == ["a", InvalidInputError, "c"]
    assert str(outcomes[1]) == "field: why"


def test_only_what_has_a_key_is_tried_again() -> None:
    """Another one may be stored already: nobody could tell."""
    away = dict.fromkeys("bc", grpc.StatusCode.UNAVAILABLE)
    server = Server(refusing(away), refusing(away))
    requests = [a_request("a"), a_request("b", key="k"), a_request("c")]
    assert ids(server.publish(requests)) == ["a", "b", UnavailableError]
    assert server.calls == [["a", "b", "c"], ["b"], ["b"]]
    assert server.slept == [0.2, 0.4]


def test_keys_are_made_on_request_and_kept_over_repetitions() -> None:
    """So all may be tried again; what the caller holds stays as it is."""
    keys: list[str] = []

    def lost(request: pb.PublishEventsRequest) -> pb.PublishEventsResponse:
        keys.extend(each.idempotency_key for each in request.requests)
        raise UnavailableError

    given = [a_request("a"), a_request("b", key="k")]
    outcomes = Server(lost).publish(given, keyed=True)
    assert [each.idempotency_key for each in outcomes if isinstance(each, pb.Event)] == keys
    assert (len(keys[0]), keys[1]) == (32, "k")
    assert not given[0].HasField("idempotency_key")


def test_patience_ends() -> None:
    """With the error of who was not there."""
    server = Server(*[UnavailableError("away")] * 99)
    with pytest.raises(UnavailableError, match="away"):
        server.publish([a_request("a", key="k")], patience_s=10)
    assert sum(server.slept) <= 10
    assert max(server.slept) == 5.0 or len(server.slept) == 5


def test_a_token_s_limit_is_waited_for() -> None:
    """Nothing was stored then, so all go again, whatever their keys; not longer than patience allows."""
    server = Server(RateLimitError(retry_after=timedelta(seconds=3)))
    assert ids(server.publish([a_request("a")])) == ["a"]
    assert server.slept == [3.0]
    with pytest.raises(RateLimitError):
        Server(RateLimitError(retry_after=timedelta(seconds=31))).publish([a_request("a")])


def test_what_a_later_call_fails_with_stands_in_its_events_places() -> None:
    """The earlier ones are stored, and said to be; the first call's error is raised."""
    requests = [a_request(str(number)) for number in range(501)]
    assert ids(Server(stored, ScopeError()).publish(requests))[499:] == ["499", ScopeError]
    with pytest.raises(ScopeError):
        Server(ScopeError()).publish(requests)
