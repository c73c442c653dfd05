"""The project's wheels, as a release builds them: the system's and the client's."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Final

ROOT: Final = Path(__file__).parents[2]
#: Where each is built, by its distribution's name.
FOLDERS: Final = {"noteflow-hooks": ROOT, "noteflow-hooks-client": ROOT / "client"}


def build(distribution: str, into: Path) -> Path:
    """Build a wheel into the folder, and return its path."""
    command = [sys.executable, "-m", "hatchling", "build", "--target", "wheel", "--directory", str(into)]
    subprocess.run(command, cwd=FOLDERS[distribution], check=True, capture_output=True)
    [wheel] = into.glob(f"{distribution.replace('-', '_')}-[0-9]*.whl")
    return wheel
