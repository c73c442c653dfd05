"""What goes out: the same bytes whenever they are built, and nothing that is known to be vulnerable or yanked."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Final

import pytest

ROOT: Final = Path(__file__).parents[2]
PARTS: Final = ("client", "noteflow_hooks", "workers", "migrations", "pyproject.toml", "README.md", "CHANGELOG.md")


def _wheels(folder: Path, *, umask: int, hash_seed: str) -> list[bytes]:
    """Build the wheels from a copy whose files are all as old as the copy."""
    copy = folder / "copy"
    copy.mkdir(parents=True)
    ignored = shutil.ignore_patterns("__pycache__")
    for part in PARTS:
        if (ROOT / part).is_dir():
            shutil.copytree(ROOT / part, copy / part, symlinks=True, ignore=ignored, copy_function=_copied)
        else:
            shutil.copyfile(ROOT / part, copy / part)
    told = {"SOURCE_DATE_EPOCH": "1700000000", "PYTHONHASHSEED": hash_seed, "TZ": f"UTC-{hash_seed}"}
    for place in (copy, copy / "client"):
        subprocess.run(
            [sys.executable, "-m", "hatchling", "build", "--target", "wheel", "--directory", folder / "dist"],
            cwd=place,
            env=os.environ | told,
            umask=umask,
            capture_output=True,
            check=True,
        )
    return [built.read_bytes() for built in sorted((folder / "dist").glob("*.whl"))]


def _copied(source: str, target: str) -> str:
    """Copy a file as a new one, and a link as a link."""
    return shutil.copyfile(source, target, follow_symlinks=False)


def test_two_builds_give_the_same_wheels(tmp_path: Path) -> None:
    """In two folders, at two times, in two time zones, by users with different masks: the system's and the client's."""
    first = _wheels(tmp_path / "one", umask=0o022, hash_seed="1")
    assert len(first) == 2
    assert _wheels(tmp_path / "another place", umask=0o077, hash_seed="9") == first


@pytest.fixture
def audited(tmp_path: Path) -> Path:
    """A place where both tools find nothing, and where only what this project's script makes of that is tested."""
    (tmp_path / "scripts").mkdir()
    shutil.copy(ROOT / "scripts" / "audit", tmp_path / "scripts")
    (tmp_path / "requirements").mkdir()
    (tmp_path / "requirements" / "one.lock").touch()
    (tmp_path / ".venv-audit" / "bin").mkdir(parents=True)
    for name in ("pip-audit", "uv"):
        _tool(tmp_path, name, "exit 0")
    return tmp_path


def _tool(place: Path, name: str, does: str) -> None:
    path = place / ".venv-audit" / "bin" / name
    path.write_text(f'#!/bin/sh\necho "{name} $*" >>{place}/asked\n{does}\n')
    path.chmod(0o755)


def _audit(place: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run([place / "scripts" / "audit"], capture_output=True, text=True, check=False)


def test_an_audit_without_a_finding_is_well(audited: Path) -> None:
    """Each lock file is asked about, and what can't be asked about is to count as a finding."""
    assert _audit(audited).returncode == 0
    asked = (audited / "asked").read_text()
    assert "pip-audit --strict --require-hashes" in asked
    assert asked.count("requirements/one.lock") == 2


@pytest.mark.parametrize(
    ("tool", "does"),
    [
        ("pip-audit", "echo 'celery 5.0 CVE-1'; exit 1"),
        ("uv", "echo 'warning: celery==5.0 is yanked (reason: broken)' >&2; exit 0"),
        ("uv", "echo 'error: no route to host' >&2; exit 2"),
    ],
)
def test_an_audit_with_a_finding_fails(audited: Path, tool: str, does: str) -> None:
    """A vulnerability, a version that was taken back, and a registry that does not answer; it says what to do."""
    _tool(audited, tool, does)
    failed = _audit(audited)
    assert failed.returncode == 1
    assert "celery" in failed.stdout or "no route" in failed.stderr
    assert "make lock UPGRADE=--upgrade" in failed.stderr
