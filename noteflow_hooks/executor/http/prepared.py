"""An endpoint as its POSTs need it: whatever is the same for all of them is checked, encoded and keyed once."""

from __future__ import annotations

import hashlib
import re
from functools import lru_cache
from typing import TYPE_CHECKING, Final, cast

from noteflow_hooks.domain.deliveries import ErrorKind
from noteflow_hooks.domain.endpoint_keys import Signing
from noteflow_hooks.domain.headers import check_headers
from noteflow_hooks.domain.payload_versions import version_sent
from noteflow_hooks.domain.urls import EndpointUrl, parse_url
from noteflow_hooks.errors import InvalidInputError
from noteflow_hooks.executor.http.connections import Route
from noteflow_hooks.executor.http.faults import ExchangeError
from noteflow_hooks.key_pairs import KeySigner
from noteflow_hooks.signing import Signer, sign, sign_standard

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from datetime import datetime

    from noteflow_hooks.domain.client_certificates import ClientTls
    from noteflow_hooks.domain.deliveries import WebhookDelivery
    from noteflow_hooks.domain.ordering import Rank
    from noteflow_hooks.domain.webhooks import WebhookConfig

#: Control characters, but for the tab, and what is beyond Latin-1 (RFC 9110, 5.5).
_BREAKING: Final = re.compile(r"[^\t -~\xa0-\xff]")


class PreparedEndpoint:
    """One version of an endpoint, ready for any number of POSTs."""

    def __init__(self, webhook: WebhookConfig, *, user_agent: str, allow_http_loopback: bool) -> None:
        """Raise ExchangeError where nothing may be sent: its URL or headers are not allowed, or can't be decrypted."""
        if webhook.secret_unavailable:
            what = webhook.lost if webhook.lost is not None else "headers"
            raise ExchangeError(ErrorKind.SECRET_UNAVAILABLE, f"No key decrypts the webhook's {what}")
        self.url = _endpoint(webhook.address, allow_http_loopback=allow_http_loopback)
        #: What it has of its own in TLS; never over http, which would leave it out.
        self.tls = _own_tls(webhook.tls, self.url)
        self.route = Route(webhook.id, self.url.scheme, self.url.host, self.url.port, _digest(self.tls))
        self._custom = _checked(webhook.headers)
        self._payload_version = webhook.payload_version
        self._before = self._constant_lines(user_agent)
        self._after = _lines(self._custom) + "\r\n"
        self._secret = webhook.secret
        self._earlier = webhook.previous_secrets
        #: By secret, made for the second POST: in a fan-out most endpoints get one, and a signer costs more than that.
        self._signers: dict[str, Signer] | None = None
        #: None where no key pair signs.
        self._keys: _Keys | None = None
        if webhook.signing is not Signing.HMAC:
            self._keys = _Keys(webhook)
            if not webhook.signing.uses_secret:
                self._secret = None

    def head(self, delivery: WebhookDelivery, payload: bytes, moment: datetime, *, rank: Rank | None = None) -> bytes:
        """Return the head of a delivery's POST, signed at that moment; ``rank`` is the event's in its meeting."""
        event_id, timestamp = str(delivery.event_id), int(moment.timestamp())
        text = (
            f"{self._before}Content-Length: {len(payload)}\r\n"
            f"{_event_lines(delivery.event_type, self._payload_version)}"
            f"X-NoteFlow-Delivery: {delivery.id}\r\nwebhook-id: {event_id}\r\nwebhook-timestamp: {timestamp}\r\n"
        )
        if rank is not None:
            text += _rank_lines(rank)
        if self._keys is not None:
            text += self._key_lines(self._keys, event_id, timestamp, payload, moment=moment)
        elif self._secret is not None:
            plain, standard = self._signatures(event_id, timestamp, payload, self._secrets_at(moment))
            text += f"X-NoteFlow-Signature: {plain}\r\nwebhook-signature: {standard}\r\n"
        return (text + self._after).encode("latin-1")

    def _key_lines(self, keys: _Keys, event_id: str, timestamp: int, payload: bytes, *, moment: datetime) -> str:
        """Return the lines of an endpoint that a key pair signs for, behind its secrets where those sign, too."""
        by_keys = keys.signatures(event_id, timestamp, payload, moment)
        if self._secret is None:
            return f"webhook-signature: {by_keys}\r\n"
        plain, standard = self._signatures(event_id, timestamp, payload, self._secrets_at(moment))
        return f"X-NoteFlow-Signature: {plain}\r\nwebhook-signature: {standard} {by_keys}\r\n"

    def _secrets_at(self, moment: datetime) -> list[str]:
        """Return the secrets that sign at that moment, newest first."""
        secrets = [cast("str", self._secret)]
        if self._earlier:
            secrets += [each.secret for each in self._earlier if each.expires_at > moment]
        return secrets

    def _signatures(self, event_id: str, timestamp: int, payload: bytes, secrets: list[str]) -> tuple[str, str]:
        if self._signers is None:
            self._signers = {}
            return sign(payload, secrets[0]), sign_standard(event_id, timestamp, payload, secrets)
        signers = [self._signers.get(each) or self._signers.setdefault(each, Signer(each)) for each in secrets]
        standard = " ".join([each.sign_standard(event_id, timestamp, payload) for each in signers])
        return signers[0].sign(payload), standard

    def _constant_lines(self, user_agent: str) -> str:
        headers = {
            "Host": _host_header(self.url),
            "User-Agent": user_agent,
            "Accept": "*/*",
            "Accept-Encoding": "identity",
            "Content-Type": "application/json",
        }
        if "accept" in map(str.lower, self._custom):
            del headers["Accept"]
        return f"POST {_whole(self.url.target)} HTTP/1.1\r\n{_lines(headers)}"


class _Keys:
    """An endpoint's key pairs, each ready to sign from its first signature on."""

    def __init__(self, webhook: WebhookConfig) -> None:
        """Raise ExchangeError where it has none, as in a row that was changed by hand."""
        if webhook.signing_key is None:
            raise ExchangeError(ErrorKind.SECRET_UNAVAILABLE, "The webhook has no signing key")
        self._newest = webhook.signing_key
        self._previous = webhook.previous_keys
        self._signers: dict[str, KeySigner] = {}

    def signatures(self, event_id: str, timestamp: int, payload: bytes, moment: datetime) -> str:
        """Return the signatures of all that sign at that moment, the newest one's first."""
        keys = [self._newest, *(each.private_key for each in self._previous if each.expires_at > moment)]
        signers = [self._signers.get(each) or self._signers.setdefault(each, KeySigner(each)) for each in keys]
        return " ".join([each.sign_standard(event_id, timestamp, payload) for each in signers])


def _endpoint(url: str, *, allow_http_loopback: bool) -> EndpointUrl:
    try:
        return parse_url(url, allow_http_loopback=allow_http_loopback)
    except InvalidInputError as error:
        raise ExchangeError(ErrorKind.ADDRESS_NOT_ALLOWED, f"URL not allowed: {error.problem}") from error


def _own_tls(tls: ClientTls, url: EndpointUrl) -> ClientTls:
    if not tls.is_plain and url.scheme != "https":
        raise ExchangeError(ErrorKind.ADDRESS_NOT_ALLOWED, "URL not allowed: an endpoint with certificates needs https")
    return tls


def _digest(tls: ClientTls) -> str:
    """Return what tells connections with these certificates from all others."""
    if tls.is_plain:
        return ""
    parts = (tls.client_certificate, tls.client_key, tls.server_ca)
    return hashlib.sha256("\0".join(each or "" for each in parts).encode()).hexdigest()


def _checked(headers: Sequence[tuple[str, str]]) -> dict[str, str]:
    """Return custom headers, checked again: the row may have been changed by hand."""
    if not headers:
        return {}
    try:
        return dict(check_headers(headers))
    except InvalidInputError as error:
        raise ExchangeError(ErrorKind.SECRET_UNAVAILABLE, f"Headers not allowed: {error.problem}") from error


def _host_header(url: EndpointUrl) -> str:
    host = f"[{url.host}]" if ":" in url.host else url.host.rstrip(".")
    return host if url.port == (443 if url.scheme == "https" else 80) else f"{host}:{url.port}"


def _lines(headers: Mapping[str, str]) -> str:
    lines = [f"{name}: {value}" for name, value in headers.items()]
    _whole("".join(lines))
    return "".join([f"{line}\r\n" for line in lines])


@lru_cache(maxsize=512)
def _event_lines(event_type: str, wanted: int) -> str:
    """Return what a type's requests say of it to an endpoint that wants that version of payloads."""
    version = version_sent(event_type, wanted)
    return _lines({"X-NoteFlow-Event": event_type, "X-NoteFlow-Payload-Version": str(version)})


def _rank_lines(rank: Rank) -> str:
    lines = f"X-NoteFlow-Sequence: {rank.sequence}\r\n"
    if rank.gap:
        lines += f"X-NoteFlow-Gap: {rank.gap}\r\n"
    return f"{lines}X-NoteFlow-Out-Of-Order: true\r\n" if rank.is_late else lines


def _whole(line: str) -> str:
    """Return the line; raise ValueError for a character that would break it, if earlier checks missed it."""
    if _BREAKING.search(line) is not None:
        raise ValueError("the request's head holds a character that no header may have")
    return line
