"""How the mails do, for `doctor`."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from sqlalchemy import text

if TYPE_CHECKING:
    from datetime import timedelta

    from sqlalchemy import Connection

_MAILS: Final = text("""
SELECT count(*) FILTER (WHERE state = 'waiting') AS waiting,
       clock_timestamp() - min(created_at) FILTER (WHERE state = 'waiting') AS longest,
       count(*) FILTER (WHERE state = 'sent' AND ended_at > now() - interval '1 day') AS sent_today,
       count(*) FILTER (WHERE state = 'given_up' AND ended_at > now() - interval '1 day' AND attempt_count > 0)
           AS given_up_today,
       (
           SELECT error FROM noteflow.webhook_mails
           WHERE error IS NOT NULL AND attempt_count > 0 ORDER BY created_at DESC, id DESC LIMIT 1
       ) AS error
FROM noteflow.webhook_mails
""")


@dataclass(frozen=True, slots=True)
class Mails:
    """What has become of the mails of the last days."""

    waiting: int
    #: For how long the first of them has; None where none does.
    longest: timedelta | None
    sent_today: int
    #: Of those that were tried.
    given_up_today: int
    #: How the last one failed that did.
    error: str | None


def mails_of(connection: Connection) -> Mails:
    """Return how the mails do; the table keeps those of a week."""
    return Mails(**connection.execute(_MAILS).mappings().one())
