"""systemd takes the units of ``deploy/systemd``, and they run what ``compose.yaml`` runs, with no right too many."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Final

import pytest

from noteflow_hooks.settings import Settings
from tests.support.compose_file import ROOT, read

UNITS: Final = ROOT / "deploy" / "systemd"
SERVICES: Final = sorted(each.name for each in UNITS.glob("*.service"))
COMMON: Final = "noteflow-hooks-.service.d/10-common.conf"
_ANALYZE: Final = shutil.which("systemd-analyze") or ""

needs_systemd = pytest.mark.skipif(not _ANALYZE, reason="there is no systemd-analyze on this machine")


def lines(name: str) -> dict[str, list[str]]:
    """Return what a file says: the values of each key, in their order."""
    said: dict[str, list[str]] = {}
    joined = re.sub(r"\\\n\s*", "", (UNITS / name).read_text())
    for key, value in re.findall(r"^([A-Za-z]+)=(.*)$", joined, re.MULTILINE):
        said.setdefault(key, []).append(value)
    return said


@pytest.fixture
def units(tmp_path: Path) -> Path:
    """A copy whose programs are this environment's: systemd looks whether they are there."""
    folder = shutil.copytree(UNITS, tmp_path / "units")
    for each in folder.glob("*.service"):
        each.write_text(each.read_text().replace("/opt/noteflow-hooks/bin", str(Path(sys.executable).parent)))
    return folder


def _analyze(units: Path, *words: str) -> subprocess.CompletedProcess[str]:
    environment = {**os.environ, "SYSTEMD_UNIT_PATH": f"{units}:"}
    return subprocess.run(
        [_ANALYZE, *words], cwd=units, env=environment, capture_output=True, text=True, check=False, timeout=60
    )


@needs_systemd
@pytest.mark.parametrize("name", [*SERVICES, "noteflow-hooks.target"])
def test_systemd_finds_no_fault(name: str, units: Path) -> None:
    """No word that it doesn't know, no program that isn't there, no unit that isn't."""
    checked = _analyze(units, "verify", f"./{name.replace('@.', '@1.')}")
    ours = [line for line in checked.stderr.splitlines() if "noteflow" in line]
    assert (checked.returncode, ours) == (0, [])


@needs_systemd
def test_systemd_does_find_faults(units: Path) -> None:
    """A slip in a unit, and in what all have in common, is seen."""
    (units / COMMON).write_text("[Service]\nKillMod=mixed\n")
    found = _analyze(units, "verify", "./noteflow-hooks-beat.service").stderr
    assert "KillMod" in found


@needs_systemd
@pytest.mark.parametrize("name", SERVICES)
def test_a_service_can_do_little_harm(name: str, units: Path) -> None:
    """By systemd's own measure from 0 to 10, of which a service that is left as it is has 9.6."""
    found = _analyze(units, "security", "--offline=true", "--no-pager", "--threshold=20", f"./{name}")
    assert found.returncode == 0, found.stdout


@pytest.mark.parametrize("service", ["worker", "beat", "dashboard", "server", "exporter"])
def test_a_service_runs_what_compose_runs(service: str) -> None:
    """But for the names of workers, of which one machine has several, and for who may ask the exporter."""
    variables = dict.fromkeys(
        ("POSTGRES_PASSWORD", "REDIS_PASSWORD", "NOTEFLOW_HOOKS_SECRET_KEYS", "FLOWER_USER", "FLOWER_PASSWORD"), "x"
    )
    composed = read(variables).services[service]
    (name,) = [each for each in SERVICES if each.startswith(f"noteflow-hooks-{service}")]
    (started,) = lines(name)["ExecStart"]
    command = started.removeprefix("/opt/noteflow-hooks/bin/").replace("worker-%i@%%h", "worker@%h")
    command = command.replace("${SERVER_PROCESSES}", "1").replace("127.0.0.1:9464", "0.0.0.0:9464")
    assert command.split() == composed.command


def test_a_stop_waits_for_posts_and_ends_children() -> None:
    """The longest exchange takes 30 s, and the lease lasts 10 s longer; the main process ends its own children."""
    said = lines(COMMON)
    assert said["KillMode"] == ["mixed"]
    (grace,) = said["TimeoutStopSec"]
    assert int(grace) > 30 + Settings.model_fields["lease_slack_s"].default


def test_passwords_are_in_files_of_roots_alone_and_the_dashboard_has_none() -> None:
    """They are read before the rights are given up. The dashboard forgets the others' file."""
    assert lines(COMMON)["EnvironmentFile"] == ["/etc/noteflow-hooks/environment"]
    assert lines("noteflow-hooks-dashboard.service")["EnvironmentFile"] == [
        "",
        "/etc/noteflow-hooks/dashboard.environment",
    ]
    set_here = {value for each in (COMMON, *SERVICES) for value in lines(each).get("Environment", ())}
    assert {each for each in set_here if "NOTEFLOW_HOOKS_" in each} == {"NOTEFLOW_HOOKS_RUN_DIR=/run/noteflow-hooks"}


def test_whoever_needs_the_schema_waits_for_it() -> None:
    """Workers, beat and server start after the migration, and only if it went well."""
    for name in SERVICES:
        if not any(each in name for each in ("migrate", "dashboard")):
            assert lines(name)["Requires"] == ["noteflow-hooks-migrate.service"], name
            assert lines(name)["After"][0].startswith("noteflow-hooks-migrate.service"), name
