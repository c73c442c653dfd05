"""An endpoint as its POSTs need it: whatever is the same for all of them is checked, encoded and keyed once."""

from __future__ import annotations

import hashlib
import math
import re
from functools import lru_cache
from typing import TYPE_CHECKING, Final, NamedTuple, TypeAlias, cast

from typing_extensions import override

from noteflow_hooks.domain.attempts import ErrorKind
from noteflow_hooks.domain.endpoint_keys import Signing
from noteflow_hooks.domain.exchanges import HeaderForm, Headers
from noteflow_hooks.domain.headers import check_stored_headers, is_of_trace, is_once_allowed
from noteflow_hooks.domain.options import NO_OPTIONS
from noteflow_hooks.domain.payload_versions import FIRST, version_sent
from noteflow_hooks.domain.urls import EndpointUrl, parse_url
from noteflow_hooks.errors import InvalidInputError
from noteflow_hooks.executor.head_forms import sent_headers
from noteflow_hooks.executor.http.connections import Route
from noteflow_hooks.executor.http.faults import ExchangeError
from noteflow_hooks.key_pairs import KeySigner
from noteflow_hooks.rendering.claims import rendered_claim
from noteflow_hooks.rendering.occurrence import JSON
from noteflow_hooks.signing import Signer, sign, sign_standard

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping, Sequence
    from datetime import datetime

    from noteflow_hooks.domain.batches import BatchClaim
    from noteflow_hooks.domain.client_certificates import ClientTls
    from noteflow_hooks.domain.deliveries import Claim, WebhookDelivery
    from noteflow_hooks.domain.ranks import Rank
    from noteflow_hooks.domain.renderings import Rendering
    from noteflow_hooks.domain.webhooks import WebhookConfig
    from noteflow_hooks.rendering.occurrence import Rendered

#: What tells a request's form from others of endpoints that have the rest in common.
_Kind: TypeAlias = "tuple[object, ...]"
#: The most of them that are kept: types of events that integrators name are without number.
_FORMS_LIMIT: Final = 256
#: What a request says of an event, or a batch with one, that comes behind a later one of its meeting.
_OUT_OF_ORDER: Final = "X-NoteFlow-Out-Of-Order: true\r\n"
#: Control characters, but for the tab, and what is beyond Latin-1 (RFC 9110, 5.5).
_BREAKING: Final = re.compile(r"[^\t -~\xa0-\xff]")


class Request(NamedTuple):
    """A request as it is sent, and its headers as they go on record."""

    #: With the empty line at its end.
    head: bytes
    body: bytes
    sent: Headers

    @override
    def __repr__(self) -> str:
        """Name it without what it holds: that is signed."""
        return f"{type(self).__name__}({len(self.head)} bytes, {len(self.body)} bytes)"


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
        #: Whether its requests tell of their event's trace. What of that an earlier release has allowed, gives way.
        self.sends_traceparent = webhook.options.send_traceparent
        if self.sends_traceparent:
            self._custom = {name: value for name, value in self._custom.items() if not is_of_trace(name)}
        self._user_agent = user_agent
        self._host = _host_header(self.url)
        self._opening = self._constant_lines(user_agent)
        self._before = self._opening + _content_type(JSON)
        self._after = _lines(self._custom) + "\r\n"
        #: A vendor gets nothing of ours, also where a delivery was begun before the endpoint became a preset.
        self._is_bare = webhook.options is not NO_OPTIONS and webhook.options.format.is_preset
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
        signs = "none" if self._secret is None and self._keys is None else webhook.signing.value
        #: What its requests' headers have in common, shared with all endpoints of which that is the same.
        self._forms = _forms_of((user_agent, signs, self._is_bare, *self._custom))
        #: Answers' headers as they go on record, by their bytes: most answers repeat those of another.
        self.heard: dict[bytes, Headers] = {}

    def usual(
        self, delivery: WebhookDelivery, payload: bytes, moment: datetime, *, rank: Rank | None = None
    ) -> Request:
        """Return a usual POST, of the payload in its first version, signed at that moment.

        ``rank`` is the event's in its meeting.
        """
        size = str(len(payload))
        kind, values = _ranked((delivery.event_type,), (self._host, size), rank)
        form = self._forms.get(kind)
        length = f"{self._before}Content-Length: {size}\r\n"
        signed = self._signed_lines(delivery, payload, moment, payload_version=FIRST, rank=rank)
        head = f"{length}{signed}{self._after}".encode("latin-1")
        return Request(head, payload, self._first(kind, head) if form is None else Headers(form, values))

    def rendered(self, rendered: Rendered, *, claim: Claim, rendering: Rendering, moment: datetime) -> Request:
        """Return the POST of what was rendered, signed at that moment; a preset's has nothing of ours."""
        own, version, size = dict(rendered.headers), rendering.payload_version, str(len(rendered.body))
        rank = None if rendering.format.is_preset or self._is_bare else claim.rank
        kind, values = _ranked(
            (claim.delivery.event_type, rendered.content_type, version, *own), (self._host, size, *own.values()), rank
        )
        form = self._forms.get(kind)
        text = f"{self._opening}{_content_type(rendered.content_type)}Content-Length: {size}\r\n{_lines(own)}"
        if not rendering.format.is_preset:
            text += self._signed_lines(claim.delivery, rendered.body, moment, payload_version=version, rank=rank)
        head = f"{text}{self._after_own(rendered.headers)}".encode("latin-1")
        sent = self._first(kind, head, own=own) if form is None else Headers(form, values)
        return Request(head, rendered.body, sent)

    def traced(self, request: Request, traceparent: str) -> Request:
        """Return the same request, which tells of a trace."""
        before = len(self._opening)
        head = request.head[:before] + f"traceparent: {traceparent}\r\n".encode() + request.head[before:]
        return Request(head, request.body, sent_headers(head, custom=self._custom))

    def _first(self, kind: _Kind, head: bytes, *, own: Collection[str] = ()) -> Headers:
        """Return the headers of the first request of its kind, whose form the others share."""
        sent = sent_headers(head, custom=self._custom, own=own)
        if len(self._forms) < _FORMS_LIMIT:
            self._forms[kind] = sent.form
        return sent

    def _signed_lines(
        self, delivery: WebhookDelivery, body: bytes, moment: datetime, *, payload_version: int, rank: Rank | None
    ) -> str:
        """Return what a request says of its delivery, and its signatures."""
        if self._is_bare:
            return ""
        event_id, timestamp = str(delivery.event_id), int(moment.timestamp())
        text = (
            f"{_event_lines(delivery.event_type, payload_version)}"
            f"X-NoteFlow-Delivery: {delivery.id}\r\nwebhook-id: {event_id}\r\nwebhook-timestamp: {timestamp}\r\n"
        )
        if rank is not None:
            text += _rank_lines(rank)
        return text + self._signature_lines(event_id, timestamp, body, moment=moment)

    def _after_own(self, own: Sequence[tuple[str, str]]) -> str:
        """Return the custom headers' lines, and the end, behind headers of the format's own: those win.

        An earlier release allowed names that formats use since; what is stored of these would add to what we say.
        """
        if not own or not self._custom:
            return self._after
        return _lines({name: value for name, value in self._custom.items() if not is_once_allowed(name)}) + "\r\n"

    def batch(self, batch: BatchClaim, rendered: Rendered, moment: datetime) -> Request:
        """Return a batch's POST, signed at that moment under the batch's id."""
        text = f"{self._opening}{_content_type(rendered.content_type)}Content-Length: {len(rendered.body)}\r\n"
        if not self._is_bare:
            text += self._batch_lines(batch, rendered.body, moment)
        head = (text + self._after).encode("latin-1")
        return Request(head, rendered.body, sent_headers(head, custom=self._custom))

    def _batch_lines(self, batch: BatchClaim, body: bytes, moment: datetime) -> str:
        """Return what a request says of its batch, and its signatures."""
        batch_id, timestamp = str(batch.id), int(moment.timestamp())
        text = (
            f"X-NoteFlow-Event: batch\r\nX-NoteFlow-Payload-Version: {batch.rendering.payload_version}\r\n"
            f"X-NoteFlow-Batch: {len(batch.members)}\r\nX-NoteFlow-Delivery: {batch_id}\r\n"
            f"webhook-id: {batch_id}\r\nwebhook-timestamp: {timestamp}\r\n"
        )
        if batch.is_late:
            text += _OUT_OF_ORDER
        return text + self._signature_lines(batch_id, timestamp, body, moment=moment)

    def _signature_lines(self, message_id: str, timestamp: int, payload: bytes, *, moment: datetime) -> str:
        if self._keys is not None:
            return self._key_lines(self._keys, message_id, timestamp, payload, moment=moment)
        if self._secret is None:
            return ""
        plain, standard = self._signatures(message_id, timestamp, payload, self._secrets_at(moment))
        return f"X-NoteFlow-Signature: {plain}\r\nwebhook-signature: {standard}\r\n"

    def handshake(self, origin: str, rate_limit_per_s: float | None) -> Request:
        """Return the request by which CloudEvents' receivers are asked (HTTP 1.1 Web Hooks, 4.1)."""
        headers = {
            "Host": self._host,
            "User-Agent": self._user_agent,
            "Accept-Encoding": "identity",
            "WebHook-Request-Origin": origin,
        }
        if rate_limit_per_s is not None:
            # Deliveries a minute.
            headers["WebHook-Request-Rate"] = str(max(1, math.ceil(60 * rate_limit_per_s)))
        head = f"OPTIONS {_whole(self.url.target)} HTTP/1.1\r\n{_lines(headers)}{self._after}".encode("latin-1")
        return Request(head, b"", sent_headers(head, custom=self._custom))

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
            "Host": self._host,
            "User-Agent": user_agent,
            "Accept": "*/*",
            "Accept-Encoding": "identity",
        }
        if "accept" in map(str.lower, self._custom):
            del headers["Accept"]
        return f"POST {_whole(self.url.target)} HTTP/1.1\r\n{_lines(headers)}"


def request_of(endpoint: PreparedEndpoint, claim: Claim, moment: datetime) -> Request:
    """Return the request: the payload as it is, or what it is rendered to where the delivery's rendering says so.

    Raise RenderingError where it can't be.
    """
    if claim.delivery.rendering is None:
        request = endpoint.usual(claim.delivery, claim.payload, moment, rank=claim.rank)
    else:
        rendered, rendering = rendered_claim(claim)
        request = endpoint.rendered(rendered, claim=claim, rendering=rendering, moment=moment)
    if endpoint.sends_traceparent and claim.facts is not None and claim.facts.trace is not None:
        return endpoint.traced(request, claim.facts.trace.context.text)
    return request


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
        return dict(check_stored_headers(headers))
    except InvalidInputError as error:
        raise ExchangeError(ErrorKind.SECRET_UNAVAILABLE, f"Headers not allowed: {error.problem}") from error


def _content_type(value: str) -> str:
    return f"Content-Type: {_whole(value)}\r\n"


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
    return f"{lines}{_OUT_OF_ORDER}" if rank.is_late else lines


@lru_cache(maxsize=1024)
def _forms_of(_: tuple[object, ...]) -> dict[_Kind, HeaderForm]:
    """Return where the forms are kept of endpoints that have so much in common."""
    return {}


def _ranked(kind: _Kind, values: tuple[str, ...], rank: Rank | None) -> tuple[_Kind, tuple[str, ...]]:
    """Return what tells a request's form, and the values for its blanks, with those that tell of its rank."""
    if rank is None:
        return kind, values
    if rank.gap:
        return (*kind, "gap", rank.is_late), (*values, str(rank.sequence), str(rank.gap))
    return (*kind, rank.is_late), (*values, str(rank.sequence))


def _whole(line: str) -> str:
    """Return the line; raise ValueError for a character that would break it, if earlier checks missed it."""
    if _BREAKING.search(line) is not None:
        raise ValueError("the request's head holds a character that no header may have")
    return line
