"""Make a fresh .venv work at any path: ``python -I -S scripts/any_path.py .venv``.

Two kinds of files contain the checkout's path, and neither can contain every path. This needs the standard library
only, and no ``site``: before it has run, the venv's Python may not start.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Final

#: How pip begins a script whose path can't be in a shebang, because it has a blank or is too long. /bin/sh then starts
#: the script, and interprets a dollar sign even in double quotes.
_OPENING: Final = b"#!/bin/sh\n'''exec' \""
_QUOTE: Final = b"'"


def mend_script(script: Path) -> None:
    """Put the path into single quotes, in which a shell interprets nothing."""
    text = script.read_bytes()
    path, quote, rest = text.removeprefix(_OPENING).partition(b'"')
    if text.startswith(_OPENING) and quote and _QUOTE not in path:
        script.write_bytes(_OPENING[:-1] + _QUOTE + path + _QUOTE + rest)


def mend_import_path(line: Path) -> None:
    """Write the checkout's path relative to the file: it is read in the locale's encoding, which may lack a letter."""
    line.write_text("../../../..\n", encoding="ascii")


def main() -> None:
    """Correct these files in the venv."""
    venv = Path(sys.argv[1])
    for script in (venv / "bin").iterdir():
        if script.is_file() and not script.is_symlink():
            mend_script(script)
    for line in venv.glob("lib/python*/site-packages/*noteflow_hooks*.pth"):
        mend_import_path(line)


if __name__ == "__main__":
    main()
