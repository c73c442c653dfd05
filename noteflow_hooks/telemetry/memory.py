"""The memory in which a program's processes count: a slot of rows for each, summed up by the one that answers.

A process writes its own slot alone, so nobody waits for anybody. Who takes the slot of a process that has ended counts
on in its rows: sums never fall, whichever children come and go, and no file is left behind.
"""

from __future__ import annotations

import mmap
import os
import threading
from bisect import bisect_left
from collections import defaultdict
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from noteflow_hooks.telemetry.metrics import Metric

#: A slot's rows, each a key and its value, behind the slot's head: a process id and how many rows are in use.
_ROWS: Final = 512
_KEY: Final = 88
_ROW: Final = _KEY + 8
_HEAD: Final = 16
_SLOT: Final = _HEAD + _ROWS * _ROW
#: Stands between a metric's name and its labels' values.
_BETWEEN: Final = "|"
#: Stands in front of a bucket's bound.
_BUCKET: Final = "<="


class SharedFigures:
    """What all processes of a program have counted. Memory is used only for rows that were."""

    def __init__(self, memory: mmap.mmap) -> None:
        """See :meth:`made` and :meth:`opened`."""
        self._memory = memory
        self._whole = memoryview(memory)
        self._count = len(self._whole) // _SLOT

    @classmethod
    def made(cls, slots: int) -> SharedFigures:
        """Make memory for this process and those that are forked from it."""
        return cls(mmap.mmap(-1, slots * _SLOT))

    @classmethod
    def opened(cls, descriptor: int) -> SharedFigures:
        """Map the memory of :func:`create_figures`, in whichever process has its descriptor."""
        return cls(mmap.mmap(descriptor, 0))

    def slot(self, number: int) -> Figures:
        """Return this process's own rows; what others before it counted there goes on, but for gauges."""
        begin = (number % self._count) * _SLOT
        return Figures(self._whole[begin : begin + _SLOT], self._memory, begin)

    def totals(self) -> tuple[dict[tuple[str, ...], float], int]:
        """Return each row's sum over all processes, of gauges over those that live, and how many do."""
        sums: dict[tuple[str, ...], float] = defaultdict(float)
        living = 0
        for begin in range(0, self._count * _SLOT, _SLOT):
            slot = self._whole[begin : begin + _SLOT]
            head = slot[:_HEAD].cast("q")
            lives = bool(head[0]) and _lives(head[0])
            living += lives
            for key, value in _rows(slot):
                name = key[0].lstrip(_GAUGE + _LARGEST)
                if key[0].startswith(_LARGEST):
                    sums[(name, *key[1:])] = max(sums[(name, *key[1:])], value if lives else 0.0)
                elif lives or name == key[0]:
                    sums[(name, *key[1:])] += value
        return dict(sums), living


#: Stands in front of a gauge's name: what a process that has ended had in use is in use no more.
_GAUGE: Final = "~"
#: In front of one of which the largest counts.
_LARGEST: Final = "^"


class Figures:
    """What one process counts. Its methods may be called from any thread, and take less than a microsecond."""

    def __init__(self, slot: memoryview, memory: mmap.mmap, begin: int) -> None:
        """Made by :class:`SharedFigures`, in the process that is to count, after any fork."""
        self._slot = slot
        self._memory, self._begin = memory, begin
        #: The rows' values. ``cells[row] += 1.0`` counts: between reading a cell and writing it CPython lets no other
        #: thread in, as it does at calls and in loops; a lock would cost as much again.
        self.cells = slot.cast("d")
        self._head = slot[:_HEAD].cast("q")
        self._lock = threading.Lock()
        self._known = {key: _place(number) for number, (key, _) in enumerate(_rows(slot))}
        for key, place in self._known.items():
            if key[0].startswith((_GAUGE, _LARGEST)):
                self.cells[place] = 0.0
        self._head[0] = os.getpid()

    def row(self, metric: Metric, *labels: str) -> int:
        """Return where the metric with these labels is counted."""
        mark = "" if metric.kind != "gauge" else _LARGEST if metric.is_largest else _GAUGE
        return self._place_of((mark + metric.name, *labels))

    def add(self, row: int, amount: float = 1.0) -> None:
        """Count."""
        self.cells[row] += amount

    def set(self, row: int, value: float) -> None:
        """Say how much it is now."""
        self.cells[row] = value

    def observer(self, metric: Metric) -> Callable[[float], None]:
        """Return what takes note of one value of a histogram."""
        bounds = metric.buckets
        places = [self._place_of((metric.name, bucket_label(bound))) for bound in (*bounds, float("inf"))]
        total, cells = self._place_of((metric.name,)), self.cells

        def observe(value: float) -> None:
            place = places[bisect_left(bounds, value)]
            cells[place] += 1.0
            cells[total] += value

        return observe

    def leave(self) -> None:
        """Count no more among those that live."""
        self._head[0] = 0

    def _place_of(self, key: tuple[str, ...]) -> int:
        place = self._known.get(key)
        if place is not None:
            return place
        with self._lock:
            return self._known.setdefault(key, self._made(key))

    def _made(self, key: tuple[str, ...]) -> int:
        # The last row is for what has no room: labels have few values, so that none should ever need it.
        number = min(self._head[1], _ROWS - 1)
        text = _BETWEEN.join(key).encode()[:_KEY]
        at = self._begin + _HEAD + number * _ROW
        self._memory[at : at + len(text)] = text
        # The reader looks at the key once it counts, so it is there by then.
        self._head[1] = number + 1
        return _place(number)


def create_figures(slots: int) -> int:
    """Make memory for processes that are started, not forked, and return its file descriptor. Linux only."""
    descriptor = os.memfd_create("noteflow-hooks-metrics")
    os.ftruncate(descriptor, slots * _SLOT)
    return descriptor


def bucket_label(bound: float) -> str:
    """Return the last part of the row that counts what is up to that bound, and above the one before."""
    return f"{_BUCKET}{bound}"


def bound_of(label: str) -> float | None:
    """Return the upper bound of the bucket that a row's last part names; None where it names none."""
    return float(label.removeprefix(_BUCKET)) if label.startswith(_BUCKET) else None


def _place(number: int) -> int:
    return (_HEAD + number * _ROW + _KEY) // 8


def _rows(slot: memoryview) -> Iterator[tuple[tuple[str, ...], float]]:
    used, values = slot[:_HEAD].cast("q")[1], slot.cast("d")
    for number in range(used):
        at = _HEAD + number * _ROW
        text = bytes(slot[at : at + _KEY]).rstrip(b"\0").decode("utf-8", "replace")
        yield tuple(text.split(_BETWEEN)), values[_place(number)]


def _lives(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        pass
    return True
