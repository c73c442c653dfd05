"""Tables: columns as wide as their widest cell, and where they must fit, ids, times and texts made shorter."""

from __future__ import annotations

import re
import textwrap
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Final

from noteflow_hooks.printable import cell, columns_of, shortened

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from noteflow_hooks.cli.support.screen import Screen

_ID: Final = re.compile(r"[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}")
_TIME: Final = re.compile(r"(\d{4}-\d\d-\d\d)T(\d\d:\d\d:\d\d)(?:\.\d+)?(?:Z|\+00:00)")
#: The fewest characters of an id.
_ID_CHARACTERS: Final = 8
#: So wide a column of text stays readable.
_READABLE: Final = 14
_NARROWEST: Final = 3
#: Cells that are whole or nothing: ids, times, numbers, yes and no.
_FIRM: Final = re.compile(r"-|yes|no|[0-9a-f-]{8,36}|([\d-]+ )?[\d:]+Z|[\d.,]+")
#: Shorter heads, where a table must fit.
_HEADS: Final = {
    "event_type": "EVENT",
    "attempt_count": "TRIES",
    "status_code": "HTTP",
    "duration_ms": "MS",
    "rate_per_s": "RATE",
    "idempotency_key": "KEY",
}
_GAP: Final = "  "
#: Columns whose cells are states.
STATES: Final = frozenset({"status", "state", "health", "previous_status", "signature", "payload"})


@dataclass(frozen=True, slots=True)
class _Column:
    name: str
    head: str
    cells: Sequence[str]

    @property
    def width(self) -> int:
        """As wide as its widest cell."""
        return max(map(columns_of, [self.head, *self.cells]))

    @property
    def is_firm(self) -> bool:
        """Whether it says nothing any more when it is cut: ids, times, numbers."""
        return all(_FIRM.fullmatch(each) is not None for each in self.cells)

    @property
    def has_ids(self) -> bool:
        """Whether it holds ids, which tell rows apart only as long as they are whole."""
        return self.is_firm and (self.name == "id" or self.name.endswith("_id"))

    @property
    def least(self) -> int:
        """How narrow it may become before a column that can be spared goes."""
        return self.width if self.is_firm else min(self.width, _READABLE)


def rendered(
    rows: Sequence[Mapping[str, Any]], *, columns: Sequence[str], screen: Screen, spare: Sequence[str] = ()
) -> str:
    """Return the rows as a table with a line of heads; to fit, columns of ``spare`` go, the first one first."""
    is_short = screen.width is not None
    shown = [
        _Column(name, _head(name, is_short=is_short), _cells([row.get(name) for row in rows], is_short=is_short))
        for name in columns
    ]
    if screen.width is not None:
        shown = _spared(shown, spare, room=screen.width)
    widths = [each.width for each in shown]
    if screen.width is not None:
        widths = _fitted(shown, room=screen.width)
    rows_of_cells = zip(*(each.cells for each in shown), strict=True)
    lines = [_row(cells, shown, widths, screen) for cells in rows_of_cells]
    return "\n".join([_line([each.head for each in shown], widths), *lines])


def with_text_behind(rows: Sequence[Sequence[str]], heads: Sequence[str], *, screen: Screen) -> str:
    """Return a table whose last column is text, which goes on below itself where it doesn't fit."""
    widths = [max(map(columns_of, column)) for column in zip(heads, *rows, strict=True)][:-1]
    before = sum(widths) + len(_GAP) * len(widths)
    room = None if screen.width is None else max(20, screen.width - before)
    lines = [_line(heads, [*widths, 0])]
    for *cells, text in rows:
        first, *others = textwrap.wrap(text, room) if room is not None and text else [text]
        padded = [_padded(each, width) for each, width in zip(cells, widths, strict=True)]
        lines += [_GAP.join([*map(screen.coloured, padded), first]), *(" " * before + other for other in others)]
    return "\n".join(lines)


def _cells(values: Sequence[object], *, is_short: bool) -> list[str]:
    texts = [cell(value) for value in values]
    if not is_short:
        return texts
    length = _telling({text for text in texts if _ID.fullmatch(text)})
    today = f"{datetime.now(UTC):%Y-%m-%d}"
    return [text[:length] if _ID.fullmatch(text) else _time(text, today) for text in texts]


def _time(text: str, today: str) -> str:
    """Return a time without what can be missed: the day, where that is today, or the seconds."""
    found = _TIME.fullmatch(text)
    if found is None:
        return text
    day, time = found.groups()
    return f"{time}Z" if day == today else f"{day} {time[:5]}Z"


def _telling(ids: set[str]) -> int:
    """Return how many characters tell these ids from each other."""
    length = _ID_CHARACTERS
    while len({each[:length] for each in ids}) < len(ids):
        length += 1
    return length


def _head(column: str, *, is_short: bool) -> str:
    if not is_short:
        return column.upper().replace("_", " ")
    return _HEADS.get(column, column.removesuffix("_at").removesuffix("_id").upper().replace("_", " "))


def _spared(columns: list[_Column], spare: Sequence[str], *, room: int) -> list[_Column]:
    """Return the columns without those that must go for the others to stay readable."""
    for name in spare:
        if sum(each.least for each in columns) + len(_GAP) * (len(columns) - 1) <= room:
            break
        columns = [each for each in columns if each.name != name]
    return columns


def _fitted(columns: Sequence[_Column], *, room: int) -> list[int]:
    """Return widths that fit the room: the widest text gives first, then times and numbers, and ids at last."""
    widths = [each.width for each in columns]
    over = sum(widths) + len(_GAP) * (len(widths) - 1) - room
    texts, others = [not each.is_firm for each in columns], [not each.has_ids for each in columns]
    for may_give in (texts, others, [True] * len(columns)):
        while over > 0:
            giving = max((at for at, may in enumerate(may_give) if may), key=widths.__getitem__, default=None)
            if giving is None or widths[giving] <= _NARROWEST:
                break
            widths[giving] -= 1
            over -= 1
    return widths


def _row(cells: Sequence[str], columns: Sequence[_Column], widths: Sequence[int], screen: Screen) -> str:
    padded = [_padded(shortened(text, width), width) for text, width in zip(cells, widths, strict=True)]
    padded[-1] = padded[-1].rstrip()
    return _GAP.join(
        screen.coloured(text, state=whole) if column.name in STATES else text
        for text, whole, column in zip(padded, cells, columns, strict=True)
    )


def _line(texts: Sequence[str], widths: Sequence[int]) -> str:
    cut = [shortened(text, width) if width else text for text, width in zip(texts, widths, strict=True)]
    return _GAP.join(_padded(text, width) for text, width in zip(cut, widths, strict=True)).rstrip()


def _padded(text: str, width: int) -> str:
    return text + " " * (width - columns_of(text))
