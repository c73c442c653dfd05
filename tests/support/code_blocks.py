"""The code blocks of all pages, and what the mark behind a fence says of its block."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from tests.quality.sources import ROOT, documents

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

#: Blocks that a test runs: programs, and commands.
PROGRAMS: Final = frozenset({"python", "js", "go", "ruby", "php", "java"})
RUN: Final = PROGRAMS | {"bash"}
#: Blocks that show something, and are not run: what is printed or sent, an extract of a program or a file.
SHOWN: Final = frozenset({"text", "json", "py", "sql"})
#: Commands for what no test here has: a cluster, a registry, minutes of a quiet machine.
ELSEWHERE: Final = "sh"
_FENCE: Final = re.compile(r"^( *)```(\S*)\n(.*?)^\1```$", re.DOTALL | re.MULTILINE)


@dataclass(frozen=True)
class Block:
    """One of them."""

    page: str
    mark: str
    text: str


def blocks(root: Path = ROOT) -> Iterator[Block]:
    """Yield the blocks of README, CONTRIBUTING and docs/, page by page."""
    for page in documents(root):
        for _, mark, text in _FENCE.findall(page.text):
            yield Block(page.path, mark, text)
