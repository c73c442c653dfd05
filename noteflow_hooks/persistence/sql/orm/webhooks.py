"""Endpoints, and the health of each."""

from __future__ import annotations

import uuid
from datetime import datetime

from sqlalchemy import ARRAY, BigInteger, CheckConstraint, Index, Integer, String, Text, text
from sqlalchemy.orm import Mapped, mapped_column

from noteflow_hooks.domain.contacts import Digest
from noteflow_hooks.domain.options import BATCH_MAX, BATCH_WAIT_MS, FILTER_LIMIT, Format, OnDead, Ordering
from noteflow_hooks.domain.payload_versions import FIRST
from noteflow_hooks.domain.presets import PRESETS
from noteflow_hooks.domain.urls import MASK
from noteflow_hooks.domain.webhooks import MAX_CONCURRENCY, MAX_RETRIES, RATE_LIMIT_PER_S, TIMEOUT_MS
from noteflow_hooks.persistence.sql.conditions import one_of, within
from noteflow_hooks.persistence.sql.orm.base import NOW, Base, belongs_to, key

_POSTABLE = r"{0} ~ '^https://[^/]' OR {0} ~ '^http://(localhost|127\.0\.0\.1|\[::1\])([:/?]|$)'"


class WebhookConfigRow(Base):
    """An endpoint. Secrets are ciphertext."""

    __tablename__ = "webhook_configs"
    __table_args__ = (
        CheckConstraint(_POSTABLE.format("url"), name="url"),
        # rule of domain.webhooks.TIMEOUT_MS
        CheckConstraint(within("timeout_ms", TIMEOUT_MS), name="timeout_ms"),
        # rule of domain.webhooks.MAX_RETRIES
        CheckConstraint(within("max_retries", MAX_RETRIES), name="max_retries"),
        # rule of domain.webhooks.check_events
        CheckConstraint("noteflow.is_subscription(events)", name="events"),
        # rule of domain.payload_versions.FIRST
        CheckConstraint(f"payload_version >= {FIRST}", name="payload_version"),
        # rule of domain.webhooks.RATE_LIMIT_PER_S
        CheckConstraint(within("rate_limit_per_s", RATE_LIMIT_PER_S), name="rate_limit_per_s"),
        # rule of domain.webhooks.MAX_CONCURRENCY
        CheckConstraint(within("max_concurrency", MAX_CONCURRENCY), name="max_concurrency"),
        CheckConstraint(
            "deleted_at IS NULL OR (secret IS NULL AND previous_secret IS NULL AND headers IS NULL)", name="deleted"
        ),
        CheckConstraint("deleted_at IS NULL OR earlier_secrets IS NULL", name="deleted_earlier"),
        # rule of domain.endpoint_keys.Signing
        CheckConstraint("signing IN ('hmac', 'ed25519', 'both')", name="signing"),
        CheckConstraint("deleted_at IS NULL OR signing_keys IS NULL", name="deleted_keys"),
        CheckConstraint(
            "deleted_at IS NULL OR (client_certificate IS NULL AND client_key IS NULL AND server_ca IS NULL)",
            name="deleted_certificates",
        ),
        CheckConstraint("(client_certificate IS NULL) = (client_key IS NULL)", name="client_key"),
        # rule of domain.options.EndpointOptions
        CheckConstraint(
            f"length(filter) <= {FILTER_LIMIT} AND {one_of('format', Format)}"
            f" AND (batch_max = 0 OR {within('batch_max', BATCH_MAX)}) AND {within('batch_wait_ms', BATCH_WAIT_MS)}"
            f" AND {one_of('ordering', Ordering)} AND {one_of('on_dead', OnDead)}",
            name="options",
        ),
        CheckConstraint(_POSTABLE.format("pending_url"), name="pending_url"),
        CheckConstraint("deleted_at IS NULL OR (challenge IS NULL AND pending_url IS NULL)", name="deleted_challenge"),
        CheckConstraint("num_nulls(challenge, challenge_event_id, challenge_expires_at) IN (0, 3)", name="challenge"),
        # rule of domain.preset_endpoints.with_hidden_url
        CheckConstraint(
            f"CASE WHEN {one_of('format', PRESETS)} THEN url ~ '/{MASK}$' AND (url_ciphertext IS NULL) ="
            " (deleted_at IS NOT NULL) ELSE url_ciphertext IS NULL END",
            name="url_ciphertext",
        ),
        CheckConstraint(
            "num_nulls(contact, contact_asked_at) IN (0, 2) AND (contact IS NOT NULL OR"
            " (contact_confirmed_at IS NULL AND digest_at IS NULL AND digest = 'none'))",
            name="contact",
        ),
        CheckConstraint("deleted_at IS NULL OR contact IS NULL", name="deleted_contact"),
        # rule of domain.contacts.Digest
        CheckConstraint(one_of("digest", Digest), name="digest"),
        Index(
            "ix_webhook_configs_workspace_id_id",
            "workspace_id",
            "id",
            postgresql_where=text("deleted_at IS NULL"),
        ),
        Index(
            "ix_webhook_configs_workspace_id_created_at_id",
            "workspace_id",
            text("created_at DESC"),
            text("id DESC"),
        ),
        # Whose client certificates people are to be told of.
        Index(
            "ix_webhook_configs_certificate_warn_at",
            "certificate_warn_at",
            postgresql_where=text("certificate_warn_at IS NOT NULL"),
        ),
        # Whose digests are due.
        Index("ix_webhook_configs_digest_at", "digest_at", postgresql_where=text("digest_at IS NOT NULL")),
        # Which endpoints have yet to answer a challenge.
        Index(
            "ix_webhook_configs_awaited",
            "workspace_id",
            postgresql_where=text("unverified_since IS NOT NULL OR pending_url IS NOT NULL"),
        ),
        # What retention removes once nothing is left of it.
        Index("ix_webhook_configs_deleted_at", "deleted_at", postgresql_where=text("deleted_at IS NOT NULL")),
    )

    id: Mapped[uuid.UUID] = key()
    workspace_id: Mapped[uuid.UUID] = belongs_to("workspaces.id")
    name: Mapped[str] = mapped_column(String(255), server_default="Webhook")
    url: Mapped[str]
    events: Mapped[list[str]] = mapped_column(ARRAY(Text), server_default=text("'{}'"))
    secret: Mapped[bytes | None]
    secret_hint: Mapped[str] = mapped_column(String(4), server_default="")
    previous_secret: Mapped[bytes | None]
    previous_secret_expires_at: Mapped[datetime | None]
    #: Names the newest secret, so that a repeated request can tell whether it is still the one it made.
    secret_id: Mapped[uuid.UUID | None]
    #: Those before that one, with their ends, as one ciphertext.
    earlier_secrets: Mapped[bytes | None]
    enabled: Mapped[bool] = mapped_column(server_default=text("true"))
    timeout_ms: Mapped[int] = mapped_column(Integer, server_default=text("10000"))
    max_retries: Mapped[int] = mapped_column(Integer, server_default=text("3"))
    created_at: Mapped[datetime] = mapped_column(server_default=NOW)
    updated_at: Mapped[datetime] = mapped_column(server_default=NOW)
    disabled_reason: Mapped[str | None]
    deleted_at: Mapped[datetime | None]
    #: The custom headers as ciphertext, and their names, which are no secret.
    headers: Mapped[bytes | None]
    header_names: Mapped[list[str]] = mapped_column(ARRAY(Text), server_default=text("'{}'"))
    rate_limit_per_s: Mapped[float | None]
    max_concurrency: Mapped[int | None] = mapped_column(Integer)
    paused_at: Mapped[datetime | None]
    payload_version: Mapped[int] = mapped_column(Integer, server_default=text(str(FIRST)))
    signing: Mapped[str] = mapped_column(Text, server_default="hmac")
    #: The private keys of its key pairs, the newest first, with their ends, as one ciphertext.
    signing_keys: Mapped[bytes | None]
    #: PEM texts as ciphertext.
    client_certificate: Mapped[bytes | None]
    client_key: Mapped[bytes | None]
    server_ca: Mapped[bytes | None]
    #: What is shown of the certificates, as JSON.
    certificate_info: Mapped[str | None]
    certificate_warn_at: Mapped[datetime | None]
    filter: Mapped[str] = mapped_column(Text, server_default="")
    format: Mapped[str] = mapped_column(Text, server_default=Format.NOTEFLOW)
    batch_max: Mapped[int] = mapped_column(Integer, server_default=text("0"))
    batch_wait_ms: Mapped[int] = mapped_column(Integer, server_default=text("0"))
    batch_partial: Mapped[bool] = mapped_column(server_default=text("false"))
    ordering: Mapped[str] = mapped_column(Text, server_default=Ordering.NONE)
    on_dead: Mapped[str] = mapped_column(Text, server_default=OnDead.SKIP)
    send_traceparent: Mapped[bool] = mapped_column(server_default=text("false"))
    #: Since when nothing but its challenge is sent to it, when it gave one back, and where it is to move to.
    unverified_since: Mapped[datetime | None]
    verified_at: Mapped[datetime | None]
    pending_url: Mapped[str | None]
    #: As ciphertext, with the event that asks and the end.
    challenge: Mapped[bytes | None]
    challenge_event_id: Mapped[uuid.UUID | None]
    challenge_expires_at: Mapped[datetime | None]
    #: A preset's whole URL; ``url`` has what is shown of it.
    url_ciphertext: Mapped[bytes | None]
    #: A mail address, when it was asked whether it wants mails, and when it said so.
    contact: Mapped[str | None]
    digest: Mapped[str] = mapped_column(Text, server_default=Digest.NONE)
    contact_asked_at: Mapped[datetime | None]
    contact_confirmed_at: Mapped[datetime | None]
    digest_at: Mapped[datetime | None]


class WebhookHealthRow(Base):
    """How an endpoint does, and when it has its next scheduling slot. A trigger adds the row with the endpoint."""

    __tablename__ = "webhook_health"
    __table_args__ = (
        # Where workers look for scheduling slots: those of quick endpoints, and those of slow ones.
        Index(
            "ix_webhook_health_quick_turn_at",
            "turn_at",
            postgresql_where=text("turn_at IS NOT NULL AND slow_since IS NULL"),
        ),
        Index(
            "ix_webhook_health_slow_turn_at",
            "turn_at",
            postgresql_where=text("turn_at IS NOT NULL AND slow_since IS NOT NULL"),
        ),
    )

    webhook_id: Mapped[uuid.UUID] = belongs_to("webhook_configs.id", primary_key=True)
    turn_at: Mapped[datetime | None]
    awaiting_room: Mapped[bool] = mapped_column(server_default=text("false"))
    #: The next slot is one for which a batch waits that may have more members by then.
    gathering: Mapped[bool] = mapped_column(server_default=text("false"))
    failures: Mapped[int] = mapped_column(Integer, server_default=text("0"))
    failing_since: Mapped[datetime | None]
    last_failure_at: Mapped[datetime | None]
    warned_at: Mapped[datetime | None]
    open_until: Mapped[datetime | None]
    opened: Mapped[int] = mapped_column(Integer, server_default=text("0"))
    probing_until: Mapped[datetime | None]
    ramp: Mapped[int | None] = mapped_column(Integer)
    slow_since: Mapped[datetime | None]
    quick: Mapped[int] = mapped_column(Integer, server_default=text("0"))
    rate_at: Mapped[datetime | None]
    #: How often the endpoint's present filter could not be evaluated, and how it failed last.
    filter_errors: Mapped[int] = mapped_column(BigInteger, server_default=text("0"))
    filter_last_error: Mapped[str | None]
