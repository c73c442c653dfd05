"""Hostile endpoints cost a worker's process neither memory, nor descriptors, nor threads that it does not get back."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Final

import pytest

from tests.support.certificates import authority_pem
from tests.support.hostile_cases.faulty_listeners import FAULTY_LISTENERS
from tests.support.hostile_server import CASES, HostileServer

HERE: Final = Path(__file__).parent
#: One bomb that went off would be ten times that.
GROWTH_LIMIT: Final = 10_000_000
#: For what only ends at the deadline, and for the rest.
_SHORT_MS: Final = 300
_LONG_MS: Final = 30_000


def asked(server: HostileServer) -> dict[str, tuple[str, int]]:
    """Return each address over TLS and how long to wait there."""
    cases = {name: (server.url(name), _SHORT_MS if case.is_drawn_out else _LONG_MS) for name, case in CASES.items()}
    return cases | {
        name: (server.listener(name), _SHORT_MS if listener.is_drawn_out else _LONG_MS)
        for name, listener in FAULTY_LISTENERS.items()
    }


@pytest.mark.parametrize("count", [300, pytest.param(2_000, marks=pytest.mark.chaos)])
def test_hostile_exchanges_leave_nothing_behind(count: int) -> None:
    """Whatever all the hostile endpoints do, over TLS and side by side, the process holds afterwards what it held."""
    command = [sys.executable, str(HERE / "hostile_posts.py"), str(authority_pem()), str(count)]
    with HostileServer() as server:
        done = subprocess.run(
            command,
            input=json.dumps(asked(server)),
            env={"PYTHONPATH": str(HERE.parents[1])},
            capture_output=True,
            text=True,
            timeout=280,
            check=False,
        )
    assert done.returncode == 0, done.stderr
    told = json.loads(done.stdout)
    before, after = told["before"], told["after"]
    print(f"{count} exchanges: before {before}, after {after}")  # noqa: T201 - figures to be looked up
    assert after["rss"] - before["rss"] < GROWTH_LIMIT
    assert after["peak"] - before["rss"] < GROWTH_LIMIT
    assert after["fds"] <= before["fds"]
    assert after["threads"] <= before["threads"]
    assert sum(sum(kinds.values()) for kinds in told["outcomes"].values()) == count
    assert not any("internal" in kinds for kinds in told["outcomes"].values())
