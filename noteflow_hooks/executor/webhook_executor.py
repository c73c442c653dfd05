"""The executor: makes a claim's POST and returns what came of it, whatever the endpoint does."""

from __future__ import annotations

import logging
import time
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Final, cast

from noteflow_hooks import __version__
from noteflow_hooks.domain.attempts import ErrorKind
from noteflow_hooks.domain.batches import BatchClaim
from noteflow_hooks.domain.deliveries import AttemptResult
from noteflow_hooks.domain.exchanges import Exchange, Times
from noteflow_hooks.domain.verification import ORIGIN, takes_handshake
from noteflow_hooks.errors import RenderingError
from noteflow_hooks.executor.batch_posts import answered_batch, rendered_batch
from noteflow_hooks.executor.head_forms import heard_headers
from noteflow_hooks.executor.http.faults import ExchangeError
from noteflow_hooks.executor.http.prepared import PreparedEndpoint, request_of
from noteflow_hooks.executor.http.stream import Deadline
from noteflow_hooks.executor.http.transport import SignedPost, Transport
from noteflow_hooks.executor.outcome import Outcome, allowed, answered, challenged, failed
from noteflow_hooks.executor.per_version import PerVersion

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from noteflow_hooks.domain.challenges import Challenge
    from noteflow_hooks.domain.deliveries import Claim
    from noteflow_hooks.domain.exchanges import Headers
    from noteflow_hooks.domain.webhooks import WebhookConfig
    from noteflow_hooks.egress import EgressPolicy

logger = logging.getLogger(__name__)

#: How many answers' headers are remembered of an endpoint, and how long they may be.
_REMEMBERED: Final = 8
_REMEMBERED_BYTES: Final = 1_024
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
        origin: str = ORIGIN,
        note_connection: Callable[[bool], None] | None = None,
    ) -> None:
        """``ca_bundle`` is a PEM file with certificates to trust beside the system's.

        ``origin`` is what CloudEvents' receivers know us by. ``note_connection`` is told of each connection that a POST
        goes over whether it was kept from one before.
        """
        self._egress = egress
        self._transport = Transport(egress, ca_bundle=ca_bundle, monotonic=monotonic, note=note_connection)
        self._now = now
        self._monotonic = monotonic
        self._user_agent = user_agent
        self._origin = origin
        self._endpoints = PerVersion(self._prepared)

    def post(self, claim: Claim) -> AttemptResult:
        """Make one attempt, within the webhook's ``timeout_ms``. No receiver, network or row makes it raise."""
        return self.begin(claim)()

    def begin(self, claim: Claim) -> Callable[[], AttemptResult]:
        """Begin one attempt; return what ends it, which must be called, in whichever thread, and waits.

        Where a connection is kept, the POST is on its way by then, and nothing was waited for: who has many to make
        begins them one after another, while receivers answer the first.
        """
        started_at, started = self._now(), self._monotonic()
        try:
            endpoint = self._endpoints.of(claim.webhook)
            if isinstance(claim, BatchClaim):
                request = endpoint.batch(claim, rendered_batch(claim), started_at)
            else:
                request = request_of(endpoint, claim, started_at)
            deadline = Deadline(started + claim.webhook.timeout_ms / 1000, self._monotonic)
            post = SignedPost(endpoint, request, deadline)
            if claim.challenge is not None:
                return lambda: self._ended(claim, post, started_at, started, ask=self._challenged)
            self._transport.begin(post)
        except Exception as error:  # noqa: BLE001 - the boundary, see _fault
            outcome = _fault(claim, error)
            return lambda: self._result(outcome, started_at, started)
        return lambda: self._ended(claim, post, started_at, started)

    def _ended(
        self,
        claim: Claim,
        post: SignedPost,
        started_at: datetime,
        started: float,
        *,
        ask: Callable[[Claim, SignedPost, datetime], Outcome] | None = None,
    ) -> AttemptResult:
        try:
            outcome = (ask or self._answered)(claim, post, started_at)
        except Exception as error:  # noqa: BLE001 - the boundary, see _fault
            outcome = _fault(claim, error)
        return self._result(outcome, started_at, started, claim=claim, post=post)

    def _answered(self, claim: Claim, post: SignedPost, moment: datetime) -> Outcome:
        if isinstance(claim, BatchClaim):
            return self._transport.sent(post, lambda reply: answered_batch(reply, claim, now=moment))
        return self._transport.sent(post, lambda reply: answered(reply, claim.webhook, now=moment))

    def _challenged(self, claim: Claim, post: SignedPost, moment: datetime) -> Outcome:
        """Ask whether the endpoint wants deliveries, with the challenge unless CloudEvents' handshake settles it."""
        webhook, challenge = claim.webhook, cast("Challenge", claim.challenge)
        if takes_handshake(webhook):
            granted = self._handshake(post, webhook.rate_limit_per_s)
            if granted is not None:
                return granted
        return self._transport.sent(post, lambda reply: challenged(reply, webhook, challenge, now=moment))

    def _handshake(self, post: SignedPost, rate: float | None) -> Outcome | None:
        """Return the outcome of a handshake that allows deliveries; None where it doesn't, for whatever reason."""
        asked = SignedPost(post.endpoint, post.endpoint.handshake(self._origin, rate), post.deadline)
        try:
            granted = self._transport.sent(asked, lambda reply: allowed(reply, self._origin))
        except ExchangeError:
            # What is wrong shows in the POST that follows.
            granted = None
        # They are one attempt, of which the last request is on record.
        post.laps = asked.laps
        if granted is not None:
            post.sent, post.connection, post.reply = asked.sent, asked.connection, asked.reply
        return granted

    def _result(
        self,
        outcome: Outcome,
        started_at: datetime,
        started: float,
        *,
        claim: Claim | None = None,
        post: SignedPost | None = None,
    ) -> AttemptResult:
        now = self._monotonic()
        duration_ms = round((now - started) * 1000)
        if claim is None or post is None:
            return AttemptResult(started_at, duration_ms, *outcome)
        exchange = _exchange(claim, post, duration_ms=duration_ms, ended_at=now)
        return AttemptResult(started_at, duration_ms, *outcome, redialled=post.redialled, exchange=exchange)

    def close(self) -> None:
        """Close the connections that are kept open."""
        self._transport.close()

    def _prepared(self, webhook: WebhookConfig) -> PreparedEndpoint:
        allowed = self._egress.allow_http_loopback
        return PreparedEndpoint(webhook, user_agent=self._user_agent, allow_http_loopback=allowed)


def _exchange(claim: Claim, post: SignedPost, *, duration_ms: int, ended_at: float) -> Exchange:
    """Return what goes on record of the exchange beside its outcome."""
    reply, heard = post.reply, None
    if reply is not None:
        heard = post.endpoint.heard.get(reply.fields)
        if heard is None:
            heard = _heard(claim.webhook, post.endpoint, reply.fields)
        if post.laps is None and not reply.headed_at:
            return Exchange(None, post.sent, heard)
    times = _times(post, duration_ms=duration_ms, ended_at=ended_at)
    return Exchange(times, post.sent if times.wait_ms is not None or post.redialled else None, heard)


def _heard(webhook: WebhookConfig, endpoint: PreparedEndpoint, fields: bytes) -> Headers:
    """Return an answer's headers as they go on record, and remember some for the next ones."""
    heard = heard_headers(fields, webhook)
    if len(fields) <= _REMEMBERED_BYTES:
        if len(endpoint.heard) >= _REMEMBERED:
            endpoint.heard.clear()
        endpoint.heard[fields] = heard
    return heard


def _times(post: SignedPost, *, duration_ms: int, ended_at: float) -> Times:
    """Return where the time went; what is no other part of it is the wait, if there was a connection to wait on."""
    laps, reply = post.laps, post.reply
    dns = connect = tls = read = None
    if laps is not None:
        dns, connect, tls = _ms(laps.dns_s), _ms(laps.connect_s), _ms(laps.tls_s)
    if reply is not None:
        read = _ms(ended_at - reply.headed_at) if reply.headed_at else 0
    was_sent = laps.is_done if laps is not None else post.connection is not None
    rest = duration_ms - sum(each or 0 for each in (dns, connect, tls, read))
    return Times(dns, connect, tls, max(0, rest) if was_sent else None, read, was_sent and laps is None)


def _ms(seconds: float | None) -> int | None:
    return None if seconds is None else round(seconds * 1000)


def _fault(claim: Claim, error: Exception) -> Outcome:
    """Return what the error makes of the attempt: a fault of our own fails this one, not the others."""
    if isinstance(error, ExchangeError):
        return failed(error)
    if isinstance(error, RenderingError):
        # Told by the one line that each failed attempt gets: a traceback could repeat the payload.
        return Outcome(error_kind=ErrorKind.INTERNAL, error_message=str(error))
    logger.error(
        "Attempt failed unexpectedly: delivery=%s webhook=%s", claim.delivery.id, claim.webhook.id, exc_info=error
    )
    return Outcome(error_kind=ErrorKind.INTERNAL, error_message="Internal error")
