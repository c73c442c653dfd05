"""The programs of a system as tests start and end them: workers of any pool, and ends as an operator asks for them."""

from __future__ import annotations

import os
import shutil
import signal
import sys
from typing import TYPE_CHECKING, Final

from tests.support.extra_programs import log_of
from tests.support.stopwatch import answered_within
from tests.support.waiting import until

if TYPE_CHECKING:
    from collections.abc import Sequence

    from noteflow_hooks.local.stack.programs import Program
    from noteflow_hooks.local.stack.supervisor import Part
    from tests.support.system_rig import SystemRig

#: What the logs of a worker, a server and a beat say once they work.
_READY: Final = (" ready.", "serving gRPC on", "beat: Starting...")
ENDED_WELL: Final = "ended with status 0"


def pooled_worker(pool: str, *options: str, name: str) -> Sequence[str]:
    """Return the command of a worker under that pool, as `up` starts its own."""
    celery = (sys.executable, "-m", "celery", "-A", "workers.app")
    alone = ("--without-gossip", "--without-mingle", "-l", "INFO")
    return (*celery, "worker", "-P", pool, *alone, "-n", f"{name}@%h", *options)


def with_variables(command: Sequence[str], **variables: str) -> Sequence[str]:
    """Return the command that runs the other one with these variables, whatever else is said of them."""
    env = shutil.which("env")
    assert env is not None
    return (env, *(f"{name}={value}" for name, value in variables.items()), *command)


def wait_until_ready(rig: SystemRig, name: str, *, times: int = 1) -> None:
    """Return once the program of that name works, for the so-manieth time since its log began."""

    def is_ready() -> bool:
        log = log_of(rig, name).read_text()
        return max(log.count(word) for word in _READY) >= times

    until(is_ready, what=f"{name} is ready")


def tell_to_end(part: Part | Program, *, within_s: float, whole_group: bool = False) -> None:
    """Send SIGTERM and return once it has ended; fail where that takes too long or is no good end.

    ``whole_group`` sends it to all processes of its group, as systemd does.
    """
    assert part.pid is not None
    with answered_within(within_s):
        if whole_group:
            os.killpg(os.getpgid(part.pid), signal.SIGTERM)
        else:
            os.kill(part.pid, signal.SIGTERM)
        until(lambda: part.pid is None, what=f"{part.name} ends")
    assert part.fate == ENDED_WELL, part.fate
