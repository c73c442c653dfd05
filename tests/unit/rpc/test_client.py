"""What a command tells its user when a call fails: one line, whatever gRPC says."""

from __future__ import annotations

import grpc
import pytest

from noteflow_hooks.errors import (
    AlreadyExistsError,
    InvalidInputError,
    LimitError,
    NoteFlowHooksError,
    PreconditionError,
    UnavailableError,
)
from noteflow_hooks.rpc.client import translated

Code = grpc.StatusCode


class Refusal(grpc.RpcError):
    """An answer, as a call raises it."""

    def __init__(self, code: grpc.StatusCode, details: str) -> None:
        self._answer = code, details

    def code(self) -> grpc.StatusCode:
        """Return the code."""
        return self._answer[0]

    def details(self) -> str:
        """Return the line."""
        return self._answer[1]


@pytest.mark.parametrize(
    ("code", "details", "kind", "line"),
    [
        (Code.INVALID_ARGUMENT, "url: is bad", InvalidInputError, "url: is bad"),
        (Code.INVALID_ARGUMENT, "is bad", NoteFlowHooksError, "is bad"),
        (Code.ALREADY_EXISTS, "there", AlreadyExistsError, "there"),
        (Code.FAILED_PRECONDITION, "not now", PreconditionError, "not now"),
        (Code.RESOURCE_EXHAUSTED, "too many", LimitError, "too many"),
        (Code.UNAVAILABLE, "failed to connect to all", UnavailableError, "no server answers at host:1"),
        (Code.UNAVAILABLE, "the database is away", UnavailableError, "host:1: the database is away"),
        (Code.DEADLINE_EXCEEDED, "Deadline", UnavailableError, "host:1 did not answer in time"),
        (Code.INTERNAL, "broken\ntrace", NoteFlowHooksError, "broken"),
        (Code.UNIMPLEMENTED, "", NoteFlowHooksError, "UNIMPLEMENTED"),
    ],
)
def test_an_answer_becomes_one_line_of_the_right_kind(
    code: grpc.StatusCode, details: str, kind: type[Exception], line: str
) -> None:
    """The kinds are the project's own."""
    error = translated(Refusal(code, details), "host:1")
    assert (type(error), str(error)) == (kind, line)
