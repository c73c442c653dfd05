"""What came of many plays, a line for each point: nothing is rounded in anybody's favour."""

from __future__ import annotations

from statistics import median
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from tests.chaos.points import Played


def table(plays: Iterable[Played]) -> list[str]:
    """Return a line for each point that was played, in the order of their names, and one for them all."""
    by_name: dict[str, list[Played]] = {}
    for each in plays:
        by_name.setdefault(each.point, []).append(each)
    lines = [_line(name, by_name[name]) for name in sorted(by_name)]
    return [*lines, _line("all", [each for own in by_name.values() for each in own])]


def _line(name: str, plays: Sequence[Played]) -> str:
    lost, duplicates, allowed = (sum(column) for column in zip(*map(_counts, plays), strict=True))
    again = sum(each.tries - 1 for each in plays)
    counts = f"{len(plays):3} played {lost:3} lost {duplicates:3} of {allowed} duplicates {again:3} misplaced"
    return f"{name:48} {counts}  {_recovery(plays)}"


def _counts(played: Played) -> tuple[int, int, int]:
    return played.lost, played.duplicates, played.allowed


def _recovery(plays: Sequence[Played]) -> str:
    took = [each.recovery_s for each in plays if each.recovery_s is not None]
    never = f", {len(plays) - len(took)} never" if len(took) < len(plays) else ""
    return (f"recovery {median(took):.1f} s, at most {max(took):.1f} s" if took else "no recovery") + never
