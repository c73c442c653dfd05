"""The details of an error, for programs: which fields are wrong, when to try again, and why. People get a line.

Their form is gRPC's richer error model: a google.rpc.Status in the trailing metadata, with BadRequest, RetryInfo and
ErrorInfo. Their size is bounded, since a caller's gRPC refuses an answer whose metadata is larger than 8 KiB.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from google.rpc.error_details_pb2 import BadRequest, ErrorInfo, RetryInfo
from google.rpc.status_pb2 import Status

from noteflow_hooks.errors import InvalidInputError, LimitError, NoteFlowHooksError

if TYPE_CHECKING:
    from collections.abc import Iterator

    import grpc
    from google.protobuf.message import Message

#: Where gRPC's libraries look for the status.
KEY: Final = "grpc-status-details-bin"
#: What an ErrorInfo's reasons belong to.
DOMAIN: Final = "noteflow.hooks"
#: The most bytes of a line. On the wire it may take three times as many, and the status repeats it.
_LINE_LIMIT: Final = 1000
#: The most bytes of all violations together.
_VIOLATIONS_LIMIT: Final = 2000


def bounded(line: str) -> str:
    """Return the line, cut to the most bytes that an answer may have of it."""
    data = line.encode(errors="replace")
    return line if len(data) <= _LINE_LIMIT else f"{data[:_LINE_LIMIT].decode(errors='ignore')}…"


def details(error: Exception, *, code: grpc.StatusCode, line: str) -> tuple[tuple[str, bytes], ...]:
    """Return the trailing metadata for the error; empty for one that has no details."""
    status = status_message(error, code=code, line=line)
    return ((KEY, status.SerializeToString()),) if status.details else ()


def status_message(error: Exception, *, code: grpc.StatusCode, line: str) -> Status:
    """Return all that is said of the error."""
    status = Status(code=code.value[0], message=line)
    for each in _messages(error):
        status.details.add().Pack(each)
    return status


def _messages(error: Exception) -> Iterator[Message]:
    if isinstance(error, InvalidInputError):
        yield BadRequest(field_violations=_violations(error))
    if isinstance(error, LimitError) and error.retry_after is not None:
        retry = RetryInfo()
        retry.retry_delay.FromTimedelta(error.retry_after)
        yield retry
    if isinstance(error, NoteFlowHooksError):
        yield ErrorInfo(domain=DOMAIN, reason=error.reason)


def _violations(error: InvalidInputError) -> list[BadRequest.FieldViolation]:
    """Return as many of what is wrong as can be answered, and one at least."""
    kept: list[BadRequest.FieldViolation] = []
    for field, problem in error.violations:
        kept.append(BadRequest.FieldViolation(field=bounded(field), description=bounded(problem)))
        if sum(each.ByteSize() for each in kept) > _VIOLATIONS_LIMIT:
            return kept[: max(1, len(kept) - 1)]
    return kept
