"""A verdict that can't turn red proves nothing: the same small run is green as it is, and red for each thing left out.

Each sabotage takes away one part of what keeps the promise, and must show as exactly that promise broken.
"""

from __future__ import annotations

import contextlib
import signal
import subprocess
import sys
from collections import Counter
from dataclasses import replace
from typing import TYPE_CHECKING, Final

import psutil
import pytest

from tests.chaos.figures import ROWS
from tests.chaos.options import Kind, Options
from tests.chaos.report import report
from tests.chaos.run import gather, run
from tests.chaos.script import Did
from tests.chaos.violations import Broken

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from tests.chaos.evidence import Evidence
    from tests.chaos.ledgers import Ledgers

pytestmark = pytest.mark.chaos

#: Every part dies once.
SOME: Final = dict.fromkeys(Kind, 1)
#: Workers die, whatever they hold.
WORKERS_DIE: Final = {Kind.WORKERS: 3}
#: How long a run that can't end well is waited for.
GIVEN_UP_S: Final = 12.0


@pytest.fixture(scope="module")
def sound(tmp_path_factory: pytest.TempPathFactory) -> Evidence:
    """The evidence of a run with nothing left out."""
    return gather(Options(events=60, faults=SOME), tmp_path_factory.mktemp("sound"))


def broken(folder: Path, options: Options) -> set[Broken]:
    """Return the promises that a run breaks."""
    return run(replace(options, drain_s=GIVEN_UP_S), folder).broken


def newly_broken(sound: Evidence, ledgers: Ledgers) -> set[Broken]:
    """Return what is broken with these ledgers in place of the run's own."""
    return report(replace(sound, ledgers=ledgers)).broken - report(sound).broken


def test_a_sound_system_is_green(sound: Evidence) -> None:
    """Nothing is lost and nothing unexplained, though every part has died."""
    assert [str(each) for each in report(sound).violations] == []
    assert len(sound.ledgers.faults) == len(SOME)


def test_a_figure_that_is_not_the_sum_of_its_rows_is_seen(sound: Evidence) -> None:
    """Exporter and GetStats tell exactly what is on record; one more, or one less, is red."""
    rows = sound.figures[ROWS]
    assert len(sound.figures) == 3
    assert all(Counter(sums) == Counter(rows) for sums in sound.figures.values())
    for who in sound.figures.keys() - {ROWS}:
        for name in rows:
            changed = {**sound.figures, who: {**sound.figures[who], name: rows[name] + 1}}
            assert report(replace(sound, figures=changed)).broken == {Broken.FIGURES}


def test_a_line_of_the_receiver_that_is_missing_is_a_loss(sound: Evidence) -> None:
    """And the row that tells of it a phantom's."""
    pairs = sound.ledgers.by_pair().values()
    dropped = next(posts[0] for posts in pairs if [post.did for post in posts] == [Did.ANSWERED])
    ledgers = replace(sound.ledgers, posts=[post for post in sound.ledgers.posts if post != dropped])
    assert newly_broken(sound, ledgers) == {Broken.LOST, Broken.PHANTOM, Broken.INVENTED}


def test_a_line_of_the_publisher_that_is_missing_is_a_foreign_event(sound: Evidence) -> None:
    """Nobody is known to have accepted it."""
    # The last one of its meeting, which leaves no hole, and one that every endpoint wants.
    wanted = [each for each in sound.ledgers.accepted if all(to.wants(each.number) for to in sound.ledgers.endpoints)]
    dropped = max(wanted, key=lambda each: (each.sequence, each.number))
    ledgers = replace(sound.ledgers, accepted=[each for each in sound.ledgers.accepted if each != dropped])
    assert newly_broken(sound, ledgers) == {Broken.FOREIGN, Broken.ROWS}


def test_a_post_of_what_a_filter_holds_back_is_foreign(sound: Evidence) -> None:
    """It was promised to nobody."""
    [held_back, *_] = sorted(sound.ledgers.held_back)
    plain = next(post for post in sound.ledgers.posts if post.event_id == held_back[0])
    post = replace(plain, path=held_back[1], delivery_id="another")
    ledgers = replace(sound.ledgers, posts=[*sound.ledgers.posts, post])
    assert Broken.FOREIGN in newly_broken(sound, ledgers)


def test_an_event_that_overtakes_its_meeting_is_seen(sound: Evidence) -> None:
    """At the ordered endpoint alone: others promise no order."""
    last = max(each.at for each in sound.ledgers.posts)
    for path, is_seen in (("/ordered", True), ("/plain-1", False)):
        own = [post for post in sound.ledgers.posts if post.path == path and post.sequence == 1]
        first = next(post for post in own if post.did is Did.ANSWERED)
        late = [replace(post, at=last + 1) if post.pair == first.pair else post for post in sound.ledgers.posts]
        found = newly_broken(sound, replace(sound.ledgers, posts=late))
        assert (Broken.DISORDERED in found) == is_seen


def test_a_batch_that_changes_between_two_attempts_is_seen(sound: Evidence) -> None:
    """In its bytes, or in what it is called."""
    post = next(post for post in sound.ledgers.posts if post.path == "/batched" and post.webhook_id != post.event_id)
    for change in ({"digest": "another"}, {"webhook_id": "another"}):
        again = replace(post, nth=post.nth + 1, **change)  # type: ignore[arg-type]  # both are texts
        ledgers = replace(sound.ledgers, posts=[*sound.ledgers.posts, again])
        assert Broken.REMADE in newly_broken(sound, ledgers)


def test_a_hole_in_a_meeting_s_sequence_is_seen(sound: Evidence) -> None:
    """And a POST that says another number than the answer to the publisher."""
    last = max(sound.ledgers.accepted, key=lambda each: each.sequence)
    higher = replace(last, sequence=last.sequence + 1)
    accepted = [higher if each == last else each for each in sound.ledgers.accepted]
    assert Broken.MISNUMBERED in newly_broken(sound, replace(sound.ledgers, accepted=accepted))


def test_without_beat_what_dies_with_its_worker_is_lost(tmp_path: Path) -> None:
    """Nobody takes it back. Much of what is in flight is what the receiver hangs, so some of it has not arrived.

    Workers need some seconds to be back at work, and are killed again only then.
    """
    found = broken(tmp_path, Options(events=300, faults={Kind.WORKERS: 5}, slot_s=8.0, beat=False))
    assert found >= {Broken.LOST, Broken.OPEN}


def test_what_sweeps_leave_past_its_lease_shows_at_once(tmp_path: Path) -> None:
    """They run, so that it shows at once and not only where time is up."""
    found = run(Options(events=60, faults=WORKERS_DIE, app="tests.chaos.untaken", drain_s=GIVEN_UP_S), tmp_path)
    [overstayed] = [each for each in found.violations if each.broken is Broken.OVERSTAYED]
    assert any(each.endswith(" left by a sweep") for each in overstayed.examples)


def test_without_a_claim_duplicates_are_unexplained(tmp_path: Path) -> None:
    """Workers take what others hold; nothing need die for that."""
    found = broken(tmp_path, Options(events=60, faults={}, app="tests.chaos.unclaimed"))
    assert Broken.UNEXPLAINED in found
    assert Broken.LOST not in found


def test_a_retry_that_no_row_knows_of_is_lost(tmp_path: Path) -> None:
    """Its time stood in a message alone."""
    found = broken(tmp_path, Options(events=60, faults=WORKERS_DIE, app="tests.chaos.unscheduled"))
    assert found >= {Broken.LOST, Broken.OPEN}
    assert Broken.PHANTOM not in found


def test_a_success_recorded_before_the_post_is_a_phantom(tmp_path: Path) -> None:
    """Who died between the two, or was answered 500, has lost it and doesn't know."""
    found = broken(tmp_path, Options(events=60, faults=WORKERS_DIE, app="tests.chaos.boastful"))
    assert found >= {Broken.LOST, Broken.PHANTOM}
    assert Broken.OPEN not in found


def test_ctrl_c_ends_all_that_was_started(tmp_path: Path) -> None:
    """In the midst of load and faults: the command says 130, and no process is left that works in its folder."""
    command = [sys.executable, "-m", "tests.chaos", "--folder", str(tmp_path)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        assert any("accepted" in line for line in process.stdout)
        assert list(working_in(tmp_path))
        process.send_signal(signal.SIGINT)
        assert process.wait(60) == 130
    assert list(working_in(tmp_path)) == []


def working_in(folder: Path) -> Iterator[str]:
    """Yield the names of processes that work in the folder, or were told of it."""
    for process in psutil.process_iter():
        with contextlib.suppress(psutil.Error):
            if str(folder) in " ".join([process.cwd(), *process.cmdline()]):
                yield process.name()
