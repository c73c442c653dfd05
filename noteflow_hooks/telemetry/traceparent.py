"""W3C's `traceparent`, by which a trace goes on in another process (Trace Context 1.0, 3.2)."""

from __future__ import annotations

import re
from typing import Final, NamedTuple

_FORM: Final = re.compile(r"(?!ff)([0-9a-f]{2})-(?!0{32})([0-9a-f]{32})-(?!0{16})([0-9a-f]{16})-([0-9a-f]{2})(?:-.*)?")
#: A later version may say more behind these parts, the first says nothing else.
_VERSION: Final = "00"
_LENGTH: Final = 55
_SAMPLED: Final = 1


class TraceContext(NamedTuple):
    """A span of a trace, and whether that trace is sampled, which is for the one that began it to say."""

    trace_id: int
    span_id: int
    is_sampled: bool

    @classmethod
    def read(cls, text: str) -> TraceContext | None:
        """Return what a header says; None where it says nothing that the specification has."""
        match = _FORM.fullmatch(text)
        if match is None or (match[1] == _VERSION and len(text) != _LENGTH):
            return None
        return cls(int(match[2], 16), int(match[3], 16), bool(int(match[4], 16) & _SAMPLED))

    @property
    def text(self) -> str:
        """The header's value, in the first version."""
        return f"{_VERSION}-{self.trace_id:032x}-{self.span_id:016x}-{int(self.is_sampled):02x}"
