"""A delivery's request as a shell script: the same body and headers, signed where it runs.

The receiver's address and the secret are `$URL` and `$SECRET`: no credential is in what is copied.
"""

from __future__ import annotations

import shlex
from typing import TYPE_CHECKING, Final

from noteflow_hooks.errors import NotFoundError, PreconditionError, ScopeError
from noteflow_hooks.rpc.proto.noteflow.v1 import noteflow_pb2 as pb

if TYPE_CHECKING:
    from noteflow_hooks.client.connection import Client

_SIGNED: Final = """\
# $SECRET is the endpoint's secret; it is used here alone.
case "$SECRET" in
whsec_*) key=$(printf %s "${SECRET#whsec_}" | openssl base64 -d -A | od -An -tx1 | tr -d ' \\n') ;;
*) key=$(printf %s "$SECRET" | od -An -tx1 | tr -d ' \\n') ;;
esac
plain=$(printf %s "$SECRET" | od -An -tx1 | tr -d ' \\n')
hex=$(printf %s "$body" | openssl dgst -sha256 -mac HMAC -macopt "hexkey:$plain" | sed 's/.*= *//')
signed="$id.$timestamp.$body"
v1=$(printf %s "$signed" | openssl dgst -sha256 -mac HMAC -macopt "hexkey:$key" -binary | openssl base64 -A)
"""


#: What curl sets by itself.
_CURLS: Final = frozenset({"host", "content-length", "user-agent", "accept", "accept-encoding", "connection"})
#: What is computed where the script runs, by the header's name.
_COMPUTED: Final = {
    "webhook-id": "$id",
    "webhook-timestamp": "$timestamp",
    "webhook-signature": "v1,$v1",
    "x-noteflow-signature": "sha256=$hex",
}


def script(client: Client, delivery_id: str, *, may_preview: bool = True) -> str:
    """Return the script of a delivery; raise NotFoundError where there is none.

    With a token that may not preview payloads, the body is the payload as it is stored.
    """
    delivery = client.webhooks.GetDelivery(pb.GetDeliveryRequest(delivery_id=delivery_id))
    endpoint = endpoint_of(client, delivery)
    preview = _preview(client, delivery) if endpoint is not None and may_preview else None
    return command(delivery, endpoint, preview)


def endpoint_of(client: Client, delivery: pb.Delivery) -> pb.Webhook | None:
    """Return a delivery's endpoint; None for one that was deleted meanwhile."""
    try:
        return client.webhooks.GetWebhook(pb.GetWebhookRequest(webhook_id=delivery.webhook_id))
    except NotFoundError:
        return None


def _preview(client: Client, delivery: pb.Delivery) -> pb.PreviewPayloadResponse | None:
    """Return the request as it would be made; None where that can't be, or not be shown."""
    request = pb.PreviewPayloadRequest(event_id=delivery.event_id, webhook_id=delivery.webhook_id)
    try:
        return client.webhooks.PreviewPayload(request)
    except (PreconditionError, ScopeError):
        return None


def command(delivery: pb.Delivery, endpoint: pb.Webhook | None, preview: pb.PreviewPayloadResponse | None) -> str:
    """Return the script. ``preview`` has the body and the headers in the endpoint's format; else the payload goes.

    An endpoint that is gone, or signs by a key pair alone, gives a script without a signature.
    """
    is_signed = endpoint is not None and endpoint.signed and endpoint.signing in ("hmac", "both")
    headers = _shown(preview, delivery) if preview is not None else _usual(delivery, endpoint)
    computed = {name: value for name, value in _COMPUTED.items() if is_signed or "signature" not in name}
    if preview is not None:
        names = {each.name.lower() for each in preview.headers}
        computed = {name: value for name, value in computed.items() if name in names}
    lines = [
        "# URL=https://... SECRET=whsec_... sh this-script",
        *_warnings(endpoint, preview),
        f"body={shlex.quote(preview.body if preview is not None else delivery.payload)}",
        f"id={shlex.quote(delivery.event_id)}",
        "timestamp=$(date +%s)",
        *([_SIGNED.rstrip()] if "webhook-signature" in computed else []),
        'curl --request POST "$URL" \\',
        *(f"  --header {shlex.quote(header)} \\" for header in headers),
        *(f'  --header "{name}: {value}" \\' for name, value in computed.items()),
        '  --data-binary "$body"',
    ]
    return "\n".join(lines) + "\n"


def _shown(preview: pb.PreviewPayloadResponse, delivery: pb.Delivery) -> list[str]:
    """Return the previewed request's headers but for those that curl sets or the script computes."""
    own = {"x-noteflow-delivery": delivery.id}
    return [
        f"{each.name}: {own.get(each.name.lower(), each.value)}"
        for each in preview.headers
        if each.name.lower() not in {*_CURLS, *_COMPUTED}
    ]


def _usual(delivery: pb.Delivery, endpoint: pb.Webhook | None) -> list[str]:
    """Return the headers of a usual request, with custom ones by their names alone."""
    return [
        "Content-Type: application/json",
        f"X-NoteFlow-Event: {delivery.event_type}",
        f"X-NoteFlow-Delivery: {delivery.id}",
        *([f"X-NoteFlow-Payload-Version: {endpoint.payload_version}"] if endpoint is not None else []),
        *(f"{name}: [redacted]" for name in (endpoint.header_names if endpoint is not None else ())),
    ]


def _warnings(endpoint: pb.Webhook | None, preview: pb.PreviewPayloadResponse | None) -> list[str]:
    if preview is None and endpoint is not None and endpoint.format not in ("", "noteflow"):
        form = endpoint.format
        return [f"# The endpoint gets events as {form}; this is the payload as it is: that form needs `manage`."]
    return []
