"""The options by which deliveries are chosen, for every command that lists, follows or replays them."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, fields
from functools import wraps
from typing import TYPE_CHECKING, Any, TypeVar

import click

from noteflow_hooks.cli.support import finding
from noteflow_hooks.cli.support.options import Filled, event_type_option, period_options, webhook_option
from noteflow_hooks.cli.support.remote import timestamp
from noteflow_hooks.domain.attempts import ErrorKind
from noteflow_hooks.domain.skipping import SkipReason

if TYPE_CHECKING:
    from datetime import datetime

    from noteflow_hooks.client import Client

Decorated = TypeVar("Decorated", bound=Callable[..., Any])


@dataclass(frozen=True, slots=True, kw_only=True)
class DeliveryFilters:
    """What was asked for."""

    webhook: str | None
    status: tuple[str, ...]
    event_type: str | None
    event: str | None
    meeting_id: str | None
    error_kind: str | None
    status_code: int | None
    skip_reason: str | None
    throttled: bool | None
    id_prefix: str | None
    since: datetime | None
    until: datetime | None

    @property
    def is_any(self) -> bool:
        """Whether anything was asked for."""
        return any(getattr(self, each.name) not in (None, "", ()) for each in fields(self))

    def fill(self, request: Any, server: Client, *, changes: bool = False) -> None:  # noqa: ANN401 - a request with such filters
        """Put them into the request; with ``changes`` beginnings of ids are not enough."""
        if self.webhook is not None:
            request.webhook_id = finding.webhook_id(server, self.webhook, changes=changes)
        if self.event is not None:
            request.event_id = finding.event_id(server, self.event, changes=changes)
        if len(self.status) == 1:
            # As servers of former releases have it.
            request.status = self.status[0]
        else:
            request.statuses.extend(self.status)
        own = ("event_type", "meeting_id", "error_kind", "status_code", "skip_reason", "id_prefix")
        for name, value in {**{each: getattr(self, each) for each in own}, "held": self.throttled}.items():
            if value is not None:
                setattr(request, name, value)
        for name, moment in (("created_after", self.since), ("created_before", self.until)):
            if moment is not None:
                getattr(request, name).CopyFrom(timestamp(moment))


def delivery_filters(
    statuses: Iterable[str],
    *,
    status_help: str = "Only those in this state; several may be given.",
    by_throttled: bool = True,
) -> Callable[[Decorated], Decorated]:
    """Add all filters; the command gets them as ``filters``. Only ``statuses`` are allowed as a status.

    A replay, which is of settled ones, has none ``by_throttled``.
    """
    throttled = click.option(
        "--held/--not-held",
        "throttled",
        default=None,
        help="Only those that wait because their endpoint may have no more now.",
    )
    return _collected(
        webhook_option,
        click.option(
            "--status", type=click.Choice([each.lower() for each in statuses]), multiple=True, help=status_help
        ),
        event_type_option,
        click.option("--event", type=Filled(), metavar="ID", help="Only those of this event."),
        click.option(
            "--meeting", "meeting_id", type=Filled(), metavar="ID", help="Only those of this meeting's events."
        ),
        click.option(
            "--error-kind",
            type=click.Choice([each.value for each in ErrorKind]),
            metavar="KIND",
            help=f"Only those whose last attempt failed so: {', '.join(ErrorKind)}.",
        ),
        click.option(
            "--status-code", type=click.IntRange(100, 599), help="Only those whose last attempt was answered so."
        ),
        click.option(
            "--skip-reason",
            type=click.Choice([each.value for each in SkipReason]),
            metavar="REASON",
            help=f"Only those skipped for this: {', '.join(SkipReason)}.",
        ),
        *([throttled] if by_throttled else []),
        click.option("--id-prefix", type=Filled(), metavar="ID", help="Only those whose id begins so."),
        period_options,
    )


def _collected(*options: Callable[..., Any]) -> Callable[[Decorated], Decorated]:
    names = [each.name for each in fields(DeliveryFilters)]

    def decorate(command: Decorated) -> Decorated:
        @wraps(command)
        def collecting(**given: Any) -> Any:  # noqa: ANN401 - whatever the command takes and returns
            filters = DeliveryFilters(**{name: given.pop(name, None) for name in names})
            return command(filters=filters, **given)

        made: Any = collecting
        for option in reversed(options):
            made = option(made)
        collected: Decorated = made
        return collected

    return decorate
