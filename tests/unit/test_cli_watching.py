"""`deliveries tail` by a watch: what it prints, and how it goes on where one breaks."""

from __future__ import annotations

import json
from contextlib import nullcontext
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import grpc
import pytest

from noteflow_hooks.cli.support.watching import watch_lines
from noteflow_hooks.errors import InvalidInputError, NoteFlowHooksError, UnavailableError
from noteflow_hooks.rpc.proto.noteflow.v1 import noteflow_pb2 as pb

if TYPE_CHECKING:
    from collections.abc import Iterator

    from noteflow_hooks.client import Client


def told(delivery_id: str = "", *, at: int = 1, missed: int = 0, **fields: Any) -> pb.WatchDeliveriesResponse:  # noqa: ANN401 - a delivery's fields
    """Return a message; without an id a heartbeat."""
    message = pb.WatchDeliveriesResponse(missed=missed)
    message.at.FromSeconds(at)
    if delivery_id:
        message.delivery.CopyFrom(pb.Delivery(id=delivery_id, webhook_id="w", **fields))
    return message


class Server:
    """One that answers each watch with the next of these: messages, and at last an error."""

    def __init__(self, *watches: list[Any]) -> None:
        self._watches = iter(watches)
        #: Since when each was asked for, in seconds; None for now.
        self.since: list[int | None] = []

    def connect(self) -> Client:
        webhooks = SimpleNamespace(WatchDeliveries=self._watch, ListWebhooks=self._list)
        return nullcontext(SimpleNamespace(webhooks=webhooks))  # type: ignore[return-value]  # all of a client that is used

    def _watch(self, request: pb.WatchDeliveriesRequest) -> Iterator[pb.WatchDeliveriesResponse]:
        self.since.append(request.since.seconds if request.HasField("since") else None)
        for each in next(self._watches, [KeyboardInterrupt()]):
            if isinstance(each, BaseException):
                raise each
            yield each

    @staticmethod
    def _list(_: pb.ListWebhooksRequest) -> pb.ListWebhooksResponse:
        return pb.ListWebhooksResponse(webhooks=[pb.Webhook(id="w", name="CRM")])


@pytest.fixture(autouse=True)
def _no_sleep(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("noteflow_hooks.cli.support.following_streams.time.sleep", lambda _: None)


def watched(server: Server, *, as_json: bool = True) -> bool:
    return watch_lines(server.connect, pb.WatchDeliveriesRequest(), every_s=1, as_json=as_json)


class Unimplemented(Exception):  # noqa: N818 - stands for gRPC's own
    """gRPC's error for a method that is not there."""

    @staticmethod
    def code() -> grpc.StatusCode:
        return grpc.StatusCode.UNIMPLEMENTED


def unknown() -> NoteFlowHooksError:
    """Return what a server of a former release says."""
    error = NoteFlowHooksError("Method not found!")
    error.__cause__ = Unimplemented()
    return error


def test_each_change_is_a_line_with_its_endpoint_and_a_heartbeat_is_none(capsys: pytest.CaptureFixture[str]) -> None:
    """With --json each is an object."""
    messages = [told(), told("a", status="dead", attempt_count=2), told()]
    assert watched(Server(messages), as_json=False)
    [line] = capsys.readouterr().out.splitlines()
    assert ("CRM" in line, "dead" in line, "attempts 2" in line) == (True, True, True)
    assert watched(Server(messages))
    assert [json.loads(each)["id"] for each in capsys.readouterr().out.splitlines()] == ["a"]


def test_a_watch_that_breaks_goes_on_where_it_was(capsys: pytest.CaptureFixture[str]) -> None:
    """What is told once more is not printed again; that it waits is said once."""
    away = UnavailableError("no server answers")
    server = Server([told(at=1), told("a", at=5), away], [away], [told("a", at=5), told("b", at=6)])
    assert watched(server)
    assert server.since == [None, 5, 5, 6]
    printed = capsys.readouterr()
    assert [json.loads(each)["id"] for each in printed.out.splitlines()] == ["a", "b"]
    assert printed.err.count("waiting for it") == 1


def test_a_server_that_never_answered_is_not_waited_for() -> None:
    """It may be the wrong one."""
    with pytest.raises(UnavailableError):
        watched(Server([UnavailableError("no server answers")]))


def test_one_that_was_away_for_too_long_is_watched_from_now_on(capsys: pytest.CaptureFixture[str]) -> None:
    """And it is said that something is missing; so is what came too fast."""
    server = Server(
        [told(at=5), told("a", at=6, missed=3)], [InvalidInputError("since", "may be at most")], [told("b")]
    )
    assert watched(server)
    assert server.since[:3] == [None, 6, None]
    said = capsys.readouterr().err
    assert "3 changes came too fast" in said
    assert "is missing" in said


def test_a_server_that_knows_no_watches_is_told_apart_from_one_that_refuses() -> None:
    """The first one is asked again and again; the second one's error is the command's."""
    assert not watched(Server([unknown()]))
    with pytest.raises(InvalidInputError):
        watched(Server([InvalidInputError("status", "is not allowed")]))
    with pytest.raises(NoteFlowHooksError):
        watched(Server([NoteFlowHooksError("no scope")]))
