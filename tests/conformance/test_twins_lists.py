"""The SQL of lists, replays, tokens and recordings names the rows that the domain names."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any
from uuid import UUID, uuid4

from hypothesis import given
from hypothesis import strategies as st
from sqlalchemy import insert
from sqlalchemy.orm import Session

from noteflow_hooks.crypto import SecretBox
from noteflow_hooks.domain.attempts import ErrorKind
from noteflow_hooks.domain.deliveries import FINAL_STATUSES, DeliveryStatus
from noteflow_hooks.domain.events import WebhookEventType
from noteflow_hooks.domain.filters import is_filterable
from noteflow_hooks.domain.matching import is_listed, is_sent_again, is_undelivered, is_unmatched, meets
from noteflow_hooks.domain.paging import DeliveryFilter, EventFilter
from noteflow_hooks.domain.replays import Replay
from noteflow_hooks.domain.skipping import SkipReason
from noteflow_hooks.persistence.sql.access import SqlAlchemyAccessRepository
from noteflow_hooks.persistence.sql.converters import (
    WebhookConverter,
    recording_to_domain,
    replay_to_domain,
    token_to_domain,
)
from noteflow_hooks.persistence.sql.delivery_log import SqlAlchemyDeliveryLog
from noteflow_hooks.persistence.sql.maintenance.errands import ABANDONED
from noteflow_hooks.persistence.sql.meetings import SqlAlchemyMeetingRepository
from noteflow_hooks.persistence.sql.orm import ApiTokenRow, MeetingRow, RecordingRow, WebhookReplayRow
from noteflow_hooks.persistence.sql.outbox import SqlAlchemyEventOutbox
from noteflow_hooks.persistence.sql.replays import SqlAlchemyReplayRepository
from noteflow_hooks.persistence.sql.work import Work
from tests.support.twins import MAYBE, MOMENTS, Endpoint, Rows, endpoints, in_transaction, twin

if TYPE_CHECKING:
    from sqlalchemy.engine import Engine

    from noteflow_hooks.domain.deliveries import WebhookDelivery
    from noteflow_hooks.domain.events import Event

CONVERTER = WebhookConverter(SecretBox([bytes(32)]))
TYPES = st.sampled_from(["meeting.completed", "summary.generated"])
#: A delivery: its endpoint by its place, its status, its type, when it was stored, whether its payload was erased, why
#: it is skipped, where it is, its event's meeting, and how its last attempt ended.
DELIVERIES = st.tuples(
    st.sampled_from([0, 1]),
    st.sampled_from(list(DeliveryStatus)),
    TYPES,
    MOMENTS,
    st.sampled_from([False, False, True]),
    st.sampled_from([None, "filtered", "filter_failed"]),
    st.sampled_from([None, "m-1", "m-2"]),
    st.sampled_from([(None, None), ("timeout", None), ("status", 404), ("status", 500)]),
)
#: A filter, its endpoint by its place and its times in seconds from now.
FILTERS = st.fixed_dictionaries(
    {
        "webhook": st.sampled_from([None, None, 0, 1]),
        "status": st.none() | st.sampled_from(list(DeliveryStatus)),
        "event_type": st.none() | TYPES,
        "created_after": MAYBE,
        "created_before": MAYBE,
        "statuses": st.frozensets(st.sampled_from(list(DeliveryStatus)), max_size=2),
        "event": st.sampled_from([None, None, None, 0, 1]),
        "meeting_id": st.sampled_from([None, None, "m-1", "m-2"]),
        "error_kind": st.sampled_from([None, None, None, ErrorKind.STATUS, ErrorKind.TIMEOUT]),
        "status_code": st.sampled_from([None, None, None, 200, 404]),
        "skip_reason": st.sampled_from([None, None, None, *SkipReason]),
    }
)
Made = tuple[int, DeliveryStatus, str, float, bool, str | None, str | None, tuple[str | None, int | None]]


def stored(
    rows: Rows, generated: list[Endpoint], deliveries: list[Made]
) -> tuple[list[UUID], list[tuple[WebhookDelivery, Event]]]:
    """Store two endpoints and deliveries to them; return the endpoints' ids, and the deliveries with their events."""
    webhook_ids = [rows.endpoint(each) for each in generated]
    made = []
    for place, status, event_type, created_at, erased, reason, meeting_id, (kind, code) in deliveries:
        gone = -1.0 if erased else None
        event_id = rows.event(event_type=event_type, dispatched_at=-60.0, payload_erased_at=gone, meeting_id=meeting_id)
        columns: dict[str, Any] = {"status": status, "event_type": event_type, "created_at": created_at}
        if status is DeliveryStatus.SKIPPED:
            columns["skip_reason"] = reason
        if status is not DeliveryStatus.SUCCEEDED:
            columns |= {"error_kind": kind, "status_code": code}
        delivery_id = rows.delivery(webhook_ids[place], event_id=event_id, **columns)
        made.append((rows.read_delivery(delivery_id), rows.read_event(event_id)))
    return webhook_ids, made


def criteria_of(
    rows: Rows, webhook_ids: list[UUID], made: list[tuple[WebhookDelivery, Event]], columns: dict[str, Any]
) -> DeliveryFilter:
    """Return the filter; an event that is not there is none of anybody's."""
    nth = columns["event"]
    return DeliveryFilter(
        event_id=None if nth is None else made[nth][1].id if nth < len(made) else uuid4(),
        statuses=columns["statuses"],
        meeting_id=columns["meeting_id"],
        error_kind=columns["error_kind"],
        status_code=columns["status_code"],
        skip_reason=columns["skip_reason"],
        webhook_id=None if columns["webhook"] is None else webhook_ids[columns["webhook"]],
        status=columns["status"],
        event_type=columns["event_type"],
        created_after=rows.at(columns["created_after"]),
        created_before=rows.at(columns["created_before"]),
    )


@twin("domain.matching.meets", "domain.matching.is_undelivered", "domain.matching.is_unmatched")
@given(
    generated=st.lists(endpoints(), min_size=2, max_size=2),
    deliveries=st.lists(DELIVERIES, max_size=6),
    events=st.lists(st.tuples(TYPES, MOMENTS, st.booleans()), max_size=3),
    columns=FILTERS,
)
def test_what_a_filter_names_and_what_is_undelivered_is_one_thing(
    tables: Engine,
    generated: list[Endpoint],
    deliveries: list[Made],
    events: list[tuple[str, float, bool]],
    columns: dict[str, Any],
) -> None:
    """Events that wait to be matched are undelivered, unless an endpoint is named."""

    def check(rows: Rows) -> None:
        webhook_ids, made = stored(rows, generated, deliveries)
        alone = [
            rows.read_event(
                rows.event(event_type=event_type, created_at=created_at, dispatched_at=-1.0 if matched else None)
            )
            for event_type, created_at, matched in events
        ]
        criteria = criteria_of(rows, webhook_ids, made, columns)
        log = SqlAlchemyDeliveryLog(Work.inside(rows.connection), CONVERTER)
        # And by each filter of the last attempt alone: few rows meet all that is generated.
        alone_by = (
            DeliveryFilter(error_kind=ErrorKind.STATUS),
            DeliveryFilter(status_code=404),
            DeliveryFilter(skip_reason=SkipReason.FILTERED),
        )
        for narrowed in (criteria, *alone_by, DeliveryFilter(meeting_id="m-1"), replace(criteria, webhook_id=None)):
            expected = {each.id for each, event in made if meets(each, narrowed, meeting_id=event.meeting_id)}
            assert {each.id for each in log.list_page(rows.workspace_id, narrowed, limit=100)} == expected
            assert log.count(rows.workspace_id, narrowed) == len(expected)
        undelivered = log.undelivered_page(rows.workspace_id, criteria, limit=100)
        assert {each.id for each in undelivered} == {
            *(each.id for each, _ in made if is_undelivered(each, criteria)),
            *(each.id for each in alone if is_unmatched(each, criteria)),
        }

    in_transaction(tables, check)


@twin("domain.matching.is_listed")
@given(
    events=st.lists(st.tuples(TYPES, st.sampled_from(["m-1", "m-2", None]), MOMENTS), max_size=6),
    columns=st.fixed_dictionaries(
        {
            "event_type": st.none() | TYPES,
            "meeting_id": st.sampled_from([None, "m-1", "m-2"]),
            "created_after": MAYBE,
            "created_before": MAYBE,
        }
    ),
)
def test_the_events_that_a_filter_names_are_listed_and_counted(
    tables: Engine, events: list[tuple[str, str | None, float]], columns: dict[str, Any]
) -> None:
    """By type, meeting and time."""

    def check(rows: Rows) -> None:
        made = [
            rows.read_event(rows.event(event_type=event_type, meeting_id=meeting_id, created_at=created_at))
            for event_type, meeting_id, created_at in events
        ]
        moments = {name: rows.at(columns[name]) for name in ("created_after", "created_before")}
        criteria = EventFilter(**(columns | moments))
        outbox = SqlAlchemyEventOutbox(Work.inside(rows.connection))
        expected = {each.id for each in made if is_listed(each, criteria)}
        assert {each.id for each in outbox.list_page(rows.workspace_id, criteria, limit=100)} == expected
        assert outbox.count(rows.workspace_id, criteria) == len(expected)

    in_transaction(tables, check)


@twin("domain.matching.is_sent_again")
@given(
    generated=st.lists(endpoints(), min_size=2, max_size=2),
    deliveries=st.lists(DELIVERIES, max_size=8),
    columns=FILTERS,
    status=st.none() | st.sampled_from(sorted(FINAL_STATUSES)),
    include_filtered=st.booleans(),
)
def test_what_a_replay_sends_again_is_one_thing(
    tables: Engine,
    generated: list[Endpoint],
    deliveries: list[Made],
    columns: dict[str, Any],
    status: DeliveryStatus | None,
    *,
    include_filtered: bool,
) -> None:
    """Nothing goes to an endpoint that nothing is sent to, and nothing whose payload is erased."""

    def check(rows: Rows) -> None:
        webhook_ids, made = stored(rows, generated, deliveries)
        criteria = replace(criteria_of(rows, webhook_ids, made, columns), status=status)
        replay = SqlAlchemyReplayRepository(Session(rows.connection)).preview(
            Replay(uuid4(), rows.workspace_id, criteria, include_filtered=include_filtered)
        )
        webhooks = {each: rows.read_endpoint(each)[0] for each in webhook_ids}
        expected = [each for each, event in made if is_sent_again(replay, each, webhooks[each.webhook_id], event)]
        assert replay.matched == len(expected)

    in_transaction(tables, check)


@twin("domain.replays.Replay.allowed")
@given(paced_at=st.sampled_from([-60.0, -1.0, -0.2, -0.1, 0.0, 5.0]), rate=st.sampled_from([0.1, 1.0, 5.0, 10_000.0]))
def test_when_a_replay_has_its_next_step_is_one_thing(tables: Engine, paced_at: float, rate: float) -> None:
    """Not before its rate allows one, nor sooner after the last one than steps may follow each other."""

    def check(rows: Rows) -> None:
        columns = {
            "id": uuid4(),
            "workspace_id": rows.workspace_id,
            "rate_per_s": rate,
            "matched": 0,
            "paced_at": rows.at(paced_at),
            "created_before": rows.now,
        }
        row = rows.connection.execute(insert(WebhookReplayRow).values(columns).returning(*_columns(WebhookReplayRow)))
        allowed = replay_to_domain(row.one()).allowed(now=rows.now)  # type: ignore[arg-type]  # columns by the same names
        step = SqlAlchemyReplayRepository(Session(rows.connection)).advance(limit=1)
        assert (step is not None) == (allowed > 0)

    in_transaction(tables, check)


@twin("domain.access.ApiToken.live_at", "domain.access.ApiToken.use_is_due")
@given(moments=st.lists(st.tuples(MAYBE, st.none() | st.just(-1.0), MAYBE), min_size=1, max_size=6))
def test_which_tokens_are_live_and_whose_use_is_noted_is_one_thing(
    tables: Engine, moments: list[tuple[float | None, float | None, float | None]]
) -> None:
    """A use is noted once a minute at the most."""

    def check(rows: Rows) -> None:
        values = [
            {
                "id": uuid4(),
                "workspace_id": rows.workspace_id,
                "name": "Twin",
                "token_hash": uuid4().bytes,
                "hint": "",
                "expires_at": rows.at(expires_at),
                "revoked_at": rows.at(revoked_at),
                "last_used_at": rows.at(used_at),
            }
            for expires_at, revoked_at, used_at in moments
        ]
        found = rows.connection.execute(insert(ApiTokenRow).returning(*_columns(ApiTokenRow)), values)
        tokens = [token_to_domain(row) for row in found]  # type: ignore[arg-type]  # columns by the same names
        access = SqlAlchemyAccessRepository(Work.inside(rows.connection))
        assert set(access.live_tokens([each.id for each in tokens])) == {
            each.id for each in tokens if each.live_at(rows.now)
        }
        assert [access.note_use(each.id) for each in tokens] == [each.use_is_due(rows.now) for each in tokens]

    in_transaction(tables, check)


@twin("domain.meetings.Recording.is_abandoned")
@given(
    recordings=st.lists(st.tuples(MOMENTS, st.sampled_from(["a", "b"]), MAYBE), min_size=1, max_size=6),
    silent_s=st.sampled_from([1, 60]),
    server=st.sampled_from([None, "a"]),
)
def test_which_recordings_are_abandoned_is_one_thing(
    tables: Engine, recordings: list[tuple[float, str, float | None]], silent_s: int, server: str | None
) -> None:
    """Those of a server that begins anew are, and those without a sign of life for so long."""

    def check(rows: Rows) -> None:
        values = [
            {
                "id": uuid4(),
                "meeting_id": _meeting(rows),
                "workspace_id": rows.workspace_id,
                "server": own,
                "seen_at": rows.at(seen_at),
                "ended_at": rows.at(ended_at),
            }
            for seen_at, own, ended_at in recordings
        ]
        found = rows.connection.execute(insert(RecordingRow).returning(*_columns(RecordingRow)), values)
        made = [recording_to_domain(row) for row in found]  # type: ignore[arg-type]  # columns by the same names
        silent_for = timedelta(seconds=silent_s)
        abandoned = SqlAlchemyMeetingRepository(Work.inside(rows.connection)).abandoned_recordings(
            silent_for=silent_for, server=server
        )
        assert {each.id for each in abandoned} == {
            each.id for each in made if each.is_abandoned(rows.now, silent_for=silent_for, server=server)
        }
        is_any = rows.connection.execute(ABANDONED, {"silent_for": silent_for}).scalar_one()
        assert is_any == any(each.is_abandoned(rows.now, silent_for=silent_for) for each in made)

    in_transaction(tables, check)


def _meeting(rows: Rows) -> UUID:
    columns: dict[str, UUID | datetime] = {"id": uuid4(), "workspace_id": rows.workspace_id}
    meeting_id: UUID = rows.connection.scalars(insert(MeetingRow).values(columns).returning(MeetingRow.id)).one()
    return meeting_id


def _columns(table: Any) -> list[Any]:  # noqa: ANN401 - a mapped class
    return list(table.__table__.columns)


@twin("domain.filters.is_filterable")
@given(types=st.lists(st.sampled_from([*WebhookEventType, "custom.a", "custom.webhook.x", "webhookx"]), max_size=9))
def test_the_events_that_filters_apply_to_are_those_of_the_domain(tables: Engine, types: list[str]) -> None:
    """By their types alone."""

    def check(rows: Rows) -> None:
        ids = {rows.event(event_type=kind): kind for kind in types}
        found = SqlAlchemyEventOutbox(Work.inside(rows.connection)).newest_filterable(rows.workspace_id, limit=99)
        assert {each.id for each in found} == {key for key, kind in ids.items() if is_filterable(kind)}

    in_transaction(tables, check)
