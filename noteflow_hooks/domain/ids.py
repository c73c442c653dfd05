"""Ids for rows that there are millions of, in the order in which they are made.

With random ids each new index entry goes to another page: with a million rows that page is seldom in memory, and
PostgreSQL logs the whole page again after each checkpoint.
"""

from __future__ import annotations

import os
import time
from uuid import UUID


def ordered_id() -> UUID:
    """Make a UUID of version 7 (RFC 9562, 5.7): the time in ms, then 74 random bits."""
    value = (time.time_ns() // 1_000_000 & 0xFFFF_FFFF_FFFF) << 80 | int.from_bytes(os.urandom(10))
    return UUID(int=value & ~(0xF000 << 64 | 0xC000 << 48) | 0x7000 << 64 | 0x8000 << 48)
