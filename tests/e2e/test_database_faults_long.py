"""Faults of the database that take longer: away for a while, and with no room left on its disk."""

from __future__ import annotations

import contextlib
import json
import re
import secrets
import shutil
import subprocess
import time
from typing import TYPE_CHECKING, Final

import grpc
import psutil
import pytest

from noteflow_hooks.cli.root import root
from noteflow_hooks.cli.support.failures import run
from noteflow_hooks.local.stack.environment import variables
from tests.support.extra_programs import log_of
from tests.support.scraping import address_in, scraped
from tests.support.steady_publisher import posts, publish_request
from tests.support.system_rig import SystemRig, a_path
from tests.support.waiting import until

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from noteflow_hooks.rpc.proto.noteflow.v1 import noteflow_pb2 as pb

pytestmark = pytest.mark.chaos

DEADLINE_S: Final = 2.0
AWAY_S: Final = 20.0
#: What beat brings along while the database is away, as often as a system in production has it.
PERIODS: Final = {"relay_every_s": 5, "relay_after_s": 5, "sweep_every_s": 5}
#: More than a fresh cluster and its logs take, less than they would fill by themselves.
DISK: Final = "192m"
EVENTS: Final = 20


def attempt(rig: SystemRig, request: pb.PublishEventRequest) -> str | grpc.StatusCode:
    """Publish within the client's deadline, and return the event's id, or the code with which it is refused."""
    try:
        return rig.client.events.PublishEvent(request, timeout=DEADLINE_S).id
    except grpc.RpcError as error:
        code: grpc.StatusCode = error.code()
        return code


def accepted_at_last(rig: SystemRig, request: pb.PublishEventRequest) -> str:
    """Publish again and again, and return the event's id."""
    told: list[str | grpc.StatusCode] = []

    def is_accepted() -> bool:
        told.append(attempt(rig, request))
        return isinstance(told[-1], str)

    until(is_accepted, what="the event is accepted at last")
    return str(told[-1])


def cpu_s(rig: SystemRig, name: str) -> float:
    times = psutil.Process(rig.pid(name)).cpu_times()
    return float(times.user + times.system)


def test_a_database_that_is_away_for_a_while_is_waited_for_in_peace(tmp_path: Path) -> None:
    """Each call is refused in time, workers say a line a second at the most, and what waited is delivered after."""
    path = a_path()
    with SystemRig(tmp_path, **PERIODS) as rig:
        webhook, worker = rig.webhook(path), rig.pid("worker-1")
        with rig.frozen("worker-1"):
            sent = {rig.publish() for _ in range(EVENTS)}
            rig.disconnect()
            rig.kill("postgres")
        # What was announced by then is tried once; from there on there is only what beat brings along.
        until(lambda: rig.redis.llen("dispatch") == 0, what="the wake-ups are taken")
        began, lines, used_s = time.monotonic(), _lines(rig), cpu_s(rig, "worker-1")
        codes = set()
        while time.monotonic() < began + AWAY_S:
            codes.add(attempt(rig, publish_request()))
        assert codes == {grpc.StatusCode.UNAVAILABLE}
        assert _lines(rig) - lines <= AWAY_S
        assert cpu_s(rig, "worker-1") - used_s < AWAY_S / 10
        rig.restart("postgres")
        rig.settled(webhook, "succeeded", count=EVENTS)
        assert posts(rig.receiver, path) == dict.fromkeys(sent, 1)
        assert rig.pid("worker-1") == worker


def _lines(rig: SystemRig) -> int:
    return len(log_of(rig, "worker-1").read_text().splitlines())


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """The database's folder in a system's, on a disk of its own, which is small."""
    mount, umount, folder = shutil.which("mount"), shutil.which("umount"), tmp_path / "system" / "postgres"
    folder.mkdir(parents=True)
    if mount is None or umount is None:
        pytest.skip("there is no mount on this machine")
    done = subprocess.run(
        [mount, "-t", "tmpfs", "-o", f"size={DISK},mode=700", "tmpfs", str(folder)], capture_output=True, check=False
    )
    if done.returncode:
        pytest.skip(f"no disk of our own: {done.stderr.decode().strip()}")
    try:
        yield folder
    finally:
        subprocess.run([umount, "--lazy", str(folder)], check=True)


def test_a_full_disk_accepts_nothing_falsely_and_costs_nothing_once_there_is_room(
    small_disk: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Calls are refused while it lasts; what was accepted is delivered, and a refused key can be published again.

    It shows in the server's log and metrics, and in `doctor`.
    """
    path = a_path()
    with SystemRig(small_disk.parent, metrics_bind="127.0.0.1:0") as rig:
        webhook = rig.webhook(path, max_retries=10)
        metrics = address_in(lambda: log_of(rig, "server").read_text())
        accepted = {rig.publish()}
        rig.settled(webhook, "succeeded")
        ballast = fill(small_disk)
        # Text that can't be compressed: the first few may find room in pages that are there.
        requests = [publish_request(noise=secrets.token_hex(4500)) for _ in range(EVENTS)]
        told = [attempt(rig, request) for request in requests]
        assert told.count(grpc.StatusCode.UNAVAILABLE) >= EVENTS / 2
        assert {each for each in told if isinstance(each, grpc.StatusCode)} == {grpc.StatusCode.UNAVAILABLE}
        accepted |= {each for each in told if isinstance(each, str)}
        assert scraped(metrics).value("database_errors_total", kind="resources") > 0
        assert re.search(r"the database refuses: .*No space left on device", log_of(rig, "server").read_text())
        # Where there is no room for its log of changes either, it ends, and then it is away.
        found = _examined(rig, capsys)
        assert found["disk" if found["postgres"].startswith("ok") else "postgres"].startswith("failed")
        rig.disconnect()
        ballast.unlink()
        if "postgres" not in rig.system.processes:
            rig.restart("postgres")
        for request in requests:
            accepted.add(accepted_at_last(rig, request))
        rig.settled(webhook, "succeeded", count=len(accepted))
        [(stored,)] = rig.database.execute("SELECT count(*) FROM noteflow.webhook_events").fetchall()
        assert (set(posts(rig.receiver, path)), stored) == (accepted, EVENTS + 1)


def _examined(rig: SystemRig, capsys: pytest.CaptureFixture[str]) -> dict[str, str]:
    """Return each check's state, and what it found."""
    capsys.readouterr()
    with pytest.MonkeyPatch.context() as patch:
        for name, value in variables({"data_dir": rig.folder, **rig.settings}).items():
            patch.setenv(name, value)
        assert run(root, ["doctor", "--json"]) == 1
    return {each["check"]: f"{each['state']}: {each['found']}" for each in json.loads(capsys.readouterr().out)}


def fill(folder: Path) -> Path:
    """Leave no room on the folder's disk, and return the file that takes it."""
    ballast = folder / "ballast"
    with ballast.open("wb", buffering=0) as file, contextlib.suppress(OSError):
        while True:
            file.write(bytes(65_536))
    return ballast
