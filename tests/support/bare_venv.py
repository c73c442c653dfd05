"""``python -m tests.support.bare_venv FOLDER``: a venv at the price of one without pip; it shares what is installed.

Its pip is this environment's, and finds our dependencies there already; the project itself it does not find.
"""

from __future__ import annotations

import sys
import sysconfig
import venv
from pathlib import Path
from typing import Final

#: Of what is installed here, what is the project's own, or makes it importable.
_OURS: Final = ("noteflow_hooks", "_editable_impl", "a1_coverage", "__pycache__")


def main() -> None:
    """Make it."""
    folder = Path(sys.argv[1])
    venv.create(folder, symlinks=True)
    shared = folder / "shared"
    shared.mkdir()
    for each in Path(sysconfig.get_path("purelib")).iterdir():
        if not each.name.startswith(_OURS):
            (shared / each.name).symlink_to(each)
    version = f"python{sys.version_info.major}.{sys.version_info.minor}"
    (folder / "lib" / version / "site-packages" / "shared.pth").write_text(f"{shared}\n")
    pip = folder / "bin" / "pip"
    # What is never imported need not be compiled.
    run = f'exec {folder}/bin/python -m pip --no-cache-dir --disable-pip-version-check "$1" --no-compile "${{@:2}}"'
    pip.write_text(f"#!/bin/bash\n{run}\n")
    pip.chmod(0o755)


if __name__ == "__main__":
    main()
