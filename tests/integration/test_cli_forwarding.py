"""`listen --forward-to`: what is posted of an event and printed, and how it goes on where the connection breaks."""

from __future__ import annotations

import json
import threading
from contextlib import nullcontext
from datetime import UTC, datetime
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any, Final, Self
from uuid import uuid4

import pytest

from noteflow_hooks.cli.support import following_streams
from noteflow_hooks.cli.support.forwarding import Forwarder, Forwarding, Posted, line_of, row_of
from noteflow_hooks.cli.support.receiver import Received, Receiver
from noteflow_hooks.errors import InvalidInputError, NoteFlowHooksError, UnavailableError
from noteflow_hooks.rpc.proto.noteflow.v1 import noteflow_pb2 as pb
from noteflow_hooks.signing import generate_secret, verify_signature, verify_standard
from tests.support.waiting import PATIENCE_S

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from noteflow_hooks.client import Client

SECRET: Final = generate_secret()
PAYLOAD: Final = '{"event":"meeting.completed","title":"Wöchentlich"}'


def an_event(**fields: Any) -> pb.Event:  # noqa: ANN401 - the message's own
    event = pb.Event(
        **{"id": str(uuid4()), "event_type": "meeting.completed", "payload": PAYLOAD, "meeting_id": "m-1"} | fields
    )
    event.occurred_at.FromDatetime(datetime.now(UTC))
    return event


def told(event: pb.Event | None = None, *, cursor: str, missed: int = 0) -> pb.WatchEventsResponse:
    return pb.WatchEventsResponse(event=event, cursor=cursor, missed=missed)


class Server:
    """One that answers each watch with the next of these: messages, and at last an error."""

    def __init__(self, *watches: list[Any]) -> None:
        self._watches = iter(watches)
        self.cursors: list[str] = []

    def connect(self) -> Client:
        return nullcontext(SimpleNamespace(events=SimpleNamespace(WatchEvents=self._tell)))  # type: ignore[return-value]  # all of a client that is used

    def _tell(self, request: pb.WatchEventsRequest) -> Iterator[pb.WatchEventsResponse]:
        self.cursors.append(request.cursor)
        for each in next(self._watches, [KeyboardInterrupt()]):
            if isinstance(each, BaseException):
                raise each
            yield each


def keeping(received: list[Received]) -> Callable[[Received], int]:
    """Return what keeps what has come, and answers 418."""

    def answer(each: Received) -> int:
        received.append(each)
        return 418

    return answer


class Posts:
    """In place of what posts: remembers what it was given."""

    def __init__(self) -> None:
        self.ids: list[str] = []

    def post(self, event: pb.Event) -> Posted:
        self.ids.append(event.id)
        return Posted(204, 3)


@pytest.fixture(autouse=True)
def _no_sleep(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("noteflow_hooks.cli.support.following_streams.time.sleep", lambda _: None)


def follow(server: Server, posts: Posts, *, as_json: bool = True) -> bool:
    forwarding = Forwarding(pb.WatchEventsRequest(), posts, as_json=as_json)  # type: ignore[arg-type]  # all of it that is used
    return forwarding.keep_on(server.connect, every_s=1)


def test_a_post_is_what_a_worker_would_send_signed_with_the_secret_that_was_given() -> None:
    """Byte for byte, with both signatures, the usual headers and those of one's own; each time under the same ids."""
    received: list[Received] = []

    event = an_event(sequence=7)
    with Receiver(keeping(received)) as receiver:
        forwarder = Forwarder(f"{receiver.url}hooks", secret=SECRET, headers=[("X-Tenant", "acme")])
        posted = [forwarder.post(event) for _ in range(2)]
    assert [(each.status_code, each.error) for each in posted] == [(418, None)] * 2
    first, second = received
    assert first.body == PAYLOAD.encode()
    assert verify_signature(first.body, first.headers["x-noteflow-signature"], SECRET)
    assert verify_standard(first.body, first.headers, SECRET)
    expected = {"x-tenant": "acme", "x-noteflow-event": "meeting.completed", "x-noteflow-sequence": "7"}
    assert expected.items() <= first.headers.items()
    assert first.headers["webhook-id"] == second.headers["webhook-id"] == event.id
    assert first.headers["x-noteflow-delivery"] == second.headers["x-noteflow-delivery"]


def test_an_endpoint_s_format_is_taken_where_one_is_named() -> None:
    """As its receiver would get it."""
    received: list[Received] = []
    like = pb.Webhook(format="cloudevents", payload_version=1)
    with Receiver(keeping(received)) as receiver:
        event = an_event()
        Forwarder(receiver.url, secret=SECRET, like=like).post(event)
    assert json.loads(received[0].body)["id"] == event.id
    assert received[0].headers["content-type"].startswith("application/cloudevents+json")


def test_a_receiver_that_is_not_there_is_told_and_so_is_an_erased_payload() -> None:
    """Without an error of its own, since the next event may find it."""
    with Receiver(lambda _: 200) as receiver:
        gone = Forwarder(receiver.url, secret=SECRET)
    assert gone.post(an_event()).error == "Connection refused"
    erased = an_event()
    erased.payload_erased_at.FromDatetime(datetime.now(UTC))
    assert "erased" in (gone.post(erased).error or "")


@pytest.mark.parametrize(
    ("url", "headers", "named"),
    [
        ("http://receiver.example/", [], "--forward-to"),
        ("localhost:3000", [], "--forward-to"),
        ("http://localhost:3000/", [("webhook-id", "canary")], "--header"),
        ("http://localhost:3000/", [("X-A", "canary\n")], "--header"),
    ],
)
def test_what_no_endpoint_may_have_is_refused_by_its_option(
    url: str, headers: list[tuple[str, str]], named: str
) -> None:
    """As a registration would; no value is repeated."""
    with pytest.raises(InvalidInputError, match=f"^{named}: ") as refused:
        Forwarder(url, secret=SECRET, headers=headers)
    assert "canary" not in str(refused.value)


def test_each_event_is_a_line_with_what_was_answered(capsys: pytest.CaptureFixture[str]) -> None:
    """With --format json each is an object; a heartbeat is none. Of what refuses it, its words are shown, too."""
    event = an_event()
    messages = [told(cursor="1"), told(event, cursor="2"), told(cursor="3")]
    assert follow(Server(messages), Posts(), as_json=False)
    [line] = capsys.readouterr().out.splitlines()
    assert all(each in line for each in ("meeting.completed", event.id, "204", "3 ms"))
    assert follow(Server(messages), Posts())
    [row] = map(json.loads, capsys.readouterr().out.splitlines())
    known = {"event_id": event.id, "event_type": "meeting.completed", "meeting_id": "m-1", "status_code": 204}
    assert known.items() <= row.items()
    assert row["duration_ms"] == 3
    refused = Posted(401, 3, answer='{"error":"no_match"}')
    assert line_of(event, refused).endswith('3 ms  {"error":"no_match"}')
    assert row_of(event, refused)["answer"] == refused.answer


def test_it_goes_on_behind_the_last_one_that_was_posted(capsys: pytest.CaptureFixture[str]) -> None:
    """Also where it was too slow, and the server left some out: those are told again."""
    first, second, third = an_event(), an_event(), an_event()
    away, posts = UnavailableError("the server is stopping; watch again, with the last message's cursor"), Posts()
    server = Server(
        [told(cursor="0"), told(first, cursor="1"), away],
        [away],
        [told(third, cursor="3", missed=1)],
        [told(second, cursor="2"), told(third, cursor="3")],
    )
    assert follow(server, posts)
    assert server.cursors == ["", "1", "1", "1", "3"]
    assert posts.ids == [first.id, second.id, third.id]
    said = capsys.readouterr().err
    assert "watch again" not in said
    assert (said.count("waiting for it"), said.count("the server answers again")) == (1, 1)


def test_a_server_that_was_never_there_or_refuses_is_not_waited_for() -> None:
    """Its error is the command's."""
    for error in (UnavailableError("no server answers"), InvalidInputError("types", "is not allowed")):
        with pytest.raises(type(error)):
            follow(Server([error]), Posts())


class Dumb:
    """A stream over a connection that leads nowhere: it says nothing more until it is cancelled."""

    def __init__(self, *messages: pb.WatchEventsResponse) -> None:
        self._messages = iter(messages)
        self._cancelled = threading.Event()

    def __iter__(self) -> Self:
        return self

    def __next__(self) -> pb.WatchEventsResponse:
        for message in self._messages:
            return message
        assert self._cancelled.wait(PATIENCE_S)
        raise NoteFlowHooksError("cancelled")

    def cancel(self) -> None:
        self._cancelled.set()


def test_a_stream_without_heartbeats_is_begun_anew(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """As where a router has forgotten the connection; what still comes is taken in meanwhile."""
    monkeypatch.setattr(following_streams, "SILENCE_S", 0.05)
    event, posts = an_event(), Posts()
    streams: Iterator[Any] = iter([Dumb(told(cursor="1")), [told(event, cursor="2"), KeyboardInterrupt()]])

    class Silent(Forwarding):
        def begun(self, _: Client) -> Any:  # noqa: ANN401 - a stream
            stream = next(streams)
            return stream if isinstance(stream, Dumb) else Server(stream)._tell(self.request)  # noqa: SLF001 - the same stream

    request = pb.WatchEventsRequest()
    assert Silent(request, posts, as_json=True).keep_on(Server().connect, every_s=1)  # type: ignore[arg-type]  # as above
    assert (posts.ids, request.cursor) == ([event.id], "2")
    assert "said nothing for 0.05 s; waiting for it" in capsys.readouterr().err
