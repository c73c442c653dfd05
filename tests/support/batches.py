"""Claims of batches, as a store makes them."""

from __future__ import annotations

from typing import Any, Final
from uuid import uuid4

from noteflow_hooks.domain.batches import Batch, BatchClaim, assembled
from noteflow_hooks.domain.deliveries import Claim
from noteflow_hooks.domain.options import EndpointOptions
from noteflow_hooks.domain.renderings import EventFacts, Rendering
from tests.support.builders import NOON, a_delivery, a_webhook

PARTIAL: Final = EndpointOptions(batch_max=10, batch_partial=True)
_PAYLOAD: Final = b'{"title":"Weekly"}'


def a_batch(url: str, *payloads: bytes, **webhook: Any) -> BatchClaim:  # noqa: ANN401 - an endpoint's fields
    """Return a batch of these payloads, by default of three, for an endpoint at this URL."""
    endpoint = a_webhook(url=url, **{"options": PARTIAL, **webhook})
    claims = [Claim(a_delivery(), endpoint, each) for each in payloads or [_PAYLOAD] * 3]
    by_id = {each.delivery.id: each for each in claims}
    batch = Batch(uuid4(), endpoint.id, tuple(by_id), Rendering.of(endpoint))
    found = assembled(batch, by_id, {key: EventFacts("m-1", NOON) for key in by_id})
    assert found is not None
    return found
