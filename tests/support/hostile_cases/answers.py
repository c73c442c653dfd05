"""Well-formed answers that ask for something: a wait, however it is put (E18), or to be left alone (E19)."""

from __future__ import annotations

import math
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from typing import TYPE_CHECKING, Final

from tests.support.hostile_cases.case import EMPTY_OK, HostileCase, delivered, redirected, refused
from tests.support.hostile_receiver import says

if TYPE_CHECKING:
    from tests.support.receiver_connection import Behaviour, ReceiverConnection

_DAY_S: Final = 86_400.0
_BUSY: Final = b"HTTP/1.1 429 Too Many Requests\r\nContent-Length: 0\r\n"


def _waits(value: bytes, wait_s: float | None) -> HostileCase:
    """Expect the wait that this header asks for."""
    case = refused(says(_BUSY + b"Retry-After: " + value + b"\r\n\r\n"), 429)
    return replace(case, wait_s=None if wait_s is None else (wait_s, wait_s))


def _until(seconds: float) -> Behaviour:
    """Ask for a wait until so many seconds from now."""

    def behave(connection: ReceiverConnection) -> None:
        moment = datetime.now(UTC) + timedelta(seconds=seconds)
        connection.send(_BUSY + b"Retry-After: " + format_datetime(moment, usegmt=True).encode() + b"\r\n\r\n")

    return behave


ANSWERS: Final = {
    "E18 asks for 120 s": _waits(b"120", 120),
    "E18 asks for 120.5 s": _waits(b"120.5", 120.5),
    "E18 asks for no wait": _waits(b"0", 0),
    # A date has whole seconds, and the request was some time on its way.
    "E18 asks for two minutes by a date": replace(refused(_until(120), 429), wait_s=(90, 121)),
    "E18 asks for a date that is past": replace(refused(_until(-3600), 429), wait_s=(0, 0)),
    "E18 asks for 1970": _waits(b"Thu, 01 Jan 1970 00:00:00 GMT", 0),
    "E18 asks for the year 9999": replace(
        _waits(b"Fri, 31 Dec 9999 23:59:59 GMT", 0), wait_s=(1000 * _DAY_S, math.inf)
    ),
    "E18 asks for the year 10000": _waits(b"Fri, 31 Dec 10000 23:59:59 GMT", None),
    "E18 asks for a zone that is none": _waits(b"Fri, 31 Dec 2027 23:59:59 +9999", None),
    "E18 asks for a wait below nothing": _waits(b"-1", None),
    "E18 asks for 1e99 s": _waits(b"1e99", None),
    "E18 asks for an infinity": _waits(b"inf", None),
    "E18 asks for soon": _waits(b"soon", None),
    "E18 asks for nothing": _waits(b"", None),
    "E18 asks for 5000 digits": _waits(b"9" * 5000, _DAY_S),
    "E18 asks for a fraction of 60000 digits": _waits(b"60." + b"0" * 60_000, 60),
    "E18 asks for a NUL": _waits(b"\x00", None),
    "E18 asks for 60000 commas": _waits(b"," * 60_000, None),
    "E18 asks for digits of another script": _waits("١٢".encode(), None),
    "E18 asks for two waits": _waits(b"120\r\nRetry-After: 7200", 120),
    "E18 asks for nonsense and for a wait": _waits(b"soon\r\nRetry-After: 7200", None),
    "E18 is busy and asks for a month": replace(
        refused(says(b"HTTP/1.1 503 Busy\r\nRetry-After: 2592000\r\n\r\n"), 503), wait_s=(_DAY_S, _DAY_S)
    ),
    "E18 redirects after a wait": replace(
        redirected(says(b"HTTP/1.1 301 Moved\r\nLocation: /\r\nRetry-After: 5\r\n\r\n"), 301), wait_s=(5, 5)
    ),
    "E18 succeeds and asks for a wait": delivered(says(EMPTY_OK.replace(b"\r\n\r\n", b"\r\nRetry-After: 99\r\n\r\n"))),
    "E19 is gone": refused(says(b"HTTP/1.1 410 Gone\r\nContent-Length: 0\r\n\r\n"), 410),
}
