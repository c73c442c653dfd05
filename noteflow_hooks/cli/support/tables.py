"""Tables: columns as wide as their widest cell, and where they must fit, ids, times and texts made shorter."""

from __future__ import annotations

import re
import textwrap
from typing import TYPE_CHECKING, Any, Final

from noteflow_hooks.printable import cell, columns_of, shortened

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from noteflow_hooks.cli.support.screen import Screen

_ID: Final = re.compile(r"[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}")
_TIME: Final = re.compile(r"(\d{4}-\d\d-\d\d)T(\d\d:\d\d:\d\d)(?:\.\d+)?(?:Z|\+00:00)")
#: The fewest characters of an id.
_ID_CHARACTERS: Final = 8
#: How narrow a column of text may become before ids do.
_NARROW: Final = 8
_NARROWEST: Final = 3
_GAP: Final = "  "
#: Columns whose cells are states.
STATES: Final = frozenset({"status", "state", "health", "previous_status", "signature", "payload"})


def rendered(rows: Sequence[Mapping[str, Any]], *, columns: Sequence[str], screen: Screen) -> str:
    """Return the rows as a table with a line of heads."""
    heads = [column.upper().replace("_", " ") for column in columns]
    shown = [_cells([row.get(column) for row in rows], is_short=screen.width is not None) for column in columns]
    widths = [max(map(columns_of, [head, *cells])) for head, cells in zip(heads, shown, strict=True)]
    if screen.width is not None:
        widths = _fitted(widths, room=screen.width, firm=[_is_firm(cells) for cells in shown])
    lines = [_line(heads, widths), *(_row(list(cells), columns, widths, screen) for cells in zip(*shown, strict=True))]
    return "\n".join(lines)


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
    return [text[:length] if _ID.fullmatch(text) else _TIME.sub(r"\1 \2Z", text) for text in texts]


def _telling(ids: set[str]) -> int:
    """Return how many characters tell these ids from each other."""
    length = _ID_CHARACTERS
    while len({each[:length] for each in ids}) < len(ids):
        length += 1
    return length


def _is_firm(cells: Sequence[str]) -> bool:
    """Tell whether a column says nothing any more when it is cut: ids, times, numbers."""
    return all(re.fullmatch(r"-|[0-9a-f-]{8,36}|[\d-]+ [\d:]+Z|[\d.,]+", each) is not None for each in cells)


def _fitted(widths: Sequence[int], *, room: int, firm: Sequence[bool]) -> list[int]:
    """Return widths that fit the room: the widest text gives first; ids, times and numbers at last."""
    fitted = list(widths)
    over = sum(fitted) + len(_GAP) * (len(fitted) - 1) - room
    for least, may_give in ((_NARROW, [not each for each in firm]), (_NARROWEST, [True] * len(fitted))):
        while over > 0:
            giving = max((index for index, may in enumerate(may_give) if may), key=fitted.__getitem__, default=None)
            if giving is None or fitted[giving] <= least:
                break
            fitted[giving] -= 1
            over -= 1
    return fitted


def _row(cells: Sequence[str], columns: Sequence[str], widths: Sequence[int], screen: Screen) -> str:
    padded = [_padded(shortened(text, width), width) for text, width in zip(cells, widths, strict=True)]
    padded[-1] = padded[-1].rstrip()
    return _GAP.join(
        screen.coloured(text) if column in STATES else text for text, column in zip(padded, columns, strict=True)
    )


def _line(texts: Sequence[str], widths: Sequence[int]) -> str:
    cut = [shortened(text, width) if width else text for text, width in zip(texts, widths, strict=True)]
    return _GAP.join(_padded(text, width) for text, width in zip(cut, widths, strict=True)).rstrip()


def _padded(text: str, width: int) -> str:
    return text + " " * (width - columns_of(text))
