"""Pages of lists as callers see them: opaque tokens that say where a page ended, and answers that fit a message."""

from __future__ import annotations

import base64
import binascii
from datetime import datetime
from typing import TYPE_CHECKING, Final, Protocol, TypeVar
from uuid import UUID

from noteflow_hooks.domain.paging import IdRange, Page, Position, check_page_size
from noteflow_hooks.domain.violations import check_all
from noteflow_hooks.errors import InvalidInputError
from noteflow_hooks.rpc.runtime.greenlets import give_way

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from google.protobuf.message import Message

#: A page ends early before its rows come near the 4 MiB that gRPC clients take by default.
_PAGE_BYTES: Final = 3 * 1024 * 1024
#: Longer than any token of ours.
_TOKEN_LIMIT: Final = 200
#: So many are converted while all other calls wait.
ROWS_AT_ONCE: Final = 16


class Row(Protocol):
    """What everything that is listed has. Lists are in the order of these two, newest first."""

    @property
    def id(self) -> UUID:
        """Second in the order."""
        ...

    @property
    def created_at(self) -> datetime | None:
        """First in the order; None only where it is not stored yet."""
        ...


class PageRequest(Protocol):
    """What every List request has."""

    @property
    def page_size(self) -> int:
        """The most rows to return."""
        ...

    @property
    def page_token(self) -> str:
        """Where to go on; empty for the first page."""
        ...


class ListRequest(PageRequest, Protocol):
    """What every request of a list has."""

    @property
    def id_prefix(self) -> str:
        """How the ids begin; empty for all."""
        ...

    @property
    def with_total(self) -> bool:
        """Whether to say how many there are."""
        ...


R = TypeVar("R", bound=Row)
M = TypeVar("M", bound="Message")


def parse_page(request: ListRequest) -> Page:
    """Return the page that is asked for; raise InvalidInputError for a bad size, token or prefix."""
    ids, size, after = check_all(
        lambda: IdRange.of_prefix(request.id_prefix) if request.id_prefix else None,
        lambda: check_page_size(request.page_size),
        lambda: _position(request.page_token),
    )
    return Page(size, after, ids, counts=request.with_total)


def parse_endpoint_page(request: PageRequest, *, most: int) -> Page:
    """Return the page of endpoints that GetEvent looks at; raise InvalidInputError for more than ``most``."""
    return Page(
        *check_all(lambda: check_page_size(request.page_size, most=most), lambda: _position(request.page_token))
    )


def fill(page: Page, rows: Sequence[R], convert: Callable[[R], M]) -> tuple[list[M], str]:
    """Return the messages of the page and the next page's token, empty where there is none."""
    shown: list[M] = []
    room = _PAGE_BYTES
    for number, row in enumerate(rows[: page.size], start=1):
        if not number % ROWS_AT_ONCE:
            give_way()
        message = convert(row)
        room -= message.ByteSize()
        if shown and room < 0:
            break
        shown.append(message)
    return shown, _token(rows[len(shown) - 1]) if len(rows) > len(shown) else ""


def fill_counted(page: Page, found: tuple[Sequence[R], int], convert: Callable[[R], M]) -> tuple[list[M], str, int]:
    """Do as :func:`fill` with rows and how many there are in all."""
    rows, total = found
    return *fill(page, rows, convert), total


def cursor_of(position: Position) -> str:
    """Return a position as callers see it; :func:`parse_cursor` reads it."""
    text = f"{position.created_at.isoformat()} {position.id}"
    return base64.urlsafe_b64encode(text.encode()).decode()


def parse_cursor(cursor: str) -> Position:
    """Return the position; raise InvalidInputError for what is none."""
    position = _decoded(cursor)
    if position is None:
        raise InvalidInputError("cursor", "must be the cursor of a message that came")
    return position


def _token(row: Row) -> str:
    if row.created_at is None:
        raise ValueError(f"{row.id} was listed before it was stored")
    return cursor_of(Position(row.created_at, row.id))


def _position(token: str) -> Position | None:
    if not token:
        return None
    position = _decoded(token)
    if position is None:
        raise InvalidInputError("page_token", "must be the next_page_token of the page before")
    return position


def _decoded(token: str) -> Position | None:
    try:
        if len(token) > _TOKEN_LIMIT:
            raise ValueError  # noqa: TRY301 - handled right below, as what can't be decoded is
        moment, identifier = base64.b64decode(token, altchars=b"-_", validate=True).decode().split(" ")
        position = Position(datetime.fromisoformat(moment), UUID(identifier))
    except (binascii.Error, ValueError):
        return None
    return None if position.created_at.tzinfo is None else position
