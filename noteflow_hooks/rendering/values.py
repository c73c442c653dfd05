"""JSON and moments as formats write them, and put together around a payload whose bytes stay as they are stored."""

from __future__ import annotations

import json
from datetime import UTC
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Mapping
    from datetime import datetime

#: Made once, as in ``domain.payloads``.
_ENCODER: Final = json.JSONEncoder(separators=(",", ":"), ensure_ascii=False, allow_nan=False)


def around(values: Mapping[str, str | int | None], *, payload: bytes) -> bytes:
    """Return one JSON object with these values and then, as ``data``, the payload, which is not read."""
    before = _ENCODER.encode(dict(values))
    return b'%s,"data":%s}' % (before[:-1].encode(), payload)


def moment_text(moment: datetime) -> str:
    """Return an aware moment by RFC 3339, in UTC and always as long: ``2026-01-31T12:00:00.123456Z``."""
    return f"{moment.astimezone(UTC).replace(tzinfo=None).isoformat(timespec='microseconds')}Z"
