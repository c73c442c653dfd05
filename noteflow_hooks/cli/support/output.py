"""How results are shown: aligned text for people, JSON for programs. What others wrote can't steer a terminal."""

from __future__ import annotations

import contextlib
import json
from datetime import UTC
from typing import TYPE_CHECKING, Any

import click

from noteflow_hooks.cli.support.screen import screen
from noteflow_hooks.cli.support.tables import STATES, rendered
from noteflow_hooks.printable import cell, escape

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence
    from datetime import datetime

    from noteflow_hooks.cli.support.listing import Listing

    Row = Mapping[str, Any]


def show_rows(rows: Sequence[Row], *, columns: Sequence[str], as_json: bool, spare: Sequence[str] = ()) -> None:
    """Print one JSON array of all that is known, or a table of these columns; those of ``spare`` may be missed."""
    if as_json:
        show_json(rows)
    else:
        where = screen()
        click.echo(rendered(rows, columns=columns, screen=where, spare=spare), color=where.has_colours)


def show_list(found: Listing, *, columns: Sequence[str], as_json: bool, empty: str, spare: Sequence[str] = ()) -> None:
    """Print a list as :func:`show_rows` does. Beside it, on stderr, goes how much of all it is, or that it is empty.

    ``empty`` says that there is nothing, and which command comes next.
    """
    if as_json or found.rows:
        show_rows(found.rows, columns=columns, as_json=as_json, spare=spare)
    if as_json:
        return
    if not found.rows:
        click.echo(empty, err=True)
    elif found.has_more:
        click.echo(f"{len(found.rows):,} of {found.how_many}, the rest with --limit", err=True)


def show_fields(row: Row, *, as_json: bool, leave_out: Iterable[str] = ()) -> None:
    """Print one JSON object, or a line for each field."""
    if as_json:
        show_json(row)
        return
    where = screen()
    shown = {name: value for name, value in row.items() if name not in set(leave_out)}
    width = max(map(len, shown), default=0)
    for name, value in shown.items():
        text = cell(value)
        shown_text = where.coloured(text) if name in STATES else text
        click.echo(f"{name:<{width}}  {shown_text}", color=where.has_colours)


def iso(moment: datetime | None) -> str | None:
    """Return a moment in ISO 8601 and UTC, as all our JSON has it: with Z at the end."""
    return None if moment is None else moment.astimezone(UTC).isoformat().replace("+00:00", "Z")


def show_json(value: object) -> None:
    """Print it as JSON, in ASCII: it means the same on every terminal and steers none."""
    click.echo(json.dumps(value, indent=2))


def pretty_json(text: str) -> str:
    """Return JSON with a line for each field, or what it is instead of JSON; control characters written out."""
    with contextlib.suppress(ValueError, RecursionError):
        text = json.dumps(json.loads(text), indent=2, ensure_ascii=False)
    return escape(text, keep="\n")
