"""The server's half: events are recorded in the caller's own transaction and announced after its commit."""

from __future__ import annotations

import logging
from dataclasses import replace
from datetime import UTC, datetime
from itertools import count
from typing import TYPE_CHECKING, TypeAlias
from urllib.parse import urlsplit

from noteflow_hooks.application.event_types import check_subscribed
from noteflow_hooks.domain.audit.entries import PROGRAM, Action, TargetKind, entry_of
from noteflow_hooks.domain.audit.telling import tell_webhook
from noteflow_hooks.domain.events import (
    UNTITLED,
    Event,
    MeetingCompletedPayload,
    RecordingStartedPayload,
    RecordingStoppedPayload,
    SummaryGeneratedPayload,
    WebhookEventType,
    WebhookPayload,
    WebhookTestPayload,
    format_timestamp,
    new_event,
    traced,
)
from noteflow_hooks.domain.ids import ordered_id
from noteflow_hooks.domain.mails import confirmation_of
from noteflow_hooks.domain.preset_endpoints import hidden
from noteflow_hooks.domain.verification import registered, verification_event
from noteflow_hooks.errors import UnavailableError, WebhooksOffError
from noteflow_hooks.key_pairs import generate_key_pair
from noteflow_hooks.telemetry import counting
from noteflow_hooks.telemetry.metrics import TRIGGERS_FAILED

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from uuid import UUID

    from noteflow_hooks.domain.audit.entries import Actor
    from noteflow_hooks.domain.deliveries import WebhookDelivery
    from noteflow_hooks.domain.meetings import Meeting, Summary
    from noteflow_hooks.domain.ports.unit_of_work import Announce, UnitOfWork
    from noteflow_hooks.domain.webhooks import WebhookConfig
    from noteflow_hooks.errors import AlreadyExistsError

log = logging.getLogger(__name__)

#: Stores and commits events with one statement; returns for each what the outbox's ``append_many`` says.
StoreEvents: TypeAlias = "Callable[[Sequence[Event]], Sequence[Event | AlreadyExistsError]]"


def _at_once(call: Callable[[], None]) -> None:
    call()


class WebhookService:
    """Registers endpoints and records events.

    A trigger works in the caller's unit of work, under a savepoint: if building or storing the event fails, the
    caller's own change is untouched, the failure is logged and counted in :attr:`failures`, and None comes back instead
    of the event's id. A lost database raises :class:`UnavailableError` all the same: the caller's change is lost too.
    """

    def __init__(
        self,
        units: Callable[[], UnitOfWork],
        announce: Announce,
        *,
        store_events: StoreEvents | None = None,
        wake: Announce = lambda _: None,
        check_url: Callable[[str], object] = lambda _: None,
        now: Callable[[], datetime] = lambda: datetime.now(UTC),
        on_close: Callable[[], None] = lambda: None,
        requires_verification: bool = False,
    ) -> None:
        """``announce`` names committed events to the workers, ``wake`` deliveries that are due.

        With ``requires_verification`` an endpoint, new or moved, has to answer a challenge first.
        ``store_events`` stores and commits a group of events, in a unit of work where it is None. ``check_url`` raises
        for an endpoint that may not be reached.
        """
        self._units = units
        self._announce = announce
        self._store_events = store_events if store_events is not None else self._store_in_a_unit
        self._wake = wake
        self._check_url = check_url
        self._now = now
        self._on_close = on_close
        #: Whether an endpoint, new or moved, has to answer a challenge.
        self.requires_verification = requires_verification
        self._put_off: Callable[[Callable[[], None]], None] = _at_once
        self._failed = count(1)
        #: How many events could not be recorded since the start.
        self.failures = 0

    def put_off_by(self, put_off: Callable[[Callable[[], None]], None]) -> None:
        """Have announcements of what a unit of work has committed made by ``put_off``, once its caller is answered.

        Without this they are made right after the commit, as those of :meth:`publish_all` always are.
        """
        self._put_off = put_off

    def register_webhook(self, config: WebhookConfig) -> WebhookConfig:
        """Store a new endpoint and return it as stored; raise InvalidInputError for an address that is not allowed."""
        self._check_url(config.address)
        with self._units() as unit:
            stored = self.store_webhook(config, unit, by=PROGRAM)
            unit.commit()
        return stored

    def store_webhook(self, config: WebhookConfig, unit: UnitOfWork, *, by: Actor) -> WebhookConfig:
        """Store a new endpoint, whose URL was checked, and return it as stored.

        Raise InvalidInputError for a type that the workspace has not.
        """
        check_subscribed(unit, config.workspace_id, config.events)
        if config.contact is not None:
            config = replace(config, contact=replace(config.contact, asked_at=self._now()))
        if self.requires_verification:
            config = registered(config, now=self._now())
        stored = unit.webhooks.create(hidden(_with_key(config)))
        self.ask_to_verify(stored, unit, before=None)
        self.ask_contact(stored, unit, before=None)
        target = (TargetKind.WEBHOOK, stored.id)
        unit.audit.add(entry_of(by, Action.WEBHOOK_REGISTERED, stored.workspace_id, target, new=tell_webhook(stored)))
        unit.on_commit(lambda: self._log_registered(stored))
        return stored

    @staticmethod
    def _log_registered(stored: WebhookConfig) -> None:
        host = urlsplit(stored.url).hostname
        log.info("webhook %s at %s registered in workspace %s", stored.id, host, stored.workspace_id)

    def update_webhook(self, config: WebhookConfig, unit: UnitOfWork) -> WebhookConfig:
        """Store a changed endpoint and return it as stored; workers are woken after the commit for what may go now."""
        stored = unit.webhooks.update(_with_key(config))
        # No delivery has this id, which is enough: a worker that is woken takes whatever may go now.
        unit.on_commit(lambda: self._wake([stored.id]))
        return stored

    def ask_to_verify(self, webhook: WebhookConfig, unit: UnitOfWork, *, before: WebhookConfig | None) -> UUID | None:
        """Record the event that asks a stored endpoint, unless it was asked before; return its id."""
        challenge = webhook.verification.challenge
        had = None if before is None else before.verification.challenge
        if challenge is None or challenge == had:
            return None
        return self.publish(verification_event(webhook, challenge, now=self._now()), unit).id

    @staticmethod
    def ask_contact(webhook: WebhookConfig, unit: UnitOfWork, *, before: WebhookConfig | None) -> None:
        """Have a stored endpoint's contact asked by mail whether it wants any, unless it was asked before."""
        mail = confirmation_of(webhook, before=before)
        if mail is not None:
            unit.mails.add(mail)

    def check_url(self, url: str) -> None:
        """Raise InvalidInputError where an endpoint at this URL may not be reached."""
        self._check_url(url)

    def unregister_webhook(self, webhook_id: UUID) -> bool:
        """Delete an endpoint; False where there is none."""
        with self._units() as unit:
            webhook = unit.webhooks.get_by_id(webhook_id, lock=True)
            if webhook is None:
                return False
            unit.webhooks.delete(webhook_id)
            target, old = (TargetKind.WEBHOOK, webhook_id), tell_webhook(webhook)
            unit.audit.add(entry_of(PROGRAM, Action.WEBHOOK_DELETED, webhook.workspace_id, target, old=old))
            unit.commit()
        log.info("webhook %s removed", webhook_id)
        return True

    def get_webhooks(self) -> Sequence[WebhookConfig]:
        """Return the enabled endpoints of all workspaces."""
        with self._units() as unit:
            return unit.webhooks.get_all_enabled()

    def close(self) -> None:
        """Close the connections that announcing uses."""
        self._on_close()

    def trigger_meeting_completed(self, meeting: Meeting, unit: UnitOfWork) -> UUID | None:
        """Record ``meeting.completed``."""
        return self._record(
            unit,
            meeting.workspace_id,
            WebhookEventType.MEETING_COMPLETED,
            lambda at: MeetingCompletedPayload(
                event=WebhookEventType.MEETING_COMPLETED,
                timestamp=at,
                meeting_id=str(meeting.id),
                title=meeting.title or UNTITLED,
                duration_seconds=float(meeting.duration_seconds or 0.0),
                segment_count=meeting.segment_count,
                has_summary=meeting.has_summary,
            ),
        )

    def trigger_summary_generated(self, meeting: Meeting, summary: Summary, unit: UnitOfWork) -> UUID | None:
        """Record ``summary.generated``."""
        return self._record(
            unit,
            meeting.workspace_id,
            WebhookEventType.SUMMARY_GENERATED,
            lambda at: SummaryGeneratedPayload(
                event=WebhookEventType.SUMMARY_GENERATED,
                timestamp=at,
                meeting_id=str(meeting.id),
                title=meeting.title or UNTITLED,
                executive_summary=summary.executive_summary,
                key_points_count=len(summary.key_points),
                action_items_count=len(summary.action_items),
            ),
        )

    def trigger_recording_started(
        self, meeting_id: UUID, title: str | None, *, workspace_id: UUID, unit: UnitOfWork
    ) -> UUID | None:
        """Record ``recording.started``."""
        return self._record(
            unit,
            workspace_id,
            WebhookEventType.RECORDING_STARTED,
            lambda at: RecordingStartedPayload(
                event=WebhookEventType.RECORDING_STARTED,
                timestamp=at,
                meeting_id=str(meeting_id),
                title=title or UNTITLED,
            ),
        )

    def trigger_recording_stopped(
        self,
        meeting_id: UUID,
        title: str | None,
        duration_seconds: float | None,
        *,
        workspace_id: UUID,
        unit: UnitOfWork,
    ) -> UUID | None:
        """Record ``recording.stopped``; the duration is in seconds of audio."""
        return self._record(
            unit,
            workspace_id,
            WebhookEventType.RECORDING_STOPPED,
            lambda at: RecordingStoppedPayload(
                event=WebhookEventType.RECORDING_STOPPED,
                timestamp=at,
                meeting_id=str(meeting_id),
                title=title or UNTITLED,
                duration_seconds=float(duration_seconds or 0.0),
            ),
        )

    def trigger_test(self, webhook: WebhookConfig, unit: UnitOfWork) -> UUID:
        """Record ``webhook.test`` for that endpoint alone. A person waits for it, so a failure is raised."""
        now = self._now()
        payload = WebhookTestPayload(
            event=WebhookEventType.WEBHOOK_TEST,
            timestamp=format_timestamp(now),
            meeting_id=None,
            webhook_id=str(webhook.id),
        )
        event = new_event(ordered_id(), webhook.workspace_id, payload, occurred_at=now, target_webhook_id=webhook.id)
        return self.publish(traced(event), unit).id

    def publish(self, event: Event, unit: UnitOfWork) -> Event:
        """Store an event, to be announced after the commit; return it, or the one its idempotency key stands for."""
        stored = unit.events.append(event)
        if stored.id == event.id:
            unit.on_commit(lambda: self._put_off(lambda: self._announce([stored.id])))
        return stored

    def publish_all(self, events: Sequence[Event]) -> Sequence[Event | Exception]:
        """Store, commit and announce a group of events; return for each the stored one, or why it is not stored.

        What the store refuses of one event fails that one alone. A lost database raises UnavailableError, unless it was
        lost after some were stored.
        """
        results = self._stored(events)
        if all(isinstance(each, UnavailableError) for each in results):
            raise results[0]  # type: ignore[misc]  # an error, as was just asked
        new = [each.id for each, stored in zip(events, results, strict=True) if _is_new(each, stored)]
        if new:
            self._announce(new)
        return results

    def send_again(self, workspace_id: UUID, delivery_id: UUID, unit: UnitOfWork) -> WebhookDelivery:
        """Make a delivery that has ended due once more, and wake a worker for it after the commit.

        Raise NotFoundError or PreconditionError where that can't be.
        """
        delivery = unit.deliveries.send_again(workspace_id, delivery_id)
        unit.on_commit(lambda: self._wake([delivery_id]))
        return delivery

    def give_up(
        self, workspace_id: UUID, delivery_id: UUID, unit: UnitOfWork
    ) -> tuple[WebhookDelivery, WebhookDelivery]:
        """Give a delivery up, and wake a worker for what waits for it; return it before and after."""
        before = unit.deliveries.get_by_id(workspace_id, delivery_id)
        after = unit.deliveries.give_up(workspace_id, delivery_id)
        unit.on_commit(lambda: self._wake([delivery_id]))
        return before if before is not None else after, after

    def _stored(self, events: Sequence[Event]) -> list[Event | Exception]:
        """Store them with one statement; where that is refused, each half by itself, down to the event at fault."""
        try:
            return list(self._store_events(events))
        except UnavailableError as error:
            return [error] * len(events)
        except Exception as error:  # noqa: BLE001 - the boundary of one event: whatever it is, its caller gets it
            if len(events) == 1:
                return [error]
        half = len(events) // 2
        return self._stored(events[:half]) + self._stored(events[half:])

    def _store_in_a_unit(self, events: Sequence[Event]) -> Sequence[Event | AlreadyExistsError]:
        with self._units() as unit:
            if not unit.supports_webhooks:
                raise WebhooksOffError
            results = unit.events.append_many(events)
            unit.commit()
        return results

    def _record(
        self,
        unit: UnitOfWork,
        workspace_id: UUID,
        event_type: WebhookEventType,
        payload_at: Callable[[str], WebhookPayload],
    ) -> UUID | None:
        now = self._now()
        try:
            with unit.savepoint():
                event = new_event(ordered_id(), workspace_id, payload_at(format_timestamp(now)), occurred_at=now)
                return self.publish(traced(event), unit).id
        except UnavailableError:
            raise
        except Exception:
            # The boundary that keeps webhooks from failing meetings: whatever went wrong, the meeting's change goes on.
            self.failures = next(self._failed)
            counting.count(TRIGGERS_FAILED)
            log.exception("Failed to trigger %s webhooks", event_type)
            return None


def _with_key(config: WebhookConfig) -> WebhookConfig:
    """Return the endpoint with a key pair, where it needs one for the first time."""
    return replace(config, signing_key=generate_key_pair()) if config.needs_key else config


def _is_new(event: Event, stored: Event | Exception) -> bool:
    return not isinstance(stored, Exception) and stored.id == event.id
