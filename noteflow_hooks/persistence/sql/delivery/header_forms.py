"""Stores what many attempts' headers have in common, once, so that their rows need only name it."""

from __future__ import annotations

import json
import logging
from typing import TYPE_CHECKING, Final

import psycopg
from sqlalchemy import text
from sqlalchemy.exc import SQLAlchemyError

from noteflow_hooks.errors import NoteFlowHooksError
from noteflow_hooks.persistence.sql.delivery.rows import form_text

if TYPE_CHECKING:
    from sqlalchemy.engine import Engine

    from noteflow_hooks.persistence.sql.delivery.rows import HeaderForms

log = logging.getLogger(__name__)

_SHARE: Final = text("""
INSERT INTO noteflow.header_forms AS form (id, lines)
SELECT key, value FROM json_each_text(CAST(:forms AS json)) ORDER BY key
ON CONFLICT (id) DO UPDATE SET used_at = now()
RETURNING id, lines
""")


def share(forms: HeaderForms, engine: Engine) -> None:
    """Store what is due, and have the rows name it from now on. Where that fails they go on without; it never raises.

    ``engine`` makes each statement a transaction.
    """
    wanted = json.dumps({name: form_text(form) for name, form in forms.due.items()})
    try:
        with engine.connect() as connection:
            rows = connection.execute(_SHARE, {"forms": wanted}).all()
    except (NoteFlowHooksError, SQLAlchemyError, psycopg.Error) as error:
        log.warning("headers that many attempts have in common could not be stored by themselves: %s", error)
        rows = []
    forms.stored([(row.id, row.lines) for row in rows])
