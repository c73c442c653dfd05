"""When faults and load come, and what the receiver answers: decided by the seed alone."""

from __future__ import annotations

from collections import Counter
from itertools import pairwise

from noteflow_hooks.domain.attempts import RESPONSE_KEPT_BYTES
from tests.chaos import schedule
from tests.chaos.options import FULL, Kind, Options
from tests.chaos.script import Did, body, chosen, kept


def test_the_seed_decides_the_order_and_the_moments_of_faults() -> None:
    """The same seed, the same run; another one, another."""
    first, again, other = (schedule.faults(Options(seed=seed, faults=FULL)) for seed in (1, 1, 2))
    assert first == again != other


def test_a_full_run_has_all_the_faults_that_are_promised() -> None:
    """24 groups of workers, and each other part several times."""
    planned = Counter(each.kind for each in schedule.faults(Options(faults=FULL)))
    assert planned == FULL
    assert planned[Kind.WORKER] + 2 * planned[Kind.WORKERS] == 24


def test_each_fault_falls_into_its_wave_of_the_load() -> None:
    """Something is on its way whenever something dies."""
    options = Options(faults=FULL)
    moments = list(schedule.moments(options))
    for number, planned in enumerate(schedule.faults(options)):
        start = number * schedule.slot_s(options)
        wave = [each for each in moments if start <= each < start + schedule.slot_s(options)]
        assert wave[0] <= planned.at_s <= wave[-1] + 0.1


def test_the_load_is_all_events_at_the_rate() -> None:
    """Whatever their number is divided by."""
    moments = list(schedule.moments(Options(events=1_001, rate_per_s=200, faults={Kind.BEAT: 3})))
    assert len(moments) == 1_001
    assert min(later - earlier for earlier, later in pairwise(moments)) > 0.0049


def test_a_load_without_faults_is_one_wave() -> None:
    """It is published all the same."""
    assert list(schedule.moments(Options(events=3, rate_per_s=10, faults={}))) == [0.0, 0.1, 0.2]
    assert schedule.faults(Options(faults={})) == []


def test_the_receiver_does_what_its_script_says_in_the_shares_that_it_names() -> None:
    """Five, two and one of a hundred POSTs; and which ones, the seed decides."""
    did = Counter(chosen(1, f"e{number}", "/first", 1) for number in range(20_000))
    for each, share in ((Did.FAILED, 0.05), (Did.RESET, 0.02), (Did.HUNG, 0.01)):
        assert abs(did[each] / 20_000 - share) < 0.005
    assert [chosen(2, f"e{number}", "/first", 1) for number in range(100)] != [
        chosen(1, f"e{number}", "/first", 1) for number in range(100)
    ]


def test_what_is_kept_of_a_failure_is_cut() -> None:
    """So that a run sees whether the product cuts where it says."""
    assert len(body(Did.FAILED, 3)) > RESPONSE_KEPT_BYTES == len(kept(Did.FAILED, 3))
    assert kept(Did.ANSWERED, 3).encode() == body(Did.ANSWERED, 3)
