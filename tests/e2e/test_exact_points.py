"""What dies at an exact point of an event's path costs no event, and sends again only what was in flight."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Final

import pytest

from tests.chaos.points import POINTS, a_round, play
from tests.chaos.points_table import table
from tests.support.system_rig import SystemRig

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.chaos.points import Played, Point

log = logging.getLogger(__name__)

#: Close to another point on the path: minutes are the time for these.
LONG: Final = {
    "worker, in the dispatch, which still ends",
    "worker, in the claim, which is cut off",
    "worker, in the claim, which still ends",
    "worker, answered, the record is cut off",
    "worker, answered, the record still ends",
    "worker, dispatched and the rest not handed over",
    # Other files have tests of these two.
    "worker, claimed and not sent",
    "worker, in mid-POST",
}


@pytest.fixture(scope="module")
def rig(tmp_path_factory: pytest.TempPathFactory) -> Iterator[SystemRig]:
    with SystemRig(tmp_path_factory.mktemp("system")) as running:
        yield running


def assert_kept(played: Played) -> None:
    """Expect the promise to be kept; what was in flight is sent once more, unless whoever sent it has survived."""
    assert played.violations == ()
    assert played.duplicates == (0 if played.point.startswith("PostgreSQL") else played.allowed)


@pytest.mark.parametrize(
    "point",
    [pytest.param(each, id=each.name, marks=[pytest.mark.chaos] if each.name in LONG else []) for each in POINTS],
)
def test_what_dies_at_a_point_costs_no_event(rig: SystemRig, point: Point) -> None:
    """The event comes, as often as it must, with every attempt on record; and the system goes on."""
    assert_kept(play(point, rig))


@pytest.mark.chaos
@pytest.mark.parametrize("seed", [1])
def test_sixty_kills_in_any_order_cost_no_event(rig: SystemRig, seed: int) -> None:
    """Each point four times, one after the other on one system, which nobody brings into order between."""
    plays = [play(point, rig) for point in a_round(seed)]
    for line in table(plays):
        log.info(line)
    assert len(plays) == 60
    for played in plays:
        assert_kept(played)
