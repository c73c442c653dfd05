"""Generate the pages of docs/reference from the sources; with ``--check`` only exit with status 1 if one is stale.

They are committed, since they are read on GitHub as well as on the site.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import Final

from scripts.reference import api, commands, events, settings

ROOT: Final = Path(__file__).resolve().parent.parent
FOLDER: Final = ROOT / "docs" / "reference"


def generate() -> dict[Path, str]:
    """Return the text of every generated page, by its path."""
    makers = {"api": api, "commands": commands, "events": events, "settings": settings}
    return {FOLDER / f"{name}.md": maker.generate() for name, maker in makers.items()}


def main() -> int:
    """Write the generated pages, or compare them; return the exit status."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--check", action="store_true", help="write nothing; exit 1 if something is out of date")
    check = parser.parse_args().check
    wanted = generate()
    others = [path for path in FOLDER.glob("*") if path not in wanted]
    stale = [path for path, text in wanted.items() if not path.exists() or path.read_text("utf-8") != text]
    for path in [*stale, *others]:
        if not check:
            path.unlink() if path in others else path.write_text(wanted[path], "utf-8")
        print(f"{path.relative_to(ROOT)}: {'out of date; run make reference' if check else 'made or removed'}")
    return 1 if check and (stale or others) else 0


if __name__ == "__main__":
    sys.exit(main())
