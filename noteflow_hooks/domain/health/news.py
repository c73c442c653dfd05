"""What an operator reads of endpoints' health as it changes: a breaker opens or closes, one is slow, or disabled."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from noteflow_hooks.domain.urls import host_of

if TYPE_CHECKING:
    from uuid import UUID

    from noteflow_hooks.domain.health.circuit_breaker import HealthTransition
    from noteflow_hooks.domain.health.state import EndpointHealth
    from noteflow_hooks.domain.webhooks import WebhookConfig


@dataclass(frozen=True, slots=True)
class HealthNews:
    """One change of an endpoint's health, in words."""

    webhook_id: UUID
    workspace_id: UUID
    host: str
    #: ``breaker_opened``, ``breaker_closed``, ``slow``, ``quick``, ``failing`` or ``disabled``.
    change: str
    words: str

    @property
    def is_good(self) -> bool:
        """Whether nobody has to do anything about it."""
        return self.change == "quick"

    @property
    def fields(self) -> dict[str, object]:
        """The fields of its line in the log."""
        return {
            "webhook": str(self.webhook_id),
            "workspace": str(self.workspace_id),
            "host": self.host,
            "change": self.change,
        }

    def __str__(self) -> str:
        """Return the line."""
        return f"webhook {self.webhook_id} at {self.host}: {self.words}"


def news_of(
    before: EndpointHealth, after: EndpointHealth, webhook: WebhookConfig, transition: HealthTransition | None
) -> list[HealthNews]:
    """Return what is worth a line of what has changed; a breaker that stays open after a probe is none."""
    changes: list[tuple[str, str]] = []
    if after.is_open and not before.is_open:
        until = (
            "" if after.open_until is None else f"; the first probe goes at {after.open_until:%Y-%m-%d %H:%M:%S UTC}"
        )
        changes.append(("breaker_opened", f"its circuit breaker opens after {after.failures} failures in a row{until}"))
    elif before.is_open and not after.is_open:
        changes.append(("breaker_closed", "its circuit breaker closes, and its backlog is sent, gently at first"))
    if before.slow_since is None and after.slow_since is not None:
        changes.append(("slow", "it is slow, and has its deliveries in the slow lane"))
    elif before.slow_since is not None and after.slow_since is None:
        changes.append(("quick", "it is quick again"))
    if transition is not None:
        changes.append(("disabled" if transition.disables else "failing", transition.reason))
    return [
        HealthNews(webhook.id, webhook.workspace_id, host_of(webhook.url), change, words) for change, words in changes
    ]
