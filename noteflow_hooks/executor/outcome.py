"""What an answer means, and what is kept of it: a status, some text and a wait, all fit to be stored."""

from __future__ import annotations

import codecs
import re
from datetime import UTC, datetime, timedelta
from email.utils import parsedate_to_datetime
from typing import TYPE_CHECKING, Final, NamedTuple

from noteflow_hooks.domain.attempts import RESPONSE_KEPT_BYTES, SUCCESS, ErrorKind
from noteflow_hooks.domain.challenges import ANSWER_LIMIT, is_answer
from noteflow_hooks.domain.options import NO_OPTIONS
from noteflow_hooks.domain.retry import RETRY_AFTER_CAP
from noteflow_hooks.executor.redaction import LONGEST, without_credentials
from noteflow_hooks.executor.vendors import hear

if TYPE_CHECKING:
    from uuid import UUID

    from noteflow_hooks.domain.challenges import Challenge
    from noteflow_hooks.domain.webhooks import WebhookConfig
    from noteflow_hooks.executor.http.faults import ExchangeError
    from noteflow_hooks.executor.http.reply import Reply
    from noteflow_hooks.executor.vendors import Heard

_REDIRECTS: Final = range(300, 400)
_SECONDS: Final = re.compile(r"[0-9]+(\.[0-9]*)?")
#: No date is longer, and the parser of dates is not made for long texts.
_DATE_LIMIT: Final = 64


#: What is wrong with a 2xx that does not give the challenge back.
UNANSWERED: Final = 'No challenge in the answer: it must be the whole body, or {"challenge": …} without anything else'


class Outcome(NamedTuple):
    """An attempt's result without its times."""

    status_code: int | None = None
    response_body: str | None = None
    error_kind: ErrorKind | None = None
    error_message: str | None = None
    retry_after: timedelta | None = None
    #: In which words its vendor says that nothing will ever be taken there again.
    vendor_gone: str | None = None
    #: Of a batch: what its answer names as failed.
    failed_events: frozenset[UUID] = frozenset()


def failed(error: ExchangeError) -> Outcome:
    """Return the outcome of an exchange without an answer."""
    return Outcome(error_kind=error.kind, error_message=error.message)


def answered(reply: Reply, webhook: WebhookConfig, *, now: datetime) -> Outcome:
    """Return the outcome of an answer. Its body is read here; the status alone decides between success and failure.

    A preset's vendor may mean something else than the status by itself: see :mod:`vendors`.
    """
    read = reply.read_body(keep=RESPONSE_KEPT_BYTES + LONGEST)
    body = storable(without_credentials(read, webhook, keep=RESPONSE_KEPT_BYTES))
    if webhook.options is not NO_OPTIONS and webhook.options.format.is_preset:
        return _of_vendor(hear(webhook.options.format, reply.status, read, reply.header), reply, body, now=now)
    return _of_status(reply.status, reply, body, now=now)


def _of_status(status: int, reply: Reply, body: str, *, now: datetime) -> Outcome:
    if status in SUCCESS:
        return Outcome(status, body)
    kind = ErrorKind.REDIRECT if status in _REDIRECTS else ErrorKind.STATUS
    retry_after = parse_retry_after(reply.header("retry-after"), now=now)
    return Outcome(status, body, kind, f"HTTP {status}", retry_after)


def _of_vendor(heard: Heard, reply: Reply, body: str, *, now: datetime) -> Outcome:
    outcome = _of_status(heard.status, reply, body, now=now)
    waits = [each for each in (outcome.retry_after, heard.retry_after) if each is not None]
    return outcome._replace(retry_after=max(waits, default=None), vendor_gone=heard.gone)


def challenged(reply: Reply, webhook: WebhookConfig, challenge: Challenge, *, now: datetime) -> Outcome:
    """Return the outcome of an answer to a challenge, which succeeds only if it gives that back.

    Of a 2xx no more is read than an answer may have, and nothing is kept.
    """
    if reply.status not in SUCCESS:
        return answered(reply, webhook, now=now)
    if is_answer(reply.read_body(keep=ANSWER_LIMIT, limit=ANSWER_LIMIT), challenge.text):
        return Outcome(reply.status)
    return Outcome(reply.status, None, ErrorKind.PROTOCOL, UNANSWERED)


def allowed(reply: Reply, origin: str) -> Outcome | None:
    """Return the outcome of a handshake's answer that allows the origin; None of any other."""
    granted = (reply.header("webhook-allowed-origin") or "").strip()
    reply.read_body(keep=0, limit=ANSWER_LIMIT)
    if reply.status in SUCCESS and (granted == "*" or granted.lower() == origin.lower()):
        return Outcome(reply.status)
    return None


def storable(body: bytes) -> str:
    """Return the body as text that PostgreSQL can store: valid, without NUL, and at most 4,096 bytes as UTF-8."""
    if len(body) <= RESPONSE_KEPT_BYTES and body.isascii() and b"\0" not in body:
        return body.decode("ascii")
    # Not final if cut: half a character at the end is left out, not replaced.
    is_whole = len(body) < RESPONSE_KEPT_BYTES
    text = codecs.getincrementaldecoder("utf-8")("replace").decode(body, final=is_whole).replace("\0", "\ufffd")
    return text.encode()[:RESPONSE_KEPT_BYTES].decode("utf-8", "ignore")


def parse_retry_after(value: str | None, *, now: datetime) -> timedelta | None:
    """Return the wait that ``Retry-After`` asks for, in seconds or until a date; None where it makes no sense."""
    if value is None:
        return None
    value = value.strip()
    try:
        if _SECONDS.fullmatch(value):
            return timedelta(seconds=min(float(value), RETRY_AFTER_CAP.total_seconds()))
        if len(value) > _DATE_LIMIT:
            return None
        moment = parsedate_to_datetime(value)
        return max(timedelta(), moment.replace(tzinfo=moment.tzinfo or UTC) - now)
    except (ValueError, TypeError, OverflowError):
        return None
