"""`keys`: the keys of the stored secrets. None is ever printed but a new one; they go by names that tell nothing."""

from __future__ import annotations

from contextlib import contextmanager
from dataclasses import asdict
from typing import TYPE_CHECKING, Any, Final

import click

from noteflow_hooks import bootstrap
from noteflow_hooks.application.keys import report_keys
from noteflow_hooks.cli.support.database import database_settings, tables_needed
from noteflow_hooks.cli.support.failures import DONE, FAILED
from noteflow_hooks.cli.support.groups import CommandGroup
from noteflow_hooks.cli.support.helping import example
from noteflow_hooks.cli.support.options import as_json
from noteflow_hooks.cli.support.output import show_fields, show_json, show_rows
from noteflow_hooks.crypto import SecretBox, generate_key, parse_keys
from noteflow_hooks.local.operator import operator

if TYPE_CHECKING:
    from collections.abc import Iterator

    from noteflow_hooks.parts import KeyParts
    from noteflow_hooks.persistence.sql.maintenance.reencryption import Unreadable

_COLUMNS: Final = ("key", "role", "ciphertexts", "unreadable")


@click.group(cls=CommandGroup)
@example("keys check")
def keys() -> None:
    """Make keys for the stored secrets, and re-encrypt those, in the database."""


@keys.command()
@example("keys generate")
@as_json
def generate(*, as_json: bool) -> None:
    """Make a new key. Put it in front of the others in NOTEFLOW_HOOKS_SECRET_KEYS; it is kept nowhere else."""
    key = generate_key()
    if as_json:
        [key_id] = SecretBox(parse_keys(key)).key_ids
        show_json({"key": key, "id": key_id})
    else:
        click.echo(key)


@keys.command()
@example("keys rotate")
@as_json
def rotate(*, as_json: bool) -> int:
    """Re-encrypt under the first key what is under another; exit with 1 if anything can't be read.

    It may be interrupted and run again, and servers and workers that have both keys go on meanwhile.
    """
    with _key_parts() as parts:
        rotation = parts.secrets.rotate(by=operator())
    counts = {"key": parts.key_ids[0], "reencrypted": rotation.reencrypted, "already_current": rotation.current}
    unreadable = [_unreadable(each) for each in rotation.unreadable]
    if as_json:
        show_json({**counts, "unreadable": unreadable})
    else:
        show_fields({**counts, "unreadable": len(unreadable)}, as_json=False)
        if unreadable:
            show_rows(unreadable, columns=tuple(unreadable[0]), as_json=False)
    return FAILED if unreadable else DONE


@keys.command()
@example("keys check")
@as_json
def check(*, as_json: bool) -> int:
    """Try every stored secret and say which keys they are under; exit with 1 if any can't be read.

    A key with no ciphertexts may be dropped, once no server or worker has it as its first.
    """
    with _key_parts() as parts:
        reports = report_keys(parts.key_ids, parts.secrets.use())
    show_rows([asdict(each) for each in reports], columns=_COLUMNS, as_json=as_json)
    return FAILED if any(each.unreadable for each in reports) else DONE


def _unreadable(each: Unreadable) -> dict[str, Any]:
    return {"webhook_id": str(each.webhook_id), "column": each.column, "key": each.key_id}


@contextmanager
def _key_parts() -> Iterator[KeyParts]:
    parts = bootstrap.keys(database_settings())
    try:
        with tables_needed():
            yield parts
    finally:
        parts.close()
