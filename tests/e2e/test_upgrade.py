"""An upgrade and the way back while everything runs, in the order of docs/operations.md, beside the release before."""

from __future__ import annotations

import contextlib
import os
import shutil
import subprocess
import sys
import tarfile
from functools import partial
from io import BytesIO
from pathlib import Path
from typing import TYPE_CHECKING, Final

import psutil
import pytest

from noteflow_hooks import bootstrap
from noteflow_hooks.local.stack.environment import variables
from noteflow_hooks.local.stack.ports import free_address
from noteflow_hooks.local.stack.programs import BEAT, SERVER
from tests.support.extra_programs import started
from tests.support.receiver_connection import Answer
from tests.support.steady_publisher import SteadyPublisher, posts
from tests.support.system_rig import RigFromScratch, SystemRig, a_path
from tests.support.waiting import until
from tests.support.wire_client import WireClient
from tests.support.worker_programs import pooled_worker, tell_to_end, wait_until_ready

if TYPE_CHECKING:
    from collections.abc import Iterator

ROOT: Final = Path(__file__).parents[2]
_STEPS: Final = sorted((ROOT / "migrations" / "versions").glob("[0-9]*.py"))
#: What the release before had as its newest schema, and the file that brought the newest one.
BEFORE: Final = _STEPS[-2].name.partition("_")[0]
NEXT: Final = str(_STEPS[-1].relative_to(ROOT))
#: One in ten of the first hundred POSTs fails: retries are on their way while the releases change.
FAILURES: Final = 10
SCRIPT: Final = [Answer(200 if number % 10 else 500) for number in range(10 * FAILURES)]
GRACE_S: Final = 40.0
#: What is renewed, in this order; back goes the other way round.
PROGRAMS: Final = {"worker-1": pooled_worker("gevent", "-c", "16", name="new"), "beat": BEAT, "server": SERVER}


def git(*arguments: str) -> bytes:
    """Return what git says; skip the test where it, or the history, is not there."""
    program = shutil.which("git")
    if program is None or not (ROOT / ".git").exists():
        pytest.skip("the release before is taken from git's history, which is not here")
    asked = subprocess.run([program, *arguments], cwd=ROOT, capture_output=True, check=False)
    if asked.returncode:
        pytest.skip(f"git can't tell of the release before: {asked.stderr.decode().strip()}")
    return asked.stdout


@pytest.fixture(scope="module")
def former(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The code of the release before, in a folder of its own."""
    added = git("log", "--diff-filter=A", "--format=%H", "--", NEXT).decode().split()
    if not added:
        pytest.skip(f"git's history does not reach back to where {NEXT} was added, as in a shallow clone")
    folder = tmp_path_factory.mktemp("former")
    paths = ("noteflow_hooks", "workers", "migrations")
    with tarfile.open(fileobj=BytesIO(git("archive", f"{added[-1]}^", *paths))) as archive:
        archive.extractall(folder, filter="data")
    return folder


@pytest.fixture
def rig(former: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[SystemRig]:
    """A system of the release before, on its own schema."""
    monkeypatch.setattr(bootstrap, "migrate", partial(bootstrap.migrate, revision=BEFORE))
    monkeypatch.setenv("PYTHONPATH", str(former))
    with RigFromScratch(tmp_path) as running:
        monkeypatch.undo()
        yield running


def revision(rig: SystemRig) -> str:
    [(found,)] = rig.database.execute("SELECT version_num FROM noteflow.alembic_version").fetchall()
    return str(found)


def migrate(rig: SystemRig) -> None:
    """Bring the database to the newest schema, as an operator does with this release."""
    command = [sys.executable, "-m", "noteflow_hooks.cli", "migrate"]
    subprocess.run(command, env=variables(rig.settings), cwd=rig.folder, check=True, stdout=subprocess.DEVNULL)


def wait_until_sent(rig: SystemRig, count: int) -> None:
    """Return once so many deliveries have succeeded; asked of the database, since servers come and go."""
    statement = "SELECT count(*) FROM noteflow.webhook_deliveries WHERE status = 'succeeded'"
    until(lambda: rig.database.execute(statement).fetchall()[0][0] >= count, what=f"{count} deliveries succeed")


@pytest.mark.chaos
def test_neither_an_upgrade_nor_the_way_back_loses_an_event_or_sends_one_twice(rig: SystemRig, former: Path) -> None:
    """The schema goes up first, then workers, beat, servers; back come servers, beat, workers, and the schema stays."""
    path, address = a_path(), free_address()
    rig.receiver.script(path, *SCRIPT, Answer(200))
    rig.webhook(path, max_retries=10)
    assert {_code_of(rig, name) for name in PROGRAMS} == {str(former)}
    assert revision(rig) == BEFORE
    with WireClient(address, rig.token) as renewed, contextlib.ExitStack() as programs:
        load = SteadyPublisher([rig.client, renewed], per_s=30)
        with load.running():
            go_on(rig, load)
            migrate(rig)
            assert revision(rig) > BEFORE
            # The release before, alone on the newest schema; then this one's workers behind its server; then this one.
            go_on(rig, load)
            new = {}
            for name, command in PROGRAMS.items():
                new[name] = programs.enter_context(started(rig, f"new-{name}", command, grpc_bind=address))
                wait_until_ready(rig, f"new-{name}")
                end(rig, name)
                go_on(rig, load)
            for name in reversed(PROGRAMS):
                rig.restart(name)
                wait_until_ready(rig, name, times=2)
                tell_to_end(new[name], within_s=GRACE_S)
                go_on(rig, load)
            assert {_code_of(rig, name) for name in PROGRAMS} == {str(former)}
        wait_until_sent(rig, len(load.accepted))
    came = posts(rig.receiver, path)
    assert came.keys() == set(load.accepted)
    assert sum(came.values()) == len(load.accepted) + FAILURES


def end(rig: SystemRig, name: str) -> None:
    """Tell a program of the release before to end."""
    tell_to_end(next(each for each in rig.system.parts if each.name == name), within_s=GRACE_S)


def go_on(rig: SystemRig, load: SteadyPublisher) -> None:
    """Let thirty more events be accepted, and all that were by then be delivered."""
    load.wait_for(30)
    wait_until_sent(rig, len(load.accepted))


def _code_of(rig: SystemRig, name: str) -> str:
    """Return the folder that a program imports its code from."""
    return psutil.Process(rig.pid(name)).environ()["PYTHONPATH"].split(os.pathsep)[0]
