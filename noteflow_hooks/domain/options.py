"""What an endpoint may have beyond the usual: filter, format, batches, order and more. Each costs nothing while off."""

from __future__ import annotations

from dataclasses import dataclass, fields, replace
from enum import StrEnum
from functools import partial
from typing import TYPE_CHECKING, Any, Final, TypeVar

from noteflow_hooks.domain.payloads import check_text
from noteflow_hooks.domain.violations import Violations
from noteflow_hooks.errors import InvalidInputError

if TYPE_CHECKING:
    from collections.abc import Mapping

E = TypeVar("E", bound=StrEnum)

#: The most characters of a filter.
FILTER_LIMIT: Final = 1024
#: How many events a batch may have, where there are any.
BATCH_MAX: Final = range(2, 101)
#: How long the first event of a batch may wait for others, in milliseconds.
BATCH_WAIT_MS: Final = range(60_001)
#: What ``batch_max`` is where events go alone.
NO_BATCHES: Final = 0


class Format(StrEnum):
    """In which shape events are sent."""

    NOTEFLOW = "noteflow"
    STANDARD = "standard"
    CLOUDEVENTS = "cloudevents"
    CLOUDEVENTS_BINARY = "cloudevents-binary"
    SLACK = "slack"
    DISCORD = "discord"
    TEAMS = "teams"

    @property
    def is_preset(self) -> bool:
        """Whether it is a message for people, posted to a vendor's own address."""
        return self in (Format.SLACK, Format.DISCORD, Format.TEAMS)

    @property
    def takes_batches(self) -> bool:
        """Whether several events fit into one request."""
        return not self.is_preset and self is not Format.CLOUDEVENTS_BINARY


class Ordering(StrEnum):
    """Which events wait for which."""

    NONE = "none"
    #: An event waits for the earlier ones of its meeting.
    PER_MEETING = "per_meeting"


class OnDead(StrEnum):
    """What becomes of a meeting's later events once one is dead."""

    SKIP = "skip"
    STOP = "stop"


@dataclass(frozen=True, slots=True, kw_only=True)
class EndpointOptions:
    """The options of one endpoint. :meth:`changed` checks; the constructor takes what is stored.

    What a preset can't have beside its format is checked where all of the endpoint is known.
    """

    #: A CEL expression; empty lets all events pass.
    filter: str = ""
    format: Format = Format.NOTEFLOW
    #: The most events in a request; 0 sends each alone.
    batch_max: int = NO_BATCHES
    #: How long the first of a batch waits for others.
    batch_wait_ms: int = 0
    #: Whether an answer may name those of a batch that have failed.
    batch_partial: bool = False
    ordering: Ordering = Ordering.NONE
    on_dead: OnDead = OnDead.SKIP
    #: Whether the event's trace goes to the receiver too.
    send_traceparent: bool = False

    @property
    def is_scheduled(self) -> bool:
        """Whether its deliveries always wait for the endpoint's scheduling slots: which go together is chosen there."""
        return self.batch_max != NO_BATCHES or self.ordering is not Ordering.NONE

    @property
    def is_ordered(self) -> bool:
        """Whether a meeting's events wait for the earlier ones."""
        return self.ordering is Ordering.PER_MEETING

    def changed(self, named: Mapping[str, Any]) -> EndpointOptions:
        """Return the options with the named fields, or raise InvalidInputError that names all that are wrong."""
        if not named:
            return self
        found = Violations()
        checked = {
            name: found.take(partial(_CHECKS[name], value), getattr(self, name)) for name, value in named.items()
        }
        found.raise_all()
        changed = replace(self, **checked)
        _check_together(changed)
        return NO_OPTIONS if changed == NO_OPTIONS else changed


#: Those of an endpoint that uses none.
NO_OPTIONS: Final = EndpointOptions()
#: Their names, as everybody has them: messages, columns, the command line.
OPTION_FIELDS: Final = tuple(each.name for each in fields(EndpointOptions))


def _check_filter(text: str) -> str:
    if len(text) > FILTER_LIMIT:
        raise InvalidInputError("filter", f"has {len(text)} characters; allowed are at most {FILTER_LIMIT:,}")
    return check_text("filter", text)


def _check_batch_max(value: int) -> int:
    if value != NO_BATCHES and value not in BATCH_MAX:
        allowed = f"{NO_BATCHES} for no batches, or {BATCH_MAX[0]} to {BATCH_MAX[-1]}"
        raise InvalidInputError("batch_max", f"is {value}; allowed are {allowed}")
    return value


def _check_batch_wait(value: int) -> int:
    if value not in BATCH_WAIT_MS:
        raise InvalidInputError("batch_wait_ms", f"is {value}; allowed are 0 to {BATCH_WAIT_MS[-1]:,}")
    return value


def _check_word(name: str, value: str, words: type[E]) -> E:
    try:
        return words(value)
    except ValueError:
        allowed = ", ".join(words)
        raise InvalidInputError(name, f"is {value[:100]!r}; allowed are {allowed}") from None


_CHECKS: Final[Mapping[str, Any]] = {
    "filter": _check_filter,
    "format": lambda value: _check_word("format", value, Format),
    "batch_max": _check_batch_max,
    "batch_wait_ms": _check_batch_wait,
    "batch_partial": bool,
    "ordering": lambda value: _check_word("ordering", value, Ordering),
    "on_dead": lambda value: _check_word("on_dead", value, OnDead),
    "send_traceparent": bool,
}


def _check_together(options: EndpointOptions) -> None:
    """Raise InvalidInputError where two of the options exclude each other."""
    # What a preset can't have is told at once, with what is no option: see ``preset_endpoints``.
    if not options.format.is_preset:
        check_batches(options)


def check_batches(options: EndpointOptions) -> None:
    """Raise InvalidInputError where there are to be batches, and the format has none."""
    if options.batch_max != NO_BATCHES and not options.format.takes_batches:
        fitting = ", ".join(each for each in Format if each.takes_batches)
        raise InvalidInputError(
            "batch_max", f"must be {NO_BATCHES} with format {options.format}; batches are for {fitting}"
        )
