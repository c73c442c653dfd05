"""The details of an error, for programs: which field was wrong, or when to try again. For people there is a line.

Their form is gRPC's richer error model: a google.rpc.Status with BadRequest or RetryInfo, in the trailing metadata.
Their size is bounded, since a caller's gRPC refuses an answer whose metadata is larger than 8 KiB.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from google.rpc.error_details_pb2 import BadRequest, RetryInfo
from google.rpc.status_pb2 import Status

from noteflow_hooks.errors import InvalidInputError, RateLimitError

if TYPE_CHECKING:
    import grpc
    from google.protobuf.message import Message

#: Where gRPC's libraries look for the status.
KEY: Final = "grpc-status-details-bin"
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
    message = _message(error)
    if message is None:
        return ()
    status = Status(code=code.value[0], message=line)
    status.details.add().Pack(message)
    return ((KEY, status.SerializeToString()),)


def _message(error: Exception) -> Message | None:
    message: Message | None = None
    if isinstance(error, InvalidInputError):
        message = BadRequest(field_violations=_violations(error))
    if isinstance(error, RateLimitError):
        message = info = RetryInfo()
        info.retry_delay.FromTimedelta(error.retry_after)
    return message


def _violations(error: InvalidInputError) -> list[BadRequest.FieldViolation]:
    """Return as many of what is wrong as can be answered, and one at least."""
    kept: list[BadRequest.FieldViolation] = []
    for field, problem in error.violations:
        kept.append(BadRequest.FieldViolation(field=bounded(field), description=bounded(problem)))
        if sum(each.ByteSize() for each in kept) > _VIOLATIONS_LIMIT:
            return kept[: max(1, len(kept) - 1)]
    return kept
