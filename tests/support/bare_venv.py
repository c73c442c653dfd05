"""``python -m tests.support.bare_venv FOLDER``: a venv at the price of one without pip; it shares what is installed.

Its pip is this environment's, and finds our dependencies there already; the project itself it does not find. With names
after the folder, it shares those distributions and nothing else.
"""

from __future__ import annotations

import sys
import sysconfig
import venv
from importlib import metadata
from pathlib import Path
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Iterable

#: Of what is installed here, what is the project's own, or makes it importable.
_OURS: Final = ("noteflow_hooks", "_editable_impl", "_noteflow_hooks", "a1_coverage", "__pycache__")


def make(folder: Path, distributions: Iterable[str] = ()) -> None:
    """Make it; with ``distributions``, it shares those and pip alone."""
    venv.create(folder, symlinks=True)
    shared = folder / "shared"
    shared.mkdir()
    tops = {top for name in distributions for top in _tops(name)}
    for each in Path(sysconfig.get_path("purelib")).iterdir():
        if each.name in tops if tops else not each.name.startswith(_OURS):
            (shared / each.name).symlink_to(each)
    version = f"python{sys.version_info.major}.{sys.version_info.minor}"
    (folder / "lib" / version / "site-packages" / "shared.pth").write_text(f"{shared}\n")
    pip = folder / "bin" / "pip"
    # What is never imported need not be compiled.
    run = f'exec {folder}/bin/python -m pip --no-cache-dir --disable-pip-version-check "$1" --no-compile "${{@:2}}"'
    pip.write_text(f"#!/bin/bash\n{run}\n")
    pip.chmod(0o755)


def _tops(distribution: str) -> set[str]:
    """Return what stands of a distribution beside others."""
    return {file.parts[0] for file in metadata.distribution(distribution).files or ()}


if __name__ == "__main__":
    make(Path(sys.argv[1]), sys.argv[2:])
