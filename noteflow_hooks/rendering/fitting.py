"""Text that is escaped for a vendor and fits its limits: never cut inside an escape or a character that people see."""

from __future__ import annotations

import json
import unicodedata
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

#: What says that something was left out.
CUT: Final = "…"
#: The tables of one version, which Python keeps: the same text is to be cut at the same place in every release.
_UNICODE: Final = unicodedata.ucd_3_2_0
_JOINER: Final = "\u200d"
_BYTES_OF_CUT: Final = len(CUT.encode())
#: The most characters of what people see as one; a longer pile of marks is cut all the same.
_CLUSTER_LIMIT: Final = 32


@dataclass(slots=True)
class Room:
    """How much of a message is left, in UTF-16 units, as vendors count, and in bytes of JSON."""

    units: int
    octets: int

    def take(self, text: str, escapes: Mapping[int, str], *, units: int) -> str:
        """Return the text, escaped, as much as fits into ``units`` and what is left, which becomes less by it."""
        limit = min(units, self.units)
        fitted, used, octets = _fitted(text, escapes, units=limit, octets=self.octets)
        self.units -= used
        self.octets -= octets
        return fitted


def escape_all(characters: str, before: str) -> dict[int, str]:
    """Return the escapes that put ``before`` before each of the characters."""
    return {ord(each): before + each for each in characters}


def written(body: object) -> bytes:
    """Return a body as JSON, in as few bytes as that takes."""
    return json.dumps(body, ensure_ascii=False, separators=(",", ":")).encode()


def _fitted(text: str, escapes: Mapping[int, str], *, units: int, octets: int) -> tuple[str, int, int]:
    escaped = text.translate(escapes)
    needed = _units(escaped), _octets(escaped)
    if needed[0] <= units and needed[1] <= octets:
        return escaped, *needed
    kept: list[str] = []
    left, bytes_left = units - len(CUT), octets - _BYTES_OF_CUT
    for each in _clusters(text):
        piece = each.translate(escapes)
        left -= _units(piece)
        bytes_left -= _octets(piece)
        if left < 0 or bytes_left < 0:
            break
        kept.append(piece)
    fitted = "".join(kept).rstrip() + CUT if units >= len(CUT) and octets >= _BYTES_OF_CUT else ""
    return fitted, _units(fitted), _octets(fitted)


def _clusters(text: str) -> Iterator[str]:
    """Yield what people see as one character: marks stay with what they are on, and joined emoji together."""
    cluster = ""
    for each in text:
        belongs = each == _JOINER or cluster.endswith(_JOINER) or _is_mark(each)
        if cluster and not (belongs and len(cluster) < _CLUSTER_LIMIT):
            yield cluster
            cluster = ""
        cluster += each
    if cluster:
        yield cluster


def _is_mark(character: str) -> bool:
    # Skin tones are symbols, and stay with their emoji all the same.
    return _UNICODE.category(character) in ("Mn", "Mc", "Me") or "\U0001f3fb" <= character <= "\U0001f3ff"


def _units(text: str) -> int:
    return len(text) + sum(each > "\uffff" for each in text)


def _octets(text: str) -> int:
    return len(written(text)) - 2
