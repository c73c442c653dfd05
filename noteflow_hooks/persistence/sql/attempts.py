"""Attempts as their rows have them.

``times`` is NULL for the usual ones, empty where they are not known, and else the fields of
:class:`~noteflow_hooks.domain.exchanges.Times` in their order. ``request_headers`` and ``response_headers`` begin with
the name of a form in ``header_forms``, or with an empty line and the form itself; then come the values for its blanks,
a line each.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any, Final

from noteflow_hooks.domain.attempts import WebhookAttempt
from noteflow_hooks.domain.exchanges import (
    UNKNOWN_TIMES,
    Blank,
    HeaderForm,
    Headers,
    Times,
    known_of,
    pairs_of,
    usual_times,
)
from noteflow_hooks.persistence.sql.wire import Statement

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from sqlalchemy import Row

    from noteflow_hooks.domain.exchanges import Pairs

_DERIVED: Final = frozenset({"times", "request_headers", "response_headers"})
_PLAIN: Final = tuple(name for name in WebhookAttempt.__dataclass_fields__ if name not in _DERIVED)

#: A delivery's attempts, first one first.
ATTEMPTS: Final = Statement(
    f"SELECT {', '.join(f'attempt.{name}' for name in (*_PLAIN, *sorted(_DERIVED)))},"  # noqa: S608 - constants
    " sent.lines AS sent_lines, heard.lines AS heard_lines,"
    " (SELECT event_id FROM noteflow.webhook_deliveries WHERE id = :delivery_id LIMIT 1) AS event_id"
    " FROM noteflow.webhook_attempts AS attempt"
    " LEFT JOIN noteflow.header_forms AS sent ON sent.id = split_part(attempt.request_headers, chr(10), 1)"
    " LEFT JOIN noteflow.header_forms AS heard ON heard.id = split_part(attempt.response_headers, chr(10), 1)"
    " WHERE delivery_id = :delivery_id ORDER BY attempt_number",
    reads=True,
)


def attempt_to_domain(row: Row[Any]) -> WebhookAttempt:
    """Return the attempt; where its headers or times can't be read, it has none."""
    second = int(row.started_at.timestamp())
    known = known_of(delivery_id=row.delivery_id, event_id=row.event_id, batch_id=row.batch_id, second=second)
    return WebhookAttempt(
        **{name: getattr(row, name) for name in _PLAIN},
        times=_times(row.times, row.duration_ms),
        request_headers=_headers(row.request_headers, row.sent_lines, known),
        response_headers=_headers(row.response_headers, row.heard_lines, known),
    )


def _times(stored: Sequence[int | None] | None, duration_ms: int) -> Times:
    if stored is None:
        return usual_times(duration_ms)
    if len(stored) != len(Times._fields):
        return UNKNOWN_TIMES
    dns, connect, tls, wait, read, reused = stored
    return Times(dns, connect, tls, wait, read, None if reused is None else bool(reused))


def _headers(stored: str | None, shared: str | None, known: Mapping[Blank, str]) -> Pairs:
    if stored is None:
        return ()
    _, *values = stored.split("\n")
    lines = shared
    if lines is None and values:
        lines, *values = values
    try:
        read = json.loads(lines or "[]")
        form = HeaderForm(tuple((str(name), value if isinstance(value, str) else Blank(value)) for name, value in read))
    except (ValueError, TypeError):
        return ()
    return pairs_of(Headers(form, tuple(values)), known)
