"""`deliveries tail` prints what is new or changed, once."""

from __future__ import annotations

import json
from contextlib import nullcontext
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import pytest

from noteflow_hooks.cli.support.tailing import Changes, line, tail_lines
from noteflow_hooks.errors import NoteFlowHooksError, UnavailableError
from noteflow_hooks.rpc.proto.noteflow.v1 import noteflow_pb2 as pb
from tests.support.builders import NOON

if TYPE_CHECKING:
    from noteflow_hooks.client import Client


def a_row(**overrides: Any) -> dict[str, Any]:  # noqa: ANN401 - a field's value
    row = {"id": "d-1", "event_type": "meeting.completed", "status": "pending", "attempt_count": 0}
    return row | overrides


def test_what_is_new_or_has_changed_comes_once_and_oldest_first() -> None:
    """A row that looks as before is silent."""
    changes = Changes()
    older, newer = a_row(id="a"), a_row(id="b")
    assert list(changes.among([newer, older])) == [older, newer]
    assert list(changes.among([newer, older])) == []
    failed = a_row(id="a", attempt_count=1, next_attempt_at="2026-01-31T12:00:00Z")
    assert list(changes.among([newer, failed])) == [failed]


def test_only_so_many_are_remembered() -> None:
    """A tail may run for weeks."""
    changes = Changes(remembered=2)
    for number in range(5):
        list(changes.among([a_row(id=str(number))]))
    assert list(changes.among([a_row(id="4")])) == []
    assert list(changes.among([a_row(id="0")])) == [a_row(id="0")]


def test_a_line_says_when_and_whose_and_what_is_known() -> None:
    """And no more."""
    assert shown(a_row()) == "12:00:00Z  d-1  CRM\\x1b  meeting.completed  pending    attempts 0"
    settled = a_row(status="dead", attempt_count=2, status_code=500, duration_ms=3, error_message="HTTP\n500")
    assert shown(settled) == (
        r"12:00:00Z  d-1  CRM\x1b  meeting.completed  dead       attempts 2  HTTP 500  3 ms  HTTP\n500"
    )


def shown(row: dict[str, Any]) -> str:
    return line(row, endpoint="CRM\x1b", at=NOON)


def tailed(answers: list[list[str] | BaseException], monkeypatch: pytest.MonkeyPatch) -> None:
    """Tail a server that answers with deliveries of these ids, or fails so, and is left alone after that."""
    left = iter([*answers, KeyboardInterrupt()])

    def answer(_: pb.ListDeliveriesRequest) -> pb.ListDeliveriesResponse:
        each = next(left)
        if isinstance(each, BaseException):
            raise each
        return pb.ListDeliveriesResponse(deliveries=[pb.Delivery(id=id_) for id_ in each])

    def connect() -> Client:
        server = SimpleNamespace(webhooks=SimpleNamespace(ListDeliveries=answer))
        return nullcontext(server)  # type: ignore[return-value]  # as much of one as is used

    monkeypatch.setattr("noteflow_hooks.cli.support.tailing.time.sleep", lambda _: None)
    tail_lines(connect, pb.ListDeliveriesRequest(), every_s=1, as_json=True)


def test_a_server_that_goes_away_is_waited_for(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """That is said once each time; what happened meanwhile is printed when it is back."""
    gone = UnavailableError("no server answers")
    tailed([["a"], gone, gone, ["b", "a"], gone, ["b", "a"]], monkeypatch)
    printed = capsys.readouterr()
    assert [json.loads(row)["id"] for row in printed.out.splitlines()] == ["b"]
    assert printed.err == "noteflow-hooks: no server answers; waiting for it\n" * 2


@pytest.mark.parametrize(
    "answers", [[UnavailableError("no")], [["a"], NoteFlowHooksError("no")]], ids=["never there", "refused"]
)
def test_nothing_else_is_waited_for(answers: list[list[str] | BaseException], monkeypatch: pytest.MonkeyPatch) -> None:
    """A server that was never there may be the wrong one; a bad token stays bad."""
    with pytest.raises(NoteFlowHooksError, match="no"):
        tailed(answers, monkeypatch)
