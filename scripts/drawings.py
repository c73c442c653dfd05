"""Draw the pictures of docs/pictures: each `.mmd`, which is Mermaid's text, becomes the SVG beside it.

The pages have SVG files in place of Mermaid's text, because the site's theme would fetch Mermaid from another host.
Mermaid comes from npm; a real Chromium runs it.
"""

from __future__ import annotations

import hashlib
import re
import subprocess
import sys
import tarfile
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

ROOT: Final = Path(__file__).parents[1]
# The Chromium is the tests'.
sys.path.insert(0, str(ROOT))

from tests.support.chromium import chromium  # noqa: E402 - after the path

if TYPE_CHECKING:
    from playwright.sync_api import Browser

FOLDER: Final = ROOT / "docs" / "pictures"
MERMAID: Final = "mermaid@12.3.0"
SHA512: Final = (
    "e35d774dd5de2c0b0caee27bf4ea452f93bcf8b4c55e142a676eb4ac5ded8149"
    "a2340b519b852e99ed3823eeb93d137ac99ebd2787fcad56165bccd193ae5463"
)
#: Text as text, since an SVG in a page may hold no HTML; fonts that are about as wide wherever it is looked at.
_SETTINGS: Final[dict[str, Any]] = {
    "startOnLoad": False,
    "theme": "neutral",
    "htmlLabels": False,
    "flowchart": {"htmlLabels": False, "wrappingWidth": 400},
    "fontFamily": "Verdana, DejaVu Sans, sans-serif",
    "deterministicIds": True,
}
_DRAW: Final = """async ([settings, name, text]) => {
    mermaid.initialize(settings);
    return (await mermaid.render(`picture-${name}`, text)).svg;
}"""


def mark(text: str) -> str:
    """Return the comment by which a test sees that a picture is of this text."""
    return f"<!-- Drawn by scripts/drawings.py of {hashlib.sha256(text.encode()).hexdigest()} -->\n"


def main() -> None:
    """Draw them all."""
    with tempfile.TemporaryDirectory() as folder, chromium() as browser:
        program = _mermaid(Path(folder))
        for path in sorted(FOLDER.glob("*.mmd")):
            path.with_suffix(".svg").write_text(_drawn(browser, program, path), "utf-8")
            print(path.with_suffix(".svg").relative_to(ROOT))


def _mermaid(folder: Path) -> str:
    command = ["npm", "pack", "--silent", MERMAID]
    packed = subprocess.run(command, cwd=folder, check=True, capture_output=True, text=True)
    archive = folder / packed.stdout.strip()
    if hashlib.sha512(archive.read_bytes()).hexdigest() != SHA512:
        raise SystemExit(f"{MERMAID} is not the one that was looked at")
    with tarfile.open(archive) as files:
        member = files.extractfile("package/dist/mermaid.min.js")
        if member is None:
            raise SystemExit(f"{MERMAID} has no program for browsers")
        return member.read().decode()


def _drawn(browser: Browser, program: str, path: Path) -> str:
    """Return a picture's SVG, as large as it is, and on white, so that it can be read where the page is dark."""
    text = path.read_text("utf-8")
    page = browser.new_page()
    page.add_script_tag(content=program)
    svg: str = page.evaluate(_DRAW, [_SETTINGS, path.stem, text])
    page.close()
    [(width, height)] = re.findall(r'^<svg [^>]*viewBox="\S+ \S+ ([\d.]+) ([\d.]+)"', svg)
    svg = svg.replace('width="100%"', f'width="{float(width):.0f}" height="{float(height):.0f}"', 1)
    return mark(text) + re.sub(r'style="max-width:[^"]*"', 'style="background: #fff"', svg, count=1) + "\n"


if __name__ == "__main__":
    main()
