"""The ledger: what was accepted, matched, claimed, answered, and asked for. It never asks the product."""

from __future__ import annotations

import json
from collections import Counter, defaultdict
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, Final

from noteflow_hooks.domain.challenges import EXPIRED, VERIFICATION, VOID, Challenge
from noteflow_hooks.domain.filters import NOT_MATCHED, UNAVAILABLE, FilterAnswer, Verdict
from noteflow_hooks.domain.skipping import DELETED, ERASED, SkipReason
from tests.conformance.model.batch_ends import settle_batches
from tests.conformance.model.delivery_tracks import Endpoint, Span, Track
from tests.conformance.model.rows import shown

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Sequence
    from uuid import UUID

    from noteflow_hooks.domain.deliveries import AttemptResult, Settlement
    from noteflow_hooks.domain.events import Event
    from noteflow_hooks.domain.health.state import HealthRules
    from noteflow_hooks.domain.paging import DeliveryFilter
    from noteflow_hooks.domain.replays import Replay
    from noteflow_hooks.domain.webhooks import WebhookConfig
    from tests.conformance.model.batch_ends import Begun
    from tests.conformance.model.rows import Rows

_TROUBLE: Final = ("webhook.failing", "webhook.disabled")


@dataclass
class Accepted:
    """An event that was stored."""

    id: UUID
    workspace_id: UUID
    event_type: str
    payload: bytes
    meeting_id: str | None
    target: UUID | None
    #: The endpoint whose trouble it tells of, by its id's text.
    about: str | None
    #: Who matched in each round of dispatching that came to it, and who did in any.
    must: frozenset[UUID] | None = None
    may: frozenset[UUID] = frozenset()
    is_dispatched: bool = False
    is_erased: bool = False

    def matching(self, rows: Rows) -> frozenset[UUID]:
        """Return the endpoints that get it if it is dispatched now."""
        created_at = rows.events[self.id].created_at
        return frozenset(
            each.id
            for each in rows.webhooks.values()
            if each.workspace_id == self.workspace_id
            and each.deleted_at is None
            and each.created_at <= created_at
            and (self.event_type in each.events if self.target is None else each.id == self.target)
            and str(each.id) != self.about
        )


@dataclass
class Sending:
    """A replay, and what it has made due."""

    criteria: DeliveryFilter
    rate_per_s: float
    begun: Span
    include_filtered: bool = False
    sent: list[UUID] = field(default_factory=list)


class Ledger:
    """All of it, for one store."""

    def __init__(self, rules: HealthRules) -> None:
        """``rules`` are those that the store judges endpoints by."""
        self.rules = rules
        self.events: dict[UUID, Accepted] = {}
        self.tracks: dict[UUID, Track] = {}
        self.endpoints: dict[UUID, Endpoint] = {}
        self.replays: dict[UUID, Sending] = {}
        #: What endpoints were asked with, by the event that asks.
        self.challenges: dict[UUID, Challenge] = {}
        self.batches: dict[UUID, Begun] = {}
        #: By delivery: by which replay it was sent again each time, None for a person.
        self.redeliveries: dict[UUID, list[UUID | None]] = defaultdict(list)

    def accepted(self, event: Event | Any) -> None:  # noqa: ANN401 - or its row
        """Note an event."""
        told = event.event_type in _TROUBLE
        about = json.loads(event.payload)["webhook_id"] if told else None
        self.events[event.id] = Accepted(
            event.id,
            event.workspace_id,
            str(event.event_type),
            bytes(event.payload),
            event.meeting_id,
            event.target_webhook_id,
            about,
        )

    def registered(self, webhook: WebhookConfig) -> None:
        """Note an endpoint."""
        options = webhook.options
        self.endpoints[webhook.id] = Endpoint(self.rules, webhook.secret, options.filter, options.format)

    def changed(self, before: WebhookConfig, after: WebhookConfig) -> None:
        """Note what a person made of an endpoint."""
        own = self.endpoints[after.id]
        own.secret, own.filter = after.secret, after.options.filter
        own.format = after.options.format
        if after.is_active and (not before.is_active or before.url != after.url):
            own.see_to()
        if before.rate_per_s != after.rate_per_s:
            own.paced.clear()
        if before.enabled and not after.enabled:
            self._skip_waiting(after.id, "Webhook disabled")

    def deleted(self, webhook_id: UUID) -> None:
        """Note that an endpoint is gone."""
        self._skip_waiting(webhook_id, DELETED.message)

    def erased(self, workspace_id: UUID, meeting_id: str) -> tuple[int, int]:
        """Note that a meeting's payloads are; return how many events had one, and how many deliveries waited."""
        own = [
            each for each in self.events.values() if (each.workspace_id, each.meeting_id) == (workspace_id, meeting_id)
        ]
        own = [each for each in own if not each.is_erased]
        waited = 0
        for event in own:
            event.is_erased = event.is_dispatched = True
            for delivery_id, track in [(key, each) for key, each in self.tracks.items() if each.event_id == event.id]:
                waited += track.status == "pending"
                self._erase_answers_to_batches(delivery_id)
                track.erase()
        return len(own), waited

    def _erase_answers_to_batches(self, delivery_id: UUID) -> None:
        """Note that the answers to the batches that a delivery was ever part of are gone, from all members."""
        for batch_id in {each.batch_id for each in self.tracks[delivery_id].attempts if each.batch_id is not None}:
            for each in self.batches[batch_id].members:
                self.tracks[each].forget_answers(batch_id)

    def of_event(self, event_id: UUID) -> dict[UUID, Track]:
        """Return an event's deliveries by endpoint."""
        return {each.webhook_id: each for each in self.tracks.values() if each.event_id == event_id}

    def wanted(self, webhook_id: UUID) -> str | None:
        """Return by what an endpoint's deliveries are rendered that are begun now."""
        chosen = self.endpoints[webhook_id].format
        return None if chosen == "noteflow" else f"{chosen}/1/1"

    def under_way(self, webhook_id: UUID) -> list[Track]:
        """Return an endpoint's deliveries that a worker has."""
        return [each for each in self.tracks.values() if each.webhook_id == webhook_id and each.status == "sending"]

    def asked_with(self, track: Track, rows: Rows) -> Challenge | None:
        """Return the challenge that a delivery carries, unless it is void."""
        is_live = track.asks and shown(rows.webhooks[track.webhook_id]).asking == track.event_id
        return self.challenges[track.event_id] if is_live else None

    def reason_to_skip(self, track: Track, rows: Rows, *, lease: Span) -> str | None:
        """Return why a delivery that is claimed now must not be sent."""
        webhook, event = rows.webhooks[track.webhook_id], self.events[track.event_id]
        if webhook.deleted_at is not None:
            return DELETED.message
        if not webhook.enabled:
            return webhook.disabled_reason or "Webhook disabled"
        if event.is_erased:
            return ERASED.message
        if event.target is None and event.event_type not in webhook.events:
            return f"Event {event.event_type} not subscribed"
        return self._reason_not_to_ask(track, rows, lease) if track.asks else None

    def _reason_not_to_ask(self, track: Track, rows: Rows, lease: Span) -> str | None:
        challenge = self.asked_with(track, rows)
        if challenge is None:
            return VOID
        return EXPIRED if lease.latest > challenge.expires_at else None

    def asks_filter(self, track: Track) -> bool:
        """Tell whether the endpoint's filter is to be asked about a delivery before its next attempt."""
        event = self.events[track.event_id]
        applies = event.target is None and not event.event_type.startswith("webhook.")
        return bool(self.endpoints[track.webhook_id].filter) and applies and not track.is_judged

    def dispatched(self, before: Rows, after: Rows, span: Span) -> None:
        """Note what a round of dispatching made: what it had to, and nothing else."""
        for delivery_id in after.deliveries.keys() - before.deliveries.keys():
            row = after.deliveries[delivery_id]
            event = self.events[row.event_id]
            assert not event.is_dispatched, "a delivery of an event that was dispatched already"
            assert row.webhook_id in event.matching(before), "a delivery to an endpoint that does not match"
            assert row.webhook_id not in self.of_event(event.id), "a second delivery of an event to an endpoint"
            self.tracks[delivery_id] = _new_track(event, before.webhooks[row.webhook_id], span)
        for event in self.events.values():
            if not event.is_dispatched:
                self._dispatched(
                    event, event.matching(before), is_done=after.events[event.id].dispatched_at is not None
                )

    def settled(
        self, settlements: Sequence[Settlement], rows: Rows, span: Span
    ) -> tuple[set[tuple[UUID, int]], Counter[str]]:
        """Note results as they come in; return which ones count, and which events tell of trouble because of them."""
        live: set[tuple[UUID, int]] = set()
        counted: list[Settlement] = []
        erased = {each.batch for each in self.tracks.values() if each.message == ERASED.message} - {None}
        for each in settlements:
            track = self.tracks[each.delivery.id]
            if track.status == "sending" and track.claim_no == each.delivery.claim_no:
                live.add(each.fencing_key)
                counted.append(each)
                answer = each.attempt
                if track.batch in erased and answer is not None:
                    # It may repeat what was erased of another member.
                    answer = answer._replace(response_body=None)
                _settle(track, replace(each, attempt=answer), span)
        settle_batches(counted, self.tracks)
        results: dict[UUID, list[AttemptResult]] = {each.delivery.webhook_id: [] for each in counted}
        for each in _for_health([each for each in counted if not self.tracks[each.delivery.id].asks]):
            results[each.delivery.webhook_id] += [each.attempt] if each.attempt is not None else []
        return live, self.apply_results(results, rows, span)

    def answered(
        self, settlements: Sequence[Settlement], live: Collection[tuple[UUID, int]], before: Rows
    ) -> set[UUID]:
        """Note which endpoints have given their challenge back, and return them; one that moves starts anew."""
        answered: set[UUID] = set()
        for each in settlements:
            track = self.tracks[each.delivery.id]
            webhook = before.webhooks[track.webhook_id]
            is_right = each.fencing_key in live and each.attempt is not None and each.attempt.succeeded
            if is_right and webhook.deleted_at is None and self.asked_with(track, before) is not None:
                answered.add(webhook.id)
                pending = shown(webhook).pending_url
                if webhook.enabled and pending not in (None, webhook.url):
                    self.endpoints[webhook.id].see_to()
        return answered

    def apply_results(self, results: dict[UUID, list[AttemptResult]], rows: Rows, span: Span) -> Counter[str]:
        """Note what ended attempts say of their endpoints; return how many events of which type tell of it."""
        told: Counter[str] = Counter()
        for webhook_id, own in results.items():
            trouble = self.endpoints[webhook_id].settle(own, span, is_active=rows.is_active(webhook_id))
            if trouble is not None:
                told[f"{trouble} {webhook_id}"] += 1
        return told

    def told_of(self, before: Rows, after: Rows, expected: Collection[str]) -> set[UUID]:
        """Note the system's own events and what it disabled; return the events. There must be these and no others."""
        new = [after.events[each] for each in after.events.keys() - before.events.keys()]
        for row in new:
            assert row.event_type in _TROUBLE, "an event that nobody published"
            self.accepted(row)
        assert sorted(f"{each.event_type} {self.events[each.id].about}" for each in new) == sorted(expected)
        disabled = {each for each in before.webhooks if before.is_active(each) and not after.is_active(each)}
        assert {f"webhook.disabled {each}" for each in disabled} == {e for e in expected if "disabled" in e}
        for webhook_id in disabled:
            reason = after.webhooks[webhook_id].disabled_reason
            assert reason, "an endpoint is disabled without a reason"
            self._skip_waiting(webhook_id, reason)
        return {each.id for each in new}

    def reclaimed(self, delivery_ids: Iterable[UUID], rows: Rows, span: Span) -> Counter[str]:
        """Note deliveries that were taken from workers; return the events that tell of trouble because of them."""
        results: dict[UUID, list[AttemptResult]] = {}
        for each in delivery_ids:
            self.tracks[each].cut_off(span)
            results[self.tracks[each].webhook_id] = []
        return self.apply_results(results, rows, span)

    def sent_again(self, delivery_id: UUID, span: Span, *, replay_id: UUID | None = None) -> None:
        """Note that a settled delivery is due once more."""
        track = self.tracks[delivery_id]
        assert track.status in {"succeeded", "dead", "skipped"}, "a delivery was sent again that was not settled"
        unfiltered = replay_id is not None and self.replays[replay_id].include_filtered
        track.send_again(span, forced=replay_id is None, unfiltered=unfiltered)
        self.redeliveries[delivery_id].append(replay_id)

    def begun(self, replay: Replay, span: Span) -> None:
        """Note a replay."""
        self.replays[replay.id] = Sending(replay.criteria, replay.rate_per_s, span, replay.include_filtered)

    def _dispatched(self, event: Accepted, matching: frozenset[UUID], *, is_done: bool) -> None:
        own = self.of_event(event.id).keys()
        if own or is_done:
            event.must = matching if event.must is None else event.must & matching
            event.may |= matching
        if is_done:
            event.is_dispatched = True
            assert event.must is not None
            assert event.must <= own, "an endpoint that matched has no delivery"
            assert own <= event.may, "an endpoint that never matched has a delivery"

    def _skip_waiting(self, webhook_id: UUID, reason: str) -> None:
        for each in self.tracks.values():
            if each.webhook_id == webhook_id and each.status == "pending":
                each.skip(reason)


def _verdict(settlement: Settlement) -> Verdict | None:
    """Return what a filter must have said for a worker to come to this."""
    if settlement.delivery.skip_reason is SkipReason.FILTERED:
        return NOT_MATCHED
    if settlement.filter_error is not None:
        return Verdict(FilterAnswer.ERROR, settlement.filter_error)
    is_unjudged = settlement.wait and settlement.delivery.error_message == UNAVAILABLE
    return Verdict(FilterAnswer.UNAVAILABLE) if is_unjudged else None


def _new_track(event: Accepted, webhook: Any, span: Span) -> Track:  # noqa: ANN401 - a row of either store
    if webhook.enabled:
        asks = event.event_type == VERIFICATION
        return Track(event.id, webhook.id, "pending", due=span, forced=event.target is not None, asks=asks)
    return Track(event.id, webhook.id, "skipped", message="Webhook disabled", asks=event.event_type == VERIFICATION)


def with_challenge(payload: bytes, challenge: Challenge | None) -> bytes:
    """Return a payload as it is sent."""
    return payload if challenge is None else payload.replace(b"[redacted]", challenge.text.encode())


def _for_health(settlements: Iterable[Settlement]) -> list[Settlement]:
    """Return one result for each POST: of a batch a success, where one of its members has succeeded."""
    found: dict[object, Settlement] = {}
    for each in settlements:
        key = each.batch_id if each.batch_id is not None else each.fencing_key
        if key not in found or (each.attempt is not None and each.attempt.error_kind is None):
            found[key] = each
    return list(found.values())


def _settle(track: Track, settlement: Settlement, span: Span) -> None:
    verdict = _verdict(settlement)
    if settlement.attempt is not None:
        track.answer(settlement.attempt, span)
    elif track.reason is not None:
        track.skip(track.reason)
    elif verdict is not None:
        track.judge(verdict, span)
    else:
        # Of a batch that the filter keeps from being sent, it has let these pass.
        track.is_judged = track.is_judged or (
            settlement.batch_id is not None and bool(settlement.delivery.passes_filter)
        )
        track.release(span)
