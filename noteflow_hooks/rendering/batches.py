"""A batch of events as one body, by its format and its renderer's number.

As in :mod:`registry`, an entry is never changed to give other bytes: all attempts of a batch are rendered by the one
that its first attempt was.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, TypeAlias

from noteflow_hooks.rendering.cloudevents import render_cloudevents
from noteflow_hooks.rendering.occurrence import JSON, Rendered
from noteflow_hooks.rendering.values import around, moment_text

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from uuid import UUID

    from noteflow_hooks.domain.whole_batches import FreshColumns
    from noteflow_hooks.rendering.occurrence import Occurrence

_CLOUDEVENTS: Final = "application/cloudevents-batch+json"


@dataclass(frozen=True, slots=True)
class Element:
    """An event of a batch."""

    occurrence: Occurrence
    delivery_id: UUID
    #: How many earlier events of its meeting were given up since the last one that was sent.
    gap: int


_Renderer: TypeAlias = "Callable[[UUID, Sequence[Element]], Rendered]"


def render_noteflow_batch(batch_id: UUID, elements: Sequence[Element]) -> Rendered:
    """Return one JSON object with the events as a list, each with its payload as it is stored."""
    return _listed(batch_id, [around(_values(each), payload=each.occurrence.payload) for each in elements])


def render_standard_batch(batch_id: UUID, elements: Sequence[Element]) -> Rendered:
    """Return the same with the moment of each event, as Standard Webhooks has it."""
    parts = []
    for each in elements:
        values = {**_values(each), "timestamp": moment_text(each.occurrence.occurred_at)}
        parts.append(around(values, payload=each.occurrence.payload))
    return _listed(batch_id, parts)


def render_cloudevents_batch(_: UUID, elements: Sequence[Element]) -> Rendered:
    """Return an array of events in structured mode (``formats/json-format.md``, "JSON Batch Format")."""
    parts = [render_cloudevents(each.occurrence).body for each in elements]
    return Rendered(b"[%s]" % b",".join(parts), _CLOUDEVENTS)


def spliced_noteflow_batch(columns: FreshColumns) -> Rendered:
    """Return the very bytes of :func:`render_noteflow_batch`, from the texts of a batch's columns.

    No event of such a batch has a gap. The payloads go in as they are stored.
    """
    types = {each: json.dumps(each, ensure_ascii=False) for each in set(columns.event_types)}
    rows = zip(
        columns.event_ids,
        columns.delivery_ids,
        columns.event_types,
        columns.sequences,
        columns.payloads,
        strict=True,
    )
    parts = [
        f'{{"id":"{event}","delivery_id":"{delivery}","type":{types[kind]},"sequence":{sequence},"gap":0,"data":{payload}}}'
        for event, delivery, kind, sequence, payload in rows
    ]
    return _listed(columns.id, [",".join(parts).encode()])


def _values(element: Element) -> dict[str, str | int | None]:
    occurrence = element.occurrence
    return {
        "id": str(occurrence.event_id),
        "delivery_id": str(element.delivery_id),
        "type": occurrence.event_type,
        "sequence": occurrence.sequence,
        "gap": element.gap,
    }


def _listed(batch_id: UUID, parts: Sequence[bytes]) -> Rendered:
    head = json.dumps({"type": "batch", "id": str(batch_id)}, separators=(",", ":"))
    return Rendered(b'%s,"events":[%s]}' % (head[:-1].encode(), b",".join(parts)), JSON)


#: The renderers that take a fresh batch's columns, each with the same bytes as the one below.
SPLICERS: Final[Mapping[tuple[str, int], Callable[[FreshColumns], Rendered]]] = {
    ("noteflow", 1): spliced_noteflow_batch,
}
BATCH_RENDERERS: Final[Mapping[tuple[str, int], _Renderer]] = {
    ("noteflow", 1): render_noteflow_batch,
    ("standard", 1): render_standard_batch,
    ("cloudevents", 1): render_cloudevents_batch,
}
