"""The page on scaling says what its own inputs give."""

from __future__ import annotations

import importlib.util
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from types import ModuleType

SCRIPT = Path(__file__).parents[2] / "scripts" / "cost_model.py"
GIVEN = {"S": 400, "W": 200, "V": 0, "P": 100, "I": 100, "u": 0.5, "c": 4}


@pytest.fixture(scope="module")
def model() -> ModuleType:
    spec = importlib.util.spec_from_file_location("cost_model", SCRIPT)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_the_page_has_what_its_inputs_give(model: ModuleType) -> None:
    """Whoever changes a figure writes the page anew: `python scripts/cost_model.py`."""
    page = model.PAGE.read_text("utf-8")
    assert [len(column) for column in model.inputs(page)] == [16, 16]
    assert model.written(page) == page


def test_the_operators_page_has_what_the_inputs_give(model: ModuleType) -> None:
    """By the dearer of both columns, with two workers at the least."""
    operations = model.OPERATIONS.read_text("utf-8")
    assert model.written_operations(model.PAGE.read_text("utf-8"), operations) == operations
    [row] = [line for line in operations.splitlines() if line.startswith("| 1,000 |")]
    assert row == "| 1,000 | 2 | 1 | 0.4 | 35 | 180 | 370 |"


def test_a_table_is_written_anew(model: ModuleType) -> None:
    """One that is empty or wrong is filled, and what stands around it stays."""
    page = model.PAGE.read_text("utf-8")
    lines = page.splitlines(keepends=True)
    begins = [number for number, line in enumerate(lines) if line.startswith("<!-- calculated")]
    assert len(begins) == 3
    for begin in reversed(begins):
        end = next(number for number in range(begin, len(lines)) if lines[number].startswith("<!-- end"))
        del lines[begin + 1 : end]
    assert model.written("".join(lines)) == page


def test_the_rate_is_that_of_what_is_full_first(model: ModuleType) -> None:
    """Of PostgreSQL's machines and the others; on one machine, of all the work together."""
    machine_us = 4 * 0.5 * 1e6
    assert model.rate(GIVEN, machines=1, databases=0) == machine_us / 800
    assert model.rate(GIVEN, machines=10, databases=1) == machine_us / 200
    assert model.rate(GIVEN, machines=4, databases=3) == machine_us / 600
    assert model.best(GIVEN, 8) == 2
