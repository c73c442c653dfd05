"""Build the site of docs/ into build/site and serve it, until Ctrl-C; with ``--build`` only build it.

Two of its pages stand in the root, where everybody looks for them: they are copied in, with their links made to fit.
So are the receiver kits' files, on a page: who has the site and not the repository can copy them from there.
"""

from __future__ import annotations

import argparse
import os
import shutil
import sys
from pathlib import Path
from typing import Final

ROOT: Final = Path(__file__).resolve().parent.parent
#: What is copied in; `.gitignore` knows the copies.
COPIED: Final = {"CHANGELOG.md": "changelog.md", "CONTRIBUTING.md": "contributing.md"}
#: The page of the kits' files, and what is on it, by the language of the blocks: not the kits' own tests.
KITS: Final = "kit-files.md"
_KIT_FILES: Final = {
    "python": ["python/noteflow_webhooks/*.py"],
    "js": ["node/noteflow-*.mjs"],
    "go": ["go/verifier.go", "go/receiver.go", "go/seen.go"],
    "ruby": ["ruby/noteflow_*.rb"],
    "php": ["php/noteflow_*.php"],
    "java": ["java/noteflow/webhooks/*.java"],
}
#: Material for MkDocs would say at each build that it is to end, and that MkDocs 2 is another program.
QUIET: Final = {"NO_MKDOCS_2_WARNING": "1"}


def complete(docs: Path) -> None:
    """Copy the pages of the root into that folder of pages."""
    for name, copy in COPIED.items():
        text = (ROOT / name).read_text("utf-8").replace("](docs/", "](")
        (docs / copy).write_text(text, "utf-8")
    (docs / KITS).write_text(_kits(), "utf-8")


def _kits() -> str:
    """Return the page of the receiver kits' files."""
    parts = ["# The kits' files", "What each is for, and how it is used: [Receiver kits](kits.md)."]
    for language, names in _KIT_FILES.items():
        found = sorted(path for name in names for path in (ROOT / "kits").glob(name))
        for path in found:
            text = path.read_text("utf-8").rstrip()
            parts += [f"## {path.relative_to(ROOT / 'kits').as_posix()}", f"```{language}\n{text}\n```"]
    return "\n\n".join(parts) + "\n"


def assemble(folder: Path) -> Path:
    """Make a copy of all that the site is built from, and return where its configuration is."""
    shutil.copytree(ROOT / "docs", folder / "docs")
    complete(folder / "docs")
    return Path(shutil.copy(ROOT / "mkdocs.yml", folder))


def command(*words: str) -> list[str]:
    """Return the command line that runs MkDocs of this environment."""
    return [sys.executable, "-m", "mkdocs", *words]


def main() -> None:
    """Build or serve; the process becomes MkDocs."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--build", action="store_true", help="build it into build/site, and serve nothing")
    parser.add_argument("--address", default="127.0.0.1:8000", help="where it is served")
    options = parser.parse_args()
    complete(ROOT / "docs")
    os.chdir(ROOT)
    os.environ |= QUIET
    words = command("build", "--strict") if options.build else command("serve", "--dev-addr", options.address)
    os.execv(words[0], words)  # noqa: S606 - no shell is wanted: the words are ours


if __name__ == "__main__":
    main()
