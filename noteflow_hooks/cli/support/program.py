"""How this command is called here, so that what we tell people to type works as it stands."""

from __future__ import annotations

import os
import shlex
import shutil
import sys
from pathlib import Path
from typing import Final

from noteflow_hooks.settings import PREFIX

_NAME: Final = "noteflow-hooks"
_DATA_DIR: Final = f"{PREFIX}DATA_DIR"


def program_name() -> str:
    """Return what to type in another terminal, with the data folder that this one's environment names."""
    folder = os.environ.get(_DATA_DIR)
    return f"{_DATA_DIR}={shlex.quote(folder)} {_called()}" if folder else _called()


def _called() -> str:
    """Return the name where the shell finds it, else its path, else Python's module."""
    called = Path(sys.argv[0])
    if called.name != _NAME:
        return f"{sys.executable} -m noteflow_hooks.cli"
    found = shutil.which(_NAME)
    if found is not None and Path(found).resolve() == called.resolve():
        return _NAME
    path = os.path.relpath(called)
    return str(called) if path.startswith("..") else path
