"""`noteflow-hooks demo`: four events, delivered and verified, and nothing left behind."""

from __future__ import annotations

import json
import os
import re
import shlex
import signal
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path
from typing import TYPE_CHECKING, Final

import psutil
import pytest
from sqlalchemy import text

from noteflow_hooks import bootstrap
from noteflow_hooks.cli.demo.places import demo_folder
from noteflow_hooks.cli.root import root
from noteflow_hooks.cli.support.failures import run
from noteflow_hooks.concurrency.outage import DATABASE
from noteflow_hooks.errors import UnavailableError
from noteflow_hooks.local.stack import system
from noteflow_hooks.persistence.sql.engine import create_engine
from noteflow_hooks.settings import PREFIX
from tests.quality.sources import ROOT
from tests.support.document_pages import understood
from tests.support.waiting import PATIENCE_S, until

if TYPE_CHECKING:
    from collections.abc import Iterator

    from noteflow_hooks.settings import Settings

EVENTS: Final = ["recording.started", "recording.stopped", "summary.generated", "meeting.completed"]
#: What may lie about in the environment of whoever runs it.
HOSTILE: Final = {
    f"{PREFIX}DATABASE_URL": "postgresql://127.0.0.1:9/nowhere",
    f"{PREFIX}RETRY_CAP_S": "nonsense",
    f"{PREFIX}WEBHOOKS_ENABLED": "false",
    "CELERY_BROKER_URL": "redis://127.0.0.1:9/0",
    "PGHOST": "127.0.0.1",
    "PGOPTIONS": "nonsense",
    "http_proxy": "http://127.0.0.1:9",
    "https_proxy": "http://127.0.0.1:9",
}
DEMO: Final = [sys.executable, "-m", "noteflow_hooks.cli", "demo"]


@pytest.fixture
def place(monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A folder of its own for temporary folders: what a demo leaves is seen there. Its path is short, for sockets."""
    with tempfile.TemporaryDirectory(prefix="nf-") as folder:
        monkeypatch.setenv("TMPDIR", folder)
        monkeypatch.setattr(tempfile, "tempdir", folder)
        yield Path(folder)


def at_work_in(place: Path) -> list[psutil.Process]:
    """Return the processes that work below the folder."""
    found = []
    for process in psutil.process_iter(["cwd"]):
        cwd = process.info["cwd"]
        if cwd is not None and cwd.startswith(str(place)):
            found.append(process)
    return found


def test_the_demo_delivers_and_verifies_four_events(place: Path) -> None:
    """Twice at once, whatever the environment and a `.env` say, and nothing of either is left."""
    env = {**os.environ, **HOSTILE}
    (place / ".env").write_text(f"{PREFIX}SECRET_KEYS=nonsense\n")
    demos = [
        subprocess.Popen([*DEMO, *words], cwd=place, env=env, text=True, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
        for words in ([], ["--json"])
    ]
    (table, said), (listed, said_too) = (demo.communicate(timeout=250) for demo in demos)
    assert (said, said_too) == ("", "")
    assert [demo.returncode for demo in demos] == [0, 0]
    rows = [line.split() for line in table.splitlines() if line.startswith(tuple(EVENTS))]
    assert [row[:3] for row in rows] == [[event, "succeeded", "1"] for event in EVENTS]
    assert [row.count("verified") for row in rows] == [2, 2, 2, 2]
    assert "4 of 4 events were delivered and verified" in table
    steps = re.findall(r"^  \S+ -m noteflow_hooks.cli (.+)$", table.partition("Next")[2], re.MULTILINE)
    assert [each.partition(" ")[0] for each in steps] == ["up", "listen", "events", "deliveries"]
    for each in steps:
        understood(root, shlex.split(each))
    pages = re.findall(r"docs/\S+\.md", table)
    assert pages
    assert [each for each in pages if not (ROOT / each).is_file()] == []
    assert [(row["event"], row["signature"], row["standard_webhooks"]) for row in json.loads(listed)] == [
        (event, True, True) for event in EVENTS
    ]
    assert [path.name for path in place.iterdir()] == [".env"]
    assert at_work_in(place) == []


@pytest.mark.parametrize("started", [pytest.param("postgres", marks=pytest.mark.chaos), "logs/server.log"])
def test_an_interrupted_demo_leaves_nothing(place: Path, started: str) -> None:
    """Early or late; its exit code is a shell's own for that, and it says nothing."""
    with subprocess.Popen(DEMO, text=True, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE) as demo:
        until(lambda: list(place.glob(f"noteflow-demo-*/{started}")), what="the demo starts")
        demo.send_signal(signal.SIGINT)
        _, said = demo.communicate(timeout=PATIENCE_S)
    assert (demo.returncode, said.strip()) == (130, "")
    assert list(place.iterdir()) == []
    assert at_work_in(place) == []


def test_a_start_that_is_cut_short_tells_of_no_outage(
    place: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """Its migration loses the database that the stop ends; what another database refuses later is told again."""
    connected, stopped = threading.Event(), threading.Event()
    errors: list[UnavailableError] = []

    def migrate(settings: Settings) -> None:
        with create_engine(str(settings.database_url)).connect() as connection:
            connected.set()
            stopped.wait(PATIENCE_S)
            try:
                connection.execute(text("SELECT 1"))
            except UnavailableError as error:
                errors.append(error)
                raise

    def check() -> None:
        if connected.is_set():
            raise KeyboardInterrupt

    monkeypatch.setattr(bootstrap, "migrate", migrate)
    monkeypatch.setattr(system, "_START_UNDER_WAY_S", 0.0)
    with pytest.raises(KeyboardInterrupt), system.System(place / "system", throwaway=True) as starting:
        starting.start({"grpc_bind": "127.0.0.1:1", "secret_keys": "none"}, workers=0, check=check)
    stopped.set()
    until(lambda: errors and not DATABASE.is_ours, what="the start has failed")
    assert caplog.messages == []
    DATABASE.refused("something else")
    assert [each.partition(";")[0] for each in caplog.messages] == ["the database refuses: something else"]


@pytest.mark.usefixtures("place")
def test_a_program_that_dies_is_shown_with_its_last_words(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """And nothing waits for what it would have done."""
    last_words = [sys.executable, "-c", "raise SystemExit('out of luck')"]
    monkeypatch.setattr("noteflow_hooks.local.stack.system.SERVER", last_words)
    assert run(root, ["demo"]) == 1
    complaint = capsys.readouterr().err
    assert "noteflow-hooks: server ended with status 1" in complaint
    assert complaint.endswith("out of luck\n")


@pytest.mark.chaos
def test_the_next_demo_removes_what_a_killed_one_has_left(place: Path) -> None:
    """Its servers and its folder, as soon as it is old enough to be nobody's that just starts."""
    with subprocess.Popen(DEMO, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as demo:
        until(lambda: list(place.glob("noteflow-demo-*/logs/server.log")), what="the demo starts")
        demo.kill()
    [left] = place.iterdir()
    with demo_folder():
        assert left.exists()
    until(lambda: _is_removed_once_old(left), what="what it left is gone")
    assert at_work_in(place) == []


def _is_removed_once_old(left: Path) -> bool:
    """Make the folder old and another demo begin; a program that was just starting makes the folder young again."""
    an_hour_ago = time.time() - 3600
    os.utime(left, (an_hour_ago, an_hour_ago))
    with demo_folder():
        return not left.exists()
