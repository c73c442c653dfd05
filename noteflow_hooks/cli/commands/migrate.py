"""`migrate`: the database's schema, brought to a revision."""

from __future__ import annotations

import re
import time
from typing import TYPE_CHECKING, Final

import click
from alembic.util import CommandError
from sqlalchemy import inspect, text

from noteflow_hooks import bootstrap
from noteflow_hooks.cli.support.database import database_settings
from noteflow_hooks.cli.support.helping import Command, example
from noteflow_hooks.errors import InvalidInputError, UnavailableError
from noteflow_hooks.persistence.sql.orm import SCHEMA

if TYPE_CHECKING:
    from noteflow_hooks.settings import Settings


#: How often it is looked whether the schema is there.
_LOOK_S: Final = 1.0


@click.command(cls=Command)
@example("migrate", "migrate --wait 600")
@click.argument("revision", default="head")
@click.option(
    "--wait",
    "wait_s",
    metavar="SECONDS",
    type=click.FloatRange(0, 86_400),
    help="Change nothing; wait so long for another one to bring it there, or further.",
)
def migrate(*, revision: str, wait_s: float | None) -> None:
    """Bring the database forward to REVISION, by default the newest. Twice, or two at once, does no harm.

    A schema that is a newer release's is left as it is.
    """
    if not re.fullmatch(r"[0-9A-Za-z_]+", revision):
        raise InvalidInputError("revision", f"{revision[:100]!r} is none; allowed are head, and names such as 0001")
    settings = database_settings()
    if wait_s is not None:
        _wait(settings, revision, wait_s=wait_s)
        return
    before = _revision(settings)
    if revision == "head" and before not in ("nothing", *bootstrap.revisions()):
        # As after the way back to the release before, whose units migrate at each start.
        click.echo(f"the schema is at {before}, which this release does not know: a newer one's, and left as it is")
        return
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


def _wait(settings: Settings, revision: str, *, wait_s: float) -> None:
    """Return once the schema is there; one that this release does not know is a newer release's, and will do."""
    known = bootstrap.revisions()
    wanted = known[-1] if revision == "head" else revision
    if wanted not in known:
        raise InvalidInputError("revision", f"{wanted!r} is none; allowed are head, and {known[0]} to {known[-1]}")
    early = {"nothing", *known[: known.index(wanted)]}
    until = time.monotonic() + wait_s
    while True:
        found = _revision_if_there(settings)
        if found is not None and found not in early:
            click.echo(f"the schema is at {found}")
            return
        if time.monotonic() >= until:
            seen = "the database does not answer" if found is None else f"the schema is at {found}"
            raise UnavailableError(
                f"{seen} after {wait_s:g} s, and this waits for {wanted}: run `noteflow-hooks migrate`"
            )
        time.sleep(min(_LOOK_S, wait_s))


def _revision_if_there(settings: Settings) -> str | None:
    """Return the revision; None where the database does not answer, which may be still starting."""
    try:
        return _revision(settings)
    except UnavailableError:
        return None


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
