"""The executor: makes a claim's POST and returns what came of it, whatever the endpoint does."""

from __future__ import annotations

import logging
import time
from datetime import UTC, datetime
from functools import lru_cache
from typing import TYPE_CHECKING, Final

from noteflow_hooks import __version__
from noteflow_hooks.domain.deliveries import AttemptResult, Claim, ErrorKind
from noteflow_hooks.domain.headers import check_headers
from noteflow_hooks.domain.urls import EndpointUrl, host_of, parse_url
from noteflow_hooks.errors import InvalidInputError
from noteflow_hooks.executor.http.faults import ExchangeError
from noteflow_hooks.executor.http.stream import Deadline
from noteflow_hooks.executor.http.transport import SignedPost, Transport
from noteflow_hooks.executor.outcome import Outcome, answered, failed
from noteflow_hooks.signing import sign, sign_standard

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

    from noteflow_hooks.egress import EgressPolicy

logger = logging.getLogger(__name__)

USER_AGENT: Final = f"NoteFlow-Hooks/{__version__}"


def _now() -> datetime:
    return datetime.now(UTC)


class WebhookExecutor:
    """Makes signed POSTs, any number of them at once, in threads or greenlets.

    Connections are kept alive between the deliveries of one webhook, never across webhooks. Make it in the process
    that uses it: connections don't survive a fork.
    """

    def __init__(
        self,
        egress: EgressPolicy,
        *,
        ca_bundle: Path | None = None,
        now: Callable[[], datetime] = _now,
        monotonic: Callable[[], float] = time.monotonic,
        user_agent: str = USER_AGENT,
    ) -> None:
        """``ca_bundle`` is a PEM file with certificates to trust beside the system's."""
        self._egress = egress
        self._transport = Transport(egress, ca_bundle=ca_bundle, monotonic=monotonic)
        self._now = now
        self._monotonic = monotonic
        self._user_agent = user_agent

    def post(self, claim: Claim) -> AttemptResult:
        """Make one attempt, within the webhook's ``timeout_ms``. No receiver, network or row makes it raise."""
        started_at, started = self._now(), self._monotonic()
        signed: SignedPost | None = None
        try:
            signed = self._signed(claim, started_at, ends_at=started + claim.webhook.timeout_ms / 1000)
            with self._transport.sent(signed) as reply:
                outcome = answered(reply, claim.webhook, now=started_at)
        except ExchangeError as error:
            outcome = failed(error)
        except Exception:  # the boundary: a fault of our own fails this attempt, not the others
            logger.exception("Attempt failed unexpectedly: delivery=%s webhook=%s", claim.delivery.id, claim.webhook.id)
            outcome = Outcome(error_kind=ErrorKind.INTERNAL, error_message="Internal error")
        duration_ms = round((self._monotonic() - started) * 1000)
        redialled = signed is not None and signed.redialled
        result = AttemptResult(started_at, duration_ms, *outcome, redialled=redialled)
        if logger.isEnabledFor(logging.DEBUG):
            _log(claim, result)
        return result

    def close(self) -> None:
        """Close the connections that are kept open."""
        self._transport.close()

    def _signed(self, claim: Claim, moment: datetime, *, ends_at: float) -> SignedPost:
        if claim.webhook.secret_unavailable:
            what = "secret" if claim.webhook.secret_unreadable else "headers"
            raise ExchangeError(ErrorKind.SECRET_UNAVAILABLE, f"No key decrypts the webhook's {what}")
        url = self._endpoint(claim.webhook.url)
        headers = self._headers(claim, url, moment)
        deadline = Deadline(ends_at, self._monotonic)
        return SignedPost(claim.webhook.id, url, headers=headers, body=claim.payload, deadline=deadline)

    def _endpoint(self, url: str) -> EndpointUrl:
        try:
            return _parsed(url, allow_http_loopback=self._egress.allow_http_loopback)
        except InvalidInputError as error:
            raise ExchangeError(ErrorKind.ADDRESS_NOT_ALLOWED, f"URL not allowed: {error.problem}") from error

    def _headers(self, claim: Claim, url: EndpointUrl, moment: datetime) -> dict[str, str]:
        message_id, timestamp = str(claim.delivery.event_id), int(moment.timestamp())
        headers = {
            "Host": _host_header(url),
            "User-Agent": self._user_agent,
            "Accept": "*/*",
            "Accept-Encoding": "identity",
            "Content-Type": "application/json",
            "Content-Length": str(len(claim.payload)),
            "X-NoteFlow-Event": claim.delivery.event_type,
            "X-NoteFlow-Delivery": str(claim.delivery.id),
            "webhook-id": message_id,
            "webhook-timestamp": str(timestamp),
        }
        if secrets := claim.webhook.secrets_at(moment):
            headers["X-NoteFlow-Signature"] = sign(claim.payload, secrets[0])
            headers["webhook-signature"] = sign_standard(message_id, timestamp, claim.payload, secrets)
        return _with_custom(headers, claim.webhook.headers) if claim.webhook.headers else headers


@lru_cache(maxsize=1024)
def _parsed(url: str, *, allow_http_loopback: bool) -> EndpointUrl:
    return parse_url(url, allow_http_loopback=allow_http_loopback)


def _host_header(url: EndpointUrl) -> str:
    host = f"[{url.host}]" if ":" in url.host else url.host.rstrip(".")
    return host if url.port == (443 if url.scheme == "https" else 80) else f"{host}:{url.port}"


def _with_custom(headers: dict[str, str], custom: Sequence[tuple[str, str]]) -> dict[str, str]:
    try:
        # Checked again: the row may have been changed by hand.
        checked = dict(check_headers(custom))
    except InvalidInputError as error:
        raise ExchangeError(ErrorKind.SECRET_UNAVAILABLE, f"Headers not allowed: {error.problem}") from error
    if "accept" in map(str.lower, checked):
        del headers["Accept"]
    return headers | checked


def _log(claim: Claim, result: AttemptResult) -> None:
    logger.debug(
        "Attempt: delivery=%s webhook=%s host=%s status=%s error=%s duration_ms=%s",
        claim.delivery.id,
        claim.webhook.id,
        host_of(claim.webhook.url),
        result.status_code,
        result.error_kind,
        result.duration_ms,
    )
