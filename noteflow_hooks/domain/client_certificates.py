"""What an endpoint shows and trusts in TLS: its client certificate with the key, and authorities of its own.

What a certificate says is read once, when it is set, by an adapter: here nothing is parsed. No error repeats a key.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from datetime import timedelta
from typing import TYPE_CHECKING, Any, Final, Literal, NamedTuple, Protocol, TypeAlias, cast

from noteflow_hooks.domain.events import (
    CertificateExpiringPayload,
    Event,
    WebhookEventType,
    format_timestamp,
    new_event,
)
from noteflow_hooks.errors import InvalidInputError

if TYPE_CHECKING:
    from collections.abc import Mapping
    from datetime import datetime
    from uuid import UUID


CertificateField: TypeAlias = Literal["client_certificate", "client_key", "server_ca"]
#: The fields of an endpoint, as callers name them.
CERTIFICATE_FIELDS: Final[tuple[CertificateField, ...]] = ("client_certificate", "client_key", "server_ca")
#: So many days before a client certificate ends people are told, once each.
WARNED_DAYS: Final = (30, 7, 1)
#: The most certificates in a PEM text, the first one included.
CHAIN_LIMIT: Final = 5
#: The most characters of a PEM text with certificates, and of one with a key.
CERTIFICATES_SIZE: Final = 32_768
KEY_SIZE: Final = 8_192
_BOTH: Final = "is needed too: a certificate and its key are set together, or neither is"


@dataclass(frozen=True, slots=True)
class CertificateInfo:
    """What is shown of a certificate."""

    subject: str
    issuer: str
    #: When it ends.
    not_after: datetime
    #: The SHA-256 of the certificate itself, in hexadecimal digits.
    sha256: str


class Read(NamedTuple):
    """What PEM texts say."""

    client: CertificateInfo | None
    server_ca: tuple[CertificateInfo, ...]


class ReadPem(Protocol):
    """Reads PEM texts, as :class:`noteflow_hooks.domain.ports.certificates.CertificateReader` says."""

    def __call__(self, client_certificate: str | None, client_key: str | None, server_ca: str | None) -> Read:
        """Return what they say, or raise InvalidInputError."""
        ...


@dataclass(frozen=True, slots=True)
class ClientTls:
    """What an endpoint has of its own in TLS; PEM texts as they were given."""

    client_certificate: str | None = field(default=None, repr=False)
    client_key: str | None = field(default=None, repr=False)
    server_ca: str | None = field(default=None, repr=False)
    #: Of the client's own certificate, not of those behind it.
    info: CertificateInfo | None = None
    #: Of the authorities that stand for all others.
    server_ca_info: tuple[CertificateInfo, ...] = ()
    #: When people are told next that the client certificate ends; None where nothing is to be told any more.
    warn_at: datetime | None = None
    #: Those of :data:`CERTIFICATE_FIELDS` that are stored and that no key decrypts. Nothing is sent then.
    unreadable: frozenset[str] = frozenset()

    @property
    def is_plain(self) -> bool:
        """Whether it has nothing of its own: TLS is then as everybody's."""
        return (self.client_certificate, self.client_key, self.server_ca) == (None, None, None) and not self.unreadable

    def changed(self, given: Mapping[CertificateField, str | None], read: ReadPem) -> ClientTls:
        """Return it with the fields that ``given`` names, empty ones taken away; raise InvalidInputError otherwise.

        The key goes with its certificate. A new certificate must fit the key that stays, and a new key its certificate.
        """
        values = {name: value or None for name, value in given.items()}
        if "client_certificate" in values and values["client_certificate"] is None:
            values.setdefault("client_key", None)
        after = replace(self, unreadable=self.unreadable - values.keys(), **cast("dict[str, Any]", values))
        new_pair, new_ca = "client_certificate" in values or "client_key" in values, "server_ca" in values
        if new_pair:
            _check_both(after)
        said = read(
            after.client_certificate if new_pair else None, after.client_key, after.server_ca if new_ca else None
        )
        if new_pair:
            after = replace(after, info=said.client)
        if "client_certificate" in values:
            after = replace(after, warn_at=None if said.client is None else _first_warning(said.client))
        return replace(after, server_ca_info=said.server_ca) if new_ca else after

    def warned(self, now: datetime) -> ClientTls:
        """Return it as it is once people have been told at this moment."""
        ahead = [] if self.info is None else [self.info.not_after - timedelta(days=each) for each in WARNED_DAYS]
        return replace(self, warn_at=min((each for each in ahead if each > now), default=None))


#: What an endpoint has that has nothing of its own.
PLAIN_TLS: Final = ClientTls()


def expiring_event(event_id: UUID, workspace_id: UUID, webhook_id: UUID, info: CertificateInfo, now: datetime) -> Event:
    """Make the event that tells a workspace's other endpoints that this one's client certificate ends."""
    payload = CertificateExpiringPayload(
        event=WebhookEventType.WEBHOOK_CERTIFICATE_EXPIRING,
        timestamp=format_timestamp(now),
        meeting_id=None,
        webhook_id=str(webhook_id),
        reason=ending_words(info, now),
        expires_at=format_timestamp(info.not_after),
        sha256=info.sha256,
    )
    return new_event(event_id, workspace_id, payload, occurred_at=now)


def ending_words(info: CertificateInfo, now: datetime) -> str:
    """Say when the client certificate ends, or has ended, and what to do."""
    ends = f"{info.not_after:%Y-%m-%d %H:%M:%S UTC}"
    verb = "ends" if info.not_after > now else "ended"
    return f"The client certificate {verb} at {ends}; give the endpoint a new one, with its key"


def _first_warning(info: CertificateInfo) -> datetime:
    return info.not_after - timedelta(days=max(WARNED_DAYS))


def _check_both(tls: ClientTls) -> None:
    if (tls.client_certificate is None) == (tls.client_key is None):
        return
    missing = "client_key" if tls.client_key is None else "client_certificate"
    if missing in tls.unreadable:
        raise InvalidInputError(missing, "must be given too: no key decrypts the one that is stored")
    raise InvalidInputError(missing, _BOTH)
