"""Ids in the order of time, as bounds: what is made from a moment on has ids that are not below its first one."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Final
from uuid import UUID

EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_MILLISECOND: Final = timedelta(milliseconds=1)


def first_id(moment: datetime) -> UUID:
    """Return the lowest id of that millisecond (RFC 9562, 5.7): windows that meet at a moment leave none out."""
    return UUID(int=(moment - EPOCH) // _MILLISECOND << 80)


def moment_of(identifier: UUID) -> datetime | None:
    """Return the millisecond that an id was made in; None where it can't be a time."""
    try:
        return EPOCH + (identifier.int >> 80) * _MILLISECOND
    except OverflowError:
        return None
