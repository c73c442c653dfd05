"""Shows the request that an attempt would make, by the code that makes it, and without anything secret.

Secrets and keys are taken out before, and not the signatures afterwards: who may ask for this gets nothing signed.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Final

from typing_extensions import override

from noteflow_hooks.domain.batches import BatchClaim
from noteflow_hooks.domain.client_certificates import PLAIN_TLS
from noteflow_hooks.domain.endpoint_keys import Signing
from noteflow_hooks.domain.exchanges import REDACTED
from noteflow_hooks.domain.ports.previews import Preview, Previewer
from noteflow_hooks.errors import AddressNotAllowedError
from noteflow_hooks.executor.batch_posts import rendered_batch
from noteflow_hooks.executor.http.faults import ExchangeError
from noteflow_hooks.executor.http.prepared import PreparedEndpoint, request_of
from noteflow_hooks.executor.webhook_executor import USER_AGENT

if TYPE_CHECKING:
    from datetime import datetime

    from noteflow_hooks.domain.deliveries import Claim
    from noteflow_hooks.domain.webhooks import WebhookConfig

#: What every request has that may be signed; a preset's has not.
_SIGNED: Final = "webhook-timestamp"


class RequestPreviewer(Previewer):
    """Shows requests as the executor makes them."""

    @override
    def preview(self, claim: Claim, *, moment: datetime) -> Preview:
        try:
            # Nothing is sent: whether plain http is allowed is not looked at.
            endpoint = PreparedEndpoint(_bare(claim.webhook), user_agent=USER_AGENT, allow_http_loopback=True)
        except ExchangeError as error:
            raise AddressNotAllowedError(error.message) from None
        if isinstance(claim, BatchClaim):
            head, body, _ = endpoint.batch(claim, rendered_batch(claim), moment)
        else:
            head, body, _ = request_of(endpoint, claim, moment)
        lines = head.decode("latin-1").split("\r\n")[1:-2]
        pairs = [(name, value) for name, _, value in (line.partition(": ") for line in lines)]
        return Preview(tuple(_with_signatures(pairs, claim.webhook)), body)


def _bare(webhook: WebhookConfig) -> WebhookConfig:
    """Return the endpoint without secrets, credentials and path."""
    return replace(
        webhook,
        url="/".join(webhook.url.split("/", 3)[:3]),
        secret=None,
        previous_secret=None,
        earlier_secrets=(),
        signing=Signing.HMAC,
        signing_key=None,
        previous_keys=(),
        tls=PLAIN_TLS,
        headers=tuple((name, REDACTED) for name in webhook.header_names),
        secret_unavailable=False,
    )


def _with_signatures(pairs: list[tuple[str, str]], webhook: WebhookConfig) -> list[tuple[str, str]]:
    """Return the headers with a mark for each signature, where they go; what has no place for them is not signed."""
    if not webhook.is_signed or _SIGNED not in {name for name, _ in pairs}:
        return pairs
    own = ["X-NoteFlow-Signature"] if webhook.signing.uses_secret and webhook.has_secret else []
    # Behind them are the custom headers alone.
    place = len(pairs) - sum(value == REDACTED for _, value in pairs)
    return [*pairs[:place], *((name, REDACTED) for name in [*own, "webhook-signature"]), *pairs[place:]]
