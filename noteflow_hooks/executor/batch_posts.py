"""A batch's POST: its body, and what its answer means for its members."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Final

from noteflow_hooks.domain.attempts import RESPONSE_KEPT_BYTES, SUCCESS, ErrorKind
from noteflow_hooks.domain.payload_versions import version_sent
from noteflow_hooks.domain.whole_batches import FreshBatch
from noteflow_hooks.errors import RenderingError
from noteflow_hooks.executor.http.reply import BODY_LIMIT
from noteflow_hooks.executor.outcome import Outcome, answered, storable
from noteflow_hooks.executor.partial import failed_in
from noteflow_hooks.executor.redaction import LONGEST, without_credentials
from noteflow_hooks.rendering.batches import BATCH_RENDERERS, SPLICERS, Element
from noteflow_hooks.rendering.occurrence import Occurrence

if TYPE_CHECKING:
    from datetime import datetime

    from noteflow_hooks.domain.batches import BatchClaim, Member
    from noteflow_hooks.executor.http.reply import Reply
    from noteflow_hooks.rendering.occurrence import Rendered

logger = logging.getLogger(__name__)

_INCOMPLETE: Final = "The answer's body is not whole, and might name events that have failed"


def rendered_batch(batch: BatchClaim) -> Rendered:
    """Return the body; raise RenderingError where this release can't render as the first attempt did."""
    by = batch.rendering
    if isinstance(batch, FreshBatch) and (splice := SPLICERS.get((by.format, by.renderer))):
        return splice(batch.members.columns)
    render = BATCH_RENDERERS.get((by.format, by.renderer))
    if render is None:
        raise RenderingError(f"Can't be rendered as a batch of {by.format}: no renderer has the number {by.renderer}")
    return render(batch.id, [_element(each, wanted=by.payload_version) for each in batch.members])


def _element(member: Member, *, wanted: int) -> Element:
    content, rank = member.content, member.rank
    occurrence = Occurrence(
        event_id=member.delivery.event_id,
        event_type=member.delivery.event_type,
        workspace_id=member.webhook.workspace_id,
        meeting_id=content.meeting_id,
        occurred_at=content.occurred_at,
        payload=member.payload,
        sequence=None if rank is None else rank.sequence,
        payload_version=version_sent(member.delivery.event_type, wanted),
    )
    return Element(occurrence, member.delivery.id, gap=0 if rank is None else rank.gap)


def answered_batch(reply: Reply, batch: BatchClaim, *, now: datetime) -> Outcome:
    """Return the outcome of a batch's answer, with the events that it names as failed where the endpoint may do so."""
    if not batch.webhook.options.batch_partial or reply.status not in SUCCESS:
        return answered(reply, batch.webhook, now=now)
    body = reply.read_body(keep=BODY_LIMIT)
    kept = storable(without_credentials(body[: RESPONSE_KEPT_BYTES + LONGEST], batch.webhook, keep=RESPONSE_KEPT_BYTES))
    outcome = Outcome(reply.status, kept)
    if not reply.is_whole:
        return outcome._replace(error_kind=ErrorKind.PROTOCOL, error_message=_INCOMPLETE)
    named = failed_in(body, {str(each.delivery.event_id): each.delivery.event_id for each in batch.members})
    if named.unknown:
        logger.warning(
            "batch %s: the answer of webhook %s names %d that are no events of it",
            batch.id,
            batch.webhook.id,
            named.unknown,
        )
    return outcome._replace(failed_events=named.failed)
