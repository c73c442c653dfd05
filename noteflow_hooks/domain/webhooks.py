"""Webhook configurations: the endpoints of a workspace and what each subscribes to."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final
from uuid import UUID, uuid4

from noteflow_hooks.domain.events import SUBSCRIBABLE
from noteflow_hooks.domain.payloads import check_text
from noteflow_hooks.domain.urls import parse_url
from noteflow_hooks.errors import InvalidInputError
from noteflow_hooks.signing import check_secret, secret_hint

if TYPE_CHECKING:
    from collections.abc import Iterable
    from datetime import datetime

DEFAULT_NAME: Final = "Webhook"
DEFAULT_TIMEOUT_MS: Final = 10_000
DEFAULT_MAX_RETRIES: Final = 3
TIMEOUT_MS: Final = range(100, 30_001)
MAX_RETRIES: Final = range(1, 21)
_NAME_LIMIT: Final = 255


@dataclass(frozen=True, slots=True)
class WebhookConfig:
    """One endpoint of a workspace. Make it with :meth:`create`, which checks; the constructor takes what is stored."""

    id: UUID
    workspace_id: UUID
    url: str
    #: The subscribed types, sorted; empty subscribes to nothing.
    events: tuple[str, ...]
    name: str = DEFAULT_NAME
    #: The newest secret as it was given; None means unsigned.
    secret: str | None = field(default=None, repr=False)
    #: The one before, which signs beside it until ``previous_secret_expires_at``.
    previous_secret: str | None = field(default=None, repr=False)
    previous_secret_expires_at: datetime | None = None
    #: The secret's last four characters, where it has 24 or more.
    secret_hint: str = ""
    #: True where a secret is stored that no key decrypts: such an endpoint is never sent to unsigned.
    secret_unavailable: bool = False
    enabled: bool = True
    #: The whole exchange, from look-up to the last byte read, in milliseconds.
    timeout_ms: int = DEFAULT_TIMEOUT_MS
    #: The most attempts that a delivery gets, the first one included.
    max_retries: int = DEFAULT_MAX_RETRIES
    created_at: datetime | None = None
    updated_at: datetime | None = None
    #: Why the system disabled it; None where a person did.
    disabled_reason: str | None = None
    deleted_at: datetime | None = None

    @classmethod
    def create(
        cls,
        workspace_id: UUID,
        url: str,
        events: Iterable[str],
        *,
        name: str = DEFAULT_NAME,
        secret: str | None = None,
        timeout_ms: int = DEFAULT_TIMEOUT_MS,
        max_retries: int = DEFAULT_MAX_RETRIES,
        enabled: bool = True,
        allow_http_loopback: bool = False,
    ) -> WebhookConfig:
        """Make a valid configuration with a new id, or raise :class:`InvalidInputError` that names the field.

        ``secret`` None means unsigned; an empty one is refused.
        """
        return cls(
            id=uuid4(),
            workspace_id=workspace_id,
            url=str(parse_url(url, allow_http_loopback=allow_http_loopback)),
            events=check_events(events),
            name=check_text("name", name, limit=_NAME_LIMIT, allow_empty=False),
            secret=None if secret is None else check_secret(secret),
            secret_hint="" if secret is None else secret_hint(secret),
            enabled=enabled,
            timeout_ms=check_range("timeout_ms", timeout_ms, TIMEOUT_MS),
            max_retries=check_range("max_retries", max_retries, MAX_RETRIES),
        )

    def subscribes_to(self, event_type: str) -> bool:
        """Tell whether events of this type go to this endpoint."""
        return event_type in self.events

    def secrets_at(self, moment: datetime) -> tuple[str, ...]:
        """Return the secrets that sign at that moment, newest first; empty means unsigned."""
        if self.secret is None:
            return ()
        expires_at = self.previous_secret_expires_at
        if self.previous_secret is None or expires_at is None or expires_at <= moment:
            return (self.secret,)
        return (self.secret, self.previous_secret)


def check_events(events: Iterable[str]) -> tuple[str, ...]:
    """Return the types sorted, once each, or raise :class:`InvalidInputError` for one that can't be subscribed to."""
    chosen = sorted(set(events))
    for each in chosen:
        if each not in SUBSCRIBABLE:
            raise InvalidInputError(
                "events", f"{each[:100]!r} can't be subscribed to; allowed: {', '.join(SUBSCRIBABLE)}"
            )
    return tuple(chosen)


def check_range(name: str, value: int, allowed: range) -> int:
    """Return the number if it is allowed, else raise :class:`InvalidInputError` with the bounds."""
    if value not in allowed:
        raise InvalidInputError(name, f"is {value}; allowed are {allowed.start} to {allowed.stop - 1}")
    return value
