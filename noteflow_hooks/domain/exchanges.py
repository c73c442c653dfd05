"""What is on record of an attempt's exchange: where its time went, and the headers that went out and came back.

Most requests and answers of an endpoint have the same headers but for a few values. So they are kept as a form, which
all of them share, and the values for its blanks.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import IntEnum
from typing import TYPE_CHECKING, Final, NamedTuple, TypeAlias

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

#: The most headers of a request or an answer that are on record, and the most bytes of them, as UTF-8.
HEADERS_KEPT: Final = 64
HEADERS_KEPT_BYTES: Final = 8_192
#: What stands for a value that is secret.
REDACTED: Final = "[redacted]"
#: The name under which stands how many headers were left out; it ends a value that was cut, too. No header has it.
CUT: Final = "[cut]"

#: Names with values, in the order in which they were sent.
Pairs: TypeAlias = "tuple[tuple[str, str], ...]"


class Blank(IntEnum):
    """What stands in a form in place of a value."""

    #: A value that is kept with each request or answer.
    OWN = 0
    #: The delivery's id, or the batch's.
    DELIVERY = 1
    #: The event's id, or the batch's.
    MESSAGE = 2
    #: The second in which the attempt began.
    TIMESTAMP = 3


@dataclass(frozen=True, slots=True, eq=False, weakref_slot=True)
class HeaderForm:
    """Headers with blanks for what differs from one request or answer to the next. Equal to itself alone."""

    lines: tuple[tuple[str, str | Blank], ...]

    def filled(self, values: Iterable[str], known: Mapping[Blank, str]) -> Pairs:
        """Return the headers; ``values`` are for the blanks of their own, in their order."""
        own = iter(values)
        return tuple((name, value if isinstance(value, str) else _of(value, own, known)) for name, value in self.lines)


class Headers(NamedTuple):
    """The headers of one request or answer."""

    form: HeaderForm
    #: For the form's blanks of their own, in their order.
    values: tuple[str, ...]


class Times(NamedTuple):
    """Where an attempt's time went, in milliseconds; None for what did not happen.

    A second connection within the attempt counts in place of the first. What is no other part of the duration is
    ``wait_ms``: preparing, sending, and waiting for the answer's head.
    """

    dns_ms: int | None = None
    #: With an egress proxy, until there is a tunnel through it.
    connect_ms: int | None = None
    tls_ms: int | None = None
    wait_ms: int | None = None
    #: Reading the body.
    read_ms: int | None = None
    #: Whether the connection had been kept from a delivery before; None where that is not known.
    reused_connection: bool | None = None


#: Of an attempt of a former release, and of one that was cut off.
UNKNOWN_TIMES: Final = Times()


class Exchange(NamedTuple):
    """What is on record of an attempt beside its outcome."""

    #: None for the usual ones: a kept connection, and an answer that came in one piece.
    times: Times | None = None
    #: None where nothing was sent.
    sent: Headers | None = None
    #: None where no answer came.
    heard: Headers | None = None


def times_of(exchange: Exchange | None, duration_ms: int) -> Times:
    """Return the times of an attempt that took so long."""
    if exchange is None:
        return UNKNOWN_TIMES
    return exchange.times if exchange.times is not None else usual_times(duration_ms)


def usual_times(duration_ms: int) -> Times:
    """Return the times where a kept connection was used, and the answer came in one piece."""
    return Times(wait_ms=duration_ms, read_ms=0, reused_connection=True)


def pairs_of(headers: Headers | None, known: Mapping[Blank, str]) -> Pairs:
    """Return the headers, names with values; none where there are none."""
    return () if headers is None else headers.form.filled(headers.values, known)


def known_of(*, delivery_id: object, event_id: object, batch_id: object | None, second: int) -> dict[Blank, str]:
    """Return what an attempt tells by itself, for the blanks of its request."""
    return {
        Blank.DELIVERY: str(delivery_id if batch_id is None else batch_id),
        Blank.MESSAGE: str(event_id if batch_id is None else batch_id),
        Blank.TIMESTAMP: str(second),
    }


def _of(blank: Blank, own: Iterable[str], known: Mapping[Blank, str]) -> str:
    return next(iter(own), "") if blank is Blank.OWN else known.get(blank, "")
