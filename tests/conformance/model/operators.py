"""The machine's first half: what servers and people do. Who may not do something is refused, nothing changes."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from itertools import count
from typing import TYPE_CHECKING, Any, Final
from uuid import NAMESPACE_OID, UUID, uuid5

import pytest
from hypothesis import strategies as st
from hypothesis.stateful import initialize

from noteflow_hooks.domain.attempts import ErrorKind
from noteflow_hooks.domain.challenges import CHALLENGE_LASTS, Challenge, Verification
from noteflow_hooks.domain.deliveries import DeliveryStatus
from noteflow_hooks.domain.events import PUBLISHABLE, SUBSCRIBABLE
from noteflow_hooks.domain.health.state import HealthRules
from noteflow_hooks.domain.options import NO_OPTIONS, EndpointOptions, Format, Ordering
from noteflow_hooks.domain.paging import DeliveryFilter
from noteflow_hooks.domain.presets import PRESETS
from noteflow_hooks.domain.replays import RUNNING_LIMIT, Replay
from noteflow_hooks.domain.verification import verification_event
from noteflow_hooks.errors import AlreadyExistsError, PreconditionError
from tests.conformance.model.delivery_tracks import Span
from tests.conformance.model.invariants import Inspector
from tests.conformance.model.ledger import Ledger
from tests.conformance.model.replay_steps import check_step
from tests.conformance.model.rows import shown
from tests.conformance.model.steps import SteppedMachine, step
from tests.conformance.model.watched_store import WatchedStore
from tests.support.builders import NOON, preset_fields

if TYPE_CHECKING:
    from collections.abc import Callable

    from noteflow_hooks.domain.webhooks import WebhookConfig
    from tests.conformance.model.rows import Opened

#: Far longer than a run takes, and far from each other's sums and multiples: no run's own time decides what is due.
SPELLS: Final = tuple(timedelta(seconds=each) for each in (30, 120, 5, 600, 30, 120, 3600, 10_800))
_RULES: Final = st.builds(
    HealthRules,
    concurrency=st.integers(1, 4),
    breaker_failures=st.sampled_from([3, 2, 0]),
    breaker_open=st.just(timedelta(seconds=30)),
    breaker_open_max=st.just(timedelta(seconds=120)),
    warn_after=st.just(timedelta(hours=1)),
    disable_after=st.just(timedelta(hours=6)),
    disable_span=st.just(timedelta(hours=1)),
)
_TYPES: Final = st.sampled_from(PUBLISHABLE[:2])
#: Mostly all of them, so that most events have somebody to go to.
_SUBSCRIBED: Final = st.sampled_from([SUBSCRIBABLE, SUBSCRIBABLE, (PUBLISHABLE[0],), ()])
_FORMATS: Final = (Format.STANDARD, Format.CLOUDEVENTS_BINARY)
_LIMITS: Final[dict[str, st.SearchStrategy[Any]]] = {
    "max_concurrency": st.sampled_from([None, 1, 2]),
    "rate_limit_per_s": st.sampled_from([None, None, 0.1, 20.0]),
    "max_retries": st.integers(1, 4),
    "timeout_ms": st.sampled_from([10_000, 30_000]),
    "options": st.builds(
        replace,
        st.sampled_from(
            [
                *[NO_OPTIONS] * 3,
                *(EndpointOptions(format=each) for each in _FORMATS),
                *[EndpointOptions(ordering=Ordering.PER_MEETING)] * 2,
                EndpointOptions(batch_max=2),
                EndpointOptions(batch_max=3, format=Format.STANDARD),
                EndpointOptions(batch_max=3, batch_wait_ms=60_000),
            ]
        ),
        filter=st.sampled_from(["", "data.a", "data.b"]),
    ),
}
_OPTIONS: Final = {**_LIMITS, "events": _SUBSCRIBED, "enabled": st.sampled_from([True, True, False])}
URLS: Final = st.sampled_from(["https://receiver.example/hooks", "https://elsewhere.example/"])
_CHANGEABLE: Final = {
    **_OPTIONS,
    "paused": st.booleans(),
    "url": URLS,
    "secret": st.sampled_from([None, "a-first-secret", "a-second-secret"]),
}
_CHANGES: Final = st.lists(st.sampled_from(sorted(_CHANGEABLE)), min_size=1, max_size=2, unique=True).flatmap(
    lambda names: st.fixed_dictionaries({name: _CHANGEABLE[name] for name in names})
)
#: What a preset can't have, or can't be changed to without more.
_NOT_OF_PRESETS: Final = ("options", "url", "secret")
_MEETINGS: Final = st.sampled_from(["m-1", "m-1", "m-1", "m-2"])
_WHICH: Final = st.integers(0, 30)
#: Mostly the first of the two workspaces, so that there is something to deliver.
_NTH: Final = st.sampled_from([0, 0, 0, 1])
#: What takes things away, or sends them again, comes once there are some.
SOME: Final = 4


def _has_endpoints(machine: Operated) -> bool:
    return bool(machine.living)


class Operated(SteppedMachine):
    """Events, endpoints, replays, the passing of time."""

    def __init__(self, opened: Callable[[], Opened]) -> None:
        """``opened`` makes an empty store."""
        super().__init__()
        self.opened = opened()
        self.world = self.opened.world
        self._ids = (uuid5(NAMESPACE_OID, str(number)) for number in count())
        #: The endpoints that are not deleted.
        self.living: list[UUID] = []
        self.keys: dict[tuple[UUID, str], tuple[UUID, bytes]] = {}

    @initialize(
        rules=_RULES,
        endpoints=st.lists(st.fixed_dictionaries(_LIMITS), min_size=1, max_size=3),
        events=st.sampled_from([3, 1, 2, 4, 0]),
    )
    def a_system_begins(self, rules: HealthRules, endpoints: list[dict[str, Any]], events: int) -> None:
        self.ledger = Ledger(rules)
        self.store = WatchedStore(self.opened, self.ledger)
        self.inspector = Inspector(self.opened, self.ledger)
        self.workspaces = [self.world.workspace(), self.world.workspace()]
        for limits in endpoints:
            self.an_endpoint_is_registered(0, limits | {"events": SUBSCRIBABLE})
        self.events_are_published(0, PUBLISHABLE[0], "m-1", events, announced=True)

    @step(nth=_NTH, options=st.fixed_dictionaries(_OPTIONS))
    def an_endpoint_is_registered(self, nth: int, options: dict[str, Any]) -> None:
        webhook = self.world.webhook(self.workspaces[nth], id=next(self._ids), **options)
        self.ledger.registered(webhook)
        self.living.append(webhook.id)

    @step(nth=_NTH, form=st.sampled_from(list(PRESETS)), options=st.fixed_dictionaries(_OPTIONS))
    def a_chat_is_registered(self, nth: int, form: Format, options: dict[str, Any]) -> None:
        self.an_endpoint_is_registered(nth, options | preset_fields(form))

    @step(nth=_NTH, options=st.fixed_dictionaries(_LIMITS))
    def an_endpoint_is_registered_that_is_to_be_verified(self, nth: int, options: dict[str, Any]) -> None:
        asked = Verification(self.opened.now(), challenge=self._challenge())
        self.an_endpoint_is_registered(nth, options | {"events": SUBSCRIBABLE, "verification": asked})
        self._ask(self.endpoint(len(self.living) - 1))

    @step(weight=2, when=_has_endpoints, which=_WHICH, url=URLS)
    def an_endpoint_is_to_move(self, which: int, url: str) -> None:
        """One that was not verified moves at once, and is asked there."""
        before = self.endpoint(which)
        if before.enabled and url != before.url and not before.options.format.is_preset:
            is_verified = before.verification.unverified_since is None
            asked = replace(before.verification, challenge=self._challenge())
            changes = {"verification": replace(asked, pending_url=url)} if is_verified else {"url": url}
            after = self.world.change(replace(before, **({"verification": asked} | changes)))
            self.ledger.changed(before, after)
            self._ask(after)

    @step(when=_has_endpoints, which=_WHICH)
    def an_endpoint_is_asked_again(self, which: int) -> None:
        before = self.endpoint(which)
        if before.enabled and before.verification.is_awaited:
            asked = replace(before.verification, challenge=self._challenge())
            self._ask(self.world.change(replace(before, verification=asked)))

    def _challenge(self) -> Challenge:
        """Make one whose event has the next of the run's ids."""
        event_id = next(self._ids)
        return Challenge(event_id, f"challenge-{event_id}", self.opened.now() + CHALLENGE_LASTS)

    def _ask(self, webhook: WebhookConfig) -> None:
        challenge = webhook.verification.challenge
        assert challenge is not None
        with self.world.units() as unit:
            self.ledger.accepted(unit.events.append(verification_event(webhook, challenge, now=NOON)))
            unit.commit()
        self.ledger.challenges[challenge.event_id] = challenge

    @step(weight=3, when=_has_endpoints, which=_WHICH, changes=_CHANGES)
    def an_endpoint_is_changed(self, which: int, changes: dict[str, Any]) -> None:
        before = self.endpoint(which)
        is_preset = before.options.format.is_preset
        asked = {name: value for name, value in changes.items() if not (is_preset and name in _NOT_OF_PRESETS)}
        if asked.get("enabled"):
            asked["disabled_reason"] = None
        if "paused" in asked:
            asked["paused_at"] = (before.paused_at or datetime.now(UTC)) if asked.pop("paused") else None
        self.ledger.changed(before, self.world.change(replace(before, **asked)))

    @step(weight=2, when=_has_endpoints, which=_WHICH)
    def an_endpoint_is_paused(self, which: int) -> None:
        self.an_endpoint_is_changed(which, {"paused": True})

    @step(when=_has_endpoints, which=_WHICH)
    def an_endpoint_is_disabled(self, which: int) -> None:
        self.an_endpoint_is_changed(which, {"enabled": False})

    @step(weight=3, when=_has_endpoints, which=_WHICH)
    def what_was_stopped_goes_on(self, which: int) -> None:
        """An endpoint that is paused or disabled, if there is one, is so no more."""
        stopped = [nth for nth in range(len(self.living)) if (each := self.endpoint(nth)).paused_at or not each.enabled]
        if stopped:
            self.an_endpoint_is_changed(self.pick(stopped, which), {"paused": False, "enabled": True})

    @step(when=lambda self: self.living and len(self.ledger.tracks) > SOME, which=_WHICH)
    def an_endpoint_is_deleted(self, which: int) -> None:
        webhook = self.endpoint(which)
        assert self.world.delete(webhook)
        self.living.remove(webhook.id)
        self.ledger.deleted(webhook.id)

    @step(
        weight=6,
        nth=_NTH,
        event_type=_TYPES,
        meeting_id=_MEETINGS,
        times=st.sampled_from([2, 1, 5]),
        announced=st.sampled_from([True, True, False]),
    )
    def events_are_published(self, nth: int, event_type: str, meeting_id: str, times: int, *, announced: bool) -> None:
        for _ in range(times):
            event = self.world.event(
                self.workspaces[nth], id=next(self._ids), event_type=event_type, meeting_id=meeting_id
            )
            self.ledger.accepted(event)
        if announced:
            self.store.dispatch([], limit=100)

    @step(nth=_NTH, key=st.sampled_from("kl"), digest=st.sampled_from([b"this", b"that"]))
    def an_event_is_published_under_a_key(self, nth: int, key: str, digest: bytes) -> None:
        asked = {"id": next(self._ids), "idempotency_key": key, "request_digest": digest}
        known = self.keys.get((self.workspaces[nth], key))
        if known is not None and known[1] != digest:
            with pytest.raises(AlreadyExistsError):
                self.world.event(self.workspaces[nth], **asked)
            return
        event = self.world.event(self.workspaces[nth], **asked)
        if known is None:
            self.keys[self.workspaces[nth], key] = event.id, digest
            self.ledger.accepted(event)
        else:
            assert event.id == known[0], "one key stands for two events"

    @step(when=_has_endpoints, which=_WHICH)
    def a_test_is_asked_for(self, which: int) -> None:
        webhook = self.endpoint(which)
        if webhook.enabled and webhook.verification.unverified_since is None:
            event = self.world.event(
                webhook.workspace_id,
                id=next(self._ids),
                event_type="webhook.test",
                meeting_id=None,
                target_webhook_id=webhook.id,
            )
            self.ledger.accepted(event)

    @step(weight=2, when=lambda self: self.ledger.tracks, which=_WHICH)
    def a_delivery_is_sent_again(self, which: int) -> None:
        delivery_id, track = self.pick(list(self.ledger.tracks.items()), which)
        webhook = self.opened.read().webhooks[track.webhook_id]
        event = self.ledger.events[track.event_id]
        is_settled = track.status in {"succeeded", "dead", "skipped"}
        began = self.opened.now()
        if not is_settled or not webhook.enabled or event.is_erased or not shown(webhook).is_verified:
            with pytest.raises(PreconditionError):
                self.world.send_again(event.workspace_id, delivery_id)
            return
        self.world.send_again(event.workspace_id, delivery_id)
        self.ledger.sent_again(delivery_id, Span(began, self.opened.now()))

    @step(
        weight=2,
        when=lambda self: self.ledger.tracks and len(self.ledger.replays) < RUNNING_LIMIT,
        nth=_NTH,
        which=st.none() | _WHICH,
        status=st.sampled_from([None, None, DeliveryStatus.DEAD, DeliveryStatus.SKIPPED, DeliveryStatus.SUCCEEDED]),
        include_filtered=st.sampled_from([False, False, True]),
        event_type=st.none() | _TYPES,
        statuses=st.sampled_from([frozenset(), frozenset(), frozenset({DeliveryStatus.DEAD, DeliveryStatus.SKIPPED})]),
        error_kind=st.sampled_from([None, None, None, ErrorKind.STATUS, ErrorKind.TIMEOUT]),
        status_code=st.sampled_from([None, None, None, 410, 200]),
        rate_per_s=st.sampled_from([10_000.0, 0.1]),
    )
    def a_replay_begins(
        self,
        nth: int,
        which: int | None,
        rate_per_s: float,
        *,
        include_filtered: bool,
        **criteria: Any,  # noqa: ANN401 - a filter's fields
    ) -> None:
        if which is not None:
            criteria["webhook_id"] = self.pick(list(self.ledger.endpoints), which)
        began = self.opened.now()
        with self.world.units() as unit:
            asked = Replay.create(
                self.workspaces[nth],
                DeliveryFilter(**criteria),
                rate_per_s=rate_per_s,
                include_filtered=include_filtered and criteria["status"] in (None, DeliveryStatus.SKIPPED),
            )
            stored = unit.replays.create(asked)
            unit.commit()
        self.ledger.begun(stored, Span(began, self.opened.now()))

    @step(weight=3, when=lambda self: self.ledger.replays, limit=st.sampled_from([1, 2, 100]))
    def replays_go_on(self, limit: int) -> None:
        self.world.age(SPELLS[0])
        self.advance(limit=limit)

    @step(when=lambda self: self.ledger.replays, which=_WHICH)
    def a_replay_is_cancelled(self, which: int) -> None:
        replay_id = self.pick(list(self.ledger.replays), which)
        row = self.opened.read().replays[replay_id]
        with self.world.units() as unit:
            if row.state != "running":
                with pytest.raises(PreconditionError):
                    unit.replays.cancel(row.workspace_id, replay_id)
                return
            unit.replays.cancel(row.workspace_id, replay_id)
            unit.commit()
        assert self.opened.read().replays[replay_id].state == "cancelled"

    @step(when=lambda self: len(self.ledger.tracks) > SOME, nth=_NTH, meeting_id=st.sampled_from(["m-2", "m-2", "m-1"]))
    def a_meeting_s_payloads_are_erased(self, nth: int, meeting_id: str) -> None:
        with self.world.units() as unit:
            counts = unit.events.erase_meeting(self.workspaces[nth], meeting_id)
            unit.commit()
        assert counts == self.ledger.erased(self.workspaces[nth], meeting_id)

    @step(weight=5, by=st.sampled_from(SPELLS))
    def time_passes(self, by: timedelta) -> None:
        self.world.age(by)

    def check(self) -> None:
        """Check that all is as it must be."""
        self.inspector.check()

    def advance(self, *, limit: int) -> int | None:
        """Take one step of one replay, if one is due."""
        before, began = self.opened.read(), self.opened.now()
        with self.world.units() as unit:
            answer = unit.replays.advance(limit=limit)
            unit.commit()
        span = Span(began, self.opened.now())
        check_step(self.ledger, before, self.opened.read(), answer=answer, limit=limit, span=span)
        return answer

    def endpoint(self, which: int) -> WebhookConfig:
        """Return one that is not deleted, as it is stored."""
        with self.world.units() as unit:
            webhook = unit.webhooks.get_by_id(self.pick(self.living, which))
        assert webhook is not None
        return webhook

    @staticmethod
    def pick(choices: list[Any], which: int) -> Any:  # noqa: ANN401 - one of them
        """Return one of what there is."""
        return choices[which % len(choices)]
