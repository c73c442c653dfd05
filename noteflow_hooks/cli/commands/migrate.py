"""`migrate`: the database's schema, brought to a revision."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

import click
from alembic.util import CommandError
from sqlalchemy import inspect, text

from noteflow_hooks import bootstrap
from noteflow_hooks.cli.support.database import database_settings
from noteflow_hooks.cli.support.helping import Command, example
from noteflow_hooks.errors import InvalidInputError
from noteflow_hooks.persistence.sql.orm import SCHEMA

if TYPE_CHECKING:
    from noteflow_hooks.settings import Settings


@click.command(cls=Command)
@example("migrate")
@click.argument("revision", default="head")
def migrate(revision: str) -> None:
    """Bring the database forward to REVISION, by default the newest. Twice, or two at once, does no harm."""
    if not re.fullmatch(r"[0-9A-Za-z_]+", revision):
        raise InvalidInputError("revision", f"{revision[:100]!r} is none; allowed are head, and names such as 0001")
    settings = database_settings()
    before = _revision(settings)
    try:
        bootstrap.migrate(settings, revision)
    except CommandError as error:
        line = " ".join(str(error).split())
        raise InvalidInputError("revision", f"can't migrate from {before} to {revision!r}: {line}") from None
    after = _revision(settings)
    if revision != "head" and not after.startswith(revision):
        raise InvalidInputError(
            "revision", f"{revision!r} lies behind: the schema is at {after}, and this goes forward only"
        )
    click.echo(f"the schema is at {after} already" if after == before else f"migrated from {before} to {after}")


def _revision(settings: Settings) -> str:
    engine = bootstrap.engine_of(settings, connections=1)
    try:
        with engine.connect() as connection:
            if not inspect(connection).has_table("alembic_version", schema=SCHEMA):
                return "nothing"
            found = connection.scalar(text(f"SELECT version_num FROM {SCHEMA}.alembic_version"))  # noqa: S608 - our own constant
            return str(found) if found is not None else "nothing"
    finally:
        engine.dispose()
