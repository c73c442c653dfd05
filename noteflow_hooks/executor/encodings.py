"""How texts encode characters that have a meaning of their own: in URLs, in HTML, and in quoted text such as JSON's.

Each encoding is a pattern for what stands for one character. Decoding takes linear time on any input, and never makes a
text longer.
"""

from __future__ import annotations

import re
from functools import lru_cache
from html.entities import html5
from typing import TYPE_CHECKING, Final, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

#: The most bytes that stand for one character; longer forms are not decoded.
LONGEST_TOKEN: Final = 8
_CACHED: Final = 4096
_NAMED: Final = {
    f"&{name}".encode(): character.encode()
    for name, character in html5.items()
    if name.endswith(";") and character.isascii()
}
#: The characters around a number's digits.
_AROUND: Final = b"%\\&#;{}uxX"


class Encoding(NamedTuple):
    """A pattern of tokens, and what each of them means."""

    token: re.Pattern[bytes]
    meaning: Callable[[bytes], bytes]

    def decoded(self, text: bytes) -> bytes:
        """Return the text with its tokens decoded."""
        return self.token.sub(lambda match: self.meaning(match[0]), text)

    def origins(self, text: bytes, *, until: int) -> Sequence[int]:
        """Return where in the text each byte of the decoded text comes from, up to its byte number ``until``."""
        found: list[int] = []
        end = 0
        for match in self.token.finditer(text):
            found.extend(range(end, match.start()))
            found.extend([match.start()] * len(self.meaning(match[0])))
            end = match.end()
            if len(found) > until:
                break
        found.extend(range(end, end + until + 1 - len(found)))
        return found


@lru_cache(maxsize=_CACHED)
def _percent(token: bytes) -> bytes:
    return bytes.fromhex(token[1:].decode("ascii"))


@lru_cache(maxsize=_CACHED)
def _html(token: bytes) -> bytes:
    if token[1:2] != b"#":
        return _NAMED.get(token, token)
    return _utf8(int(token.strip(_AROUND), 16 if token[2:3] in b"xX" else 10))


@lru_cache(maxsize=_CACHED)
def _escape(token: bytes) -> bytes:
    match token[1:2]:
        case b"u":
            return _utf8(int(token.strip(_AROUND), 16))
        case b"x":
            return bytes.fromhex(token[2:].decode("ascii"))
        case b"t":
            return b"\t"
    return token[1:]


def _utf8(number: int) -> bytes:
    # Half of a surrogate pair is no character; no credential has one.
    return chr(number).encode("utf-8", "replace")


#: ``%2F``, whatever its case.
PERCENT: Final = Encoding(re.compile(rb"%[0-9A-Fa-f]{2}"), _percent)
#: ``&quot;``, ``&#39;``, ``&#x27;``.
HTML: Final = Encoding(re.compile(rb"&(?:#[0-9]{1,5}|#[xX][0-9A-Fa-f]{1,4}|[A-Za-z]{2,6});"), _html)
#: JSON's, and what programs print of a text: a backslash before punctuation, ``\u0026``, ``\u{26}``, ``\x26``.
ESCAPES: Final = Encoding(
    re.compile(rb"\\(?:u[0-9A-Fa-f]{4}|u\{[0-9A-Fa-f]{1,4}\}|x[0-9A-Fa-f]{2}|[!-/:-@\[-`{-~]|t)"), _escape
)
