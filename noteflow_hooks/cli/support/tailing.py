"""Follows the deliveries where a server knows no watches: asks again and again, and prints what has changed since."""

from __future__ import annotations

import contextlib
import json
import time
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Final

import click

from noteflow_hooks.cli.support.finding import learn
from noteflow_hooks.cli.support.listing import listed
from noteflow_hooks.cli.support.screen import screen
from noteflow_hooks.domain.paging import MAX_PAGE_SIZE
from noteflow_hooks.errors import UnavailableError
from noteflow_hooks.printable import cell, escape

if TYPE_CHECKING:
    from collections.abc import Callable, Generator, Iterator, Mapping

    from noteflow_hooks.client import Client
    from noteflow_hooks.rpc.proto.noteflow.v1 import noteflow_pb2 as pb

#: Deliveries that are watched for changes: the newest ones. Ten thousand an hour at one look a second leaves an hour.
WATCHED: Final = MAX_PAGE_SIZE
_REMEMBERED: Final = 10_000
_CHANGING: Final = ("status", "attempt_count", "next_attempt_at")


class Changes:
    """Remembers how each delivery looked, and tells which look different."""

    def __init__(self, *, remembered: int = _REMEMBERED) -> None:
        """``remembered`` is how many are kept: those that changed last."""
        self._remembered = remembered
        self._seen: dict[str, tuple[object, ...]] = {}

    def among(self, rows: list[dict[str, Any]]) -> Iterator[dict[str, Any]]:
        """Yield those that are new or have changed, oldest first; rows come newest first."""
        for row in reversed(rows):
            look = tuple(row.get(name) for name in _CHANGING)
            if self._seen.get(row["id"]) != look:
                # Put at the end, so that the first ones are those that changed longest ago.
                self._seen.pop(row["id"], None)
                self._seen[row["id"]] = look
                yield row
        while len(self._seen) > self._remembered:
            del self._seen[next(iter(self._seen))]


def tail_lines(
    connect: Callable[[], Client], request: pb.ListDeliveriesRequest, *, every_s: float, as_json: bool
) -> None:
    """Print a line for each change from now on, until interrupted."""
    changes = Changes()
    names: dict[str, str] | None = None if as_json else {}
    looking = contextlib.closing(_looks(connect, request, every_s, names))
    with contextlib.suppress(KeyboardInterrupt), looking as looks:
        list(changes.among(next(looks)))
        for rows in looks:
            for row in changes.among(rows):
                click.echo(json.dumps(row) if names is None else line_of(row, names), color=screen().has_colours)


def _looks(
    connect: Callable[[], Client], request: pb.ListDeliveriesRequest, every_s: float, names: dict[str, str] | None
) -> Generator[list[dict[str, Any]]]:
    """Yield the newest deliveries again and again, with their endpoints in ``names`` where that is given.

    A server that has answered once is waited for when it goes away.
    """
    # Whether it answered last time; None before the first answer.
    answers: bool | None = None
    while True:
        try:
            # A new connection after each failure: an old one would wait longer and longer before it tries again.
            with connect() as server:
                while True:
                    rows = _newest(server.webhooks.ListDeliveries, request)
                    answers = True
                    if names is not None:
                        learn(names, rows, server)
                    yield rows
                    time.sleep(every_s)
        except UnavailableError as error:
            if answers is None:
                raise
            if answers:
                click.echo(f"noteflow-hooks: {escape(str(error))}; waiting for it", err=True)
            answers = False
        time.sleep(every_s)


def _newest(call: Callable[[Any], Any], request: pb.ListDeliveriesRequest) -> list[dict[str, Any]]:
    request.page_token = ""
    return [*listed(call, request, field="deliveries", limit=WATCHED).rows]


def line_of(row: dict[str, Any], names: Mapping[str, str]) -> str:
    """Return what is printed of a delivery that is seen so now."""
    return line(row, endpoint=names[row["webhook_id"]], at=datetime.now(UTC))


def line(row: dict[str, Any], *, endpoint: str, at: datetime) -> str:
    """Return what is printed of a delivery: when it was seen so, and whose it is."""
    status = screen().coloured(f"{cell(row['status']):<9}")
    known = [f"{at:%H:%M:%S}Z", cell(row["id"]), cell(endpoint), f"{cell(row['event_type']):<17}", status]
    said = [f"attempts {row['attempt_count']}"]
    if "status_code" in row:
        said.append(f"HTTP {row['status_code']}")
    if "duration_ms" in row:
        said.append(f"{row['duration_ms']} ms")
    if why := row.get("reason") or row.get("error_message"):
        said.append(cell(why))
    return "  ".join([*known, *said])
