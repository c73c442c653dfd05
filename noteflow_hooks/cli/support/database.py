"""The way to the database, for the commands that work on it: DATABASE_URL, else that of a running `up` and its keys."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING
from uuid import UUID

import psycopg.errors
from sqlalchemy.exc import ProgrammingError

from noteflow_hooks import bootstrap
from noteflow_hooks.cli.support import finding
from noteflow_hooks.cli.support.variables import read_settings
from noteflow_hooks.errors import NoteFlowHooksError, SettingsError
from noteflow_hooks.local.files import read_keys, read_object, text_in, up_file
from noteflow_hooks.settings import PREFIX, Settings

if TYPE_CHECKING:
    from collections.abc import Iterator

    from noteflow_hooks.domain.ports.unit_of_work import UnitOfWork

_NO_TABLES = (psycopg.errors.UndefinedTable, psycopg.errors.InvalidSchemaName)


def database_settings(settings: Settings | None = None) -> Settings:
    """Return the settings, with the database that counts here; raise SettingsError where there is none."""
    settings = settings if settings is not None else read_settings()
    if settings.database_url is not None:
        return settings
    path = up_file(settings.data_dir)
    running = read_object(path)
    if running is None:
        raise SettingsError(f"no database is named: set {PREFIX}DATABASE_URL, or start `noteflow-hooks up`")
    keys = read_keys(settings.data_dir)
    # Its secrets are under its own keys, whatever the environment says.
    own = {} if keys is None else {"secret_keys": keys}
    return Settings.load(database_url=text_in(running, "database_url", path), **own)


@contextmanager
def unit_of_work() -> Iterator[UnitOfWork]:
    """Yield a unit of work; the block commits it."""
    store = bootstrap.store(database_settings())
    try:
        with tables_needed(), store.units() as unit:
            yield unit
    finally:
        store.close()


def find_workspace(unit: UnitOfWork, given: str, *, changes: bool = False) -> UUID:
    """Return the id of the workspace of that name or id; with ``changes`` the beginning of an id is not enough."""
    if finding.is_whole(given):
        return UUID(given)
    rows = [{"id": str(each.id), "name": each.name} for each in unit.access.list_workspaces()]
    return UUID(finding.chosen(rows, given, what="workspace", shown=("id", "name"), changes=changes))


@contextmanager
def tables_needed() -> Iterator[None]:
    """Say what to do where the block finds a database without our tables."""
    try:
        yield
    except (ProgrammingError, *_NO_TABLES) as error:
        if isinstance(error, _NO_TABLES) or isinstance(getattr(error, "orig", None), _NO_TABLES):
            raise NoteFlowHooksError("the database has no tables of ours yet: run `noteflow-hooks migrate`") from None
        raise
