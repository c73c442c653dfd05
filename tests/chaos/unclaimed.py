"""A worker with a fault of its own, for a run that must turn red: it claims deliveries that others hold.

The Celery app is the product's; only its claims' SQL is another, before anybody has read it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from noteflow_hooks.persistence.sql.delivery.direct import DirectStatement

if TYPE_CHECKING:
    from sqlalchemy import TextClause

_FREE: Final = "status = 'pending' AND NOT held AND next_attempt_at <= now()"
_ANYBODYS: Final = "status IN ('pending', 'sending') AND NOT held AND coalesce(next_attempt_at, now()) <= now()"
_of: Final = DirectStatement.of
_changed: Final[list[str]] = []


def _unclaimed(clause: TextClause) -> DirectStatement:
    made = _of(clause)
    if _FREE in made.sql:
        _changed.append(made.sql)
    return DirectStatement(made.sql.replace(_FREE, _ANYBODYS), made.names)


_patched: Any = DirectStatement
_patched.of = staticmethod(_unclaimed)

# Only now, since the store makes its statements as it is imported.
from workers.app import app  # noqa: E402 - as said

app.loader.import_default_modules()
assert _changed, "no claim reads as it did; see to this sabotage"

__all__ = ["app"]
