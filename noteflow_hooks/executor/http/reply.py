"""One answer: its head must be complete, final and within bounds; its body may end early.

``http.client`` takes the end of the stream for the end of the head, and ``103`` for a final answer: either would put a
wrong result on record.
"""

from __future__ import annotations

import math
import re
from http import HTTPStatus
from typing import TYPE_CHECKING, Final

from noteflow_hooks.executor.http.body import pieces
from noteflow_hooks.executor.http.faults import ExchangeError, UnansweredError, protocol
from noteflow_hooks.executor.http.inbox import Inbox
from noteflow_hooks.executor.http.plain import PlainAnswer, plain_answer

if TYPE_CHECKING:
    from noteflow_hooks.executor.http.wire import Wire

#: The most bytes of a head, its status line included.
HEAD_LIMIT: Final = 65_536
#: The most header lines.
HEADERS_LIMIT: Final = 200
#: The most bytes of a body that are read, chunk sizes included.
BODY_LIMIT: Final = 65_536
#: After so many interim answers, we rest before reading each further one, so that a flood costs no processor time.
INTERIM_LIMIT: Final = 100
_INTERIM_REST_S: Final = 0.05

_STATUS_LINE: Final = re.compile(rb"HTTP/1\.([0-9]) +([1-9][0-9]{2})(?: ([^\r\n]*))?\r?\n")
#: Blanks around the value are stripped afterwards: a pattern that does so too takes quadratic time.
_HEADER: Final = re.compile(rb"([!#$%&'*+.^_`|~0-9A-Za-z-]+):([^\r\n]*)\r?\n")
#: 101 is no interim answer: it ends HTTP on its connection, so we take it as final.
_INTERIM: Final = frozenset(range(100, 200)) - {HTTPStatus.SWITCHING_PROTOCOLS}
_BODILESS: Final = frozenset({HTTPStatus.SWITCHING_PROTOCOLS, HTTPStatus.NO_CONTENT, HTTPStatus.NOT_MODIFIED})
_LENGTH: Final = re.compile("[0-9]{1,18}")
_KEPT_S: Final = re.compile(r"(?:^|[ ,;])timeout=([0-9]{1,9})(?![0-9])", re.IGNORECASE)
#: The part of the receiver's keep-alive time for which we reuse a connection. The rest allows for the way there and
#: back, and for receivers that round to whole seconds.
_KEPT_SHARE: Final = 0.5


class Reply:
    """The answer to one POST."""

    def __init__(self, wire: Wire) -> None:
        """Take the wire. Nothing is read yet."""
        self._wire = wire
        #: The answer, if it is a plain one.
        self._plain: PlainAnswer | None = None
        #: Reads whatever else has come and comes yet.
        self._inbox: Inbox
        self._is_persistent = False
        #: Whether, once the body is read, the connection may carry another request.
        self.is_reusable = False
        #: Whether, once the body is read, all of it has come, and no more than the limit.
        self.is_whole = False
        #: How long it may be idle before that, by ``Keep-Alive: timeout=``; infinity without it.
        self.kept_s = math.inf
        #: 0 before the head has come.
        self.status = 0
        #: The lines of its headers, each behind its line's end.
        self.fields = b""
        #: When the head had been read, by the deadline's clock; 0 where the whole answer came in one piece.
        self.headed_at = 0.0
        #: Whether any byte of it has come.
        self.has_begun = False
        self._minor = 1
        #: The values of each header, by its name in lower case.
        self._headers: dict[str, list[str]] = {}
        self._is_chunked = False
        self._length: int | None = None

    def begin(self) -> None:
        """Read the head of the final answer; interim answers before it are skipped."""
        came = self._wire.receive()
        if not came:
            raise UnansweredError
        self.has_begun = True
        plain = self._plain = plain_answer(came, headers_limit=HEADERS_LIMIT)
        if plain is None:
            self._inbox = Inbox(self._wire.recv_into, came=came)
            self._begin_by_the_rules()
            self.kept_s = _allowed_idle_s(self.header("keep-alive"))
            self.headed_at = self._wire.now()
        else:
            self.status, self.fields = plain.status, plain.fields
            wishes, idle = plain.headers("connection", "keep-alive")
            self._is_persistent = self._asks_to_persist(wishes)
            self.kept_s = _allowed_idle_s(idle)

    def _begin_by_the_rules(self) -> None:
        status, lines = self._read_head()
        interim = 0
        while status in _INTERIM:
            interim += 1
            if interim > INTERIM_LIMIT:
                self._wire.rest(_INTERIM_REST_S)
            status, lines = self._read_head()
        self.status = status
        self.fields = b"".join(b"\r\n" + each.rstrip(b"\r\n") for each in lines)
        is_sound = self._take_headers(lines)
        self._is_persistent = self._take_framing() and is_sound and self._asks_to_persist(self.header("connection"))

    def header(self, name: str) -> str | None:
        """Return the header's first value; its name is given in lower case."""
        if self._plain is not None:
            return self._plain.header(name)
        values = self._headers.get(name)
        return values[0] if values else None

    def read_body(self, *, keep: int, limit: int = BODY_LIMIT) -> bytes:
        """Read to the body's end, the limit or the deadline; return the first ``keep`` bytes of what came."""
        if self._plain is not None:
            self.is_reusable = self._is_persistent
            self.is_whole = len(self._plain.body) <= BODY_LIMIT
            return self._plain.body[:keep]
        kept, left = bytearray(), BODY_LIMIT
        try:
            self._inbox.allow(limit)
            for piece in pieces(self._inbox, is_chunked=self._is_chunked, length=self._length):
                kept += piece[: keep - len(kept)]
                left -= len(piece)
            is_complete = self._is_chunked or self._length is not None
            # A body that ends with the connection ends at the limit, too.
            self.is_whole = is_complete or left > 0
        except (ExchangeError, OSError):
            # Cut off, late or malformed: the status has already decided the outcome.
            is_complete = False
        self._inbox.close()
        self.is_reusable = self._is_persistent and is_complete and self._inbox.is_clean
        return bytes(kept)

    def _read_head(self) -> tuple[int, list[bytes]]:
        first = self._read_line(HEAD_LIMIT, at_start=True)
        match = _STATUS_LINE.fullmatch(first)
        if match is None:
            raise protocol("no status line")
        left = HEAD_LIMIT - len(first)
        lines: list[bytes] = []
        while (line := self._read_line(left)).strip(b"\r\n"):
            left -= len(line)
            lines.append(line)
            if len(lines) > HEADERS_LIMIT:
                raise protocol("too many headers")
        self._minor = int(match[1])
        return int(match[2]), lines

    def _read_line(self, limit: int, *, at_start: bool = False) -> bytes:
        line = self._inbox.readline(limit + 1)
        if len(line) > limit:
            raise protocol("head too large")
        if at_start and not line:
            raise UnansweredError
        if not line.endswith(b"\n"):
            raise protocol("head broken off")
        return line

    def _take_headers(self, lines: list[bytes]) -> bool:
        """Keep the valid headers, and tell whether all are valid. If not, the connection is not used again."""
        is_sound = True
        for line in lines:
            match = _HEADER.fullmatch(line)
            if match is None:
                is_sound = False
                continue
            name, value = match[1].decode("ascii").lower(), match[2].strip(b" \t").decode("latin-1")
            self._headers.setdefault(name, []).append(value)
        return is_sound

    def _take_framing(self) -> bool:
        """Find out where the body ends (RFC 9112, 6.3), and tell whether that is certain."""
        codings = self.header("transfer-encoding")
        lengths = {each.strip() for value in self._headers.get("content-length", ()) for each in value.split(",")}
        if self.status in _BODILESS:
            self._length = 0
            return self.status != HTTPStatus.SWITCHING_PROTOCOLS
        if codings is not None:
            self._is_chunked = codings.lower().rpartition(",")[2].strip() == "chunked"
            return self._is_chunked and not lengths
        if not lengths:
            return False
        is_sound = len(lengths) == 1 and all(_LENGTH.fullmatch(each) for each in lengths)
        self._length = int(lengths.pop()) if is_sound else 0
        return is_sound

    def _asks_to_persist(self, connection: str | None) -> bool:
        wishes = (connection or "").lower()
        return "close" not in wishes if self._minor else "keep-alive" in wishes


def _allowed_idle_s(keep_alive: str | None) -> float:
    match = _KEPT_S.search(keep_alive) if keep_alive is not None else None
    return int(match[1]) * _KEPT_SHARE if match is not None else math.inf
