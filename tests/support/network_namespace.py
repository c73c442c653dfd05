"""Network namespaces for tests, the side of the test: a script runs in one of its own, from which no packet gets out.

The script prints one line of JSON, see :mod:`tests.support.namespace_script`. What the machine does not let us do
skips the test and says why: neither a namespace nor ``ip`` is there everywhere.
"""

from __future__ import annotations

import functools
import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any, Final

import pytest

_ROOT: Final = Path(__file__).parents[2]
#: As root in this user namespace, and as root in one of our own.
_WAYS: Final = (("--net", "--mount"), ("--net", "--mount", "--map-root-user"))


def run_inside(script: Path, *arguments: str, timeout_s: float = 280) -> Any:  # noqa: ANN401 - whatever the script reports
    """Run the script in a network namespace and a mount namespace of its own, and return what it reports."""
    environment = {
        **os.environ,
        "PYTHONPATH": str(_ROOT),
        "NETWORK_OUTSIDE": str(Path("/proc/self/ns/net").readlink()),
    }
    finished = subprocess.run(
        [*_entrance(), sys.executable, str(script), *arguments],
        capture_output=True,
        text=True,
        timeout=timeout_s,
        env=environment,
        check=False,
    )
    assert finished.returncode == 0, finished.stderr
    said = json.loads(finished.stdout.splitlines()[-1])
    if "lacks" in said:
        pytest.skip(said["lacks"])
    return said["report"]


def _entrance() -> tuple[str, ...]:
    entrance, problem = _tried()
    if entrance is None:
        pytest.skip(problem)
    return entrance


@functools.cache
def _tried() -> tuple[tuple[str, ...] | None, str]:
    """Return the command that enters new namespaces, or None and what is in the way."""
    if (unshare := shutil.which("unshare")) is None:
        return None, "no network namespace: unshare is not installed"
    problem = ""
    for way in _WAYS:
        tried = subprocess.run([unshare, *way, "true"], capture_output=True, text=True, check=False)
        if tried.returncode == 0:
            return (unshare, *way), ""
        problem = tried.stderr.strip()
    return None, f"no network namespace: {problem}"
