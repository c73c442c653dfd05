"""Make a fresh .venv start from any path: ``python -I -S scripts/any_path.py .venv``.

The path of the checkout stands in two kinds of files that don't take every path. Standard library only, and without
``site``: until this has run, the venv's Python may not start.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Final

#: How pip begins a script where no shebang can hold the path: with a blank in it, or too long. /bin/sh then starts it,
#: and reads a dollar sign in the double quotes.
_OPENING: Final = b"#!/bin/sh\n'''exec' \""
_QUOTE: Final = b"'"


def mend_script(script: Path) -> None:
    """Put the path into single quotes, in which a shell reads nothing."""
    text = script.read_bytes()
    path, quote, rest = text.removeprefix(_OPENING).partition(b'"')
    if text.startswith(_OPENING) and quote and _QUOTE not in path:
        script.write_bytes(_OPENING[:-1] + _QUOTE + path + _QUOTE + rest)


def mend_import_path(line: Path) -> None:
    """Name the checkout from where the line stands: it is read in the locale's encoding, which may lack a letter."""
    line.write_text("../../../..\n", encoding="ascii")


def main() -> None:
    """Mend what is in the venv."""
    venv = Path(sys.argv[1])
    for script in (venv / "bin").iterdir():
        if script.is_file() and not script.is_symlink():
            mend_script(script)
    for line in venv.glob("lib/python*/site-packages/*noteflow_hooks.pth"):
        mend_import_path(line)


if __name__ == "__main__":
    main()
