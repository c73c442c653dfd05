"""Kills at exact points of an event's path, each played by itself on a running system, and what came of them.

The rule: at least once, with duplicates only of what was in flight. What does not keep it is counted, and ends nothing.

    for point in POINTS:
        played = play(point, rig)
"""

from __future__ import annotations

import random
from contextlib import ExitStack
from dataclasses import dataclass, replace
from functools import partial
from typing import TYPE_CHECKING, Final

from tests.chaos import points_broker, points_database, points_receiver
from tests.chaos.points_stage import Stage

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from tests.chaos.points_stage import Row
    from tests.support.system_rig import SystemRig

#: How often each point is played in a whole round: sixty kills.
PLAYS: Final = 4
#: How often a play is begun at the most: on a machine that stands still for a second, a POST is over before the kill.
_TRIES: Final = 3


@dataclass(frozen=True, slots=True)
class Point:
    """Where something dies."""

    #: What dies where, in words.
    name: str
    #: Publishes an event, sees the system at the point, and kills; what was killed may still be dead when it returns.
    fault: Callable[[Stage], None]
    #: How many POSTs are in flight there: as many may be sent again.
    in_flight: int = 0


@dataclass(frozen=True, slots=True)
class Played:
    """What came of one play."""

    point: str
    #: How many endpoints the event is for, and how many of them it never came to, or is not on record as delivered to.
    endpoints: int
    lost: int
    #: POSTs beyond those that were needed, and how many there may be.
    duplicates: int
    allowed: int
    #: From the fault until the event, and another one that was published after it, were delivered; None: never.
    recovery_s: float | None
    #: What is not as promised, a sentence each.
    violations: tuple[str, ...]
    #: How often it was begun: the fault came elsewhere in all but the last, which lost nothing either.
    tries: int = 1
    #: Whether the fault came elsewhere although nothing that is counted shows it.
    is_elsewhere: bool = False


POINTS: Final = (
    Point("server, event committed and not announced", points_broker.server_before_it_announces),
    Point("worker, in the dispatch, which is cut off", partial(points_database.worker_in_dispatch, cut=True)),
    Point("worker, in the dispatch, which still ends", partial(points_database.worker_in_dispatch, cut=False)),
    Point("worker, dispatched and the rest not handed over", points_broker.worker_before_it_hints),
    Point("worker, in the claim, which is cut off", partial(points_database.worker_in_claim, cut=True)),
    Point("worker, in the claim, which still ends", partial(points_database.worker_in_claim, cut=False)),
    Point("worker, claimed and not sent", points_receiver.worker_before_it_sends),
    Point("worker, in mid-POST", points_receiver.worker_in_mid_post, in_flight=1),
    Point(
        "worker, answered, the record is cut off",
        partial(points_database.worker_before_it_settles, cut=True),
        in_flight=1,
    ),
    Point("worker, answered, the record still ends", partial(points_database.worker_before_it_settles, cut=False)),
    Point("worker, recorded and not acknowledged", points_broker.worker_before_it_acknowledges),
    Point("worker, failed and its retry refused by Redis", points_broker.worker_whose_retry_is_refused),
    Point("worker frozen in mid-POST past its lease", points_receiver.worker_frozen_in_mid_post, in_flight=1),
    Point("PostgreSQL, answered and not recorded", points_database.postgres_before_it_settles, in_flight=1),
    Point("Redis, announced and not picked up", points_broker.redis_before_it_is_asked),
)


def a_round(seed: int) -> list[Point]:
    """Return every point as often as a whole round has it, in an order of the seed's."""
    points = [*POINTS] * PLAYS
    random.Random(seed).shuffle(points)
    return points


def play(point: Point, rig: SystemRig) -> Played:
    """Play one on a system that has nothing else to do and all of whose workers are parts of it; takes some seconds.

    From the main thread: it starts what it has killed. A fault that comes elsewhere is played to its end and, unless
    something was lost by it, played again; one that can't be placed at all raises AssertionError.
    """
    for tries in range(1, _TRIES + 1):
        played = _played(point, rig)
        is_placed = played.allowed == point.in_flight and not played.is_elsewhere
        if is_placed or played.lost or played.recovery_s is None:
            return replace(played, tries=tries)
    raise AssertionError(f"{point.name}: the fault came elsewhere {_TRIES} times")


def _played(point: Point, rig: SystemRig) -> Played:
    with rig.as_new_tenant(), ExitStack() as stack:
        stage = Stage(rig, stack)
        # However it ends, the next play finds everything alive.
        stack.callback(stage.revive)
        point.fault(stage)
        stage.revive()
        if stage.recovery_s is None:
            stage.recover()
        return _verdict(point, stage)


def _verdict(point: Point, stage: Stage) -> Played:
    rows = stage.rows()
    posts = {webhook_id: stage.posts(webhook_id, stage.event_id) for webhook_id in stage.paths}
    arrived = {each.webhook_id for each in rows if each.status == "succeeded" and posts[each.webhook_id]}
    lost = len(posts) - len(arrived)
    duplicates = sum(max(0, count - 1 - stage.failures) for count in posts.values())
    return Played(
        point=point.name,
        endpoints=len(posts),
        lost=lost,
        duplicates=duplicates,
        allowed=stage.in_flight,
        recovery_s=stage.recovery_s,
        is_elsewhere=stage.is_elsewhere,
        violations=tuple(_violations(stage, rows, lost=lost, duplicates=duplicates)),
    )


def _violations(stage: Stage, rows: list[Row], *, lost: int, duplicates: int) -> Iterator[str]:
    if lost:
        yield f"{lost} of {len(stage.paths)} deliveries are lost: {[each[2:] for each in rows]}"
    if duplicates > stage.in_flight:
        yield f"{duplicates} duplicates, and {stage.in_flight} POSTs were in flight"
    yield from stage.complaints
    if strange := stage.strange_posts():
        yield f"POSTs came under ids of other events: {strange}"
    if repeated := [each for each in stage.paths if stage.posts(each, stage.next_id) > 1]:
        yield f"the next event came more than once to {len(repeated)} endpoints"
    yield from _unrecorded(stage, rows)


def _unrecorded(stage: Stage, rows: list[Row]) -> Iterator[str]:
    """Say which attempts are not on record as they were: failed, cut off by the fault, and at last successful."""
    failed, sent = ["status"] * stage.failures, [""]
    as_it_was = [[*failed, "interrupted", *sent]] * stage.claimed
    as_it_was += [[*failed, *sent]] * (len(stage.paths) - stage.claimed)
    on_record = [each.kinds for each in rows]
    if miscounted := [each for each in rows if each.attempts != len(each.kinds)]:
        yield f"{len(miscounted)} deliveries do not say how many attempts there are: {miscounted[:3]}"
    stored_late = stage.has_survivors and on_record == [[*failed, *sent]] * len(stage.paths)
    if sorted(on_record) != sorted(as_it_was) and not stored_late:
        yield f"on record are the attempts {sorted(on_record)}, not {sorted(as_it_was)}"
