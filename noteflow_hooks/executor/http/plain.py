"""The plain answer, which nearly all are: HTTP/1.1, complete in one piece, its length said once, and nothing odd in it.

It is taken at once, by one pattern. Whatever else came is refused here, not judged: :mod:`.reply` then reads the very
same bytes by all the rules. So this must refuse whatever those rules would see otherwise.
"""

from __future__ import annotations

import re
from typing import Final

#: One status line, and headers without anything that only lenient readers take; no group can match in two ways.
_HEAD: Final = re.compile(
    rb"HTTP/1\.1 ([2-9][0-9]{2})(?: [^\r\n]*)?((?:\r\n[!#$%&'*+.^_`|~0-9A-Za-z-]+:[^\r\n]*)*)\r\n\r\n"
)
_LENGTH: Final = b"\r\ncontent-length:"
_CODING: Final = b"\r\ntransfer-encoding:"
#: No body, whatever length is said.
_BODILESS: Final = b"204"
#: A length that isn't its body's.
_UNCLEAR: Final = b"304"


class PlainAnswer:
    """A plain answer's status, headers and body."""

    __slots__ = ("_lowered", "body", "fields", "status")

    def __init__(self, status: int, fields: bytes, lowered: bytes, body: bytes) -> None:
        """``fields`` are the header lines, each after its line's end; ``lowered`` is the same in lower case."""
        self.status = status
        self.body = body
        self.fields = fields
        self._lowered = lowered

    def headers(self, *names: str) -> list[str | None]:
        """Return each header's first value; their names are given in lower case."""
        return [self.header(each) for each in names]

    def header(self, name: str) -> str | None:
        """Return the header's first value; its name is given in lower case."""
        start = self._lowered.find(b"\r\n%s:" % name.encode())
        if start < 0:
            return None
        return _value(self.fields, start + len(name) + 3).decode("latin-1")


def plain_answer(came: bytes, *, headers_limit: int) -> PlainAnswer | None:
    """Return what came if it is one plain answer, whole and without a byte beyond it; None for whatever else."""
    head = _HEAD.match(came)
    if head is None:
        return None
    status, fields = head[1], head[2]
    lowered, body = fields.lower(), came[head.end() :]
    if status == _UNCLEAR or _CODING in lowered or fields.count(b"\r\n") > headers_limit:
        return None
    if (b"0" if status == _BODILESS else _only_length(lowered)) != b"%d" % len(body):
        return None
    return PlainAnswer(int(status), fields, lowered, body)


def _only_length(lowered: bytes) -> bytes | None:
    start = lowered.find(_LENGTH)
    if start < 0 or lowered.find(_LENGTH, start + 1) >= 0:
        return None
    return _value(lowered, start + len(_LENGTH))


def _value(lines: bytes, start: int) -> bytes:
    end = lines.find(b"\r\n", start)
    return lines[start : end if end >= 0 else len(lines)].strip(b" \t")
