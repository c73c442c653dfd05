"""What would be sent of an event, to an endpoint or in a format. Nothing is sent, and nothing is changed."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final
from uuid import UUID

from noteflow_hooks.application.endpoints import find_webhook
from noteflow_hooks.domain.batches import alone_in_batch
from noteflow_hooks.domain.deliveries import Claim, WebhookDelivery
from noteflow_hooks.domain.options import NO_BATCHES, NO_OPTIONS, EndpointOptions, Format
from noteflow_hooks.domain.ranks import Rank
from noteflow_hooks.domain.renderings import EventFacts, Rendering
from noteflow_hooks.domain.webhooks import WebhookConfig
from noteflow_hooks.errors import InvalidInputError, NotFoundError, PreconditionError, Reason, RenderingError

if TYPE_CHECKING:
    from datetime import datetime

    from noteflow_hooks.domain.events import Event
    from noteflow_hooks.domain.ports.previews import Preview, Previewer
    from noteflow_hooks.domain.ports.unit_of_work import UnitOfWork

_NIL: Final = UUID(int=0)
#: What stands for the id of a delivery that is still to be made.
NO_DELIVERY: Final = "[made at dispatch]"
#: Where a format is previewed without an endpoint: of this one nothing is shown.
_NOWHERE: Final = "https://receiver.invalid/"


@dataclass(frozen=True, slots=True)
class RequestView:
    """A request that would be made, and by what it was rendered."""

    headers: tuple[tuple[str, str], ...]
    body: str
    rendering: Rendering


@dataclass(frozen=True, slots=True)
class PreviewTarget:
    """For whom a request is shown: an endpoint, or any that has that format and a secret."""

    webhook_id: UUID | None
    format: Format | None

    @classmethod
    def create(cls, webhook_id: UUID | None, format_: str | None) -> PreviewTarget:
        """Take one of the two, or raise InvalidInputError that names the field and what is allowed."""
        if (webhook_id is None) == (format_ is None):
            raise InvalidInputError("webhook_id", "one of webhook_id and format must be set, and not both")
        if format_ is not None and format_ not in Format.__members__.values():
            raise InvalidInputError("format", f"is {format_[:100]!r}; allowed are {', '.join(Format)}")
        return cls(webhook_id, None if format_ is None else Format(format_))


def preview_payload(
    unit: UnitOfWork,
    workspace_id: UUID,
    event_id: UUID,
    target: PreviewTarget,
    *,
    previewer: Previewer | None,
    now: datetime,
) -> RequestView:
    """Return the request that would be made of an event; raise NotFoundError or PreconditionError."""
    if previewer is None:
        raise PreconditionError("PreviewPayload: this server is made without what shows requests")
    event = unit.events.get_by_id(event_id)
    if event is None or event.workspace_id != workspace_id:
        raise NotFoundError(f"event_id: no event {event_id} in this workspace")
    if event.payload_erased_at is not None:
        raise PreconditionError("event_id: its payload is erased", reason=Reason.PAYLOAD_ERASED)
    webhook = _endpoint(unit, workspace_id, target)
    delivery = next((each for each in unit.deliveries.get_by_event(event_id) if each.webhook_id == webhook.id), None)
    rendering = Rendering.of(webhook)
    claim = _claim(event, webhook, rendering, delivery_id=_NIL if delivery is None else delivery.id)
    if webhook.options.batch_max != NO_BATCHES and event.target_webhook_id is None:
        claim = alone_in_batch(claim, EventFacts(event.meeting_id, event.occurred_at), batch_id=_NIL)
    try:
        shown = previewer.preview(claim, moment=now)
    except RenderingError as error:
        raise PreconditionError(f"event_id: {error}") from None
    return RequestView(_headers(shown, webhook), shown.body.decode(), rendering)


def _endpoint(unit: UnitOfWork, workspace_id: UUID, target: PreviewTarget) -> WebhookConfig:
    if target.webhook_id is not None:
        return find_webhook(unit, workspace_id, target.webhook_id)
    options = NO_OPTIONS if target.format is None else EndpointOptions(format=target.format)
    # Empty, and never used: it is there, so that the signatures' places are shown.
    return WebhookConfig(id=_NIL, workspace_id=workspace_id, url=_NOWHERE, events=(), secret="", options=options)


def _claim(event: Event, webhook: WebhookConfig, rendering: Rendering, *, delivery_id: UUID) -> Claim:
    delivery = WebhookDelivery(
        id=delivery_id,
        webhook_id=webhook.id,
        event_id=event.id,
        event_type=event.event_type,
        rendering=rendering.stored,
    )
    return Claim(
        delivery,
        webhook,
        event.payload,
        rank=None if event.sequence is None else Rank(event.sequence),
        facts=EventFacts.of(event),
    )


def _headers(shown: Preview, webhook: WebhookConfig) -> tuple[tuple[str, str], ...]:
    """Return the headers, without what only an endpoint or a delivery that is not there would give."""
    known = [pair for pair in shown.headers if webhook.url != _NOWHERE or pair[0] != "Host"]
    return tuple((name, NO_DELIVERY if value == str(_NIL) else value) for name, value in known)
