"""A PostgreSQL cluster that has the newest schema: made once in a process, and copied for each system that needs one.

A copy takes a tenth of the processor time that initdb and all migrations take.
"""

from __future__ import annotations

import atexit
import shutil
import subprocess
import tempfile
from functools import cache
from pathlib import Path

from noteflow_hooks import bootstrap
from noteflow_hooks.local.private import make_folder
from noteflow_hooks.local.servers import EmbeddedPostgres
from noteflow_hooks.settings import Settings


def put_cluster(folder: Path) -> None:
    """Put one where `EmbeddedPostgres` over the folder looks for its own, unless there is one."""
    if not (folder / "data").exists():
        for each in (folder.parent, folder):
            make_folder(each)
        # By the system's own program: Python's takes five times as long.
        subprocess.run(["cp", "-a", str(_made()), str(folder)], check=True)  # noqa: S607 - wherever the system has it


@cache
def _made() -> Path:
    folder = Path(tempfile.mkdtemp(prefix="noteflow-cluster-"))
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    with EmbeddedPostgres(folder, settings={"fsync": "off"}) as server:
        bootstrap.migrate(Settings(_env_file=None, database_url=server.url))
    return folder / "data"
