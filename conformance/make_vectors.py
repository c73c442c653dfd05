"""``python -m conformance.make_vectors`` writes ``vectors.json``: requests, and what a receiver must say of each.

``--check`` writes nothing, and fails where the file is another one.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Final

from conformance.refused import REFUSED
from conformance.taken import TAKEN

FILE: Final = Path(__file__).with_name("vectors.json")
_ABOUT: Final = "Made by conformance/make_vectors.py with the openssl command; docs/kits.md says how it is read."


def written() -> str:
    """Return what the file has to be."""
    vectors = [*TAKEN, *REFUSED]
    if len({each["name"] for each in vectors}) != len(vectors):
        raise ValueError("two vectors have one name")
    return json.dumps({"about": _ABOUT, "vectors": vectors}, indent=1) + "\n"


def main() -> None:
    """Write the file, or compare it."""
    if "--check" not in sys.argv:
        FILE.write_text(written(), "utf-8")
    elif FILE.read_text("utf-8") != written():
        raise SystemExit("conformance/vectors.json is stale: run python -m conformance.make_vectors")


if __name__ == "__main__":
    main()
