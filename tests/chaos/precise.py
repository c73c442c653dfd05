"""The second half of a run: everything dies at exact points of an event's path, one by one, on a quiet system."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tests.chaos.points import a_round, play
from tests.support.system_rig import SystemRig

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from tests.chaos.points import Played


def play_round(seed: int, folder: Path, *, check: Callable[[], None], tell: Callable[[str], None]) -> list[Played]:
    """Play each point four times, in an order of the seed's, on a system of its own; from the main thread."""
    tell("starting a quiet system for kills at exact points")
    plays: list[Played] = []
    with SystemRig(folder) as rig:
        for number, point in enumerate(a_round(seed), 1):
            check()
            plays.append(play(point, rig))
            tell(f"{number:3}  {point.name}")
    return plays


def broken(plays: list[Played]) -> list[str]:
    """Return what was not as promised, a line each."""
    return [f"{each.point}: {violation}" for each in plays for violation in each.violations]
