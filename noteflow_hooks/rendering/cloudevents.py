"""CloudEvents 1.0.2 over HTTP, in both of its modes.

https://github.com/cloudevents/spec/tree/v1.0.2/cloudevents: ``spec.md`` ("Context Attributes"),
``formats/json-format.md``, ``bindings/http-protocol-binding.md``.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final
from urllib.parse import quote

from noteflow_hooks.domain.events import is_custom
from noteflow_hooks.rendering.occurrence import JSON, Rendered
from noteflow_hooks.rendering.values import around, moment_text

if TYPE_CHECKING:
    from noteflow_hooks.rendering.occurrence import Occurrence

_STRUCTURED: Final = "application/cloudevents+json"
#: What no attribute may hold ("Type System", String): control characters, surrogates, and what is no character.
_NOT_A_STRING: Final = re.compile(
    "[\x00-\x1f\x7f-\x9f\ud800-\udfff\ufdd0-\ufdef"
    + "".join(chr(plane << 16 | last) for plane in range(17) for last in (0xFFFE, 0xFFFF))
    + "]"
)
#: What a header's value has as it is (HTTP binding, 3.1.3.2): visible ASCII but for ``"`` and ``%``.
_AS_IT_IS: Final = "".join(chr(each) for each in range(0x21, 0x7F) if chr(each) not in '"%')


def render_cloudevents(occurrence: Occurrence) -> Rendered:
    """Return the event in structured mode: attributes and ``data`` in one JSON object."""
    values = {**_attributes(occurrence), "datacontenttype": JSON}
    return Rendered(around(values, payload=occurrence.payload), _STRUCTURED)


def render_cloudevents_binary(occurrence: Occurrence) -> Rendered:
    """Return the event in binary mode: the payload is the body, and each attribute a header."""
    pairs = _attributes(occurrence).items()
    headers = tuple((f"ce-{name}", quote(value, safe=_AS_IT_IS)) for name, value in pairs)
    return Rendered(occurrence.payload, JSON, headers)


def _attributes(occurrence: Occurrence) -> dict[str, str]:
    """Return the attributes but for the content's type, which binary mode has in a header of its own."""
    attributes = {
        "specversion": "1.0",
        "id": str(occurrence.event_id),
        "source": f"/noteflow/workspaces/{occurrence.workspace_id}",
        "type": occurrence.event_type,
        "time": moment_text(occurrence.occurred_at),
    }
    # One that no attribute may hold is left out; the payload has it.
    if occurrence.meeting_id and _NOT_A_STRING.search(occurrence.meeting_id) is None:
        attributes["subject"] = occurrence.meeting_id
    # A workspace's own types have schemas that it may replace under the same name.
    if not is_custom(occurrence.event_type):
        attributes["dataschema"] = schema_address(occurrence.event_type, occurrence.payload_version)
    return attributes


def schema_address(event_type: str, version: int) -> str:
    """Return the ``$id`` of the type's schema in that version, as ``schemas/<type>.<version>.json`` has it."""
    return f"urn:noteflow:schema:{event_type}:{version}"
