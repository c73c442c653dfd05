"""What the product has on record of a run, as plain values: it is held against the ledgers, never trusted."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    import psycopg

    from tests.chaos.ledgers import Pair

_DELIVERIES: Final = (
    "SELECT delivery.id::text, event_id::text, right(url, -length(%s)), status, attempt_count, skip_reason"
    " FROM noteflow.webhook_deliveries AS delivery"
    " JOIN noteflow.webhook_configs AS config ON config.id = delivery.webhook_id"
)
_ATTEMPTS: Final = (
    "SELECT delivery_id::text, attempt_number, extract(epoch FROM started_at)::float8, duration_ms, status_code,"
    " response_body, error_kind, redialled FROM noteflow.webhook_attempts ORDER BY delivery_id, attempt_number"
)
_OPEN: Final = (
    "SELECT (SELECT count(*) FROM noteflow.webhook_deliveries WHERE status IN ('pending', 'sending')),"
    " (SELECT count(*) FROM noteflow.webhook_events WHERE dispatched_at IS NULL)"
)


@dataclass(frozen=True, slots=True)
class Delivery:
    """A row of deliveries."""

    id: str
    event_id: str
    path: str
    status: str
    attempt_count: int
    skip_reason: str | None

    @property
    def pair(self) -> Pair:
        """What it delivers."""
        return self.event_id, self.path


@dataclass(frozen=True, slots=True)
class Attempt:
    """A row of attempts."""

    delivery_id: str
    number: int
    #: Unix seconds.
    started_at: float
    duration_ms: int
    status_code: int | None
    body: str | None
    error_kind: str | None
    #: Whether it may stand for two POSTs, the first over a kept connection that ended unanswered.
    redialled: bool = False

    def covers(self, clock_at: float, *, slack_s: float) -> bool:
        """Tell whether it was under way at that moment, or so little before or after that clocks explain it."""
        return self.started_at - slack_s <= clock_at <= self.started_at + self.duration_ms / 1000 + slack_s


@dataclass(frozen=True, slots=True)
class Tables:
    """The rows of a run's end."""

    deliveries: list[Delivery]
    attempts: list[Attempt]

    def by_delivery(self) -> dict[str, list[Attempt]]:
        """Return the attempts of each delivery, in their order."""
        found: dict[str, list[Attempt]] = {}
        for attempt in self.attempts:
            found.setdefault(attempt.delivery_id, []).append(attempt)
        return found


def read(database: psycopg.Connection, *, receiver: str) -> Tables:
    """Read everything; ``receiver`` is what stands before the path in each endpoint's URL."""
    deliveries = [Delivery(*row) for row in database.execute(_DELIVERIES, [receiver]).fetchall()]
    return Tables(deliveries, [Attempt(*row) for row in database.execute(_ATTEMPTS).fetchall()])


def left(database: psycopg.Connection) -> tuple[int, int]:
    """Return how many deliveries are not in a terminal state, and how many events have not become deliveries."""
    [(deliveries, events)] = database.execute(_OPEN).fetchall()
    return deliveries, events
