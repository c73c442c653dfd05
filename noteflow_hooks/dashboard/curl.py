"""A delivery's request as a shell script: the same body and headers, signed where it runs.

The receiver's address and the secret are `$URL` and `$SECRET`: no credential is in what is copied.
"""

from __future__ import annotations

import shlex
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from noteflow_hooks.client import pb

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


def command(delivery: pb.Delivery, endpoint: pb.Webhook | None) -> str:
    """Return the script. An endpoint that is gone, or signs by a key pair alone, gives one without a signature."""
    is_signed = endpoint is not None and endpoint.signed and endpoint.signing in ("hmac", "both")
    headers = [
        "Content-Type: application/json",
        f"X-NoteFlow-Event: {delivery.event_type}",
        f"X-NoteFlow-Delivery: {delivery.id}",
        *([f"X-NoteFlow-Payload-Version: {endpoint.payload_version}"] if endpoint is not None else []),
    ]
    computed = ["webhook-id: $id", "webhook-timestamp: $timestamp"]
    if is_signed:
        computed += ["X-NoteFlow-Signature: sha256=$hex", "webhook-signature: v1,$v1"]
    lines = [
        "# URL=https://... SECRET=whsec_... sh this-script",
        f"body={shlex.quote(delivery.payload)}",
        f"id={shlex.quote(delivery.event_id)}",
        "timestamp=$(date +%s)",
        *([_SIGNED.rstrip()] if is_signed else []),
        'curl --request POST "$URL" \\',
        *(f"  --header {shlex.quote(header)} \\" for header in headers),
        *(f'  --header "{header}" \\' for header in computed),
        *(f"  --header {shlex.quote(name + ': ...')} \\" for name in (endpoint.header_names if endpoint else ())),
        '  --data-binary "$body"',
    ]
    return "\n".join(lines) + "\n"
