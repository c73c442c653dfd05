"""docs/operations.md, as tests read it: its sections, and the commands of ours that it names."""

from __future__ import annotations

import re
import shlex
from typing import Final

from tests.quality.sources import ROOT

_TEXT: Final = (ROOT / "docs" / "operations.md").read_text()


def sections() -> dict[str, str]:
    """Return the text of each section of the third level, by its heading."""
    parts = re.split(r"^### (.+)$", _TEXT, flags=re.MULTILINE)[1:]
    return dict(zip(parts[::2], parts[1::2], strict=True))


def commands() -> list[list[str]]:
    """Return the command lines of ours in its blocks, each once and without the program's name."""
    blocks = re.findall(r"^```bash\n(.*?)^```$", _TEXT, re.MULTILINE | re.DOTALL)
    lines = {line for block in blocks for line in block.splitlines() if line.startswith("noteflow-hooks ")}
    return [shlex.split(line)[1:] for line in sorted(lines)]
