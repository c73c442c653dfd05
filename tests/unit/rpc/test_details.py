"""What answers say beside their line: small enough for every caller, and never too early."""

from __future__ import annotations

from typing import TYPE_CHECKING

import grpc
import pytest
from google.rpc.error_details_pb2 import BadRequest, RetryInfo
from google.rpc.status_pb2 import Status

from noteflow_hooks.errors import InvalidInputError, LimitError, NotFoundError, TooLargeError
from noteflow_hooks.rpc.interceptors.errors import status_of
from noteflow_hooks.rpc.interceptors.limits import too_often
from noteflow_hooks.rpc.messages.details import details

if TYPE_CHECKING:
    from datetime import timedelta


@pytest.mark.parametrize("text", ["x" * 100_000, "ü" * 100_000, "😀" * 100_000, "\ud800" * 100_000])
def test_an_answer_fits_into_what_callers_take(text: str) -> None:
    """8 KiB: the line, of which each byte may take three, and the status in base64."""
    error = InvalidInputError(text, text)
    code, line = status_of(error)
    ((_, data),) = details(error, code=code, line=line)
    assert 3 * len(line.encode()) + len(data) * 4 / 3 < 8192
    assert line.endswith("…")


def test_a_short_line_is_answered_whole() -> None:
    """With the field and the problem apart for programs."""
    error = InvalidInputError("url", "is not allowed")
    code, line = status_of(error)
    ((key, data),) = details(error, code=code, line=line)
    status, found = Status.FromString(data), BadRequest()
    assert (key, status.code, status.message) == ("grpc-status-details-bin", 3, "url: is not allowed")
    assert status.details[0].Unpack(found)
    assert [(each.field, each.description) for each in found.field_violations] == [("url", "is not allowed")]


@pytest.mark.parametrize("wait_s", [0.0000001, 0.0011, 0.9999, 59.9991])
def test_who_is_told_to_wait_is_never_told_too_little(wait_s: float) -> None:
    """Whole milliseconds, rounded up, in the line and for programs alike."""
    error = too_often("3 calls", wait_s)
    code, line = status_of(error)
    ((_, data),) = details(error, code=code, line=line)
    info = RetryInfo()
    assert Status.FromString(data).details[0].Unpack(info)
    said: timedelta = info.retry_delay.ToTimedelta()
    assert 0 <= said.total_seconds() - wait_s <= 0.001
    assert line == f"at most 3 calls; try again in {said.total_seconds():g} s"


@pytest.mark.parametrize(
    ("error", "kinds"),
    [
        (LimitError(), ["RetryInfo", "ErrorInfo"]),
        (TooLargeError(), ["ErrorInfo"]),
        (NotFoundError(), ["ErrorInfo"]),
        (ValueError("x"), []),
    ],
)
def test_each_refusal_says_why_and_each_limit_when_to_try_again(error: Exception, kinds: list[str]) -> None:
    """But for a message that stays too large; an error of another kind is a fault of ours, and says nothing."""
    found = details(error, code=grpc.StatusCode.UNKNOWN, line="x")
    given = Status.FromString(found[0][1]).details if found else []
    assert [each.TypeName().rpartition(".")[2] for each in given] == kinds


def test_everything_that_is_wrong_is_answered_as_far_as_it_fits() -> None:
    """Each violation apart, for programs; the first ones where there are too many."""
    few = InvalidInputError.of_all([InvalidInputError("title", "is missing"), InvalidInputError("event", "no")])
    assert violations(few) == [("title", "is missing"), ("event", "no")]
    many = InvalidInputError.of_all([InvalidInputError(f"field_{n}", "p" * 300) for n in range(100)])
    code, line = status_of(many)
    ((_, data),) = details(many, code=code, line=line)
    assert 3 * len(line.encode()) + len(data) * 4 / 3 < 8192
    assert violations(many)[0] == ("field_0", "p" * 300)
    assert 1 < len(violations(many)) < 100


def violations(error: InvalidInputError) -> list[tuple[str, str]]:
    ((_, data),) = details(error, code=grpc.StatusCode.INVALID_ARGUMENT, line="x")
    found = BadRequest()
    assert Status.FromString(data).details[0].Unpack(found)
    return [(each.field, each.description) for each in found.field_violations]
