"""An endpoint's options as callers set them: each is checked, and a filter by whoever evaluates it."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any

from noteflow_hooks.domain.options import NO_OPTIONS, OPTION_FIELDS
from noteflow_hooks.domain.violations import Violations, check_all
from noteflow_hooks.errors import FiltersMissingError

if TYPE_CHECKING:
    from collections.abc import Mapping

    from noteflow_hooks.domain.options import EndpointOptions
    from noteflow_hooks.domain.ports.filters import FilterEvaluator


def new_options(named: Mapping[str, Any], *, filters: FilterEvaluator | None) -> EndpointOptions:
    """Return the options of a new endpoint, or raise InvalidInputError; with a filter it may take milliseconds."""
    own = {name: value for name, value in named.items() if name == "filter"}
    rest = {name: value for name, value in named.items() if name not in own}
    # All that is wrong is said at once, what a filter is refused for included.
    check_all(lambda: NO_OPTIONS.changed(rest), lambda: check_options(own, filters=filters))
    return NO_OPTIONS.changed(named)


def options_in(named: Mapping[str, Any]) -> dict[str, Any]:
    """Return those of the named fields that are options."""
    return {name: named[name] for name in OPTION_FIELDS if name in named}


def check_options(changes: Mapping[str, Any], *, filters: FilterEvaluator | None) -> None:
    """Check each option by itself: how it fits the stored rest is known where that is read."""
    found = Violations()
    for name, value in options_in(changes).items():
        checked = found.take(partial(NO_OPTIONS.changed, {name: value}), NO_OPTIONS)
        found.take(partial(check_filter, checked.filter, filters=filters), None)
    found.raise_all()


def check_filter(text: str, *, filters: FilterEvaluator | None) -> None:
    """Raise InvalidInputError, of ``filter``, for what is none; FiltersMissingError where nothing here can tell."""
    if text:
        if filters is None:
            raise FiltersMissingError
        filters.check(text)
