"""Text that is escaped for a vendor and fits its limits: never cut inside an escape or a character that people see."""

from __future__ import annotations

import json
import unicodedata
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Mapping

#: What says that something was left out.
CUT: Final = "…"
#: The tables of one version, which Python keeps: the same text is to be cut at the same place in every release.
_UNICODE: Final = unicodedata.ucd_3_2_0
_JOINER: Final = "\u200d"
#: How many characters are escaped at a time to see how many fit.
_BLOCK: Final = 256
#: The letters of which two make a flag.
_FLAGS: Final = "".join(map(chr, range(0x1F1E6, 0x1F200)))
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
    # No escape is shorter than what it stands for.
    if len(text) <= units:
        needed = _cost(text, escapes)
        if needed[0] <= units and needed[1] <= octets:
            return text.translate(escapes), *needed
    if units < len(CUT) or octets < _BYTES_OF_CUT:
        return "", 0, 0
    end = _end(text, escapes, units=units - len(CUT), octets=octets - _BYTES_OF_CUT)
    fitted = text[:end].translate(escapes).rstrip() + CUT
    return fitted, _units(fitted), _octets(fitted)


def _end(text: str, escapes: Mapping[int, str], *, units: int, octets: int) -> int:
    """Return how many characters of the text fit, without half of what people see as one."""
    fits = 0
    # Block by block, and the last one by halves: to escape all of a long text at each step would take milliseconds.
    while fits < len(text):
        used = _cost(text[fits : fits + _BLOCK], escapes)
        if used[0] > units or used[1] > octets:
            break
        units, octets, fits = units - used[0], octets - used[1], fits + _BLOCK
    least, most = fits, min(fits + _BLOCK, len(text))
    while fits < most:
        middle = (fits + most + 1) // 2
        used = _cost(text[least:middle], escapes)
        if used[0] <= units and used[1] <= octets:
            fits = middle
        else:
            most = middle - 1
    places = range(fits, max(0, fits - _CLUSTER_LIMIT), -1)
    return next((each for each in places if not _is_inside(text, each)), fits)


def _is_inside(text: str, place: int) -> bool:
    """Tell whether the character at that place belongs to the one before: a mark, a joined emoji, a flag's second."""
    before, here = text[place - 1], text[place : place + 1]
    if not here:
        return False
    if _JOINER in (here, before) or _is_mark(here):
        return True
    flags = len(text[:place]) - len(text[:place].rstrip(_FLAGS)) if here in _FLAGS else 0
    return flags % 2 == 1


def _is_mark(character: str) -> bool:
    # Skin tones are symbols, and stay with their emoji all the same.
    return _UNICODE.category(character) in ("Mn", "Mc", "Me") or "\U0001f3fb" <= character <= "\U0001f3ff"


def _cost(text: str, escapes: Mapping[int, str]) -> tuple[int, int]:
    """Return what a text takes of the room, escaped."""
    escaped = text.translate(escapes)
    return _units(escaped), _octets(escaped)


def _units(text: str) -> int:
    return len(text.encode("utf-16-le", "surrogatepass")) // 2


def _octets(text: str) -> int:
    return len(written(text)) - 2
