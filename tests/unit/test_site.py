"""The site of docs/: built strictly, so each page has its place and each link leads somewhere; nothing is fetched."""

from __future__ import annotations

import html
import os
import re
import runpy
import subprocess
from typing import TYPE_CHECKING, Any, Final

import pytest

from tests.quality.sources import ROOT

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

SITE: Final[dict[str, Any]] = runpy.run_path(str(ROOT / "scripts" / "site.py"))
assemble: Final[Callable[[Path], Path]] = SITE["assemble"]
#: What a browser fetches by itself: not links that are followed by hand.
FETCHED: Final = re.compile(r"<(?:script|link|img|iframe|source|video|audio)\b[^>]*?\b(?:src|href)=\"?([^\" >]+)")


def build(configuration: Path) -> subprocess.CompletedProcess[str]:
    """Build the site of a copy, strictly, and return what was said."""
    command = SITE["command"]("build", "--strict", "--config-file", str(configuration))
    return subprocess.run(command, capture_output=True, text=True, check=False, env=os.environ | SITE["QUIET"])


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of the whole site, built once for this file."""
    configuration = assemble(tmp_path_factory.mktemp("site"))
    run = build(configuration)
    assert run.returncode == 0, run.stderr
    return configuration.parent / "build" / "site"


def test_every_page_is_on_the_site(site: Path) -> None:
    """A page that the navigation forgets is an error, so what was built is all of docs/."""
    pages = {path.relative_to(ROOT / "docs") for path in (ROOT / "docs").rglob("*.md")}
    assert len(pages) > 50
    addresses = {
        each.with_name("index.html") if each.name == "README.md" else each.with_suffix(".html") for each in pages
    }
    assert {each for each in addresses if not (site / each).is_file()} == set()


def test_the_changelog_is_on_the_site_with_links_that_fit(site: Path) -> None:
    """It stands in the root, and is copied."""
    page = (site / "changelog.html").read_text("utf-8")
    assert 'href="flower.html"' in page
    assert "docs/flower" not in re.sub(r">[^<]*<", "><", page)


def test_the_kits_are_on_the_site_file_by_file(site: Path) -> None:
    """So that a receiver can be written from the site alone."""
    page = html.unescape(re.sub(r"<[^>]+>", "", (site / "kit-files.html").read_text("utf-8")))
    for name in (
        "node/noteflow-webhooks.mjs",
        "node/noteflow-verifier.mjs",
        "go/verifier.go",
        "python/noteflow_webhooks/receiver.py",
    ):
        text = (ROOT / "kits" / name).read_text("utf-8")
        # Markdown has no tabs; Go, whose files have them, takes blanks as well.
        assert text.rstrip().expandtabs(4) in page, name


def test_nothing_is_fetched_from_elsewhere(site: Path) -> None:
    """No font, script, style or picture: the site works where there is no way out, and tells nobody who reads it."""
    fetched = {
        (path.name, target)
        for path in site.rglob("*.html")
        for target in FETCHED.findall(path.read_text("utf-8"))
        if re.match(r"(?:[a-z]+:)?//", target)
    }
    assert fetched == set()


def test_every_drawing_is_of_the_text_beside_it() -> None:
    """Whoever changes the text draws it anew: `python scripts/drawings.py`. Mermaid would come from another host."""
    texts = sorted((ROOT / "docs" / "pictures").glob("*.mmd"))
    assert {path.stem for path in texts} == {path.stem for path in (ROOT / "docs" / "pictures").glob("*.svg")}
    mark = runpy.run_path(str(ROOT / "scripts" / "drawings.py"))["mark"]
    stale = [each.name for each in texts if not each.with_suffix(".svg").read_text().startswith(mark(each.read_text()))]
    assert stale == []
    pages = [path.name for path in (ROOT / "docs").rglob("*.md") if "```mermaid" in path.read_text("utf-8")]
    assert pages == []


def test_every_fault_of_a_page_is_found(tmp_path: Path) -> None:
    """Links to pages, pictures and headings that there are not, and a page without a place, each by its name."""
    configuration = tmp_path / "mkdocs.yml"
    text = (ROOT / "mkdocs.yml").read_text("utf-8").partition("\nnav:")[0]
    configuration.write_text(f"{text}\nnav:\n  - index.md\n", "utf-8")
    (tmp_path / "docs").mkdir()
    faults = "[a](gone.md) ![b](gone.png) [c](#gone) [d](other.md#gone) [e](../outside.md) [f](/absolute.md)"
    (tmp_path / "docs" / "index.md").write_text(f"# Home\n\n{faults}\n", "utf-8")
    (tmp_path / "docs" / "other.md").write_text("# Other\n", "utf-8")
    run = build(configuration)
    assert run.returncode != 0
    named = ("'gone.md'", "'gone.png'", "'#gone'", "'other.md#gone'", "'../outside.md'", "'/absolute.md'", "- other.md")
    assert [each for each in named if each not in run.stderr] == []


def test_the_readme_stays_one_page() -> None:
    """What it is, a picture, the first commands, and where to go on: all else has a page of its own."""
    text = (ROOT / "README.md").read_text("utf-8")
    assert text.count("\n") <= 80
    assert [each for each in ("![", "make demo", "make up", "](docs/index.md)", "make docs") if each not in text] == []
