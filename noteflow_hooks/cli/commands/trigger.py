"""`trigger`: makes events that are real, so that a receiver can be tried."""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

import click

from noteflow_hooks.cli.support import finding
from noteflow_hooks.cli.support.asking import ask, yes_option
from noteflow_hooks.cli.support.helping import Command, example
from noteflow_hooks.cli.support.listing import Listing
from noteflow_hooks.cli.support.made_meetings import hold, payload_of, plan, settable
from noteflow_hooks.cli.support.options import FiniteRange, as_json, remote_options
from noteflow_hooks.cli.support.output import show_json, show_list
from noteflow_hooks.cli.support.remote import called, client, is_called_up
from noteflow_hooks.domain.events import PUBLISHABLE, WebhookEventType, is_custom
from noteflow_hooks.errors import InvalidInputError, RateLimitError, ScopeError
from noteflow_hooks.printable import cell
from noteflow_hooks.rpc.proto.noteflow.v1 import noteflow_pb2 as pb

if TYPE_CHECKING:
    from collections.abc import Iterator

    from noteflow_hooks.client import Client

_TEST: Final = WebhookEventType.WEBHOOK_TEST
#: The most that one command makes.
_MOST: Final = 10_000
_COLUMNS: Final = ("name", "set", "description")


@dataclass(frozen=True, slots=True)
class _Wish:
    """What is to be made each time."""

    event_type: str
    given: dict[str, str]
    webhook_id: str | None


class _Setting(click.ParamType[tuple[str, str]]):
    """``name=value``."""

    name = "setting"

    def convert(
        self, value: str | tuple[str, str], param: click.Parameter | None, ctx: click.Context | None
    ) -> tuple[str, str]:
        """Return the name and the value."""
        if isinstance(value, tuple):
            return value
        name, equals, text = value.partition("=")
        return (name, text) if equals and name else self.fail(f"{value!r} is no NAME=VALUE", param, ctx)


@click.command(cls=Command)
@example(
    "trigger meeting.completed --set title=Weekly",
    "trigger summary.generated --webhook CRM",
    "trigger recording.started --count 50 --rate 5",
    "trigger --list",
)
@remote_options
@click.argument("event_type", metavar="[TYPE]", required=False)
@click.option("--list", "lists", is_flag=True, help="List the types, and what can be set of each.")
@click.option("--set", "settings", metavar="NAME=VALUE", type=_Setting(), multiple=True, help="What it says.")
@click.option("--webhook", metavar="NAME|ID", help="Send it to this endpoint alone, whatever that subscribes to.")
@click.option("--count", type=click.IntRange(1, _MOST), default=1, show_default=True, help="How many times.")
@click.option("--rate", type=FiniteRange(0.01, 1000), help="How many a second; else one after another.")
@yes_option
@as_json
def trigger(event_type: str | None, *, lists: bool, as_json: bool, **options: Any) -> None:  # noqa: ANN401 - each option has its own type
    """Make events of TYPE that are real: a meeting is held, so that all its events come, and every endpoint gets them.

    The meeting is recorded and stopped, and summed up where TYPE is summary.generated or has_summary is set to true. A
    type of your own is published, its example with what is set. With --webhook the event alone is made, for that
    endpoint. Unless the server is that of `up`, it is asked first.
    """
    if lists:
        _list(as_json=as_json)
        return
    if event_type is None:
        raise click.UsageError("give a TYPE; --list shows which there are")
    _check(event_type, dict(options["settings"]), is_for_one=options["webhook"] is not None)
    if not is_called_up():
        ask(_question(event_type, options["count"], options["webhook"]), yes=options["yes"])
    with client() as server:
        whole_id = finding.webhook_id(server, options["webhook"], changes=True) if options["webhook"] else None
        wish = _Wish(event_type, dict(options["settings"]), whole_id)
        _make(server, wish, count=options["count"], rate=options["rate"], as_json=as_json)


def _check(event_type: str, given: dict[str, str], *, is_for_one: bool) -> None:
    """Raise UsageError for what can't be made."""
    if event_type == _TEST and not is_for_one:
        raise click.UsageError(f"{_TEST} goes to one endpoint: name it with --webhook")
    if event_type == _TEST and given:
        raise click.UsageError(f"nothing of {_TEST} can be set")
    if event_type not in (*PUBLISHABLE, _TEST) and not is_custom(event_type):
        raise click.UsageError(f"{event_type!r} is none of {', '.join(PUBLISHABLE)}, {_TEST}, custom.<name>")
    try:
        if event_type in PUBLISHABLE:
            plan(event_type, given)
    except InvalidInputError as error:
        raise click.UsageError(f"--set {error}") from None


def _question(event_type: str, count: int, webhook: str | None) -> str:
    times = "once" if count == 1 else f"{count:,} times"
    to = "every endpoint that subscribes to what it makes" if webhook is None else f"the endpoint {webhook}"
    return f"Make {event_type} {times} at {called()}, for {to}?"


def _make(server: Client, wish: _Wish, *, count: int, rate: float | None, as_json: bool) -> None:
    """Make them, at that pace, and print each as it is made; as JSON all of them at the end."""
    rows: list[dict[str, Any]] = []
    try:
        for _ in _paced(count, rate):
            made = _made(server, wish)
            rows += made
            if not as_json:
                for row in made:
                    click.echo("  ".join(cell(each) for each in row.values()))
    finally:
        # Also what was made before it failed, or was interrupted.
        if as_json and rows:
            show_json(rows)


def _paced(count: int, rate: float | None) -> Iterator[int]:
    """Yield numbers, so many a second; what is late is made up for."""
    begun = time.monotonic()
    for number in range(count):
        if rate is not None:
            time.sleep(max(0.0, begun + number / rate - time.monotonic()))
        yield number


def _made(server: Client, wish: _Wish) -> list[dict[str, Any]]:
    """Make them once and return each event; of a token that may not read, what it knows."""
    if wish.webhook_id is not None:
        return [{"event_id": _sent(server, wish), "event_type": wish.event_type}]
    if is_custom(wish.event_type):
        payload = payload_of(_example(server, wish.event_type), wish.event_type, wish.given, is_meeting=False)
        stored = server.events.PublishEvent(pb.PublishEventRequest(event_type=wish.event_type, payload_json=payload))
        return [{"event_id": stored.id, "event_type": wish.event_type}]
    meeting_id = hold(server, plan(wish.event_type, wish.given))
    try:
        found = server.events.ListEvents(pb.ListEventsRequest(meeting_id=meeting_id)).events
    except ScopeError:
        return [{"event_type": wish.event_type, "meeting_id": meeting_id}]
    return [{"event_id": each.id, "event_type": each.event_type, "meeting_id": meeting_id} for each in reversed(found)]


def _sent(server: Client, wish: _Wish) -> str:
    """Send it to one endpoint and return the event's id; where that may not be so often, wait."""
    request = pb.TestWebhookRequest(webhook_id=wish.webhook_id or "")
    if wish.event_type != _TEST:
        example_ = _example(server, wish.event_type)
        request.event_type = wish.event_type
        request.payload_json = payload_of(
            example_, wish.event_type, wish.given, is_meeting=wish.event_type in PUBLISHABLE
        )
    while True:
        try:
            event_id: str = server.webhooks.TestWebhook(request).event_id
        except RateLimitError as error:
            if error.retry_after is None:
                raise
            time.sleep(error.retry_after.total_seconds())
        else:
            return event_id


def _example(server: Client, event_type: str) -> str:
    text: str = server.events.GetEventType(pb.GetEventTypeRequest(name=event_type)).example
    return text


def _list(*, as_json: bool) -> None:
    with client() as server:
        answer = server.events.ListEventTypes(pb.ListEventTypesRequest())
    rows = [
        {"name": each.name, "set": _set_of(each.name), "description": each.description}
        for each in answer.event_types
        if each.name in (*PUBLISHABLE, _TEST) or is_custom(each.name)
    ]
    show_list(Listing(rows), columns=_COLUMNS, as_json=as_json, empty="no types")


def _set_of(event_type: str) -> str:
    if event_type in PUBLISHABLE:
        return ", ".join(settable(event_type))
    return "any field" if is_custom(event_type) else "nothing; it needs --webhook"
