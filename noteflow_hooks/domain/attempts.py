"""What is on record of an attempt, and the words for what made it fail."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import timedelta
from enum import StrEnum
from typing import TYPE_CHECKING, Final

from noteflow_hooks.domain.exchanges import UNKNOWN_TIMES

if TYPE_CHECKING:
    from datetime import datetime
    from uuid import UUID

    from noteflow_hooks.domain.exchanges import Pairs, Times

#: The status codes of a final answer that count as success; no others do.
SUCCESS: Final = range(200, 300)
#: The most bytes of a response body that are kept.
RESPONSE_KEPT_BYTES: Final = 4096
TIMED_OUT: Final = "Request timed out"
INTERRUPTED: Final = "Interrupted: the worker stopped before the attempt's result was recorded"
#: The status code with which a receiver asks for no more deliveries (RFC 9110, 15.5.11).
GONE: Final = 410


class ErrorKind(StrEnum):
    """What made an attempt fail."""

    TIMEOUT = "timeout"
    DNS = "dns"
    ADDRESS_NOT_ALLOWED = "address_not_allowed"
    CONNECT = "connect"
    TLS = "tls"
    PROTOCOL = "protocol"
    REDIRECT = "redirect"
    STATUS = "status"
    INTERRUPTED = "interrupted"
    SECRET_UNAVAILABLE = "secret_unavailable"  # noqa: S105 - the name of a fault, no secret
    INTERNAL = "internal"


#: Of these nothing is known of the endpoint.
OUR_FAULTS: Final = frozenset({ErrorKind.INTERNAL, ErrorKind.INTERRUPTED, ErrorKind.SECRET_UNAVAILABLE})


@dataclass(frozen=True, slots=True)
class WebhookAttempt:
    """One attempt, as it is on record. ``attempt_number`` counts from 1 over the delivery's whole life."""

    id: UUID
    delivery_id: UUID
    attempt_number: int
    started_at: datetime
    duration_ms: int
    status_code: int | None
    response_body: str | None = field(repr=False)
    error_kind: str | None
    error_message: str | None
    #: Whether it may have reached the endpoint twice: see :class:`AttemptResult`.
    redialled: bool = False
    #: The batch that it was an attempt of; None where the delivery went alone.
    batch_id: UUID | None = None
    times: Times = UNKNOWN_TIMES
    #: As they were sent, in their order, with a mark for each value that is secret; none where nothing was sent.
    request_headers: Pairs = field(default=(), repr=False)
    #: As they came; none where no answer came, and none once the event was erased, which they may repeat.
    response_headers: Pairs = field(default=(), repr=False)

    @property
    def ended_at(self) -> datetime:
        """When it ended, by the clock that it began by."""
        return self.started_at + timedelta(milliseconds=self.duration_ms)
