"""How results are shown: aligned text for people, JSON for programs. What others wrote can't steer a terminal."""

from __future__ import annotations

import contextlib
import json
from typing import TYPE_CHECKING, Any

import click

from noteflow_hooks.printable import cell, escape, table

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    Row = Mapping[str, Any]


def show_rows(rows: Sequence[Row], *, columns: Sequence[str], as_json: bool) -> None:
    """Print one JSON array of all that is known, or a table of these columns."""
    if as_json:
        show_json(rows)
    else:
        heads = [column.upper().replace("_", " ") for column in columns]
        click.echo(table(heads, [[row.get(column) for column in columns] for row in rows]))


def show_fields(row: Row, *, as_json: bool, leave_out: Iterable[str] = ()) -> None:
    """Print one JSON object, or a line for each field."""
    if as_json:
        show_json(row)
        return
    shown = {name: value for name, value in row.items() if name not in set(leave_out)}
    width = max(map(len, shown), default=0)
    for name, value in shown.items():
        click.echo(f"{name:<{width}}  {cell(value)}")


def show_json(value: object) -> None:
    """Print it as JSON, in ASCII: it means the same on every terminal and steers none."""
    click.echo(json.dumps(value, indent=2))


def pretty_json(text: str) -> str:
    """Return JSON with a line for each field, or what it is instead of JSON; control characters written out."""
    with contextlib.suppress(ValueError, RecursionError):
        text = json.dumps(json.loads(text), indent=2, ensure_ascii=False)
    return escape(text, keep="\n")
