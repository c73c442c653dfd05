"""An endpoint as workers read it: its columns by name, without what SQLAlchemy's own rows cost for each of them."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from datetime import datetime
    from uuid import UUID


class EndpointRow(NamedTuple):
    """An endpoint and the version of its row; secrets and headers are ciphertext."""

    version: str
    id: UUID
    workspace_id: UUID
    name: str
    url: str
    events: list[str]
    secret: bytes | None
    secret_id: UUID | None
    secret_hint: str
    previous_secret: bytes | None
    previous_secret_expires_at: datetime | None
    earlier_secrets: bytes | None
    enabled: bool
    timeout_ms: int
    max_retries: int
    created_at: datetime
    updated_at: datetime
    disabled_reason: str | None
    deleted_at: datetime | None
    headers: bytes | None
    header_names: list[str]
    rate_limit_per_s: float | None
    max_concurrency: int | None
    paused_at: datetime | None
    payload_version: int
    signing: str
    signing_keys: bytes | None
    client_certificate: bytes | None
    client_key: bytes | None
    server_ca: bytes | None
    certificate_info: str | None
    certificate_warn_at: datetime | None
    filter: str
    format: str
    batch_max: int
    batch_wait_ms: int
    batch_partial: bool
    ordering: str
    on_dead: str
    send_traceparent: bool
    unverified_since: datetime | None
    verified_at: datetime | None
    pending_url: str | None
    challenge: bytes | None
    challenge_event_id: UUID | None
    challenge_expires_at: datetime | None
    url_ciphertext: bytes | None
    contact: str | None
    digest: str
    contact_asked_at: datetime | None
    contact_confirmed_at: datetime | None
    digest_at: datetime | None

    @property
    def size(self) -> int:
        """How many bytes of it vary, as they are stored."""
        sealed = (
            self.secret,
            self.previous_secret,
            self.earlier_secrets,
            self.headers,
            self.signing_keys,
            self.client_certificate,
            self.client_key,
            self.server_ca,
            self.challenge,
            self.url_ciphertext,
        )
        return len(self.url) + len(self.filter) + sum(len(each) for each in sealed if each is not None)
