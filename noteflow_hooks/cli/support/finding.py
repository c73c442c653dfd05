"""From what people type to a whole id: an endpoint's name, or the beginning of an id.

What fits several is refused with those that it fits. What changes something takes no beginnings: a day later, or in
another workspace, the same characters may begin another's id.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any, Final
from uuid import UUID

from noteflow_hooks.cli.support.listing import listed
from noteflow_hooks.errors import InvalidInputError, NotFoundError
from noteflow_hooks.printable import cell
from noteflow_hooks.rpc.proto.noteflow.v1 import noteflow_pb2 as pb

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from noteflow_hooks.client import Client

    Row = Mapping[str, Any]

_BEGINNING: Final = re.compile(r"[0-9a-f-]{1,36}")
#: So many of those that something fits are shown.
_SHOWN: Final = 5


def webhook_id(server: Client, given: str, *, changes: bool = False) -> str:
    """Return the id of the endpoint of that name or id; with ``changes`` its beginning is not enough."""
    if is_whole(given):
        return given
    rows = listed(server.webhooks.ListWebhooks, pb.ListWebhooksRequest(), field="webhooks").rows
    return chosen(rows, given, what="webhook", shown=("id", "name", "url"), changes=changes)


def delivery_id(server: Client, given: str, *, changes: bool = False) -> str:
    """Return the id of the delivery whose id begins so; with ``changes`` it must be whole."""
    request = pb.ListDeliveriesRequest(id_prefix=given)
    return _by_id(
        given,
        lambda: listed(server.webhooks.ListDeliveries, request, field="deliveries", limit=_SHOWN + 1).rows,
        what="delivery",
        shown=("id", "event_type", "status", "created_at"),
        changes=changes,
    )


def event_id(server: Client, given: str, *, changes: bool = False) -> str:
    """Return the id of the event whose id begins so; with ``changes`` it must be whole."""
    request = pb.ListEventsRequest(id_prefix=given)
    return _by_id(
        given,
        lambda: listed(server.events.ListEvents, request, field="events", limit=_SHOWN + 1).rows,
        what="event",
        shown=("id", "event_type", "meeting_id", "created_at"),
        changes=changes,
    )


def replay_id(server: Client, given: str, *, changes: bool = False) -> str:
    """Return the id of the replay whose id begins so; with ``changes`` it must be whole."""
    request = pb.ListReplaysRequest(id_prefix=given)
    return _by_id(
        given,
        lambda: listed(server.webhooks.ListReplays, request, field="replays", limit=_SHOWN + 1).rows,
        what="replay",
        shown=("id", "state", "matched", "created_at"),
        changes=changes,
    )


def chosen(rows: Sequence[Row], given: str, *, what: str, shown: Sequence[str], changes: bool = False) -> str:
    """Return the id of the one row that has this name, or whose id is it or begins so.

    Raise NotFoundError where there is none, and InvalidInputError where there are several, or where a beginning is not
    enough.
    """
    named = [row for row in rows if row.get("name") == given]
    begun = [row for row in rows if _BEGINNING.fullmatch(given.lower()) and row["id"].startswith(given.lower())]
    found = named or begun
    if not found:
        raise NotFoundError(f"no {what} {given[:100]!r} here")
    if len(found) > 1:
        raise InvalidInputError(what, f"{given!r} fits several:{_lines(found, shown)}")
    if changes and not named and found[0]["id"] != given.lower():
        kinds = "a whole id or a name" if "name" in shown else "a whole id"
        raise InvalidInputError(what, f"what changes something takes {kinds}; {given!r} begins:{_lines(found, shown)}")
    return str(found[0]["id"])


def learn(names: dict[str, str], rows: Sequence[Row], server: Client) -> None:
    """Put the names of the rows' endpoints beside those that are known; a deleted one is called by its id."""
    ids = {row["webhook_id"] for row in rows if row.get("webhook_id")}
    if ids <= names.keys():
        return
    webhooks = listed(server.webhooks.ListWebhooks, pb.ListWebhooksRequest(), field="webhooks").rows
    names.update({each: each for each in ids})
    names.update({each["id"]: each["name"] for each in webhooks})


def with_names(rows: Sequence[Row], server: Client) -> list[dict[str, Any]]:
    """Return the rows with the name of each one's endpoint as ``webhook``, for a table."""
    names: dict[str, str] = {}
    learn(names, rows, server)
    return [{**row, "webhook": names.get(row.get("webhook_id", ""))} for row in rows]


def is_whole(given: str) -> bool:
    """Tell whether this is a whole id."""
    try:
        UUID(given)
    except ValueError:
        return False
    return True


def _by_id(
    given: str, rows: Callable[[], Sequence[Row]], *, what: str, shown: Sequence[str], changes: bool = False
) -> str:
    if is_whole(given):
        return given
    if not _BEGINNING.fullmatch(given.lower()):
        raise InvalidInputError(what, f"{given[:100]!r} is no id, and none begins so")
    return chosen(rows(), given, what=what, shown=shown, changes=changes)


def _lines(rows: Sequence[Row], shown: Sequence[str]) -> str:
    lines = ["  ".join(cell(row.get(name)) for name in shown) for row in rows[:_SHOWN]]
    more = ["..."] if len(rows) > _SHOWN else []
    return "".join(f"\n  {line}" for line in [*lines, *more])
