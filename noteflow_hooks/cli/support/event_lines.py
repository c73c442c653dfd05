"""Events from a file of JSON lines: all lines are read and checked first, then published in batches."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any, Final

import click

from noteflow_hooks.cli.support.options import text_of
from noteflow_hooks.cli.support.output import show_json
from noteflow_hooks.cli.support.remote import client, shown
from noteflow_hooks.errors import NoteFlowHooksError
from noteflow_hooks.printable import escape
from noteflow_hooks.rpc.proto.noteflow.v1 import noteflow_pb2 as pb

if TYPE_CHECKING:
    from collections.abc import Sequence

    from noteflow_hooks.client.batches import Outcome

_FIELDS: Final = {"event_type": str, "payload": dict, "idempotency_key": str}


def publish_lines(source: str, *, event_type: str | None, as_json: bool) -> None:
    """Publish the events of a file, or of standard input for ``-``; raise where a line is unreadable or refused."""
    numbered = [(number, line) for number, line in enumerate(text_of(source).split("\n"), 1) if line.strip()]
    requests = [_request(line, number=number, event_type=event_type) for number, line in numbered]
    with client() as server:
        outcomes = server.publish_events(requests, keyed=False)
    rows = [_row(number, outcome) for (number, _), outcome in zip(numbered, outcomes, strict=True)]
    if as_json:
        show_json(rows)
    _report(rows, outcomes, as_json=as_json)


def _request(line: str, *, number: int, event_type: str | None) -> pb.PublishEventRequest:
    try:
        found = json.loads(line)
    except ValueError as error:
        raise NoteFlowHooksError(f"line {number} is not JSON: {error}; nothing was published") from None
    wrong = _wrong(found, needs_type=event_type is None)
    if wrong is not None:
        raise NoteFlowHooksError(f"line {number} {wrong}; nothing was published")
    return pb.PublishEventRequest(
        event_type=found.get("event_type", event_type),
        payload_json=json.dumps(found["payload"]),
        idempotency_key=found.get("idempotency_key"),
    )


def _wrong(found: Any, *, needs_type: bool) -> str | None:  # noqa: ANN401 - any JSON
    """Return what is wrong with a line, None where nothing is that the server wouldn't say."""
    if not isinstance(found, dict):
        return "is no JSON object"
    if unknown := sorted(found.keys() - _FIELDS.keys()):
        return f"names {unknown[0]!r}, which is none of {', '.join(_FIELDS)}"
    for name, kind in _FIELDS.items():
        is_needed = name == "payload" or (name == "event_type" and needs_type)
        if (is_needed and name not in found) or not isinstance(found.get(name, kind()), kind):
            return f"needs {name}, {'a JSON object' if kind is dict else 'text'}"
    return None


def _row(number: int, outcome: Outcome) -> dict[str, Any]:
    is_stored = not isinstance(outcome, NoteFlowHooksError)
    return {"line": number} | ({"event": shown(outcome)} if is_stored else {"error": str(outcome)})  # type: ignore[arg-type]  # an event, then


def _report(rows: Sequence[dict[str, Any]], outcomes: Sequence[Outcome], *, as_json: bool) -> None:
    """Say how many were stored, and which were not; raise where there are such."""
    refused = [row for row in rows if "error" in row]
    for row in refused:
        click.echo(escape(f"line {row['line']}: {row['error']}"), err=True)
    if refused:
        raise NoteFlowHooksError(f"{len(refused)} of {len(outcomes)} events were not stored")
    if not as_json:
        click.echo(f"{len(outcomes)} {'event' if len(outcomes) == 1 else 'events'} stored")
