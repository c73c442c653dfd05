"""The rows that the workers' statements take and return; the type of what is returned makes its own list of columns.

So a column stands once, and nothing is read by its position.
"""

from __future__ import annotations

import base64
import hashlib
import json
import time
from json.encoder import encode_basestring_ascii as _quoted
from typing import TYPE_CHECKING, Any, Final, NamedTuple, TypeVar

from noteflow_hooks.domain.challenges import VERIFICATION
from noteflow_hooks.domain.deliveries import Claim, DeliveryStatus, WebhookDelivery
from noteflow_hooks.domain.ranks import Rank
from noteflow_hooks.domain.skipping import ERASED
from noteflow_hooks.domain.verification import as_asked
from noteflow_hooks.persistence.sql.bounds import bounded_sql
from noteflow_hooks.persistence.sql.renderings import facts_of, facts_sql

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence
    from datetime import datetime, timedelta
    from uuid import UUID

    from noteflow_hooks.domain.deliveries import AttemptResult, Settlement
    from noteflow_hooks.domain.exchanges import HeaderForm, Headers
    from noteflow_hooks.domain.webhooks import WebhookConfig
    from noteflow_hooks.domain.whole_batches import WholeSuccess

Report = TypeVar("Report")

#: How many events' attempts must have had a form before it is stored by itself, and how long it may be.
_SEEN_BEFORE: Final = 5
_LONGEST_FORM: Final = 2_048
#: The most forms that a process stores in a day: so much room a hostile receiver can take at the most.
_FORMS_LIMIT: Final = 1_000
#: How many forms are kept as text, to see which of them come again.
_TEXTS_LIMIT: Final = 2_000
_DAY_S: Final = 86_400
#: What a part of an attempt may take at the most, as it is stored.
_LONGEST_MS: Final = 2**15 - 1


class ClaimRow(NamedTuple):
    """A delivery that was claimed, with what its POST needs, but for its endpoint: that one may have been read before.

    All are None in a row that only has a report beside it.
    """

    id: UUID
    webhook_id: UUID
    event_id: UUID
    event_type: str
    status_code: int | None
    response_body: str | None
    error_message: str | None
    attempt_count: int
    duration_ms: int | None
    budget_used: int
    interruptions: int
    claim_no: int
    passes_filter: bool | None
    payload: str
    targeted: bool
    erased: bool
    lease_expires_at: datetime
    created_at: datetime
    rendering: str | None
    #: What its rendering needs of the event; None where that is the usual one.
    facts: str | None
    #: The event's number among its meeting's.
    event_sequence: int | None
    ordered_meeting: str | None
    sequence: int | None
    gap: int | None
    out_of_order: bool | None
    #: The version of the endpoint's row.
    version: str

    def to_claim(self, webhook: WebhookConfig) -> Claim:
        """Return the claim, with its endpoint."""
        delivery = WebhookDelivery(
            id=self.id,
            webhook_id=self.webhook_id,
            event_id=self.event_id,
            event_type=self.event_type,
            status=DeliveryStatus.SENDING,
            status_code=self.status_code,
            response_body=self.response_body,
            error_message=self.error_message,
            attempt_count=self.attempt_count,
            duration_ms=self.duration_ms,
            budget_used=self.budget_used,
            interruptions=self.interruptions,
            claim_no=self.claim_no,
            passes_filter=self.passes_filter,
            lease_expires_at=self.lease_expires_at,
            created_at=self.created_at,
            ordered_meeting=self.ordered_meeting,
            sequence=self.sequence,
            gap=self.gap,
            out_of_order=self.out_of_order,
            rendering=self.rendering,
        )
        claim = Claim(
            delivery,
            webhook,
            payload=self.payload.encode(),
            targeted=self.targeted,
            erased=self.erased,
            facts=None if self.facts is None else facts_of(self.facts),
            rank=None
            if self.event_sequence is None
            else Rank(self.event_sequence, self.gap or 0, bool(self.out_of_order)),
        )
        return claim if self.event_type != VERIFICATION else as_asked(claim)


#: What is no column of ``claimed`` as it stands there. Numbers are brought within what may stand there, see ``bounds``.
CLAIM_EXPRESSIONS: Final = {
    "attempt_count": bounded_sql("claimed.attempt_count", "attempt_count"),
    "budget_used": bounded_sql("claimed.budget_used", "budget_used"),
    "interruptions": bounded_sql("claimed.interruptions", "interruptions"),
    "payload": "event.payload::text",
    "targeted": "event.target_webhook_id IS NOT NULL",
    "erased": "event.payload_erased_at IS NOT NULL",
    "event_sequence": "event.sequence",
    "facts": facts_sql("claimed.rendering"),
    "version": "webhook.version",
}


class DispatchReport(NamedTuple):
    """What a round of dispatching made, beside what it claimed."""

    #: The new deliveries that are due at once: every workspace's first one comes before any workspace's second.
    delivery_ids: Sequence[UUID]
    throttled: bool
    throttled_slow: bool
    events: int
    more: bool
    #: Some are for endpoints with batches, as far as that is looked at.
    batched: bool
    #: The traces of the events, with commas between; None where there are none, or nobody asks.
    traceparents: str | None


class ClaimReport(NamedTuple):
    """What a claim found, beside what it took."""

    throttled: int
    passed_over: bool
    slots_due: bool
    slow_slots_due: bool


class FloodedReport(NamedTuple):
    """When the endpoints that a claim took from may be claimed from next, and whether others have a slot now."""

    waits: Sequence[timedelta]
    slots_due: bool


class SettledRow(NamedTuple):
    """A result that was stored, and what it says of its endpoint."""

    id: UUID
    claim_no: int
    #: The endpoint's health is to be examined: something notable has happened, or it was not well before.
    examined: bool
    #: The endpoint has a scheduling slot now.
    has_slot: bool


class StoredResults(NamedTuple):
    """What was stored of some results, each under the fencing key of its claim."""

    fencing_keys: frozenset[tuple[UUID, int]]
    #: Those whose endpoints' health is to be examined.
    examined: frozenset[tuple[UUID, int]]
    #: Whether an endpoint has a scheduling slot now.
    has_slot: bool


def columns(row: type[Any], expressions: Mapping[str, str] | None = None, *, table: str = "") -> str:
    """Return the list of columns that makes such rows, out of expressions by name, or the table's own columns."""
    known = expressions if expressions is not None else {}
    return ", ".join(f"{known.get(name, f'{table}.{name}')} AS {name}" for name in row._fields)


def no_columns(row: type[Any]) -> str:
    """Return the list of columns where a part of a statement has no such row."""
    return ", ".join(f"NULL AS {name}" for name in row._fields)


#: The columns of a claim, of ``claimed``, ``event`` and ``webhook``.
CLAIM_COLUMNS: Final = columns(ClaimRow, CLAIM_EXPRESSIONS, table="claimed")
_CLAIM_WIDTH: Final = len(ClaimRow._fields)
_ID: Final = ClaimRow._fields.index("id")


def claims_and_report(
    rows: Sequence[Sequence[Any]], report: Callable[[Sequence[Any]], Report]
) -> tuple[list[ClaimRow], Report]:
    """Return the claims, and the report that is made of what the last row has behind its claim, or behind nothing."""
    claims = [ClaimRow._make(row[:_CLAIM_WIDTH]) for row in rows if row[_ID] is not None]
    return claims, report(rows[-1][_CLAIM_WIDTH:])


def stored_results(rows: Iterable[Sequence[Any]]) -> StoredResults:
    """Return what such rows say together."""
    stored, examined, has_slot = set(), set(), False
    for row in map(SettledRow._make, rows):
        key = row.id, row.claim_no
        stored.add(key)
        if row.examined:
            examined.add(key)
        has_slot = has_slot or row.has_slot
    return StoredResults(frozenset(stored), frozenset(examined), has_slot)


def ids_text(ids: Iterable[UUID]) -> str:
    """Return ids as the text of an array, empty where there are none: psycopg would look at each by itself."""
    joined = ",".join(map(str, ids))
    return f"{{{joined}}}" if joined else ""


class HeaderForms:
    """What many attempts' headers have in common, and which of it is stored by itself, so that rows may name it.

    A form is worth that once five events' attempts have had it: then it is about the endpoint, and not about an
    event. What only a few have, as where a receiver makes up new headers for each answer, stands in the attempts' own
    rows. Each day begins anew: what is named is stored again then, and what is not can go.
    """

    def __init__(self) -> None:
        """Know of none yet."""
        #: How the rows name a form that is stored.
        self.names: dict[HeaderForm, str] = {}
        #: What is to be stored, with how it will be named.
        self.due: dict[str, HeaderForm] = {}
        self._texts: dict[HeaderForm, str] = {}
        #: How many events have had it, and the last one of them.
        self._seen: dict[HeaderForm, tuple[int, UUID]] = {}
        #: When the day is over, by the wall clock.
        self.until = 0.0

    def text(self, headers: Headers, event_id: UUID) -> str:
        """Return the headers as a row has them: its form, by name or in full behind an empty line, and the values."""
        name = self.names.get(headers.form)
        first = name if name is not None else f"\n{self._in_full(headers.form, event_id)}"
        return "\n".join((first, *headers.values))

    def _in_full(self, form: HeaderForm, event_id: UUID) -> str:
        text = self._texts.get(form)
        if text is None:
            if len(self._texts) >= _TEXTS_LIMIT:
                self._texts.clear()
                self._seen.clear()
            text = self._texts[form] = form_text(form)
        count, last = self._seen.get(form, (0, None))
        if last != event_id:
            self._seen[form] = count + 1, event_id
            if count + 1 >= _SEEN_BEFORE and len(text) <= _LONGEST_FORM and len(self.names) < _FORMS_LIMIT:
                self.due[form_name(text)] = form
        return text

    def begin_day(self) -> None:
        """Forget all, and go on until the day is over."""
        self.until = (time.time() // _DAY_S + 1) * _DAY_S
        for each in (self.names, self._texts, self._seen):
            each.clear()

    def stored(self, names: Iterable[tuple[str, str]]) -> None:
        """Take note of what is stored, by its names with its lines, of what was due."""
        due, self.due = self.due, {}
        for name, lines in names:
            form = due.get(name)
            # Another form may have the same name: that one goes on standing in full.
            if form is not None and self._texts.get(form) == lines:
                self.names[form] = name


def form_text(form: HeaderForm) -> str:
    """Return a form as it is stored."""
    return json.dumps(form.lines, ensure_ascii=False, separators=(",", ":"))


def form_name(text: str) -> str:
    """Return by what a form is named in rows: 11 characters, made of what it holds."""
    return base64.urlsafe_b64encode(hashlib.blake2b(text.encode(), digest_size=8).digest()).decode().rstrip("=")


def result_params(results: Iterable[tuple[Settlement, bool]], forms: HeaderForms) -> dict[str, str]:
    """Return the parameters of the statement that settles: any number of results, each with whether it is notable."""
    if time.time() >= forms.until:
        forms.begin_day()
    rows = ", ".join([_result(each, forms, notable=notable) for each, notable in results])
    return {"rows": f"[{rows}]", "erased": ERASED.message}


def _result(settlement: Settlement, forms: HeaderForms, *, notable: bool) -> str:
    """Return a result as JSON, put together here: the library's way by dictionaries takes three times as long."""
    delivery, wait = settlement.delivery, settlement.wait
    return (
        f'{{"id": "{delivery.id}", "claim_no": {delivery.claim_no}, "status": "{delivery.status}",'
        f' "status_code": {_number(delivery.status_code)}, "response_body": {_text(delivery.response_body)},'
        f' "error_message": {_text(delivery.error_message)}, "attempt_count": {delivery.attempt_count},'
        f' "duration_ms": {_number(delivery.duration_ms)}, "budget_used": {delivery.budget_used},'
        f' "interruptions": {delivery.interruptions}, "wait_s": {wait.total_seconds() if wait is not None else 0.0},'
        f' "notable": {_flag(notable)}{_attempt(settlement.attempt)}{_exchange(settlement, forms)}'
        f"{_seldom(delivery)}{_batched(settlement)}}}"
    )


def whole_params(results: Iterable[tuple[WholeSuccess, bool]], forms: HeaderForms) -> dict[str, str]:
    """Return the same of batches that have succeeded as wholes, each told by its first delivery."""
    if time.time() >= forms.until:
        forms.begin_day()
    rows = [
        f'{{"first"{_result(each, forms, notable=notable)[len(_KEY) : -1]}, "members": "{{{ids}}}"}}'
        for each, notable, ids in ((each, notable, ",".join(each.together)) for each, notable in results)
    ]
    return {"rows": f"[{', '.join(rows)}]", "erased": ERASED.message}


#: What each result begins with.
_KEY: Final = '{"id"'


def _attempt(result: AttemptResult | None) -> str:
    if result is None:
        return ""
    return (
        f', "started_at": "{result.started_at.isoformat()}", "attempt_ms": {result.duration_ms},'
        f' "attempt_code": {_number(result.status_code)}, "error_kind": {_text(result.error_kind)},'
        f' "attempt_error": {_text(result.error_message)}, "redialled": {_flag(result.redialled)}'
    )


def _exchange(settlement: Settlement, forms: HeaderForms) -> str:
    """Return the attempt's times, unless they are the usual ones, and its headers."""
    result, event_id = settlement.attempt, settlement.delivery.event_id
    if result is None:
        return ""
    exchange = result.exchange
    if exchange is None:
        return ', "times": []'
    text = "" if exchange.times is None else f', "times": [{", ".join(map(_time, exchange.times))}]'
    if exchange.sent is not None:
        text += f', "sent": {_quoted(forms.text(exchange.sent, event_id))}'
    return text if exchange.heard is None else f'{text}, "heard": {_quoted(forms.text(exchange.heard, event_id))}'


def _time(value: int | None) -> str:
    return "null" if value is None else str(min(int(value), _LONGEST_MS))


def _seldom(delivery: WebhookDelivery) -> str:
    """Return what few deliveries have, and the statement takes for nothing where it is left out."""
    skipped = "" if delivery.skip_reason is None else f', "skip_reason": "{delivery.skip_reason}"'
    passes = delivery.passes_filter
    return skipped if passes is None else f'{skipped}, "passes_filter": {_flag(passes)}'


def _batched(settlement: Settlement) -> str:
    """Return what only results of batches have."""
    delivery, batch_id = settlement.delivery, settlement.batch_id
    if batch_id is None:
        return ""
    return (
        f', "batch_id": {_text(_plain(delivery.batch_id))}, "batch_limit": {_number(delivery.batch_limit)},'
        f' "attempt_batch": {_text(_plain(batch_id))}'
    )


def _plain(value: UUID | None) -> str | None:
    return None if value is None else str(value)


def _text(value: str | None) -> str:
    return "null" if value is None else _quoted(value)


def _number(value: int | None) -> int | str:
    return "null" if value is None else value


def _flag(value: bool) -> str:  # noqa: FBT001 - a value that is written down
    return "true" if value else "false"
