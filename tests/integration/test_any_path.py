"""A checkout works under any path: with letters that the locale lacks, with blanks, and with a dollar sign."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from pip._vendor.distlib.scripts import ScriptMaker, enquote_executable

ROOT = Path(__file__).parents[2]


@pytest.fixture(params=["d\u00e9", "a$HOME", "d\u00e9$HOME `x` b"])
def checkout(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    """A checkout of one package, and a venv as pip leaves it: a script, and a line that makes it importable."""
    folder = tmp_path / str(request.param)
    package = folder / "noteflow_hooks"
    package.mkdir(parents=True)
    (package / "__init__.py").write_text("def main():\n    print('started')\n")
    venv = folder / ".venv"
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", venv], check=True)
    [packages] = venv.glob("lib/python*/site-packages")
    (packages / "_editable_impl_noteflow_hooks.pth").write_text(f"{folder}\n", encoding="utf-8")
    maker: Any = ScriptMaker(None, str(venv / "bin"), add_launchers=False)  # type: ignore[no-untyped-call]  # pip's own
    maker.executable = enquote_executable(str(venv / "bin" / "python"))  # type: ignore[no-untyped-call]  # as above
    maker.variants = {""}
    maker.set_mode = True
    maker.make("noteflow-hooks = noteflow_hooks:main")
    return folder


def started(checkout: Path) -> str:
    """Run the script by its relative path, as the Makefile does."""
    env = {"PATH": os.environ["PATH"], "HOME": "/root", "LC_ALL": "C"}
    ended = subprocess.run(
        [".venv/bin/noteflow-hooks"], cwd=checkout, env=env, capture_output=True, text=True, check=False
    )
    return ended.stdout


def test_a_fresh_venv_starts_from_any_path(checkout: Path) -> None:
    """As often as it is mended: `make demo` comes here twice where the first run was broken off."""
    mend = [".venv/bin/python", "-I", "-S", str(ROOT / "scripts" / "any_path.py"), ".venv"]
    for _ in range(2):
        subprocess.run(mend, cwd=checkout, env={"LC_ALL": "C"}, check=True)
        assert started(checkout) == "started\n"


def test_the_script_that_sets_up_mends_it() -> None:
    """Before it says that it is done."""
    steps = (ROOT / "scripts" / "venv").read_text(encoding="utf-8").partition("-e . -e ./client\n")[2]
    assert steps.startswith(".venv/bin/python -I -S scripts/any_path.py .venv")
