"""Webhook configurations: the endpoints of a workspace and what each subscribes to."""

from __future__ import annotations

import math
from dataclasses import dataclass, field, replace
from datetime import timedelta
from typing import TYPE_CHECKING, Final
from uuid import UUID, uuid4

from noteflow_hooks.domain.challenges import NEVER_ASKED, Verification
from noteflow_hooks.domain.client_certificates import PLAIN_TLS, ClientTls
from noteflow_hooks.domain.endpoint_keys import PreviousKey, Signing, check_signing
from noteflow_hooks.domain.events import CUSTOM, SUBSCRIBABLE, is_custom, is_event_name
from noteflow_hooks.domain.headers import check_headers
from noteflow_hooks.domain.options import NO_OPTIONS, EndpointOptions
from noteflow_hooks.domain.payload_versions import NEWEST, PAYLOAD_VERSION
from noteflow_hooks.domain.payloads import check_name
from noteflow_hooks.domain.presets import default_rate
from noteflow_hooks.domain.secrets import check_secret
from noteflow_hooks.domain.urls import parse_url
from noteflow_hooks.domain.violations import Violations
from noteflow_hooks.errors import InvalidInputError
from noteflow_hooks.key_pairs import public_key
from noteflow_hooks.signing import generate_secret, secret_hint

if TYPE_CHECKING:
    from collections.abc import Iterable
    from datetime import datetime

    from noteflow_hooks.domain.contacts import Contact

DEFAULT_NAME: Final = "Webhook"
#: The most secrets that sign beside the newest one, and the most key pairs.
PREVIOUS_SECRETS_LIMIT: Final = 5
DEFAULT_TIMEOUT_MS: Final = 10_000
DEFAULT_MAX_RETRIES: Final = 3
TIMEOUT_MS: Final = range(100, 30_001)
MAX_RETRIES: Final = range(1, 21)
MAX_CONCURRENCY: Final = range(1, 1001)
#: The least and the most that ``rate_limit_per_s`` may be.
RATE_LIMIT_PER_S: Final = (0.01, 1000.0)


@dataclass(frozen=True, slots=True)
class PreviousSecret:
    """A secret that was replaced by rotation, and goes on signing until it expires."""

    secret: str = field(repr=False)
    expires_at: datetime

    @property
    def secret_hint(self) -> str:
        """Its last four characters, where it has 24 or more."""
        return secret_hint(self.secret)


# Weakly referenced by what is made of it for its POSTs, so that nothing of its secrets outlives it.
@dataclass(frozen=True, slots=True, weakref_slot=True)
class WebhookConfig:
    """One endpoint of a workspace. Make it with :meth:`create`, which checks; the constructor takes what is stored."""

    id: UUID
    workspace_id: UUID
    #: Not in the repr, and so in no log: many URLs have a credential in their path or query. Of a preset, whose URL is
    #: a credential, only what is shown of it: POSTs go to :attr:`address`.
    url: str = field(repr=False)
    #: The subscribed types, sorted; empty subscribes to nothing.
    events: tuple[str, ...]
    name: str = DEFAULT_NAME
    #: The newest secret as it was given; None means unsigned.
    secret: str | None = field(default=None, repr=False)
    #: The secret before that, which signs beside it until ``previous_secret_expires_at``.
    previous_secret: str | None = field(default=None, repr=False)
    previous_secret_expires_at: datetime | None = None
    #: The secrets before that, newest first; each signs until it expires.
    earlier_secrets: tuple[PreviousSecret, ...] = field(default=(), repr=False)
    #: True if no key decrypts the stored earlier secrets: they no longer sign, and stay stored as they are.
    earlier_secrets_unreadable: bool = False
    #: The newest secret's id: each new secret gets a new one. None if an earlier release has set the secret.
    secret_id: UUID | None = None
    #: The secret's last four characters, where it has 24 or more.
    secret_hint: str = ""
    #: True if no key decrypts its stored secret or headers. Nothing is sent then: it would go out unsigned, or without
    #: its credentials.
    secret_unavailable: bool = False
    #: True if no key decrypts the newest secret.
    secret_unreadable: bool = False
    enabled: bool = True
    #: The whole exchange, from look-up to the last byte read, in milliseconds.
    timeout_ms: int = DEFAULT_TIMEOUT_MS
    #: The most attempts that a delivery gets, the first one included.
    max_retries: int = DEFAULT_MAX_RETRIES
    created_at: datetime | None = None
    updated_at: datetime | None = None
    #: Why the system disabled it; None where a person did.
    disabled_reason: str | None = None
    deleted_at: datetime | None = None
    #: Custom headers, sent with every request; their values are secrets.
    headers: tuple[tuple[str, str], ...] = field(default=(), repr=False)
    #: The names of all stored headers, also of those whose values no key decrypts.
    header_names: tuple[str, ...] = ()
    #: The most POSTs a second; None means no limit.
    rate_limit_per_s: float | None = None
    #: The most POSTs at once; None means the system's own cap.
    max_concurrency: int | None = None
    #: Since when a person has paused it; None where it is not paused.
    paused_at: datetime | None = None
    #: The version of payloads that it wants; a type without that one is sent in its nearest lower one.
    payload_version: int = NEWEST
    #: What signs: its secrets, its key pair, or both.
    signing: Signing = Signing.HMAC
    #: The newest private key; None where none was ever needed.
    signing_key: str | None = field(default=None, repr=False)
    #: The key pairs before that one, newest first; each signs until it expires.
    previous_keys: tuple[PreviousKey, ...] = field(default=(), repr=False)
    #: True if no key decrypts the stored private keys. They stay stored as they are until they are rotated.
    keys_unreadable: bool = False
    #: A preset's whole URL.
    hidden_url: str | None = field(default=None, repr=False)
    #: True if no key decrypts a preset's URL.
    url_unreadable: bool = False
    #: What it has of its own in TLS.
    tls: ClientTls = field(default=PLAIN_TLS, repr=False)
    #: What it has beyond the usual; the very same value for all that have nothing.
    options: EndpointOptions = NO_OPTIONS
    #: Whether it has shown that it wants deliveries.
    verification: Verification = NEVER_ASKED
    #: Who hears by mail of its trouble; None for nobody.
    contact: Contact | None = None

    @classmethod
    def create(
        cls,
        workspace_id: UUID,
        url: str,
        events: Iterable[str],
        *,
        name: str = DEFAULT_NAME,
        secret: str | None = None,
        timeout_ms: int = DEFAULT_TIMEOUT_MS,
        max_retries: int = DEFAULT_MAX_RETRIES,
        enabled: bool = True,
        headers: Iterable[tuple[str, str]] = (),
        rate_limit_per_s: float | None = None,
        max_concurrency: int | None = None,
        payload_version: int = NEWEST,
        signing: str = Signing.HMAC,
        allow_http_loopback: bool = False,
    ) -> WebhookConfig:
        """Make a valid configuration with a new id, or raise :class:`InvalidInputError` that names the field.

        ``secret`` None means unsigned; an empty one is refused.
        """
        found = Violations()
        nothing: tuple[tuple[str, str], ...] = ()
        checked = found.take(lambda: check_headers(headers), nothing)
        config = cls(
            id=uuid4(),
            workspace_id=workspace_id,
            url=found.take(lambda: str(parse_url(url, allow_http_loopback=allow_http_loopback)), ""),
            events=found.take(lambda: check_events(events), ()),
            name=found.take(lambda: check_name("name", name), ""),
            secret=None if secret is None else found.take(lambda: check_secret(secret), ""),
            secret_id=None if secret is None else uuid4(),
            secret_hint="" if secret is None else secret_hint(secret),
            enabled=enabled,
            timeout_ms=found.take(lambda: check_range("timeout_ms", timeout_ms, TIMEOUT_MS), 0),
            max_retries=found.take(lambda: check_range("max_retries", max_retries, MAX_RETRIES), 0),
            headers=checked,
            header_names=tuple(each for each, _ in checked),
            rate_limit_per_s=None
            if rate_limit_per_s is None
            else found.take(lambda: _check_rate(rate_limit_per_s), 0.0),
            max_concurrency=None
            if max_concurrency is None
            else found.take(lambda: check_range("max_concurrency", max_concurrency, MAX_CONCURRENCY), 0),
            payload_version=found.take(lambda: check_range("payload_version", payload_version, PAYLOAD_VERSION), 0),
            signing=found.take(lambda: check_signing(signing), Signing.HMAC),
        )
        found.raise_all()
        return config

    @property
    def address(self) -> str:
        """The whole URL, to which POSTs go. No answer, log or trail has a preset's."""
        return self.url if self.hidden_url is None else self.hidden_url

    @property
    def rate_per_s(self) -> float | None:
        """The most POSTs a second that apply to it: its own limit, or else its vendor's; None for no limit."""
        if self.rate_limit_per_s is not None or not self.options.format.is_preset:
            return self.rate_limit_per_s
        return default_rate(self.options.format)

    @property
    def is_active(self) -> bool:
        """Whether anything may be sent to it: it is neither disabled nor deleted."""
        return self.enabled and self.deleted_at is None

    @property
    def keeps_back_since(self) -> datetime | None:
        """Since when its deliveries wait, whatever its health: it is paused, or not verified; None where they go."""
        return self.paused_at if self.paused_at is not None else self.verification.unverified_since

    @property
    def verified_at(self) -> datetime | None:
        """When it was verified; one that was never asked counts as verified since it was registered."""
        asked = self.verification
        if asked.unverified_since is not None:
            return None
        return asked.verified_at if asked.verified_at is not None else self.created_at

    @property
    def is_signed(self) -> bool:
        """Whether its requests are signed, by whatever it uses; also where no key decrypts that."""
        return (self.signing.uses_secret and self.has_secret) or (self.signing.uses_key and self.has_key)

    @property
    def has_secret(self) -> bool:
        """Whether it has a secret, even one that no key decrypts."""
        return self.secret is not None or self.secret_unreadable

    @property
    def has_key(self) -> bool:
        """Whether it has a key pair, even one that no key decrypts."""
        return self.signing_key is not None or self.keys_unreadable

    @property
    def needs_key(self) -> bool:
        """Whether a key pair has to be made before anything can be sent."""
        return self.signing.uses_key and not self.has_key

    @property
    def public_key(self) -> str | None:
        """The newest public key; None where it has none, or no key decrypts the pair."""
        return None if self.signing_key is None else public_key(self.signing_key)

    @property
    def lost(self) -> str | None:
        """What it can't be sent to without, and no key decrypts: URL, secret, signing key, certificates or headers."""
        if self.url_unreadable:
            return "URL"
        if self.secret_unreadable and self.signing.uses_secret:
            return "secret"
        if self.keys_unreadable and self.signing.uses_key:
            return "signing key"
        if self.tls.unreadable:
            return "certificates"
        return "headers" if self.headers_unreadable else None

    def checked_for_losses(self) -> WebhookConfig:
        """Return it with :attr:`secret_unavailable` as what it uses has it, after a change."""
        is_lost = self.lost is not None
        return self if is_lost == self.secret_unavailable else replace(self, secret_unavailable=is_lost)

    @property
    def headers_unreadable(self) -> bool:
        """Whether it has custom headers whose values no key decrypts."""
        return bool(self.header_names) and not self.headers

    def check_transport(self) -> None:
        """Raise InvalidInputError where its options need TLS, and its URL, or the one to come, is of plain http."""
        urls = (self.url, self.verification.pending_url or self.url)
        if not self.tls.is_plain and not all(each.startswith("https:") for each in urls):
            raise InvalidInputError("url", "must begin with https: the endpoint has a certificate or a server_ca")

    def subscribes_to(self, event_type: str) -> bool:
        """Tell whether events of this type go to this endpoint."""
        # A known type is safe in a header. Any other that the row names is checked: it might end the header's line.
        return event_type in self.events and (event_type in SUBSCRIBABLE or is_event_name(event_type))

    def lease(self, slack: timedelta) -> timedelta:
        """Return for how long a delivery to it is claimed: its timeout, and what comes before and after the POST."""
        return timedelta(milliseconds=self.timeout_ms) + slack

    def secrets_at(self, moment: datetime) -> tuple[str, ...]:
        """Return the secrets that sign at that moment, newest first; empty means unsigned."""
        if self.secret is None or not self.signing.uses_secret:
            return ()
        return (self.secret, *(each.secret for each in self.previous_secrets_at(moment)))

    @property
    def previous_secrets(self) -> tuple[PreviousSecret, ...]:
        """The stored secrets before the newest one, newest first, even those that have expired."""
        expires_at = self.previous_secret_expires_at
        if self.previous_secret is None or expires_at is None:
            return self.earlier_secrets
        return (PreviousSecret(self.previous_secret, expires_at), *self.earlier_secrets)

    def previous_secrets_at(self, moment: datetime) -> tuple[PreviousSecret, ...]:
        """Return the secrets before the newest one that sign at that moment, newest first."""
        return tuple(each for each in self.previous_secrets if each.expires_at > moment)

    def rotated(self, secret: str, *, now: datetime, overlap: timedelta) -> WebhookConfig:
        """Give it a new secret; the old one, if it had one, signs beside it for the overlap.

        Earlier ones sign until they expire. Without an overlap all of them end now; if too many would be left, the
        oldest ends.
        """
        kept: list[PreviousSecret] = []
        if overlap:
            own = [] if self.secret is None else [PreviousSecret(self.secret, now + overlap)]
            kept = [*own, *self.previous_secrets_at(now)][:PREVIOUS_SECRETS_LIMIT]
        return replace(
            self,
            secret=secret,
            secret_id=uuid4(),
            secret_hint=secret_hint(secret),
            secret_unreadable=False,
            previous_secret=kept[0].secret if kept else None,
            previous_secret_expires_at=kept[0].expires_at if kept else None,
            earlier_secrets=tuple(kept[1:]),
            earlier_secrets_unreadable=False,
        ).checked_for_losses()

    def previous_keys_at(self, moment: datetime) -> tuple[PreviousKey, ...]:
        """Return the key pairs before the newest one that sign at that moment, newest first."""
        return tuple(each for each in self.previous_keys if each.expires_at > moment)

    def rotated_key(self, private_key: str, *, now: datetime, overlap: timedelta) -> WebhookConfig:
        """Give it a new key pair; the old one, if it had one, signs beside it for the overlap, as secrets do."""
        kept: list[PreviousKey] = []
        if overlap:
            own = [] if self.signing_key is None else [PreviousKey(self.signing_key, now + overlap)]
            kept = [*own, *self.previous_keys_at(now)][:PREVIOUS_SECRETS_LIMIT]
        return replace(
            self, signing_key=private_key, previous_keys=tuple(kept), keys_unreadable=False
        ).checked_for_losses()


def new_secret(secret: str | None = None) -> str:
    """Return the secret if it is allowed, or else raise InvalidInputError; make one where none is given."""
    return check_secret(secret) if secret is not None else generate_secret()


def check_events(events: Iterable[str]) -> tuple[str, ...]:
    """Return the types sorted, once each, or raise :class:`InvalidInputError` for one that can't be subscribed to.

    Whether the workspace has a type that is named like one of its own, only its store can tell.
    """
    chosen = sorted(set(events))
    for each in chosen:
        if each not in SUBSCRIBABLE and not is_custom(each):
            raise not_subscribable(each)
    return tuple(chosen)


def not_subscribable(event_type: str) -> InvalidInputError:
    """Return the error for a type that can't be subscribed to."""
    allowed = f"{', '.join(SUBSCRIBABLE)}, and the workspace's own types, {CUSTOM}<name>"
    return InvalidInputError("events", f"{event_type[:100]!r} can't be subscribed to; allowed: {allowed}")


def check_range(name: str, value: int, allowed: range) -> int:
    """Return the number if it is allowed, else raise :class:`InvalidInputError` with the bounds."""
    if value not in allowed:
        raise InvalidInputError(name, f"is {value}; allowed are {allowed.start} to {allowed.stop - 1}")
    return value


def check_seconds(name: str, value: float, *, limit: timedelta) -> timedelta:
    """Return a number of seconds from 0 to the limit, else raise :class:`InvalidInputError` with the bounds."""
    if not (math.isfinite(value) and 0 <= value <= limit.total_seconds()):
        raise InvalidInputError(name, f"is {value:g}; allowed are 0 to {limit.total_seconds():.0f} seconds")
    return timedelta(seconds=value)


def _check_rate(value: float) -> float:
    least, most = RATE_LIMIT_PER_S
    if not (math.isfinite(value) and least <= value <= most):
        raise InvalidInputError("rate_limit_per_s", f"is {value:g}; allowed are {least:g} to {most:g}")
    return value
