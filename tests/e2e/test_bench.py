"""`noteflow-hooks bench`: it measures, writes down what it found, and leaves nothing behind."""

from __future__ import annotations

import json
import shutil
import signal
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Final

import psutil
import pytest

from noteflow_hooks.bench.scenarios import chosen

if TYPE_CHECKING:
    from collections.abc import Iterator

BENCH: Final = [sys.executable, "-m", "noteflow_hooks.cli", "bench", "--rounds", "1", "--scale", "0.02"]

#: Scenarios of either client.
LIGHT: Final = ["over-grpc-16", "over-grpc-batches-16"]
PYTHON: Final = ["over-grpc-python-batches-16"]


@pytest.fixture
def place(monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A folder of its own for temporary folders: what is left is seen there. Its path is short, for sockets."""
    with tempfile.TemporaryDirectory(prefix="nf-") as folder:
        monkeypatch.setenv("TMPDIR", folder)
        yield Path(folder)


def test_a_run_measures_and_writes_down_what_it_found(place: Path, tmp_path: Path) -> None:
    """Each scenario against its baseline; a worker that was ended and started again is still one of two."""
    only = ["--only", "http", "--only", "second-worker", "--only", "memory"]
    ended = subprocess.run(
        [*BENCH, *only, "--output", tmp_path / "out"], capture_output=True, text=True, timeout=280, check=False
    )
    assert ended.returncode == 0, ended.stderr
    assert "one subscriber ÷ bare loop" in ended.stdout
    steps = [line.split()[:3] for line in ended.stderr.splitlines() if line.startswith("round")]
    assert steps == [["round", "1/1", name] for name in ("http", "second-worker", "memory")]
    kept = json.loads((tmp_path / "out" / "bench.json").read_text())
    assert kept["versions"]["postgresql"].startswith("18")
    assert {found["figure"] for found in kept["bounds"]} == {
        "ratio",
        "cpu_workers_us",
        "cpu_postgres_us",
        "worker_peak_mb",
    }
    assert all(value >= 0 for figures in kept["values"].values() for [value] in figures.values())
    assert "| one subscriber ÷ bare loop |" in (tmp_path / "out" / "table.md").read_text()
    assert list(place.iterdir()) == []


@pytest.mark.chaos
def test_calls_are_measured_end_to_end_and_by_themselves(place: Path) -> None:
    """What an event costs is the sum of its parts; without h2load its figures are skipped, and the others are not."""
    only = [part for name in (*LIGHT, *PYTHON, "calls-16") for part in ("--only", name)]
    ended = subprocess.run([*BENCH, *only, "--json"], capture_output=True, text=True, timeout=280, check=False)
    assert ended.returncode == 0, ended.stderr
    kept = json.loads(ended.stdout)
    assert list(kept["skipped"]) == ([] if shutil.which("h2load") else LIGHT)
    for figures in (found for name, found in kept["values"].items() if name != "calls-16"):
        parts = [figures[f"cpu_{part}_us"][0] for part in ("server", "workers", "postgres", "valkey")]
        assert figures["us_an_event"] == [pytest.approx(sum(parts))]
        assert all(each > 0 for each in (*parts, *figures["ratio"]))
    costs = kept["values"]["calls-16"]
    assert costs["publish_ratio"] == [
        pytest.approx(costs["call_PublishEvent_server_us"][0] / costs["call_empty_server_us"][0])
    ]
    calls = ("PublishEvent", "ListWebhooks", "CreateMeeting", "StopMeeting", "CreateMeeting_off", "StopMeeting_off")
    assert all(costs[f"call_{call}_{part}_us"][0] > 0 for call in calls for part in ("server", "postgres"))
    assert list(place.iterdir()) == []


@pytest.mark.chaos
def test_every_scenario_can_be_played(place: Path) -> None:
    """Redis freezes and dies in some of them, and the next ones find everything as it was."""
    ended = subprocess.run([*BENCH, "--json"], capture_output=True, text=True, timeout=280, check=False)
    assert ended.returncode == 0, ended.stderr
    kept = json.loads(ended.stdout)
    assert {*kept["values"], *kept["skipped"]} == {each.name for each in chosen([], full=False)}
    assert [name for name in kept["skipped"] if not name.startswith("over-grpc")] == []
    assert list(place.iterdir()) == []


@pytest.mark.chaos
def test_an_interrupted_run_leaves_nothing(place: Path) -> None:
    """Its exit code is a shell's own for that."""
    with subprocess.Popen([*BENCH, "--only", "http"], text=True, stderr=subprocess.PIPE) as bench:
        assert bench.stderr is not None
        assert any(line.startswith("warm-up") for line in bench.stderr)
        processes = psutil.Process(bench.pid).children(recursive=True)
        bench.send_signal(signal.SIGINT)
        said = bench.stderr.read()
        assert bench.wait(timeout=120) == 130
    assert "Traceback" not in said
    # PostgreSQL and Valkey, server, beat, two workers, the receiver and two bare loops at the least.
    assert len(processes) >= 9
    assert [each for each in processes if each.is_running()] == []
    assert list(place.iterdir()) == []
