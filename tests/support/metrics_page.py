"""The tables of docs/metrics.md."""

from __future__ import annotations

import re

from tests.quality.sources import ROOT


def rows_under(heading: str) -> dict[str, tuple[str, tuple[str, ...]]]:
    """Return each metric's type and labels, by its name, of the table below that heading."""
    text = (ROOT / "docs" / "metrics.md").read_text()
    section = text.partition(f"\n## {heading}\n")[2].partition("\n## ")[0]
    found = {}
    for line in section.splitlines():
        if line.startswith("| `"):
            name, kind, labels, *_ = (cell.strip() for cell in line.strip("|").split(" | "))
            found[name.strip("`")] = (kind, tuple(re.findall(r"`(\w+)`", labels)))
    return found
