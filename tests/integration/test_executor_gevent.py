"""Under ``celery -P gevent`` the executor keeps its deadlines, and its POSTs run side by side."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from tests.support.certificates import authority_pem
from tests.support.hostile_cases.faulty_listeners import FAULTY_LISTENERS
from tests.support.hostile_receiver import OK, trickles, trickles_a_record
from tests.support.receiver import Receiver
from tests.support.receiver_connection import Answer

HERE = Path(__file__).parent
#: Three times the posts, on a machine that others use as well; each answer searched for each value made it thousands.
BESIDE = 100
ENDLESS = "E21 asks for handshakes without end"


def posts(*urls: str, timeout_ms: int) -> subprocess.Popen[str]:
    """Start posting to all these URLs at once in a process that gevent has patched."""
    command = [sys.executable, str(HERE / "gevent_posts.py"), str(authority_pem()), str(timeout_ms), *urls]
    return subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env={"PYTHONPATH": str(HERE.parents[1])})


def outcomes(process: subprocess.Popen[str]) -> list[tuple[str | None, int]]:
    """Return each post's error kind and duration in milliseconds."""
    output, _ = process.communicate(timeout=180)
    return [(kind, duration_ms) for kind, duration_ms in json.loads(output)]


@pytest.mark.parametrize("tls", [False, True], ids=["http", "https"])
def test_twenty_posts_run_at_once_under_gevent(tls: bool) -> None:  # noqa: FBT001 - a case
    """No answer is given before all twenty requests are there, and all are delivered."""
    with Receiver(tls=tls) as receiver:
        receiver.hold()
        process = posts(*[receiver.url(host="localhost")] * 20, timeout_ms=120_000)
        receiver.wait_for(20)
        receiver.release()
        assert [kind for kind, _ in outcomes(process)] == [None] * 20


def test_a_handshake_without_end_holds_up_no_other_post_under_gevent() -> None:
    """OpenSSL is never fed for so long that the other greenlets would wait for it."""
    with Receiver(tls=True) as good, FAULTY_LISTENERS[ENDLESS].receiver() as endless:
        urls = [f"https://localhost:{endless.port}/"] * 3 + [good.url(host="localhost")] * 3
        results = outcomes(posts(*urls, timeout_ms=120_000))
    assert [kind for kind, _ in results] == ["tls"] * 3 + [None] * 3
    assert all(duration_ms < 60_000 for _, duration_ms in results)


def test_trickles_end_at_the_deadline_under_gevent() -> None:
    """A head, a TLS record and a handshake that come byte by byte end in time, all at once."""
    with (
        Receiver() as plain,
        Receiver(tls=True) as secure,
        Receiver(greeting=trickles(b"\0", after=b"\x16\x03\x03\x40\x00\x02\x00\x3f\xfc")) as handshake,
        Receiver(greeting=trickles_a_record) as record,
    ):
        for receiver in (plain, secure):
            receiver.script("/", trickles(b"X-Slow: 1\r\n", after=OK))
        urls = [plain.url(), secure.url(), f"https://localhost:{handshake.port}/", f"https://localhost:{record.port}/"]
        results = outcomes(posts(*urls, timeout_ms=1500))
    assert [kind for kind, _ in results] == ["timeout"] * 4
    assert all(1500 <= duration_ms < 60_000 for _, duration_ms in results)


def test_hostile_answers_hold_up_no_quiet_endpoint_under_gevent() -> None:
    """40 answers that are made to be hard to redact, beside 20 posts: those take about as long as alone."""
    with Receiver() as hostile, Receiver() as quiet:
        hostile.script("/", Answer(body=b"cccccccc" + b"a" * 28_664))
        command = [sys.executable, str(HERE / "gevent_hostile.py"), hostile.url(), quiet.url()]
        printed = subprocess.run(
            command, stdout=subprocess.PIPE, check=True, timeout=300, env={"PYTHONPATH": str(HERE.parents[1])}
        ).stdout
    alone_s, beside_s = json.loads(printed)
    assert beside_s < BESIDE * alone_s
