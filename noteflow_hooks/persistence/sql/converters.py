"""Between rows and the domain's values. Secrets and custom headers are encrypted and decrypted here, nowhere else."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from operator import attrgetter
from typing import TYPE_CHECKING, Any, Final

from noteflow_hooks.crypto import GUARD_ALONE
from noteflow_hooks.domain.access import ApiToken, Scope, Workspace
from noteflow_hooks.domain.attempts import ErrorKind
from noteflow_hooks.domain.challenges import NEVER_ASKED, Challenge, Verification
from noteflow_hooks.domain.client_certificates import CERTIFICATE_FIELDS, PLAIN_TLS, ClientTls
from noteflow_hooks.domain.deliveries import DeliveryStatus, WebhookDelivery
from noteflow_hooks.domain.endpoint_keys import PreviousKey, Signing
from noteflow_hooks.domain.events import Event
from noteflow_hooks.domain.health.state import EndpointHealth
from noteflow_hooks.domain.meetings import Recording
from noteflow_hooks.domain.options import NO_OPTIONS, OPTION_FIELDS, EndpointOptions, Format, OnDead, Ordering
from noteflow_hooks.domain.paging import DeliveryFilter, IdRange, Position
from noteflow_hooks.domain.presets import masked
from noteflow_hooks.domain.replays import Redelivery, Replay, ReplayState
from noteflow_hooks.domain.skipping import SkipReason
from noteflow_hooks.domain.urls import MASK
from noteflow_hooks.domain.webhooks import PreviousSecret, WebhookConfig
from noteflow_hooks.errors import SecretUnavailableError
from noteflow_hooks.persistence.sql.bounds import bounded
from noteflow_hooks.persistence.sql.certificate_infos import infos_of, packed_infos
from noteflow_hooks.persistence.sql.contact_columns import contact_columns, contact_of
from noteflow_hooks.persistence.sql.packed_headers import packed_headers, unpacked_headers

if TYPE_CHECKING:
    from uuid import UUID

    from sqlalchemy import Row

    from noteflow_hooks.crypto import Column, SecretBox
    from noteflow_hooks.persistence.sql.endpoint_row import EndpointRow
    from noteflow_hooks.persistence.sql.orm import (
        ApiTokenRow,
        DeliveryQueueRow,
        RecordingRow,
        WebhookConfigRow,
        WebhookDeliveryRow,
        WebhookEventRow,
        WebhookHealthRow,
        WebhookRedeliveryRow,
        WebhookReplayRow,
        WorkspaceRow,
    )

#: The columns of a delivery that its value carries, by the same names.
DELIVERY_FIELDS = WebhookDelivery._fields
#: The columns of ``webhook_health``, which its value carries by the same names.
HEALTH_FIELDS = tuple(EndpointHealth.__dataclass_fields__)
REDELIVERY_FIELDS = tuple(Redelivery.__dataclass_fields__)
#: How the names of health's columns begin beside an endpoint's.
HEALTH_PREFIX = "health_"
_PLAIN_CONFIG_FIELDS = (
    "id",
    "workspace_id",
    "name",
    "url",
    "secret_id",
    "secret_hint",
    "previous_secret_expires_at",
    "enabled",
    "timeout_ms",
    "max_retries",
    "disabled_reason",
    "deleted_at",
    "rate_limit_per_s",
    "max_concurrency",
    "paused_at",
    "payload_version",
)
#: All of them at once: one by one they cost a worker as much as a delivery's whole claim.
_plain_config = attrgetter(*_PLAIN_CONFIG_FIELDS)
_EVENT_FIELDS = (
    "id",
    "workspace_id",
    "event_type",
    "meeting_id",
    "target_webhook_id",
    "idempotency_key",
    "request_digest",
    "occurred_at",
    "traceparent",
)

_PLAIN_REPLAY_FIELDS = ("id", "workspace_id", "rate_per_s", "include_filtered", "matched", "sent", "finished_at")
_PLAIN_CRITERIA = (
    "webhook_id", "event_type", "created_after", "created_before", "event_id", "meeting_id", "status_code",
)  # fmt: skip
#: So far off that a release which doesn't know a replay's filters never takes a step of it.
_NEVER: Final = datetime(9000, 1, 1, tzinfo=UTC)


class WebhookConverter:
    """Converts endpoints and deliveries. It holds the keys."""

    def __init__(self, box: SecretBox) -> None:
        """``box`` opens and closes the stored secrets."""
        self._box = box

    def config_to_domain(self, row: WebhookConfigRow | EndpointRow | Row[Any]) -> WebhookConfig:
        """Return the endpoint; one whose secret or headers can't be decrypted says so and has none."""
        secret, unreadable = self._open(row, "secret")
        # One that is out of date, or that no key opens, signs no more; the newest one does without it.
        previous, _ = self._open(row, "previous_secret")
        packed, earlier_unreadable = self._open(row, "earlier_secrets")
        headers = unpacked_headers(self._open(row, "headers")[0])
        names = tuple(name for name, _ in headers) or tuple(row.header_names)
        lost = not headers and bool(names or row.headers not in (None, GUARD_ALONE))
        tls = self._tls(row)
        signing = Signing(row.signing)
        hidden_url, url_unreadable = self._open(row, "url_ciphertext")
        keys, keys_unreadable = ((), False) if row.signing_keys is None else self._keys(row)
        return WebhookConfig(
            **bounded(dict(zip(_PLAIN_CONFIG_FIELDS, _plain_config(row), strict=True))),
            events=tuple(row.events),
            secret=secret,
            previous_secret=previous,
            earlier_secrets=_earlier(packed),
            earlier_secrets_unreadable=earlier_unreadable,
            secret_unavailable=(unreadable and signing.uses_secret)
            or (keys_unreadable and signing.uses_key)
            or lost
            or url_unreadable
            or bool(tls.unreadable),
            secret_unreadable=unreadable,
            headers=headers,
            header_names=names,
            signing=signing,
            signing_key=keys[0].private_key if keys else None,
            previous_keys=keys[1:],
            keys_unreadable=keys_unreadable,
            created_at=row.created_at,
            updated_at=row.updated_at,
            tls=tls,
            options=_options(row),
            verification=self._verification(row),
            contact=None if row.contact is None else contact_of(row),
            hidden_url=hidden_url,
            url_unreadable=url_unreadable,
        )

    def _verification(self, row: WebhookConfigRow | EndpointRow | Row[Any]) -> Verification:
        """Return what the endpoint has shown: the very same value for all that were never asked."""
        if row.unverified_since is None and row.verified_at is None and row.pending_url is None:
            return NEVER_ASKED
        text, _ = self._open(row, "challenge")
        event_id, expires_at = row.challenge_event_id, row.challenge_expires_at
        if text is None or event_id is None or expires_at is None:
            challenge = None
        else:
            challenge = Challenge(event_id, text, expires_at)
        return Verification(row.unverified_since, row.verified_at, row.pending_url, challenge)

    def _verification_columns(self, webhook_id: UUID, asked: Verification) -> dict[str, Any]:
        challenge = asked.challenge
        return {
            "unverified_since": asked.unverified_since,
            "verified_at": asked.verified_at,
            "pending_url": asked.pending_url,
            # One that no key decrypts can't be sent, and goes with the next change.
            "challenge": None if challenge is None else self._close(webhook_id, "challenge", challenge.text),
            "challenge_event_id": None if challenge is None else challenge.event_id,
            "challenge_expires_at": None if challenge is None else challenge.expires_at,
        }

    def _tls(self, row: WebhookConfigRow | EndpointRow | Row[Any]) -> ClientTls:
        """Return what the endpoint has of its own in TLS; what can't be decrypted is named and left out."""
        if row.client_certificate is None and row.client_key is None and row.server_ca is None:
            return PLAIN_TLS
        opened = {name: self._open(row, name) for name in CERTIFICATE_FIELDS}
        info, server_ca_info = infos_of(row.certificate_info)
        return ClientTls(
            **{name: text for name, (text, _) in opened.items()},
            info=info,
            server_ca_info=server_ca_info,
            warn_at=row.certificate_warn_at,
            unreadable=frozenset(name for name, (_, is_lost) in opened.items() if is_lost),
        )

    def _tls_columns(self, webhook_id: UUID, tls: ClientTls) -> dict[str, Any]:
        columns: dict[str, Any] = {
            name: self._close(webhook_id, name, getattr(tls, name))
            for name in CERTIFICATE_FIELDS
            if name not in tls.unreadable
        }
        packed = packed_infos(tls.info, tls.server_ca_info)
        return columns | {"certificate_info": packed, "certificate_warn_at": tls.warn_at}

    def config_to_orm_kwargs(self, config: WebhookConfig) -> dict[str, Any]:
        """Return the columns to write. What could not be read is left out, and so stays as it is."""
        columns = {name: getattr(config, name) for name in _PLAIN_CONFIG_FIELDS} | {"events": list(config.events)}
        if not config.secret_unreadable:
            columns["secret"] = self._close(config.id, "secret", config.secret)
        if config.previous_secret is not None or config.previous_secret_expires_at is None:
            columns["previous_secret"] = self._close(config.id, "previous_secret", config.previous_secret)
        if not config.earlier_secrets_unreadable:
            packed = _packed_earlier(config.earlier_secrets)
            columns["earlier_secrets"] = self._close(config.id, "earlier_secrets", packed)
        if not config.headers_unreadable:
            columns["headers"] = self._close(config.id, "headers", packed_headers(config.headers))
            columns["header_names"] = [name for name, _ in config.headers]
        columns["signing"] = config.signing.value
        columns |= {name: getattr(config.options, name) for name in OPTION_FIELDS}
        if not config.keys_unreadable:
            columns["signing_keys"] = self._close(config.id, "signing_keys", _packed_keys(config))
        asked = self._verification_columns(config.id, config.verification) | contact_columns(config.contact)
        return columns | self._url_columns(config) | self._tls_columns(config.id, config.tls) | asked

    def _url_columns(self, config: WebhookConfig) -> dict[str, Any]:
        """Return a preset's URL as it is shown, and as ciphertext: its plain one is in no column."""
        if config.url_unreadable:
            return {}
        if not config.options.format.is_preset:
            return {"url_ciphertext": None}
        whole = None if config.address.endswith(MASK) else config.address
        sealed = self._close(config.id, "url_ciphertext", whole)
        return {"url": masked(config.address), "url_ciphertext": sealed}

    def delivery_to_domain(self, row: WebhookDeliveryRow | DeliveryQueueRow | Row[Any]) -> WebhookDelivery:
        """Return the delivery."""
        columns = bounded({name: getattr(row, name) for name in DELIVERY_FIELDS})
        skip = None if row.skip_reason is None else SkipReason(row.skip_reason)
        return WebhookDelivery(**columns | {"status": DeliveryStatus(row.status), "skip_reason": skip})

    def delivery_to_orm_kwargs(self, delivery: WebhookDelivery) -> dict[str, Any]:
        """Return the columns to write, without those that only the database sets."""
        return {name: getattr(delivery, name) for name in DELIVERY_FIELDS if name != "created_at"}

    def _keys(self, row: WebhookConfigRow | EndpointRow | Row[Any]) -> tuple[tuple[PreviousKey, ...], bool]:
        """Return the key pairs, the newest one first, whose end means nothing; and whether none can be read."""
        packed, unreadable = self._open(row, "signing_keys")
        if packed is None:
            return (), unreadable
        try:
            keys = tuple(
                PreviousKey(str(key), datetime.fromisoformat(end).astimezone(UTC)) for key, end in json.loads(packed)
            )
        except (ValueError, TypeError):
            # As of a row in which ciphertexts of an older version changed places.
            return (), True
        return keys, unreadable

    def _open(self, row: WebhookConfigRow | EndpointRow | Row[Any], column: Column) -> tuple[str | None, bool]:
        """Return what the column holds, and whether that is something that no key opens."""
        sealed = getattr(row, column)
        try:
            return (None if sealed is None else self._box.decrypt(sealed, webhook_id=row.id, column=column)), False
        except SecretUnavailableError:
            return None, True

    def _close(self, webhook_id: UUID, column: Column, text: str | None) -> bytes | None:
        return None if text is None else self._box.encrypt(text, webhook_id=webhook_id, column=column)


def _packed_keys(config: WebhookConfig) -> str | None:
    if config.signing_key is None:
        return None
    keys = (PreviousKey(config.signing_key, datetime.max.replace(tzinfo=UTC)), *config.previous_keys)
    return json.dumps([(each.private_key, each.expires_at.isoformat()) for each in keys])


def _packed_earlier(secrets: tuple[PreviousSecret, ...]) -> str | None:
    return json.dumps([(each.secret, each.expires_at.isoformat()) for each in secrets]) if secrets else None


def _earlier(packed: str | None) -> tuple[PreviousSecret, ...]:
    """Return the earlier secrets; none where that is no list of such pairs."""
    if packed is None:
        return ()
    try:
        return tuple(
            PreviousSecret(str(secret), datetime.fromisoformat(end).astimezone(UTC))
            for secret, end in json.loads(packed)
        )
    except (ValueError, TypeError):
        return ()


def _options(row: WebhookConfigRow | EndpointRow | Row[Any]) -> EndpointOptions:
    """Return the endpoint's options: the very same value for all endpoints that use none."""
    options = EndpointOptions(
        **bounded({name: getattr(row, name) for name in ("filter", "batch_max", "batch_wait_ms", "batch_partial")}),
        format=Format(row.format),
        ordering=Ordering(row.ordering),
        on_dead=OnDead(row.on_dead),
        send_traceparent=row.send_traceparent,
    )
    return NO_OPTIONS if options == NO_OPTIONS else options


def event_to_domain(row: WebhookEventRow | Row[Any]) -> Event:
    """Return the event, its payload the stored text's bytes."""
    columns = {name: getattr(row, name) for name in _EVENT_FIELDS}
    only_read = {name: getattr(row, name) for name in ("created_at", "dispatched_at", "payload_erased_at", "sequence")}
    return Event(**columns, **only_read, payload=row.payload.encode())


def event_to_orm_kwargs(event: Event) -> dict[str, Any]:
    """Return the columns to write; the database sets the rest."""
    return {name: getattr(event, name) for name in _EVENT_FIELDS} | {"payload": event.payload.decode()}


def health_to_domain(row: WebhookHealthRow | Row[Any], *, prefix: str = "") -> EndpointHealth:
    """Return the endpoint's health, of columns whose names begin with ``prefix``."""
    return EndpointHealth(**bounded({name: getattr(row, prefix + name) for name in HEALTH_FIELDS}))


def redelivery_to_domain(row: WebhookRedeliveryRow) -> Redelivery:
    """Return that a delivery was sent again."""
    columns = {name: getattr(row, name) for name in REDELIVERY_FIELDS}
    return Redelivery(**columns | {"previous_status": DeliveryStatus(row.previous_status)})


def replay_to_domain(row: WebhookReplayRow) -> Replay:
    """Return the replay."""
    return Replay(
        **bounded({name: getattr(row, name) for name in _PLAIN_REPLAY_FIELDS}),
        criteria=DeliveryFilter(
            **{name: getattr(row, name) for name in _PLAIN_CRITERIA},
            status=None if row.status is None else DeliveryStatus(row.status),
            statuses=frozenset(map(DeliveryStatus, row.statuses or ())),
            error_kind=None if row.error_kind is None else ErrorKind(row.error_kind),
            skip_reason=None if row.skip_reason is None else SkipReason(row.skip_reason),
            ids=None if row.id_prefix is None else IdRange.of_prefix(row.id_prefix),
        ),
        paced_at=row.reasoned_paced_at or row.narrowed_paced_at or row.paced_at,
        state=ReplayState(row.state),
        cursor=None
        if row.cursor_created_at is None or row.cursor_id is None
        else Position(row.cursor_created_at, row.cursor_id),
        created_at=row.created_at,
    )


def replay_to_orm_kwargs(replay: Replay) -> dict[str, Any]:
    """Return the columns to write, without those that only the database sets."""
    cursor, criteria = replay.cursor, replay.criteria
    return {name: getattr(replay, name) for name in _PLAIN_REPLAY_FIELDS} | {
        **{name: getattr(criteria, name) for name in (*_PLAIN_CRITERIA, "status", "error_kind", "skip_reason")},
        "statuses": sorted(criteria.statuses) or None,
        "id_prefix": None if criteria.ids is None else criteria.ids.prefix,
        **_paced(replay),
        "state": replay.state,
        "cursor_created_at": None if cursor is None else cursor.created_at,
        "cursor_id": None if cursor is None else cursor.id,
    }


def _paced(replay: Replay) -> dict[str, datetime | None]:
    names = ("paced_at", "narrowed_paced_at", "reasoned_paced_at")
    own = 2 if replay.criteria.skip_reason is not None else int(replay.criteria.is_narrowed)
    return dict.fromkeys(names) | dict.fromkeys(names[:own], _NEVER) | {names[own]: replay.paced_at}


def recording_to_domain(row: RecordingRow) -> Recording:
    """Return the recording."""
    return Recording(**{name: getattr(row, name) for name in Recording.__dataclass_fields__})


def workspace_to_domain(row: WorkspaceRow) -> Workspace:
    """Return the workspace."""
    return Workspace(id=row.id, name=row.name, created_at=row.created_at)


def token_to_domain(row: ApiTokenRow) -> ApiToken:
    """Return the token's record."""
    columns = {name: getattr(row, name) for name in ApiToken.__dataclass_fields__}
    return ApiToken(**columns | {"scopes": frozenset(map(Scope, row.scopes))})


def token_to_orm_kwargs(token: ApiToken) -> dict[str, Any]:
    """Return the columns that a new token's record sets; the store's own clock and calls set the others."""
    return {
        "id": token.id,
        "workspace_id": token.workspace_id,
        "name": token.name,
        "token_hash": token.token_hash,
        "hint": token.hint,
        "scopes": sorted(token.scopes),
        "expires_at": token.expires_at,
    }
