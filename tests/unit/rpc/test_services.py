"""An RPC parses, calls and converts. What is decided is decided in the application, where it has tests of its own."""

from __future__ import annotations

import ast
from pathlib import Path
from typing import Final

import pytest

from noteflow_hooks.rpc import services
from noteflow_hooks.rpc.services.servicer import SERVICES, HooksServicer

FOLDER: Final = Path(services.__path__[0])
MIXINS: Final = (
    "audit",
    "callers",
    "contacts",
    "deliveries",
    "endpoints",
    "event_types",
    "event_watching",
    "events",
    "filters",
    "meetings",
    "previews",
    "replays",
    "stats",
    "system",
    "verification",
    "watching",
)
#: What makes a decision in a method: raising or catching an error, a loop, a function of its own.
DECIDING: Final = (ast.Raise, ast.Try, ast.For, ast.While, ast.FunctionDef)
#: What only a decision needs.
UNNEEDED: Final = ("noteflow_hooks.errors", "noteflow_hooks.signing", "noteflow_hooks.domain.ids")


def rpcs(name: str) -> list[ast.AsyncFunctionDef]:
    """Return the RPCs of a module."""
    tree = ast.parse((FOLDER / f"{name}.py").read_text())
    classes = [each for each in tree.body if isinstance(each, ast.ClassDef)]
    return [each for made in classes for each in made.body if isinstance(each, ast.AsyncFunctionDef)]


def test_every_rpc_of_the_services_stands_in_one_of_the_modules() -> None:
    """So that what is held here is held of all."""
    found = {each.name for name in MIXINS for each in rpcs(name)}
    made = {each for base in HooksServicer.__mro__ for each in vars(base) if each[0].isupper()}
    assert found == made
    assert len(SERVICES) == 4


@pytest.mark.parametrize("name", MIXINS)
def test_an_rpc_decides_nothing(name: str) -> None:
    """It neither raises nor catches, loops nor has steps of its own, and its module holds nothing that does."""
    deciding = [
        f"{rpc.name}:{node.lineno}" for rpc in rpcs(name) for node in ast.walk(rpc) if isinstance(node, DECIDING)
    ]
    assert deciding == []
    tree = ast.parse((FOLDER / f"{name}.py").read_text())
    assert not [each.name for each in tree.body if isinstance(each, (ast.FunctionDef, ast.AsyncFunctionDef))]
    imported = {each.module for each in ast.walk(tree) if isinstance(each, ast.ImportFrom)}
    assert imported.isdisjoint(UNNEEDED)
