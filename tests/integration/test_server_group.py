"""The supervisor of several servers: what it does with those that die again and again."""

from __future__ import annotations

import re
import signal
import subprocess
import sys
from itertools import islice
from typing import TYPE_CHECKING

from tests.quality.sources import ROOT
from tests.support.waiting import PATIENCE_S

if TYPE_CHECKING:
    from collections.abc import Iterator


def _waits(process: subprocess.Popen[str], number: int) -> Iterator[str]:
    """Yield how long the supervisor says that it waits before each restart of that server."""
    assert process.stdout is not None
    for line in process.stdout:
        if found := re.search(
            rf"^server {number} \(pid \d+\) ended with status 3; it is started again in (.*) s", line
        ):
            yield found[1]


def test_a_server_that_keeps_dying_is_started_again_after_longer_and_longer_waits() -> None:
    """At once for the first time; and SIGTERM ends the wait as it ends all else."""
    command = [sys.executable, "-m", "tests.support.dying_servers"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, cwd=ROOT, text=True) as supervisor:
        assert list(islice(_waits(supervisor, 1), 4)) == ["0", "0.5", "1", "2"]
        supervisor.send_signal(signal.SIGTERM)
        supervisor.communicate()
        assert supervisor.wait(PATIENCE_S) == 0
