"""Workers whose clock is ten minutes off: due times are the database's, so nothing comes early, late or not at all."""

from __future__ import annotations

import re
import shutil
import subprocess
from itertools import pairwise
from typing import TYPE_CHECKING, Final

import pytest

from noteflow_hooks.signing import verify_standard
from tests.support.extra_programs import log_of, started
from tests.support.receiver_connection import Answer
from tests.support.system_rig import SystemRig, a_path
from tests.support.waiting import until
from tests.support.worker_programs import pooled_worker, wait_until_ready, with_variables

if TYPE_CHECKING:
    from collections.abc import Iterator

    from noteflow_hooks.rpc.proto.noteflow.v1 import noteflow_pb2 as pb

pytestmark = pytest.mark.skipif(shutil.which("faketime") is None, reason="there is no faketime on this machine")

EVENTS: Final = 10
#: The wait before the second attempt, and twice that before the third one; what may come on top of each on a busy
#: machine, a fraction of what the clocks are off.
WAIT_S: Final = 1.0
LATE_S: Final = 120.0
AHEAD, BEHIND = 600, -600


@pytest.fixture(scope="module")
def system(tmp_path_factory: pytest.TempPathFactory) -> Iterator[SystemRig]:
    """A system with one worker, whose clock is right."""
    with SystemRig(tmp_path_factory.mktemp("system"), retry_base_s=WAIT_S) as running:
        yield running


@pytest.fixture
def rig(system: SystemRig) -> Iterator[SystemRig]:
    with system.as_new_tenant() as tenant:
        yield tenant


def faked(offset_s: int) -> dict[str, str]:
    """Return the variables that put a program's wall clock off; its other clocks go on as they are."""
    command = ["faketime", "-f", f"{offset_s:+d}s", "env"]
    shown = subprocess.run(command, check=True, capture_output=True, text=True).stdout
    variables = dict(line.split("=", 1) for line in shown.splitlines() if "=" in line)
    wanted = {name: variables[name] for name in ("LD_PRELOAD", "FAKETIME")}
    return {**wanted, "FAKETIME_DONT_FAKE_MONOTONIC": "1", "NO_FAKE_STAT": "1"}


@pytest.mark.parametrize(
    "alone",
    [pytest.param(True, id="alone"), pytest.param(False, id="beside-one-that-is-right", marks=pytest.mark.chaos)],
)
@pytest.mark.parametrize("offset_s", [AHEAD, BEHIND], ids=["ahead", "behind"])
def test_a_worker_with_a_wrong_clock_retries_at_the_right_times(rig: SystemRig, offset_s: int, *, alone: bool) -> None:
    """Two failures each, then a success: no attempt before its time, none minutes late, and none too many."""
    name, paths = f"wrong-{offset_s}-{alone}", [a_path() for _ in range(EVENTS)]
    webhooks = [_failing_twice(rig, path) for path in paths]
    wrong = with_variables(pooled_worker("gevent", "-c", "4", name=name), **faked(offset_s))
    if alone:
        rig.kill("worker-1")
    with started(rig, name, wrong):
        wait_until_ready(rig, name)
        event_id = rig.publish()
        for webhook in webhooks:
            rig.settled(webhook, "succeeded")
        if alone:
            until(lambda: _warns(log_of(rig, name).read_text(), offset_s), what="the log warns of the clock")
    if alone:
        rig.restart("worker-1")
    for webhook, path in zip(webhooks, paths, strict=True):
        requests = rig.receiver.wait_for(3, path=path)
        assert [each.header("webhook-id") for each in requests] == [event_id] * 3
        for number, (earlier, later) in enumerate(pairwise(requests)):
            waited = (later.received_at - earlier.received_at).total_seconds()
            assert WAIT_S * 2**number <= waited < WAIT_S * 2**number + LATE_S
        if alone:
            assert _signed_at(requests[0].headers, requests[0].body, webhook.secret, offset_s)


def _failing_twice(rig: SystemRig, path: str) -> pb.Webhook:
    rig.receiver.script(path, Answer(500), Answer(500), Answer(200))
    return rig.webhook(path)


def _warns(log: str, offset_s: int) -> bool:
    """Tell whether the log warns of the offset; half of what the look at the database took may be told with it."""
    side = "ahead of" if offset_s > 0 else "behind"
    found = re.search(rf"this worker's clock is (\d+) s {side} the database's", log)
    return found is not None and abs(int(found[1]) - abs(offset_s)) < 60


def _signed_at(headers: tuple[tuple[str, str], ...], body: bytes, secret: str, offset_s: int) -> bool:
    """Tell whether the signature is good, and so far off that a receiver refuses it, as the warning says."""
    given = dict(headers)
    now = int(given["webhook-timestamp"]) - offset_s
    return verify_standard(body, given, secret, now=now + offset_s) and not verify_standard(body, given, secret)
