"""Why a delivery is not sent: one word for programs, which is stored, and a sentence for people."""

from __future__ import annotations

from enum import StrEnum
from typing import TYPE_CHECKING, Final, NamedTuple

if TYPE_CHECKING:
    from noteflow_hooks.domain.webhooks import WebhookConfig

#: How the reason begins for which an endpoint was disabled that has answered that it is gone.
GONE_REASON: Final = "The endpoint answered 410 Gone"


class SkipReason(StrEnum):
    """Why a delivery was skipped. One whose payload was erased, and a void challenge, has none of these."""

    DISABLED = "disabled"
    NOT_SUBSCRIBED = "not_subscribed"
    #: Its endpoint has said that it is gone for good, and was disabled for it.
    GONE = "gone"
    DELETED = "deleted"
    #: The endpoint's filter did not let it pass.
    FILTERED = "filtered"
    #: The endpoint's filter failed on it, which is no verdict.
    FILTER_FAILED = "filter_failed"
    #: A person has given it up.
    GIVEN_UP = "given_up"


class Skip(NamedTuple):
    """That a delivery is not to be sent."""

    message: str
    reason: SkipReason | None


DELETED: Final = Skip("Webhook deleted", SkipReason.DELETED)
DISABLED: Final = Skip("Webhook disabled", SkipReason.DISABLED)
ERASED: Final = Skip("Payload erased", None)
GIVEN_UP: Final = Skip("Given up", SkipReason.GIVEN_UP)


def skip_at_dispatch(webhook: WebhookConfig) -> Skip:
    """Return what is said of a delivery that is made for an endpoint which is disabled."""
    return Skip(DISABLED.message, skip_of_disabled(webhook).reason)


def skip_of_disabled(webhook: WebhookConfig) -> Skip:
    """Return what is said of a delivery whose endpoint is disabled."""
    return skip_by_system(webhook.disabled_reason) if webhook.disabled_reason is not None else DISABLED


def is_gone(webhook: WebhookConfig) -> bool:
    """Tell whether the endpoint is disabled since its URL has said that it is gone for good."""
    return not webhook.enabled and skip_of_disabled(webhook).reason is SkipReason.GONE


def skip_by_system(reason: str) -> Skip:
    """Return what is said where the system has disabled the endpoint, for a reason in words."""
    return Skip(reason, SkipReason.GONE if reason.startswith(GONE_REASON) else SkipReason.DISABLED)
