"""What several pages ask the server for, and how a query's fields become a request's filters."""

from __future__ import annotations

from datetime import UTC, datetime
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, Final

from google.protobuf.timestamp_pb2 import Timestamp

from noteflow_hooks.client import pb
from noteflow_hooks.dashboard.views.keeping import Kept
from noteflow_hooks.dashboard.visit import address
from noteflow_hooks.errors import InvalidInputError

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from noteflow_hooks.dashboard.visit import Form, Visit

#: Rows of a page.
ROWS: Final = 25
#: What a total stands for that is no exact number.
MANY: Final = 10_000
#: So many endpoints are offered in a list to choose from.
_CHOICES: Final = 500
#: A name is no news: one that others have made is an id for half a minute, where it is shown beside others.
_names: Final[Kept[dict[str, str]]] = Kept(30.0)
_types: Final[Kept[list[str]]] = Kept(30.0)


def filters(query: Form, *names: str) -> dict[str, Any]:
    """Return those of the query's fields that say something, as a request takes them; raise for a time that is none."""
    found = {name: query.text(name) for name in names if query.text(name)}
    times = {name: moment(text, name=name) for name, text in found.items() if name.startswith("created_")}
    return {**found, **times}


def moment(text: str, *, name: str) -> Timestamp:
    """Return a time as a message holds it; without a zone it is in UTC."""
    try:
        found = datetime.fromisoformat(text)
        message = Timestamp()
        message.FromDatetime((found if found.tzinfo is not None else found.replace(tzinfo=UTC)).astimezone(UTC))
    except (ValueError, OverflowError):
        raise InvalidInputError(name, f"{text!r} is no time; allowed is 2026-01-31T12:00, in UTC") from None
    return message


def kept(query: Form, *names: str) -> dict[str, str]:
    """Return the filters as the form shows them again."""
    return {name: query.text(name) for name in names}


def pager(
    visit: Visit,
    names: Sequence[str],
    next_page_token: str,
    *,
    chosen: dict[str, Any] | None = None,
    shown: Mapping[str, str] = MappingProxyType({}),
) -> dict[str, Any]:
    """Return what a list shows beside its rows: where its first and its next page are, and whether it is filtered.

    ``chosen`` are the filters of a list that knows more of them than those names; ``shown`` is what its address says of
    how it is shown, which filters nothing.
    """
    chosen = chosen if chosen is not None else kept(visit.query, *names)
    token = visit.query.text("page_token")
    return {
        "chosen": chosen,
        "is_filtered": any(chosen.values()),
        "is_first": not token,
        "first_page": address(visit.path, **chosen, **shown),
        "next_page": address(visit.path, **chosen, **shown, page_token=next_page_token) if next_page_token else "",
    }


def endpoint_names(visit: Visit) -> dict[str, str]:
    """Return the names of the newest endpoints by id, for lists to show and to choose from."""
    request = pb.ListWebhooksRequest(page_size=_CHOICES)
    return _names.of(visit, request, lambda: _listed_names(visit, request))


def _listed_names(visit: Visit, request: pb.ListWebhooksRequest) -> dict[str, str]:
    return {each.id: each.name for each in visit.client.webhooks.ListWebhooks(request).webhooks}


def forget_names(visit: Visit) -> None:
    """Have the names asked for anew: one was given or taken away here."""
    _names.forget(visit)


def type_names(visit: Visit) -> list[str]:
    """Return the catalogue's types."""
    request = pb.ListEventTypesRequest()
    return _types.of(
        visit, request, lambda: [each.name for each in visit.client.events.ListEventTypes(request).event_types]
    )
