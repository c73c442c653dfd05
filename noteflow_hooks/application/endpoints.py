"""What a caller may do with the endpoints of a workspace. What is checked at registration is checked at every change.

An endpoint of another workspace is not found. Each function works in the caller's unit of work.
"""

from __future__ import annotations

import logging
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Final
from uuid import UUID

from noteflow_hooks.application.event_types import check_subscribed
from noteflow_hooks.application.options import check_options, new_options, options_in
from noteflow_hooks.domain.audit.entries import Action, TargetKind, entry_of
from noteflow_hooks.domain.audit.telling import tell_update, tell_webhook
from noteflow_hooks.domain.client_certificates import CERTIFICATE_FIELDS, PLAIN_TLS, ClientTls
from noteflow_hooks.domain.contacts import CONTACT_FIELDS, changed_contact, check_contact, contact_in
from noteflow_hooks.domain.endpoint_keys import Signing
from noteflow_hooks.domain.filters import NO_TROUBLE, FilterTrouble
from noteflow_hooks.domain.health.state import EndpointHealth
from noteflow_hooks.domain.options import OPTION_FIELDS
from noteflow_hooks.domain.payload_versions import NEWEST
from noteflow_hooks.domain.preset_endpoints import PresetRules, with_hidden_url
from noteflow_hooks.domain.verification import updated
from noteflow_hooks.domain.violations import check_all
from noteflow_hooks.domain.webhooks import (
    DEFAULT_MAX_RETRIES,
    DEFAULT_NAME,
    DEFAULT_TIMEOUT_MS,
    WebhookConfig,
    new_secret,
)
from noteflow_hooks.errors import InvalidInputError, NotFoundError, PreconditionError

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from noteflow_hooks.application.webhooks import WebhookService
    from noteflow_hooks.domain.audit.entries import Actor
    from noteflow_hooks.domain.paging import Page, WebhookFilter
    from noteflow_hooks.domain.ports.certificates import CertificateReader
    from noteflow_hooks.domain.ports.filters import FilterEvaluator
    from noteflow_hooks.domain.ports.mails import ContactCodes
    from noteflow_hooks.domain.ports.previews import Previewer
    from noteflow_hooks.domain.ports.unit_of_work import UnitOfWork

log = logging.getLogger(__name__)

#: What of an endpoint can be changed. ``paused`` is whether it is to be; the rest are fields of WebhookConfig.
CHANGEABLE: Final = (
    "url",
    "events",
    "name",
    "enabled",
    "timeout_ms",
    "max_retries",
    "headers",
    "rate_limit_per_s",
    "max_concurrency",
    "paused",
    "payload_version",
    "signing",
    *CERTIFICATE_FIELDS,
    *OPTION_FIELDS,
    *CONTACT_FIELDS,
)
#: Those that are checked by values of their own.
_GROUPED: Final = frozenset((*CERTIFICATE_FIELDS, *OPTION_FIELDS, *CONTACT_FIELDS))


@dataclass(frozen=True, slots=True, kw_only=True)
class EndpointRules:
    """What this server allows and assumes when an endpoint is registered or changed."""

    #: Whether plain http to this machine is allowed: for development.
    allow_http_loopback: bool = False
    #: What a registration gets that names no ``timeout_ms``.
    timeout_ms: int = DEFAULT_TIMEOUT_MS
    #: What a registration gets that names no ``max_retries``.
    max_retries: int = DEFAULT_MAX_RETRIES
    #: What reads certificates and keys; without it they are refused.
    certificates: CertificateReader | None = None
    #: What checks filters; without it they are refused.
    filters: FilterEvaluator | None = None
    #: What shows requests that are not sent; without it none is shown.
    previewer: Previewer | None = None
    #: Hosts that presets may post to beside their vendors' own.
    preset_hosts: frozenset[str] = frozenset()
    #: What knows contacts' codes; without it none is right.
    codes: ContactCodes | None = None

    @property
    def presets(self) -> PresetRules:
        """What presets are allowed."""
        return PresetRules(self.preset_hosts, allow_http_loopback=self.allow_http_loopback)


@dataclass(frozen=True, slots=True, kw_only=True)
class Registration:
    """What a caller asks for when it registers an endpoint; None leaves a field to its default."""

    url: str = field(repr=False)
    events: Sequence[str] = ()
    name: str | None = None
    #: The endpoint's secret; without one, and without ``generate_secret``, it is unsigned.
    secret: str | None = field(default=None, repr=False)
    #: Whether a secret is to be made.
    generate_secret: bool = False
    timeout_ms: int | None = None
    max_retries: int | None = None
    enabled: bool | None = None
    headers: Sequence[tuple[str, str]] = field(default=(), repr=False)
    rate_limit_per_s: float | None = None
    max_concurrency: int | None = None
    payload_version: int | None = None
    #: What signs; its key pair is made where it is needed.
    signing: str | None = None
    #: PEM texts; an empty one is none.
    client_certificate: str | None = None
    client_key: str | None = field(default=None, repr=False)
    server_ca: str | None = None
    #: Those of its options that are given, by name.
    options: Mapping[str, Any] = field(default_factory=dict)
    contact: str | None = field(default=None, repr=False)
    digest: str | None = None


@dataclass(frozen=True, slots=True)
class EndpointView:
    """An endpoint and its health."""

    webhook: WebhookConfig
    health: EndpointHealth
    #: What its filter has failed on.
    filter_trouble: FilterTrouble = NO_TROUBLE

    @classmethod
    def new(cls, webhook: WebhookConfig) -> EndpointView:
        """Return one that was registered just now, to which nothing was sent yet."""
        return cls(webhook, EndpointHealth(webhook.id))

    @property
    def id(self) -> UUID:
        """The endpoint's id."""
        return self.webhook.id

    @property
    def created_at(self) -> datetime | None:
        """When it was registered."""
        return self.webhook.created_at


def new_webhook(workspace_id: UUID, asked: Registration, *, rules: EndpointRules) -> WebhookConfig:
    """Make the endpoint that is asked for; raise InvalidInputError that names the field."""
    _, webhook, tls, options, contact = check_all(
        lambda: _check_one_secret(asked),
        lambda: _created(workspace_id, asked, rules=rules),
        lambda: _tls(PLAIN_TLS, {name: getattr(asked, name) for name in CERTIFICATE_FIELDS}, rules=rules),
        lambda: new_options(asked.options, filters=rules.filters),
        lambda: changed_contact(None, {name: getattr(asked, name) for name in CONTACT_FIELDS}, now=datetime.now(UTC)),
    )
    webhook = replace(webhook, tls=tls, options=options, contact=contact)
    webhook.check_transport()
    return with_hidden_url(webhook, url=webhook.url, rules=rules.presets)


def _check_one_secret(asked: Registration) -> None:
    if asked.generate_secret and asked.secret is not None:
        raise InvalidInputError("generate_secret", "must not be set together with secret")


def _created(workspace_id: UUID, asked: Registration, *, rules: EndpointRules) -> WebhookConfig:
    return WebhookConfig.create(
        workspace_id,
        asked.url,
        asked.events,
        name=asked.name if asked.name is not None else DEFAULT_NAME,
        secret=asked.secret if asked.secret is not None or not asked.generate_secret else new_secret(),
        timeout_ms=asked.timeout_ms if asked.timeout_ms is not None else rules.timeout_ms,
        max_retries=asked.max_retries if asked.max_retries is not None else rules.max_retries,
        enabled=asked.enabled if asked.enabled is not None else True,
        headers=asked.headers,
        rate_limit_per_s=asked.rate_limit_per_s,
        max_concurrency=asked.max_concurrency,
        payload_version=asked.payload_version if asked.payload_version is not None else NEWEST,
        signing=asked.signing if asked.signing is not None else Signing.HMAC,
        allow_http_loopback=rules.allow_http_loopback,
    )


def find_webhook(unit: UnitOfWork, workspace_id: UUID, webhook_id: UUID, *, lock: bool = False) -> WebhookConfig:
    """Return the endpoint, or raise NotFoundError where the workspace has none of that id."""
    webhook = unit.webhooks.get_by_id(webhook_id, lock=lock)
    if webhook is None or webhook.workspace_id != workspace_id:
        raise NotFoundError(f"webhook_id: no webhook {webhook_id} in this workspace")
    return webhook


def read_webhook(unit: UnitOfWork, workspace_id: UUID, webhook_id: UUID) -> EndpointView:
    """Return one endpoint, or raise NotFoundError."""
    return view_of(unit, find_webhook(unit, workspace_id, webhook_id))


def list_webhooks(
    unit: UnitOfWork, workspace_id: UUID, criteria: WebhookFilter, page: Page
) -> tuple[list[EndpointView], int]:
    """Return a page of the workspace's endpoints, newest first, and how many there are where the page asks."""
    rows = unit.webhooks.list_with_health(workspace_id, criteria, limit=page.limit, after=page.after, ids=page.ids)
    total = unit.webhooks.count(workspace_id, criteria, ids=page.ids) if page.counts else 0
    trouble = unit.webhooks.get_filter_trouble(each.id for each, _ in rows if each.options.filter)
    return [EndpointView(*each, trouble.get(each[0].id, NO_TROUBLE)) for each in rows], total


def check_changeable(names: Iterable[str]) -> tuple[str, ...]:
    """Return the names, once each; raise InvalidInputError for none, or for one that can't be changed."""
    distinct = tuple(dict.fromkeys(names))
    unknown = [name for name in distinct if name not in CHANGEABLE]
    if unknown or not distinct:
        problem = f"{unknown[0][:100]!r} can't be changed" if unknown else "names no field"
        raise InvalidInputError("update_mask", f"{problem}; allowed: {', '.join(CHANGEABLE)}")
    return distinct


def check_changes(changes: Mapping[str, Any], *, rules: EndpointRules) -> Mapping[str, Any]:
    """Return the changes, or raise InvalidInputError as a registration with such values would."""
    check_all(
        lambda: _checked(UUID(int=0), {name: value for name, value in changes.items() if name != "paused"}, rules),
        lambda: _tls(PLAIN_TLS, _whole(changes), rules=rules),
        lambda: check_options(changes, filters=rules.filters),
        lambda: check_contact(changes),
    )
    return changes


def change_webhook(
    unit: UnitOfWork,
    service: WebhookService,
    workspace_id: UUID,
    webhook_id: UUID,
    changes: Mapping[str, Any],
    *,
    rules: EndpointRules,
    now: datetime,
    by: Actor,
) -> EndpointView:
    """Set the fields that ``changes`` names, which are of :data:`CHANGEABLE`, and return the endpoint as stored.

    Raise NotFoundError, or InvalidInputError as a registration would. Whether a new URL may be reached is for the
    caller to check before, outside the transaction: a look-up takes its time, and the endpoint's row is locked here.
    """
    webhook = find_webhook(unit, workspace_id, webhook_id, lock=True)
    check_subscribed(unit, workspace_id, changes.get("events", ()))
    asks_again = "contact" in changes and unit.mails.was_confirmation_given_up(webhook_id)
    contact = changed_contact(webhook.contact, contact_in(changes), now=now, asks_again=asks_again)
    changed = replace(_changed(webhook, changes, rules=rules, now=now), contact=contact)
    is_required = service.requires_verification
    asked = updated(webhook, changed, names_url="url" in changes, is_required=is_required, now=now)
    asked.check_transport()
    stored = service.update_webhook(asked, unit)
    service.ask_to_verify(stored, unit, before=webhook)
    service.ask_contact(stored, unit, before=webhook)
    old, new = tell_update(webhook, stored)
    target = (TargetKind.WEBHOOK, webhook_id)
    unit.audit.add(entry_of(by, Action.WEBHOOK_UPDATED, workspace_id, target, old=old, new=new))
    unit.on_commit(lambda: log.info("webhook %s changed: %s", webhook_id, ", ".join(changes)))
    return view_of(unit, stored)


def delete_webhook(unit: UnitOfWork, workspace_id: UUID, webhook_id: UUID, *, by: Actor) -> None:
    """Delete an endpoint and its secrets; what waits for it is skipped."""
    webhook = find_webhook(unit, workspace_id, webhook_id, lock=True)
    unit.webhooks.delete(webhook_id)
    target = (TargetKind.WEBHOOK, webhook_id)
    unit.audit.add(entry_of(by, Action.WEBHOOK_DELETED, workspace_id, target, old=tell_webhook(webhook)))
    unit.on_commit(lambda: log.info("webhook %s removed", webhook_id))


def view_of(unit: UnitOfWork, webhook: WebhookConfig) -> EndpointView:
    """Return a stored endpoint with what is known of how it does."""
    health = unit.webhooks.get_health([webhook.id])
    trouble = unit.webhooks.get_filter_trouble([webhook.id] if webhook.options.filter else [])
    own = health.get(webhook.id, EndpointHealth(webhook.id)), trouble.get(webhook.id, NO_TROUBLE)
    return EndpointView(webhook, *own)


def _changed(
    webhook: WebhookConfig, changes: Mapping[str, Any], *, rules: EndpointRules, now: datetime
) -> WebhookConfig:
    named = dict(changes)
    paused = named.pop("paused", None)
    checked, tls, options = check_all(
        lambda: _checked(webhook.workspace_id, named, rules),
        lambda: _tls(webhook.tls, named, rules=rules),
        lambda: webhook.options.changed(options_in(named)),
    )
    fields: dict[str, Any] = {name: getattr(checked, name) for name in named if name not in _GROUPED}
    fields["options"] = options
    if fields.get("enabled"):
        fields["disabled_reason"] = None
    if "headers" in fields:
        fields["header_names"] = checked.header_names
    if tls is not webhook.tls:
        fields["tls"] = tls
    if paused is not None:
        # Pausing an endpoint that is paused keeps the time since when it is.
        since = webhook.paused_at if webhook.paused_at is not None else now
        fields["paused_at"] = since if paused else None
    changed = with_hidden_url(replace(webhook, **fields), before=webhook, url=fields.get("url"), rules=rules.presets)
    changed = changed.checked_for_losses()
    changed.check_transport()
    return changed


def _tls(before: ClientTls, named: Mapping[str, Any], *, rules: EndpointRules) -> ClientTls:
    """Return what the endpoint is to have of its own in TLS: the very same where nothing of it is named."""
    wanted = {name: named[name] for name in CERTIFICATE_FIELDS if name in named}
    if not wanted or (before is PLAIN_TLS and not any(wanted.values())):
        return before
    if rules.certificates is None:
        raise PreconditionError("client certificates: this server is made without what reads them")
    return before.changed(wanted, rules.certificates.read)


def _whole(changes: Mapping[str, Any]) -> dict[str, Any]:
    """Return what can be checked without the stored rest: a certificate with its key, and authorities."""
    has_pair = changes.get("client_certificate") and changes.get("client_key")
    names = CERTIFICATE_FIELDS if has_pair else ("server_ca",)
    return {name: changes[name] for name in names if name in changes}


def _checked(workspace_id: UUID, named: Mapping[str, Any], rules: EndpointRules) -> WebhookConfig:
    """Return an endpoint that has the named fields and is valid."""
    rest = {name: value for name, value in named.items() if name not in _GROUPED}
    # What is not named gets a valid value here and is not checked: it may be from a time with other rules.
    return WebhookConfig.create(
        workspace_id,
        rest.pop("url", "https://unchanged.invalid/"),
        rest.pop("events", ()),
        **rest,
        allow_http_loopback=rules.allow_http_loopback,
    )
