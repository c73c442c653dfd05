"""The machine's first half: what servers and people do. Whoever may not do something is refused, and nothing changes."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from itertools import count
from typing import TYPE_CHECKING, Any, Final
from uuid import NAMESPACE_OID, UUID, uuid5

import pytest
from hypothesis import strategies as st
from hypothesis.stateful import Bundle, RuleBasedStateMachine, consumes, initialize, invariant, precondition, rule

from noteflow_hooks.domain.deliveries import DeliveryStatus
from noteflow_hooks.domain.events import PUBLISHABLE, SUBSCRIBABLE
from noteflow_hooks.domain.health import HealthRules
from noteflow_hooks.domain.ports import DeliveryFilter
from noteflow_hooks.domain.replays import RUNNING_LIMIT, Replay
from noteflow_hooks.errors import AlreadyExistsError, PreconditionError
from tests.builders import a_workspace
from tests.conformance import invariants
from tests.conformance.ledger import Ledger
from tests.conformance.sendings import check_step
from tests.conformance.tracks import Span
from tests.conformance.watched import WatchedStore

if TYPE_CHECKING:
    from collections.abc import Callable

    from noteflow_hooks.domain.webhooks import WebhookConfig
    from tests.conformance.rows import Opened

#: Far longer than a run takes, and far from each other's sums and multiples: no run's own time decides what is due.
SPELLS: Final = tuple(map(lambda s: timedelta(seconds=s), (5, 30, 120, 600, 3600, 10_800, 86_400)))
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
_OPTIONS: Final[dict[str, st.SearchStrategy[Any]]] = {
    "events": _SUBSCRIBED,
    "max_concurrency": st.sampled_from([None, 1, 2]),
    "rate_limit_per_s": st.sampled_from([None, None, 0.1, 20.0]),
    "max_retries": st.integers(1, 4),
    "timeout_ms": st.sampled_from([10_000, 30_000]),
    "enabled": st.sampled_from([True, True, True, False]),
}
_CHANGES: Final = {
    **_OPTIONS,
    "enabled": st.booleans(),
    "paused": st.booleans(),
    "url": st.sampled_from(["https://receiver.example/hooks", "https://elsewhere.example/"]),
    "secret": st.sampled_from([None, "a-first-secret", "a-second-secret"]),
}
_MEETINGS: Final = st.sampled_from(["m-1", "m-1", "m-2"])
_WHICH: Final = st.integers(0, 30)
#: Mostly the first of the two workspaces, so that there is something to deliver.
_NTH: Final = st.sampled_from([0, 0, 0, 1])
#: What takes things away, or sends them again, comes once there are some.
_SOME: Final = 4


class Operated(RuleBasedStateMachine):
    """Events, endpoints, replays, the passing of time."""

    endpoints = Bundle("endpoints")

    def __init__(self, opened: Callable[[], Opened]) -> None:
        """``opened`` makes an empty store."""
        super().__init__()
        self.opened = opened()
        self.world = self.opened.world
        self._ids = (uuid5(NAMESPACE_OID, str(number)) for number in count())
        self.keys: dict[tuple[UUID, str], tuple[UUID, bytes]] = {}

    @initialize(target=endpoints, rules=_RULES, options=st.fixed_dictionaries(_OPTIONS))
    def a_system_begins(self, rules: HealthRules, options: dict[str, Any]) -> UUID:
        self.ledger = Ledger(rules)
        self.store = WatchedStore(self.opened, self.ledger)
        self.workspaces = [self.world.workspace(), self.world.workspace()]
        return self.an_endpoint_is_registered(0, options)

    @rule(target=endpoints, nth=_NTH, options=st.fixed_dictionaries(_OPTIONS))
    def an_endpoint_is_registered(self, nth: int, options: dict[str, Any]) -> UUID:
        webhook = self.world.webhook(self.workspaces[nth], id=next(self._ids), **options)
        self.ledger.registered(webhook)
        return webhook.id

    @rule(webhook_id=endpoints, changes=st.fixed_dictionaries({}, optional=_CHANGES))
    def an_endpoint_is_changed(self, webhook_id: UUID, changes: dict[str, Any]) -> None:
        before = self.config(webhook_id)
        asked = dict(changes)
        if asked.get("enabled"):
            asked["disabled_reason"] = None
        if "paused" in asked:
            asked["paused_at"] = (before.paused_at or datetime.now(UTC)) if asked.pop("paused") else None
        self.ledger.changed(before, self.world.change(replace(before, **asked)))

    @precondition(lambda self: len(self.ledger.tracks) > _SOME)
    @rule(webhook_id=consumes(endpoints))
    def an_endpoint_is_deleted(self, webhook_id: UUID) -> None:
        assert self.world.delete(self.config(webhook_id))
        self.ledger.deleted(webhook_id)

    @rule(
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

    @rule(nth=_NTH, key=st.sampled_from("kl"), digest=st.sampled_from([b"this", b"that"]))
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

    @rule(webhook_id=endpoints)
    def a_test_is_asked_for(self, webhook_id: UUID) -> None:
        webhook = self.config(webhook_id)
        if webhook.enabled:
            event = self.world.event(
                webhook.workspace_id,
                id=next(self._ids),
                event_type="webhook.test",
                meeting_id=None,
                target_webhook_id=webhook_id,
            )
            self.ledger.accepted(event)

    @precondition(lambda self: self.ledger.tracks)
    @rule(which=_WHICH)
    def a_delivery_is_sent_again(self, which: int) -> None:
        delivery_id, track = self.pick(list(self.ledger.tracks.items()), which)
        webhook = self.opened.read().webhooks[track.webhook_id]
        event = self.ledger.events[track.event_id]
        is_settled = track.status in {"succeeded", "dead", "skipped"}
        began = self.opened.now()
        if not is_settled or not webhook.enabled or event.is_erased:
            with pytest.raises(PreconditionError):
                self.world.send_again(event.workspace_id, delivery_id)
            return
        self.world.send_again(event.workspace_id, delivery_id)
        self.ledger.sent_again(delivery_id, Span(began, self.opened.now()))

    @precondition(lambda self: self.ledger.tracks and len(self.ledger.replays) < RUNNING_LIMIT)
    @rule(
        nth=_NTH,
        status=st.sampled_from([None, None, DeliveryStatus.DEAD, DeliveryStatus.SUCCEEDED]),
        event_type=st.one_of(st.none(), _TYPES),
        rate_per_s=st.sampled_from([10_000.0, 0.1]),
    )
    def a_replay_begins(self, nth: int, status: DeliveryStatus | None, event_type: str | None, rate_per_s: float) -> None:
        criteria = DeliveryFilter(status=status, event_type=event_type)
        began = self.opened.now()
        self._begin(Replay.create(self.workspaces[nth], criteria, rate_per_s=rate_per_s), began)

    @precondition(lambda self: self.ledger.tracks and len(self.ledger.replays) < RUNNING_LIMIT)
    @rule(webhook_id=endpoints)
    def a_replay_of_one_endpoint_begins(self, webhook_id: UUID) -> None:
        criteria = DeliveryFilter(webhook_id=webhook_id)
        began = self.opened.now()
        self._begin(Replay.create(self.config(webhook_id).workspace_id, criteria, rate_per_s=10_000.0), began)

    @precondition(lambda self: self.ledger.replays)
    @rule(limit=st.sampled_from([1, 2, 100]))
    def replays_go_on(self, limit: int) -> None:
        self.advance(limit=limit)

    @precondition(lambda self: self.ledger.replays)
    @rule(which=_WHICH)
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

    @precondition(lambda self: len(self.ledger.tracks) > _SOME)
    @rule(nth=_NTH, meeting_id=_MEETINGS)
    def a_meeting_s_payloads_are_erased(self, nth: int, meeting_id: str) -> None:
        with self.world.units() as unit:
            counts = unit.events.erase_meeting(self.workspaces[nth], meeting_id)
            unit.commit()
        assert counts == self.ledger.erased(self.workspaces[nth], meeting_id)

    @rule(by=st.sampled_from(SPELLS))
    def time_passes(self, by: timedelta) -> None:
        self.world.age(by)

    @invariant()
    def all_is_as_it_must_be(self) -> None:
        invariants.check(self.opened, self.ledger)

    def advance(self, *, limit: int) -> int | None:
        """Take one step of one replay, if one is due."""
        before, began = self.opened.read(), self.opened.now()
        with self.world.units() as unit:
            answer = unit.replays.advance(limit=limit)
            unit.commit()
        span = Span(began, self.opened.now())
        check_step(self.ledger, before, self.opened.read(), answer=answer, limit=limit, span=span)
        return answer

    def config(self, webhook_id: UUID) -> WebhookConfig:
        """Return an endpoint as it is stored."""
        with self.world.units() as unit:
            webhook = unit.webhooks.get_by_id(webhook_id)
        assert webhook is not None
        return webhook

    @staticmethod
    def pick(choices: list[Any], which: int) -> Any:  # noqa: ANN401 - one of them
        """Return one of what there is."""
        return choices[which % len(choices)]

    def _begin(self, replay: Replay, began: datetime) -> None:
        with self.world.units() as unit:
            stored = unit.replays.create(replay)
            unit.commit()
        self.ledger.begun(stored, Span(began, self.opened.now()))
