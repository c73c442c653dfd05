"""A claimed delivery as its rendering has it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from noteflow_hooks.domain.payload_versions import version_sent
from noteflow_hooks.domain.renderings import USUAL, Rendering
from noteflow_hooks.errors import RenderingError
from noteflow_hooks.rendering.occurrence import Occurrence
from noteflow_hooks.rendering.registry import renderer

if TYPE_CHECKING:
    from noteflow_hooks.domain.deliveries import Claim
    from noteflow_hooks.rendering.occurrence import Rendered

#: The most bytes of a body, whatever is put around the payload.
BODY_LIMIT_BYTES: Final = 16_384


def rendered_claim(claim: Claim) -> tuple[Rendered, Rendering]:
    """Return what is sent of a claimed delivery, and by what it was rendered; raise RenderingError."""
    stored = claim.delivery.rendering
    rendering = USUAL if stored is None else Rendering.read(stored)
    if rendering is None:
        raise RenderingError("Can't be rendered: the delivery's rendering is none of ours")
    return rendered(occurrence_of(claim, rendering), by=rendering), rendering


def occurrence_of(claim: Claim, rendering: Rendering) -> Occurrence:
    """Return what the claim's event is to a renderer; raise RenderingError where its row can't be read."""
    facts = claim.facts
    if facts is None:
        raise RenderingError("Can't be rendered: the event's row holds what it may not")
    delivery = claim.delivery
    return Occurrence(
        event_id=delivery.event_id,
        event_type=delivery.event_type,
        workspace_id=claim.webhook.workspace_id,
        meeting_id=facts.meeting_id,
        occurred_at=facts.occurred_at,
        payload=claim.payload,
        sequence=None if claim.rank is None else claim.rank.sequence,
        payload_version=version_sent(delivery.event_type, rendering.payload_version),
    )


def rendered(occurrence: Occurrence, *, by: Rendering) -> Rendered:
    """Return what is sent of an event; raise RenderingError, which repeats nothing of the payload."""
    render = renderer(by.format, by.renderer)
    if render is None:
        raise RenderingError(f"Can't be rendered as {by.format}: no renderer has the number {by.renderer}")
    try:
        made = render(occurrence)
    except Exception as error:  # noqa: BLE001 - the boundary of a renderer: whatever is wrong, one delivery fails
        raise RenderingError(f"Can't be rendered as {by.format}: {type(error).__name__}") from None
    if len(made.body) > BODY_LIMIT_BYTES:
        size = f"has {len(made.body)} bytes; at most {BODY_LIMIT_BYTES} are sent"
        raise RenderingError(f"Can't be rendered as {by.format}: the body {size}")
    return made
