"""Every code block of the pages is run by a test, or says that it only shows something."""

from __future__ import annotations

import ast
import importlib.util
import json
import re
import shlex
from typing import TYPE_CHECKING, Final

import click

from noteflow_hooks.cli.root import root
from tests.quality.sources import ROOT, check_none
from tests.support.code_blocks import ELSEWHERE, PROGRAMS, RUN, SHOWN, Block, blocks
from tests.support.document_pages import command_lines, understood

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

#: The tests that run pages' programs.
RUN_BY: Final = {
    "docs/batches.md": "tests/integration/test_documented_receivers.py",
    "docs/client.md": "tests/integration/test_client_program.py",
    "docs/kits.md": "tests/e2e/test_kits_everywhere.py",
    "docs/testing.md": "tests/integration/test_client_program.py",
    "docs/receiving.md": "tests/integration/test_documented_receivers.py",
    "docs/verification.md": "tests/integration/test_documented_receivers.py",
}
#: Why no test runs a page's commands that are marked so, and what shows all the same that they are right.
NOT_HERE: Final = {
    "CONTRIBUTING.md": "the checks themselves, and what takes minutes; that the targets are there is seen here",
    "docs/client.md": "a registry; tests/integration/test_client_program.py installs the wheel as it is built",
    "docs/testing.md": "as above",
    "docs/dashboard.md": "it runs until it is ended: tests/integration/dashboard; another host",
    "docs/diagnosing.md": "a server of yours; tests/integration/dashboard/test_attempts_shown.py runs such a script",
    "docs/deploying.md": "a cluster, a registry: tests/unit/test_kubernetes_files.py, tests/unit/test_release.py",
    "docs/flower.md": "containers, and what runs until it is ended: tests/e2e/test_flower.py",
    "docs/kits.md": "a running `up`: tests/e2e/test_kits.py sends that program what a system has sent",
    "docs/performance.md": "minutes of a quiet machine: tests/e2e/test_bench.py runs a little of it",
    "docs/performance-circumstances.md": "as above; that the modules are there is seen here",
    "docs/reliability.md": "five minutes: tests/e2e/test_chaos_controls.py",
    "docs/traces.md": "an image of others; tests/e2e/test_traces.py sends to a collector of its own",
    "docs/your-own-servers.md": "containers, another host: tests/e2e/test_compose_file.py, tests/e2e/test_compose.py",
}


def strange(found: Iterable[Block]) -> Iterator[str]:
    """Yield each block without a mark, or with one that says neither that it runs nor that it shows something."""
    for each in found:
        if each.mark not in RUN | SHOWN | {ELSEWHERE}:
            yield f"{each.page}: a block marked {each.mark!r}: {each.text.splitlines()[0]}"


def unrun(found: Iterable[Block]) -> Iterator[str]:
    """Yield each page with programs that no test names, or with commands that nothing runs and nobody explains."""
    for page in sorted({each.page for each in found if each.mark in PROGRAMS}):
        if page not in RUN_BY or page.rpartition("/")[2].removesuffix(".md") not in _text(RUN_BY[page]):
            yield f"{page}: a program that no test runs"
    for page in sorted({each.page for each in found if each.mark == ELSEWHERE}):
        if page not in NOT_HERE:
            yield f"{page}: commands that no test runs"


def _text(path: str) -> str:
    file = ROOT / path
    return file.read_text("utf-8") if file.is_file() else ""


def wrong(found: Iterable[Block]) -> Iterator[str]:
    """Yield each line of a block that is not run, and names a target, a command or a module that there is not."""
    targets = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text("utf-8"), re.MULTILINE))
    for each in found:
        for line in command_lines(each.text) if each.mark == ELSEWHERE else ():
            words = shlex.split(line.replace(".venv/bin/", "").partition(" > ")[0])
            if words[0] == "make" and not {word for word in words[1:] if "=" not in word} <= targets:
                yield f"{each.page}: {line}"
            if words[0] == "python" and importlib.util.find_spec(words[2]) is None:
                yield f"{each.page}: {line}"
            if words[0] == "noteflow-hooks" and not _is_understood(words[1:]):
                yield f"{each.page}: {line}"


def _is_understood(words: list[str]) -> bool:
    """Whether click takes the line, option for option; nothing is run."""
    try:
        understood(root, words)
    except click.UsageError:
        return False
    return True


def unreadable(found: Iterable[Block]) -> Iterator[str]:
    """Yield each extract that is not of its language: Python that does not parse, JSON that is none."""
    for each in found:
        try:
            if each.mark in ("py", "python"):
                ast.parse(each.text)
            elif each.mark == "json":
                json.loads(each.text)
        except (ValueError, SyntaxError):
            yield f"{each.page}: {each.text.splitlines()[0]}"


def test_every_block_says_what_it_is() -> None:
    """Run, or shown: a block without a mark says neither."""
    check_none(strange(blocks()))


def test_every_program_and_command_is_run_by_a_test_that_is_named() -> None:
    """Or it stands here why not; no entry is left over. The commands are `test_documented_commands`'."""
    found = list(blocks())
    check_none(unrun(found))
    assert RUN_BY.keys() == {each.page for each in found if each.mark == "python"}
    assert NOT_HERE.keys() == {each.page for each in found if each.mark == ELSEWHERE}
    named = [path for why in NOT_HERE.values() for path in re.findall(r"tests/\S+\b", why)]
    assert [path for path in named if not (ROOT / path).exists()] == []


def test_what_is_not_run_names_what_there_is() -> None:
    """Targets of make, modules, and our commands with their options."""
    check_none(wrong(blocks()))


def test_every_extract_can_be_read() -> None:
    """As its language has it."""
    check_none(unreadable(blocks()))


def test_the_rules_find_what_is_wrong() -> None:
    """Each kind of fault once, and nothing in what is right."""
    right = [Block("docs/client.md", "python", "x = 1"), Block("docs/flower.md", "sh", "make demo SEED=2\ndocker ps")]
    assert [*strange(right), *unrun(right), *wrong(right), *unreadable(right)] == []
    assert len(list(strange([Block("a.md", "", "x"), Block("a.md", "perl", "x")]))) == 2
    assert len(list(unrun([Block("a.md", "python", "x"), Block("b.md", "sh", "x")]))) == 2
    lines = "make nothing\npython -m noteflow_hooks.nothing\nnoteflow-hooks up --nothing\nnoteflow-hooks nothing\n"
    assert len(list(wrong([Block("a.md", "sh", lines)]))) == 4
    assert len(list(unreadable([Block("a.md", "py", "x ="), Block("a.md", "json", "{")]))) == 2
