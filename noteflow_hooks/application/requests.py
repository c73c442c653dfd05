"""A request under an id is done once: repeated, it does nothing and its first answer is read again.

All of it happens in the caller's unit of work, so a request that fails leaves its id free.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, TypeVar

from noteflow_hooks.application.endpoints import EndpointView
from noteflow_hooks.domain.health.state import EndpointHealth
from noteflow_hooks.errors import AlreadyExistsError, NotFoundError, Reason

if TYPE_CHECKING:
    from collections.abc import Callable
    from uuid import UUID

    from noteflow_hooks.domain.ports.unit_of_work import UnitOfWork
    from noteflow_hooks.domain.requests import NamedRequest
    from noteflow_hooks.domain.webhooks import WebhookConfig

T = TypeVar("T")


def find_earlier(unit: UnitOfWork, request: NamedRequest) -> NamedRequest | None:
    """Return the first request under this id, or None; raise AlreadyExistsError where it asked for something else."""
    return _same(unit.requests.get(request), request)


def do_once(
    unit: UnitOfWork,
    request: NamedRequest | None,
    *,
    do: Callable[[], T],
    note: Callable[[NamedRequest, T], NamedRequest],
    again: Callable[[NamedRequest], T],
) -> T:
    """Return what ``do`` returns, the first time, and what ``again`` makes of the first request every other time.

    ``note`` writes into the request what it came to. Raise AlreadyExistsError where the id stands for another request.
    """
    if request is None:
        return do()
    earlier = _same(unit.requests.claim(request), request)
    if earlier is not None:
        return again(earlier)
    result = do()
    unit.requests.complete(note(request, result))
    return result


def note_webhook(request: NamedRequest, webhook: WebhookConfig) -> NamedRequest:
    """Note which endpoint it was about, and which secret it made."""
    return replace(request, target_id=webhook.id, secret_id=webhook.secret_id, secret_hint=webhook.secret_hint)


def webhook_again(unit: UnitOfWork, earlier: NamedRequest, *, token_id: UUID) -> tuple[EndpointView, str | None]:
    """Return the endpoint that a request was about, and its secret, if it is to be told.

    That is where the endpoint still has the secret which the request made, and the same token asks. Else only its hint
    is in the endpoint.
    """
    webhook = unit.webhooks.get_by_id(target_of(earlier), with_deleted=True)
    if webhook is None:
        raise NotFoundError(f"webhook_id: no webhook {earlier.target_id} in this workspace")
    # A server of a former release changes the secret and not its id, but the hint.
    made, is_now = (earlier.secret_id, earlier.secret_hint), (webhook.secret_id, webhook.secret_hint)
    is_same = webhook.deleted_at is None and made == is_now
    if not is_same:
        webhook = replace(webhook, secret_hint=earlier.secret_hint)
    health = unit.webhooks.get_health([webhook.id]).get(webhook.id, EndpointHealth(webhook.id))
    told = webhook.secret if is_same and token_id == earlier.token_id else None
    return EndpointView(webhook, health), told


def target_of(earlier: NamedRequest) -> UUID:
    """Return what the request made or changed."""
    if earlier.target_id is None:
        raise ValueError("a request is read before it was completed")
    return earlier.target_id


def _same(earlier: NamedRequest | None, request: NamedRequest) -> NamedRequest | None:
    if earlier is not None and not earlier.is_repeated_by(request):
        raise AlreadyExistsError(
            f"request_id: {request.request_id!r} stands for another request", reason=Reason.REQUEST_ID_REUSED
        )
    return earlier
