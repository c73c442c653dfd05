"""An endpoint that becomes a preset, changes as one, or ceases to be one: what it may have, and where its URL is."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import partial
from typing import TYPE_CHECKING, Final

from noteflow_hooks.domain.endpoint_keys import Signing
from noteflow_hooks.domain.options import check_batches
from noteflow_hooks.domain.presets import PRESETS, check_host, masked
from noteflow_hooks.domain.violations import Violations
from noteflow_hooks.errors import InvalidInputError

if TYPE_CHECKING:
    from collections.abc import Collection

    from noteflow_hooks.domain.webhooks import WebhookConfig

_LEAVING: Final = (
    "must be given where the format is no preset any more: the stored one is a credential of {vendor}'s, and would be"
    " shown from then on"
)


@dataclass(frozen=True, slots=True)
class PresetRules:
    """What a server allows presets."""

    #: Hosts beside the vendors' own.
    hosts: Collection[str] = ()
    allow_http_loopback: bool = False


def with_hidden_url(
    webhook: WebhookConfig, *, before: WebhookConfig | None = None, url: str | None, rules: PresetRules
) -> WebhookConfig:
    """Return the endpoint as it is stored: of a preset's URL only what is shown is in ``url``.

    ``before`` is the endpoint before a change, and ``url`` the URL that was named in it, or at registration. Raise
    InvalidInputError for what a preset can't have, or where it can't be, with all that is wrong.
    """
    form, was = webhook.options.format, before.options.format if before is not None else None
    if not form.is_preset:
        if was is None or not was.is_preset:
            return webhook
        if url is None:
            raise InvalidInputError("url", _LEAVING.format(vendor=PRESETS[was].vendor))
        return replace(webhook, url=url, hidden_url=None, url_unreadable=False).checked_for_losses()
    found = Violations()
    _check_parts(webhook, found)
    if url is None and before is not None and was is form:
        # It may be from a time with other rules.
        found.raise_all()
        return webhook
    address = url if url is not None else webhook.address
    check = partial(check_host, form, others=rules.hosts, allow_http_loopback=rules.allow_http_loopback)
    found.take(lambda: check(address), None)
    found.raise_all()
    return replace(webhook, url=masked(address), hidden_url=address, url_unreadable=False).checked_for_losses()


def hidden(webhook: WebhookConfig) -> WebhookConfig:
    """Return a preset with its URL where it belongs, if whoever made it has left it in ``url``; others as they are."""
    is_plain = webhook.options.format.is_preset and webhook.hidden_url is None and not webhook.url_unreadable
    return replace(webhook, url=masked(webhook.url), hidden_url=webhook.url) if is_plain else webhook


def _check_parts(webhook: WebhookConfig, found: Violations) -> None:
    """Note what the endpoint has that no vendor would look at, or that would go to it without need."""
    tls = webhook.tls
    conflicts = {
        "secret": webhook.has_secret,
        "signing": webhook.signing is not Signing.HMAC,
        "headers": bool(webhook.header_names or webhook.headers),
        "client_certificate": tls.client_certificate is not None or "client_certificate" in tls.unreadable,
    }
    for name, is_there in conflicts.items():
        if is_there:
            found.take(partial(_refuse, name, webhook), None)
    found.take(partial(check_batches, webhook.options), None)


def _refuse(name: str, webhook: WebhookConfig) -> None:
    form = webhook.options.format
    allowed = f"must be {Signing.HMAC}" if name == "signing" else "must not be there"
    raise InvalidInputError(
        name, f"{allowed} with format {form}: {PRESETS[form].vendor} gets neither signatures nor headers of yours"
    )
