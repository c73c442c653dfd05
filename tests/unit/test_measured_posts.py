"""What a worker that measures notes of its POSTs, and how seldom."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from types import SimpleNamespace
from typing import Any, Final

from noteflow_hooks.delivery.measuring import measured_posts
from noteflow_hooks.domain.deliveries import Claim, DeliveryStatus
from noteflow_hooks.telemetry.memory import SharedFigures
from tests.support.builders import a_delivery, a_webhook, an_attempt_result
from tests.unit.test_telemetry import scraped

MADE_AT: Final = datetime(2026, 11, 30, 12, tzinfo=UTC)
#: All that is asked of the rules.
RULES: Final[Any] = SimpleNamespace(lease_slack=timedelta(seconds=10))


def a_claim(*, made_at: datetime = MADE_AT, claimed_after_s: float = 0.0, attempts: int = 0) -> Claim:
    """Return one whose lease began so long after it was made."""
    webhook = a_webhook()
    lease_end = made_at + timedelta(seconds=claimed_after_s, milliseconds=webhook.timeout_ms) + RULES.lease_slack
    delivery = a_delivery(
        webhook_id=webhook.id,
        status=DeliveryStatus.SENDING,
        created_at=made_at,
        lease_expires_at=lease_end,
        attempt_count=attempts,
    )
    return Claim(delivery=delivery, webhook=webhook, payload=b"{}")


def test_of_what_one_statement_has_made_one_stands_for_all() -> None:
    """Each has a lease of its own, by some microseconds, and to note them all would cost as much as all else here."""
    shared = SharedFigures.made(1)
    begin = measured_posts(lambda _: an_attempt_result, shared.slot(0), rules=RULES, places=10)
    page = [a_claim(claimed_after_s=1 + number / 1e6) for number in range(50)]
    for each in (*page, a_claim(made_at=MADE_AT + timedelta(seconds=9)), a_claim(made_at=MADE_AT, attempts=1)):
        begin(each)()
    scrape = scraped(shared)
    assert scrape.value("posts_total") == 52
    assert scrape.value("posts_under_way") == 0
    assert scrape.value("claim_lag_seconds_count") == 2
    assert scrape.value("claim_lag_seconds_sum") == 1
