"""What holds SQL that says a rule again against the rule itself, on generated rows of the real PostgreSQL.

The SQL bears a mark, ``# rule of domain.health.state.EndpointHealth.is_throttled``; its test names the
same with ``twin``.
"""
# ruff: noqa: ANN401 - a column has whatever type it has

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any
from uuid import UUID, uuid4

from hypothesis import HealthCheck, Phase, settings
from hypothesis import strategies as st
from sqlalchemy import DateTime, func, insert, select, text, update

from noteflow_hooks.crypto import SecretBox
from noteflow_hooks.domain.deliveries import DeliveryStatus
from noteflow_hooks.domain.presets import PRESETS
from noteflow_hooks.persistence.sql.converters import WebhookConverter, event_to_domain, health_to_domain
from noteflow_hooks.persistence.sql.orm import (
    Base,
    WebhookConfigRow,
    WebhookDeliveryRow,
    WebhookEventRow,
    WebhookHealthRow,
    WorkspaceRow,
    table_of,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from hypothesis.strategies import SearchStrategy
    from sqlalchemy import Connection
    from sqlalchemy.engine import Engine

    from noteflow_hooks.domain.deliveries import WebhookDelivery
    from noteflow_hooks.domain.events import Event
    from noteflow_hooks.domain.health.state import EndpointHealth
    from noteflow_hooks.domain.webhooks import WebhookConfig

_CONVERTER = WebhookConverter(SecretBox([bytes(32)]))
#: The same cases each time, so that a test that fails fails again.
_SETTINGS = settings(
    max_examples=20,
    derandomize=True,
    database=None,
    deadline=None,
    phases=(Phase.generate, Phase.shrink),
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow, HealthCheck.data_too_large],
)
#: Columns of moments hold these seconds from the transaction's own; the exact moment is among them.
MOMENTS = st.sampled_from([-3600.0, -60.0, -1.0, 0.0, 1.0, 60.0, 3600.0])
MAYBE = st.none() | MOMENTS
#: Of a past or a future that is far enough off for statements that ask for the time as it goes on.
FAR = st.sampled_from([-3600.0, -60.0, 60.0, 3600.0])
MAYBE_FAR = st.none() | FAR


def twin(*rules: str) -> Callable[[Callable[..., None]], Callable[..., None]]:
    """Name the rules that a test holds their SQL against, as the marks in the SQL do; and run it on so many cases."""

    def marked(test: Callable[..., None]) -> Callable[..., None]:
        assert rules
        return _SETTINGS(test)

    return marked


@dataclass(frozen=True)
class Endpoint:
    """The columns of a generated endpoint and of its health; moments in seconds from now."""

    config: Mapping[str, Any]
    health: Mapping[str, Any]


def endpoints(moments: SearchStrategy[float | None] = MAYBE) -> SearchStrategy[Endpoint]:
    """Generate endpoints in any state, most of them with little that speaks against sending."""
    rarely = st.sampled_from([False, False, True]).flatmap(lambda yes: moments if yes else st.none())
    config = st.fixed_dictionaries(
        {
            "enabled": st.sampled_from([True, True, True, False]),
            "deleted_at": st.sampled_from([None, None, None, -60.0]),
            "paused_at": rarely,
            "unverified_since": rarely,
            "rate_limit_per_s": st.sampled_from([None, None, None, 0.5, 20.0, 1000.0]),
            "max_concurrency": st.sampled_from([None, None, None, 1, 3, 12]),
            "timeout_ms": st.sampled_from([100, 2_000, 30_000]),
            "batch_max": st.sampled_from([0, 0, 0, 0, 5]),
            "ordering": st.sampled_from([*["none"] * 4, "per_meeting"]),
            "format": st.sampled_from(["noteflow", "noteflow", "noteflow", "standard", "slack", "discord", "teams"]),
            "events": st.sampled_from(
                [
                    ["meeting.completed"],
                    ["webhook.failing", "webhook.disabled"],
                    ["meeting.completed", "webhook.failing"],
                ]
            ),
        }
    )
    health = st.fixed_dictionaries(
        {
            "turn_at": rarely,
            "awaiting_room": st.booleans(),
            "failures": st.sampled_from([0, 0, 1, 20]),
            "failing_since": rarely,
            "last_failure_at": rarely,
            "open_until": rarely,
            "opened": st.sampled_from([0, 1]),
            "probing_until": rarely,
            "ramp": st.sampled_from([None, None, None, 2, 8]),
            "slow_since": rarely,
            "quick": st.sampled_from([0, 1, 4]),
            "rate_at": rarely,
        }
    )
    return st.builds(_endpoint, config, health, calm=st.booleans())


#: What speaks against sending to an endpoint: half of them have nothing of it.
_MARKS = (
    *("deleted_at", "paused_at", "unverified_since", "rate_limit_per_s"),
    *("turn_at", "open_until", "probing_until", "ramp", "slow_since"),
)


def _endpoint(config: dict[str, Any], health: dict[str, Any], *, calm: bool) -> Endpoint:
    """Make an endpoint; what is deleted is disabled, too."""
    if calm:
        config, health = (
            {name: None if name in _MARKS else value for name, value in columns.items()} for columns in (config, health)
        )
        config |= {"batch_max": 0, "ordering": "none", "format": "noteflow"}
    if not health["failures"]:
        # A success forgets both; nothing sets one of them alone.
        health |= {"last_failure_at": None}
    enabled = calm or (config["enabled"] and config["deleted_at"] is None)
    return Endpoint(config | {"enabled": enabled}, health)


def _hidden_url(config: Mapping[str, Any]) -> dict[str, Any]:
    """Return the columns of a preset's URL, which no key opens here; none for others."""
    if config.get("format") not in PRESETS:
        return {}
    return {"url": "https://chat.example/…", "url_ciphertext": None if config.get("deleted_at") else b"sealed"}


class Rows:
    """The tables within one transaction, which is rolled back."""

    def __init__(self, connection: Connection) -> None:
        self.connection = connection
        self.now: datetime = connection.scalars(select(func.now())).one()
        self.workspace_id = self.workspace()

    def at(self, seconds: float | None) -> datetime | None:
        """Return the moment so many seconds from the transaction's."""
        return None if seconds is None else self.now + timedelta(seconds=seconds)

    def workspace(self) -> UUID:
        """Store a workspace."""
        return self._store(WorkspaceRow, id=uuid4(), name="Twins")

    def endpoint(
        self, generated: Endpoint, *, workspace_id: UUID | None = None, url: str = "https://example.com"
    ) -> UUID:
        """Store an endpoint, with its health."""
        config = self._moments(WebhookConfigRow, generated.config)
        webhook_id = self._store(
            WebhookConfigRow,
            id=uuid4(),
            workspace_id=workspace_id if workspace_id is not None else self.workspace_id,
            **{"url": url, "created_at": self.at(-7200), **_hidden_url(config), **config},
        )
        columns = self._moments(WebhookHealthRow, generated.health)
        self.connection.execute(
            update(WebhookHealthRow).where(WebhookHealthRow.webhook_id == webhook_id).values(**columns)
        )
        return webhook_id

    def event(self, **columns: Any) -> UUID:
        """Store an event; moments in seconds from now."""
        given = {
            "id": uuid4(),
            "workspace_id": self.workspace_id,
            "event_type": "meeting.completed",
            "payload": "{}",
            "occurred_at": -3600.0,
            "created_at": -3600.0,
        }
        return self._store(WebhookEventRow, **self._moments(WebhookEventRow, given | columns))

    def delivery(self, webhook_id: UUID, *, event_id: UUID | None = None, **columns: Any) -> UUID:
        """Store a delivery, by default one that is due; moments in seconds from now."""
        given = {
            "id": uuid4(),
            "workspace_id": self.workspace_id,
            "webhook_id": webhook_id,
            "event_id": event_id if event_id is not None else self.event(dispatched_at=-60.0),
            "event_type": "meeting.completed",
            "status": "pending",
        }
        columns = given | columns
        if columns["status"] == "pending":
            columns.setdefault("next_attempt_at", -1.0)
        if columns["status"] == "sending":
            columns.setdefault("claimed_at", -0.01)
            columns.setdefault("lease_expires_at", 60.0)
        if columns["status"] == "succeeded":
            columns.setdefault("delivered_at", -1.0)
            columns["status_code"] = 200
        table = table_of(DeliveryStatus(str(columns["status"])))
        return self._store(table, **self._moments(table, columns))

    def read_endpoint(self, webhook_id: UUID) -> tuple[WebhookConfig, EndpointHealth]:
        """Return an endpoint and its health as the domain has them."""
        config = self._read(WebhookConfigRow, WebhookConfigRow.id == webhook_id)
        health = self._read(WebhookHealthRow, WebhookHealthRow.webhook_id == webhook_id)
        return _CONVERTER.config_to_domain(config), health_to_domain(health)

    def read_delivery(self, delivery_id: UUID) -> WebhookDelivery:
        """Return a delivery as the domain has it."""
        return _CONVERTER.delivery_to_domain(self._read(WebhookDeliveryRow, WebhookDeliveryRow.id == delivery_id))

    def read_event(self, event_id: UUID) -> Event:
        """Return an event as the domain has it."""
        return event_to_domain(self._read(WebhookEventRow, WebhookEventRow.id == event_id))

    def ids(self, statement: str, **params: Any) -> set[UUID]:
        """Return the first column of a statement's rows."""
        return set(self.connection.scalars(text(statement), params))

    def _store(self, table: type[Base], **columns: Any) -> UUID:
        stored: UUID = self.connection.scalars(insert(table).values(**columns).returning(table.id)).one()  # type: ignore[attr-defined]  # each has one
        return stored

    def _read(self, table: type[Base], where: Any) -> Any:
        return self.connection.execute(select(*table.__table__.columns).where(where)).one()

    def _moments(self, table: type[Base], columns: Mapping[str, Any]) -> dict[str, Any]:
        """Return the columns with moments in place of seconds."""
        moments = {each.name for each in table.__table__.columns if isinstance(each.type, DateTime)}
        return {name: self.at(value) if name in moments else value for name, value in columns.items()}


def in_transaction(engine: Engine, check: Callable[[Rows], None]) -> None:
    """Run a check in a transaction of its own, and roll that back."""
    with engine.connect() as connection:
        check(Rows(connection))
        connection.rollback()
