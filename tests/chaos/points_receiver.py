"""Kills while a POST is under way: before it arrives, in its middle, and of a worker that comes back to life."""

from __future__ import annotations

import socket
from contextlib import closing
from typing import TYPE_CHECKING, Final

from tests.chaos.points_holds import Kept, frozen
from tests.support.extra_programs import log_of
from tests.support.receiver import Receiver
from tests.support.receiver_connection import Answer
from tests.support.waiting import until

if TYPE_CHECKING:
    from tests.chaos.points_stage import Stage

#: The number of a worker that no system has by itself.
_OTHER: Final = 9


def worker_before_it_sends(stage: Stage) -> None:
    """Kill the workers with the delivery claimed and the receiver not saying a word, so that no POST can arrive."""
    with closing(socket.create_server(("127.0.0.1", 0))) as silent:
        port = silent.getsockname()[1]
        stage.subscribe(port=port)
        stage.publish()
        stage.reach("sending")
        stage.kill(*stage.workers)
        stage.note()
    stage.receiver = stage.ends_with.enter_context(Receiver(tls=True, port=port))


def worker_in_mid_post(stage: Stage) -> None:
    """Kill the workers with the whole request arrived and no answer given."""
    answer = Kept()
    stage.subscribe(answer, Answer())
    stage.publish()
    answer.wait()
    stage.kill(*stage.workers)
    answer.release()
    stage.note()


def worker_frozen_in_mid_post(stage: Stage) -> None:
    """Freeze the workers for longer than their lease, have another one deliver, and thaw them with the answer given."""
    answer = Kept()
    stage.subscribe(answer, Answer())
    stage.publish()
    answer.wait()
    names = stage.workers
    with frozen(stage.rig, names):
        stage.strike()
        stage.note()
        stage.rig.system.start_worker(_OTHER)
        stage.ends_with.callback(stage.rig.system.end_worker, _OTHER)
        stage.recover()
        answer.release()
    with stage.complaining():
        until(lambda: _is_fenced(stage, names), what="the frozen worker finds that its result counts no more")


def _is_fenced(stage: Stage, names: list[str]) -> bool:
    [row] = stage.rows()
    said = f"delivery {row.id} was reclaimed before its result was recorded"
    return any(said in log_of(stage.rig, name).read_text() for name in names)
