"""The statements that store events: one for a single event, one for any number, and one that finds what was there.

A conflict is no error, whichever it is with. With the event's own id it means that an earlier try came through whose
answer was lost; with its idempotency key, that the request is a repetition, or the key another event's.
"""

from __future__ import annotations

from dataclasses import fields, replace
from typing import TYPE_CHECKING, Any, Final, NamedTuple

import psycopg

from noteflow_hooks.domain.events import Event
from noteflow_hooks.errors import AlreadyExistsError, UnavailableError
from noteflow_hooks.persistence.sql.wire import Statement

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence
    from uuid import UUID

    Rows = Sequence[Sequence[Any]]
    #: Runs a statement and returns its rows.
    Run = Callable[[Statement, Mapping[str, Any]], Rows]

#: The columns that are written; the database sets the rest.
_TYPES: Final = {
    "id": "uuid",
    "workspace_id": "uuid",
    "event_type": "text",
    "meeting_id": "text",
    "target_webhook_id": "uuid",
    "payload": "text",
    "idempotency_key": "text",
    "request_digest": "bytea",
    "occurred_at": "timestamptz",
}
#: Where an event has a trace.
_TRACED_TYPES: Final = _TYPES | {"traceparent": "text"}
#: What is read back of an event that was there, by the names of its fields.
_READ: Final = tuple(each.name for each in fields(Event))
_READ_COLUMNS: Final = ", ".join(f"e.{name}::text" if name == "payload" else f"e.{name}" for name in _READ)
#: How often the same is done again, where others record, or remove, the same at that moment.
_TRIES: Final = 5
#: What ``noteflow.recorded_meanwhile`` raises.
_RECORDED_MEANWHILE: Final = "NF001"

#: What is there already takes no number, as far as the statement sees. What another one records at this very moment
#: has its meeting's counter locked, so that this one waits, and then finds fewer stored than it has numbered: it fails
#: as a whole, and its caller repeats it.
#: OFFSET 0 keeps each look by itself, by an index. As a join it would read the whole table, where the statement was
#: planned while that was empty.
_UNSEEN: Final = """
    NOT EXISTS (SELECT FROM noteflow.webhook_events AS event WHERE event.id = {id} OFFSET 0)
    AND NOT EXISTS (
        SELECT FROM noteflow.webhook_events AS event
        WHERE event.workspace_id = {workspace_id} AND event.idempotency_key = {idempotency_key} OFFSET 0
    )
"""
_STORED: Final = """
    SELECT inserted.id, inserted.created_at, inserted.sequence
    FROM (
        SELECT CASE WHEN (SELECT count(*) FROM inserted WHERE sequence IS NOT NULL) < ({wanted})
                    THEN noteflow.recorded_meanwhile() ELSE true END AS is_sound
    ) AS checked LEFT JOIN inserted ON checked.is_sound
"""


class Appending(NamedTuple):
    """The statements that store events with certain columns."""

    #: One event that is about no meeting.
    one: Statement
    #: One that is, and so gets a number.
    numbered: Statement
    #: The same two for one that is surely new, in a transaction of its caller's.
    one_new: Statement
    numbered_new: Statement
    many: Statement

    def of_new(self, event: Event) -> Statement:
        """Return the statement that stores an event which is surely new."""
        return self.one_new if event.meeting_id is None else self.numbered_new


def _appending_statements(types: Mapping[str, str]) -> Appending:
    """Return the statements that write these columns."""
    names, values = ", ".join(types), {name: _value(name, kind) for name, kind in types.items()}
    number_one = f"""
    INSERT INTO noteflow.meeting_sequences AS counter (workspace_id, meeting_id, last)
    SELECT {values["workspace_id"]}, {values["meeting_id"]}, 1 {{where}}
    ON CONFLICT (workspace_id, meeting_id) DO UPDATE SET last = counter.last + 1
    RETURNING last
    """
    listed = ", ".join(values.values())
    one = f"INSERT INTO noteflow.webhook_events ({names}) VALUES ({listed})"  # noqa: S608 - of this file's own texts
    numbered = f"""
    WITH counter AS MATERIALIZED (
        {number_one.format(where=f"WHERE {_UNSEEN.format(**values)}")}
    ), inserted AS (
        INSERT INTO noteflow.webhook_events ({names}, sequence)
        SELECT {listed}, last FROM counter
        ON CONFLICT DO NOTHING
        RETURNING id, created_at, sequence
    )
    {_STORED.format(wanted="SELECT count(*) FROM counter")}
    """  # noqa: S608 - as above
    new = f"""
    WITH counter AS MATERIALIZED ({number_one.format(where="")})
    INSERT INTO noteflow.webhook_events ({names}, sequence)
    SELECT {listed}, last FROM counter
    RETURNING created_at, sequence
    """  # noqa: S608 - as above
    return Appending(
        Statement(f"{one} ON CONFLICT DO NOTHING RETURNING id, created_at, sequence"),
        Statement(numbered),
        Statement(f"{one} RETURNING created_at, sequence"),
        Statement(new),
        Statement(_append_many(types)),
    )


def _value(name: str, kind: str) -> str:
    return f"CAST(:{name} AS {'json' if name == 'payload' else kind})"


# The moments and the numbers keep the order in which the events came; stored they are in that of their keys, and the
# counters are locked before in that of their meetings, so that two servers with the same keys and meetings never wait
# for each other. Of several with one key the first takes a number.
def _append_many(types: Mapping[str, str]) -> str:
    names = ", ".join(types)
    return f"""
    WITH params AS MATERIALIZED (
        SELECT *, idempotency_key IS NULL
               OR row_number() OVER (PARTITION BY workspace_id, idempotency_key ORDER BY position) = 1 AS is_first
        FROM unnest({", ".join(f"CAST(CAST(:{name} AS text) AS {kind}[])" for name, kind in types.items())})
            WITH ORDINALITY AS t ({names}, position)
    ), fresh AS MATERIALIZED (
        SELECT *, row_number() OVER (PARTITION BY workspace_id, meeting_id ORDER BY position) AS nth
        FROM params
        WHERE is_first AND {_UNSEEN.format(**{name: f"params.{name}" for name in types})}
    ), counts AS MATERIALIZED (
        SELECT workspace_id, meeting_id, count(*) AS events FROM fresh
        WHERE meeting_id IS NOT NULL
        GROUP BY workspace_id, meeting_id
    ), counters AS MATERIALIZED (
        INSERT INTO noteflow.meeting_sequences AS counter (workspace_id, meeting_id, last)
        SELECT workspace_id, meeting_id, events FROM counts
        ORDER BY workspace_id, meeting_id COLLATE "C"
        ON CONFLICT (workspace_id, meeting_id) DO UPDATE SET last = counter.last + excluded.last
        RETURNING workspace_id, meeting_id, last
    ), inserted AS (
        INSERT INTO noteflow.webhook_events ({names}, created_at, sequence)
        SELECT {", ".join("payload::json" if name == "payload" else f"fresh.{name}" for name in types)},
               (SELECT clock_timestamp()) + fresh.position * interval '1 microsecond',
               counters.last - counts.events + fresh.nth
        FROM fresh LEFT JOIN counts USING (workspace_id, meeting_id)
        LEFT JOIN counters USING (workspace_id, meeting_id)
        ORDER BY fresh.workspace_id, fresh.idempotency_key, fresh.position
        ON CONFLICT DO NOTHING
        RETURNING id, created_at, sequence
    )
    {_STORED.format(wanted="SELECT sum(events)::bigint FROM counts")}
    """  # noqa: S608 - as above


_USUAL: Final = _appending_statements(_TYPES)
_TRACED: Final = _appending_statements(_TRACED_TYPES)
_FIND: Final = Statement(
    f"""
    SELECT {_READ_COLUMNS} FROM noteflow.webhook_events e WHERE e.id = ANY (CAST(:ids AS uuid[]))
    UNION ALL
    SELECT {_READ_COLUMNS}
    FROM unnest(CAST(:workspace_ids AS uuid[]), CAST(:keys AS text[])) AS k (workspace_id, idempotency_key)
    JOIN noteflow.webhook_events e USING (workspace_id, idempotency_key)
    """  # noqa: S608 - as above
)


def statements_for(events: Sequence[Event]) -> Appending:
    """Return the statements that store these: one column fewer where none has a trace, as is usual."""
    return _TRACED if any(each.traceparent is not None for each in events) else _USUAL


def append(events: Sequence[Event], run: Run) -> list[Event | AlreadyExistsError]:
    """Store the events with one statement; return for each what the outbox's ``append_many`` says.

    ``run`` leaves nothing of a statement that fails.
    """
    results: dict[UUID, Event | AlreadyExistsError] = {}
    waiting = list(events)
    for _ in range(_TRIES):
        stored = _append(waiting, run)
        results |= {each.id: stored[each.id] for each in waiting if each.id in stored}
        waiting = [each for each in waiting if each.id not in stored]
        if waiting:
            results |= _before(waiting, run)
            waiting = [each for each in waiting if each.id not in results]
        if not waiting:
            return [results[each.id] for each in events]
    raise UnavailableError("what an idempotency key stands for is being removed; try again")


def one_as_columns(event: Event) -> dict[str, Any]:
    """Return the columns of one event, as the statements for one take them."""
    values = {name: getattr(event, name) for name in _TRACED_TYPES}
    values["payload"] = event.payload.decode()
    return values


def _append(events: Sequence[Event], run: Run) -> dict[UUID, Event]:
    """Return what was stored, by id. Where others record the same at this moment, none may be."""
    try:
        rows = run(*_appending(events))
    except psycopg.Error as error:
        if error.sqlstate != _RECORDED_MEANWHILE:
            raise
        return {}
    # Without any there is one row without an id.
    found = {each[0]: each[1:] for each in rows if each[0] is not None}
    return {
        each.id: replace(each, created_at=found[each.id][0], sequence=found[each.id][1])
        for each in events
        if each.id in found
    }


def _appending(events: Sequence[Event]) -> tuple[Statement, Mapping[str, Any]]:
    statements = statements_for(events)
    if len(events) > 1:
        return statements.many, _many(events, traced=statements is _TRACED)
    return statements.one if events[0].meeting_id is None else statements.numbered, one_as_columns(events[0])


def _before(events: Sequence[Event], run: Run) -> dict[UUID, Event | AlreadyExistsError]:
    """Return for each of the events what was there in its place; an event that was removed since is missing."""
    keyed = [each for each in events if each.idempotency_key is not None]
    rows = run(
        _FIND,
        {
            "ids": [each.id for each in events],
            "workspace_ids": [each.workspace_id for each in keyed],
            "keys": [each.idempotency_key for each in keyed],
        },
    )
    found = [_event(row) for row in rows]
    by_id = {each.id: each for each in found}
    by_key = {(each.workspace_id, each.idempotency_key): each for each in found}
    repeated = {each.id: by_key.get((each.workspace_id, each.idempotency_key)) for each in keyed}
    answers = {each.id: _repeated(each, before) for each in keyed if (before := repeated[each.id]) is not None}
    return answers | {each.id: by_id[each.id] for each in events if each.id in by_id}


def _repeated(event: Event, before: Event) -> Event | AlreadyExistsError:
    if before.request_digest != event.request_digest:
        return AlreadyExistsError("idempotency_key: was used for an event with another type or payload")
    return before


def _many(events: Sequence[Event], *, traced: bool) -> dict[str, str]:
    """Return each column as the text of an array: psycopg takes ten times as long for its lists."""
    traces = {"traceparent": _array([_quoted(each.traceparent) for each in events])} if traced else {}
    return traces | {
        "id": _array([each.id.hex for each in events]),
        "workspace_id": _array([each.workspace_id.hex for each in events]),
        "event_type": _array([_quoted(each.event_type) for each in events]),
        "meeting_id": _array([_quoted(each.meeting_id) for each in events]),
        "target_webhook_id": _array([_hex(each.target_webhook_id) for each in events]),
        "payload": _array([_quoted(each.payload.decode()) for each in events]),
        "idempotency_key": _array([_quoted(each.idempotency_key) for each in events]),
        "request_digest": _array([_bytes(each.request_digest) for each in events]),
        "occurred_at": _array([each.occurred_at.isoformat() for each in events]),
    }


def _array(elements: Iterable[str]) -> str:
    return "{" + ",".join(elements) + "}"


def _quoted(text: str | None) -> str:
    # PostgreSQL's manual, 8.15.6: quotes and backslashes have a backslash before them.
    return "NULL" if text is None else '"' + text.replace("\\", "\\\\").replace('"', '\\"') + '"'


def _hex(identifier: UUID | None) -> str:
    return "NULL" if identifier is None else identifier.hex


def _bytes(data: bytes | None) -> str:
    return "NULL" if data is None else f'"\\\\x{data.hex()}"'


def _event(row: Sequence[Any]) -> Event:
    values = dict(zip(_READ, row, strict=True))
    values["payload"] = values["payload"].encode()
    return Event(**values)
