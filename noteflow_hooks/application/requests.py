"""A request under an id is done once: repeated, it does nothing and its first answer is read again.

All of it happens in the caller's unit of work, so a request that fails leaves its id free.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Final, TypeVar

from noteflow_hooks.application.deliveries import record_test
from noteflow_hooks.application.endpoints import EndpointView
from noteflow_hooks.application.meetings import find_meeting
from noteflow_hooks.application.rotations import rotate_secret
from noteflow_hooks.domain.health.state import EndpointHealth
from noteflow_hooks.errors import AlreadyExistsError, NotFoundError, Reason

if TYPE_CHECKING:
    from collections.abc import Callable
    from datetime import datetime
    from uuid import UUID

    from noteflow_hooks.application.rotations import Rotation
    from noteflow_hooks.application.webhooks import WebhookService
    from noteflow_hooks.domain.audit.entries import Actor
    from noteflow_hooks.domain.events import Event
    from noteflow_hooks.domain.meetings import Meeting
    from noteflow_hooks.domain.ports.unit_of_work import UnitOfWork
    from noteflow_hooks.domain.requests import NamedRequest
    from noteflow_hooks.domain.webhooks import WebhookConfig

T = TypeVar("T")

#: The RPC that makes a secret, a key pair, or both: without a new secret there is none to tell again.
_ROTATION: Final = "RotateWebhookSecret"


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


def create_meeting(unit: UnitOfWork, meeting: Meeting, *, request: NamedRequest | None) -> Meeting:
    """Store a meeting and return it; a repeated request gets the first one's as it is now."""
    return do_once(
        unit,
        request,
        do=lambda: unit.meetings.create(meeting),
        note=lambda asked, made: replace(asked, target_id=made.id),
        again=lambda earlier: find_meeting(unit, meeting.workspace_id, _target_of(earlier)),
    )


def register_webhook(
    unit: UnitOfWork,
    service: WebhookService,
    webhook: WebhookConfig,
    *,
    token_id: UUID,
    request: NamedRequest | None,
    by: Actor,
) -> tuple[EndpointView, str | None]:
    """Store an endpoint and return it with its secret; a repeated request gets the first one's."""
    return do_once(
        unit,
        request,
        do=lambda: (EndpointView.new(service.store_webhook(webhook, unit, by=by.asking(request))), webhook.secret),
        note=lambda asked, _: _note_webhook(asked, webhook),
        again=lambda earlier: _webhook_again(unit, earlier, token_id=token_id),
    )


def rotate_webhook(
    unit: UnitOfWork,
    workspace_id: UUID,
    webhook_id: UUID,
    rotation: Rotation,
    *,
    now: datetime,
    token_id: UUID,
    request: NamedRequest | None,
    by: Actor,
) -> tuple[EndpointView, str | None]:
    """Give an endpoint a new secret, key pair or both, and return it with the secret, where it got a new one.

    A repeated request rotates nothing more.
    """

    def rotate() -> tuple[EndpointView, str | None]:
        view = rotate_secret(unit, workspace_id, webhook_id, rotation, now=now, by=by.asking(request))
        return view, rotation.new_secret_of(view.webhook)

    return do_once(
        unit,
        request,
        do=rotate,
        note=lambda asked, answer: _note_rotation(asked, *answer),
        again=lambda earlier: _webhook_again(unit, earlier, token_id=token_id),
    )


def begin_test(
    unit: UnitOfWork,
    service: WebhookService,
    workspace_id: UUID,
    webhook_id: UUID,
    *,
    request: NamedRequest | None,
    event: Event | None = None,
    by: Actor,
) -> UUID:
    """Record a test event and return its id; a repeated request gets the first one's.

    ``event`` is sent in place of `webhook.test`.
    """
    return do_once(
        unit,
        request,
        do=lambda: record_test(unit, service, workspace_id, webhook_id, event=event, by=by.asking(request)),
        note=lambda asked, made: replace(asked, target_id=made),
        again=_target_of,
    )


def _note_webhook(request: NamedRequest, webhook: WebhookConfig) -> NamedRequest:
    """Note which endpoint it was about, and which secret it made."""
    return replace(request, target_id=webhook.id, secret_id=webhook.secret_id, secret_hint=webhook.secret_hint)


def _note_rotation(request: NamedRequest, view: EndpointView, secret: str | None) -> NamedRequest:
    """Note which endpoint it was about, and the secret where it made one: a key pair's answer has none to tell."""
    return replace(request, target_id=view.id) if secret is None else _note_webhook(request, view.webhook)


def _webhook_again(unit: UnitOfWork, earlier: NamedRequest, *, token_id: UUID) -> tuple[EndpointView, str | None]:
    """Return the endpoint that a request was about, and its secret, if it is to be told.

    That is where the endpoint still has the secret which the request made, and the same token asks. Else only its hint
    is in the endpoint.
    """
    webhook = unit.webhooks.get_by_id(_target_of(earlier), with_deleted=True)
    if webhook is None:
        raise NotFoundError(f"webhook_id: no webhook {earlier.target_id} in this workspace")
    # A server of a former release changes the secret and not its id, but the hint.
    made, is_now = (earlier.secret_id, earlier.secret_hint), (webhook.secret_id, webhook.secret_hint)
    is_same = webhook.deleted_at is None and made == is_now
    made_none = earlier.method == _ROTATION and earlier.secret_id is None
    if not is_same and not made_none:
        webhook = replace(webhook, secret_hint=earlier.secret_hint)
    health = unit.webhooks.get_health([webhook.id]).get(webhook.id, EndpointHealth(webhook.id))
    told = webhook.secret if is_same and not made_none and token_id == earlier.token_id else None
    return EndpointView(webhook, health), told


def _target_of(earlier: NamedRequest) -> UUID:
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
