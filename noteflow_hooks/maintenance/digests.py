"""Writes the weekly digests that contacts have asked for, out of the roll-ups."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from noteflow_hooks.domain.contacts import DIGEST_EVERY
from noteflow_hooks.domain.mails import MailKind, mail_about
from noteflow_hooks.domain.stats import SUCCEEDED, Span, StatsQuery, Tally

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from noteflow_hooks.domain.ports.unit_of_work import UnitOfWork
    from noteflow_hooks.domain.webhooks import WebhookConfig


def write_digests(units: Callable[[], UnitOfWork], *, limit: int) -> int:
    """Write the digests that are due, at most so many, in one transaction; return how many."""
    with units() as unit:
        webhooks = unit.mails.take_digests(limit=limit)
        for webhook in webhooks:
            mail = mail_about(webhook, MailKind.DIGEST, _figures(unit, webhook))
            if mail is not None:
                unit.mails.add(mail)
        unit.commit()
    return len(webhooks)


def _figures(unit: UnitOfWork, webhook: WebhookConfig) -> str:
    """Return a week's figures as pairs of words and numbers, as JSON."""
    ends = datetime.now(UTC).replace(minute=0, second=0, microsecond=0)
    query = StatsQuery(span=Span(ends - DIGEST_EVERY, ends), webhook_id=webhook.id)
    tally = Tally()
    for _, each in unit.stats.by_point(webhook.workspace_id, query):
        tally.add(each)
    attempts, succeeded = sum(tally.attempts.values()), tally.attempts[SUCCEEDED]
    rows: Sequence[tuple[str, str]] = (
        ("From", f"{query.span.begins:%Y-%m-%d %H:%M UTC}"),
        ("To", f"{query.span.ends:%Y-%m-%d %H:%M UTC}"),
        ("State", "enabled" if webhook.is_active else "disabled"),
        ("Delivered", f"{succeeded:,}"),
        ("Attempts that failed", f"{attempts - succeeded:,}"),
        ("Given up as dead", f"{sum(tally.dead.values()):,}"),
        ("Skipped", f"{sum(tally.skipped.values()):,}"),
    )
    return json.dumps(rows)
