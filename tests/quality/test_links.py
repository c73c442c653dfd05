"""What the documents point at is there: links, paths in backticks, modules, and the tests that they name.

A path may be named by its end alone, as in `health/load.py`, with wildcards as in `docs/*.md`.
"""

from __future__ import annotations

import fnmatch
import re
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, Final

from tests.quality.sources import ROOT, Source, check_none, documents, paths

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

#: What looks like a path of the repository and is none, and what it is.
NO_PATHS: Final = {
    "docs/dependencies.md": {"host./": "a host name with a dot behind it"},
    "docs/architecture.md": {"noteflow_hooks/_migrations": "where the wheel has them"},
    "docs/formats.md": {"application/json": "a media type", "cloudevents/1/1": "a rendering"},
    "docs/kits.md": {"net/http": "a package of Go", "urls.py": "the reader's own"},
    "docs/postgresql.md": {"noteflow_hooks.session": "a setting of a PostgreSQL session"},
    "docs/reference/api.md": {"cloudevents/1/1": "a rendering"},
    "docs/reference/settings.md": {"http/protobuf": "a protocol"},
    "docs/your-own-servers.md": {"compose.override.yaml": "the operator's own"},
}
_FENCE: Final = re.compile(r"^```.*?^```", re.DOTALL | re.MULTILINE)
_LINK: Final = re.compile(r"\]\(([^()\s]+)\)")
_SCHEME: Final = re.compile(r"[a-z][a-z+.-]*:")
_QUOTED: Final = re.compile(r"`([^`\n]+)`")
#: A path, or a file's name. One that begins with a slash, a dot or `~` is of some machine, not of the repository.
_PATH: Final = re.compile(r"[\w*-][\w.*-]*/[\w./*-]*|[\w*-][\w.*-]*\.(?:py|md|yaml|toml|proto|nft|lock)")
_TEST: Final = re.compile(r"test_\w+")
_MODULE: Final = re.compile(r"\b(?:noteflow_hooks|scripts|tests|workers)(?:\.[a-z]\w*)+\b(?!/)")
_HEADING: Final = re.compile(r"^#+ +(.*?) *$", re.MULTILINE)


def broken_links(root: Path, pages: Iterable[Source]) -> Iterator[str]:
    """Yield each relative link whose page, or whose heading on it, is not there."""
    for page in pages:
        for link in _LINK.findall(_FENCE.sub("", page.text)):
            if not _SCHEME.match(link):
                target, _, anchor = link.partition("#")
                path = Path(root, page.path).parent / target if target else Path(root, page.path)
                if not path.exists() or (anchor and anchor not in _anchors(path.read_text("utf-8"))):
                    yield f"{page.path}: {link}"


def _anchors(text: str) -> set[str]:
    """Return the headings as links name them: in lower case, blanks as hyphens, without punctuation."""
    return {re.sub(r"[^\w\- ]", "", head).lower().replace(" ", "-") for head in _HEADING.findall(_FENCE.sub("", text))}


def missing_paths(root: Path, pages: Iterable[Source]) -> Iterator[str]:
    """Yield each path and test in backticks, and each module, that is not there."""
    ends = _ends(root)
    for page in pages:
        for quoted in _QUOTED.findall(_FENCE.sub("", page.text)):
            if _PATH.fullmatch(quoted) and quoted not in NO_PATHS.get(page.path, ()):
                if not fnmatch.filter(ends, quoted.rstrip("/")):
                    yield f"{page.path}: {quoted}"
            elif _TEST.fullmatch(quoted) and f"{quoted}.py" not in ends:
                yield f"{page.path}: {quoted}"
        for module in _MODULE.findall(page.text):
            if not _is_module(root, module) and module not in NO_PATHS.get(page.path, ()):
                yield f"{page.path}: {module}"


def _ends(root: Path) -> frozenset[str]:
    """Return the ends of all paths of files and folders: for `a/b.py` itself, `b.py` and `a`."""
    files = [PurePosixPath(path) for path in paths(root)]
    places = {place for file in files for place in (file, *file.parents)}
    return frozenset("/".join(place.parts[start:]) for place in places for start in range(len(place.parts)))


def _is_module(root: Path, name: str) -> bool:
    path = Path(root, *name.split("."))
    return path.is_dir() or path.with_suffix(".py").is_file()


def test_every_link_leads_somewhere() -> None:
    """From page to page, to a heading, to a picture or a file."""
    check_none(broken_links(ROOT, documents(ROOT)))


def test_every_path_that_a_document_names_is_there() -> None:
    """After a move, the pages that name the old place are found."""
    check_none(missing_paths(ROOT, documents(ROOT)))


def test_the_rules_find_what_is_not_there(tmp_path: Path) -> None:
    """On a made-up page: what is right passes, and each kind of fault is named once."""
    for path in ("docs/other.md", "noteflow_hooks/domain/rate.py", "tests/unit/test_rate.py"):
        Path(tmp_path, path).parent.mkdir(parents=True, exist_ok=True)
        Path(tmp_path, path).write_text("# One word, one meaning\n", "utf-8")
    right = """
    [a](other.md) [b](other.md#one-word-one-meaning) [c](https://example.com/) [d](#here)
    `domain/rate.py` `noteflow_hooks/domain/` `domain/` `docs/*.md` `rate.py` `test_rate` noteflow_hooks.domain.rate
    `/proc/1` `~/.netrc` `a b/c`
    """
    wrong = """
    [e](gone.md) [f](other.md#gone)
    `domain/gone.py` `gone/` `gone*/x.py` `main/rate.py` `test_gone` `gone.py` noteflow_hooks.gone
    """
    Path(tmp_path, "docs", "page.md").write_text(f"{right}{wrong}\n# Here\n", "utf-8")
    Path(tmp_path, "elsewhere.md").write_text("[g](gone.md) `gone.py`", "utf-8")
    pages = documents(tmp_path)
    assert list(broken_links(tmp_path, pages)) == ["docs/page.md: gone.md", "docs/page.md: other.md#gone"]
    gone = ["domain/gone.py", "gone/", "gone*/x.py", "main/rate.py", "test_gone", "gone.py", "noteflow_hooks.gone"]
    assert list(missing_paths(tmp_path, pages)) == [f"docs/page.md: {each}" for each in gone]
